// SPDX-License-Identifier: LGPL-3.0-or-later
// What the kernel files share. Each is compiled once for every instruction set, with CZ_ISA set to
// base, v3, v4 or v4bf16, so that whole functions, OpenMP regions included, are made for it.
#pragma once

#include <math.h>
#include <string.h>

#include <omp.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "kernels.h"

// Names of exported functions carry the instruction set: cz_find_conv_v4().
#define CZ_ISA_PASTE2(name, isa) cz_##name##_##isa
#define CZ_ISA_PASTE(name, isa)  CZ_ISA_PASTE2(name, isa)
#define CZ_ISA_NAME(name)        CZ_ISA_PASTE(name, CZ_ISA)

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t VecU __attribute__((vector_size(4 * LANES)));
typedef int32_t VecI __attribute__((vector_size(4 * LANES)));
typedef uint16_t VecH __attribute__((vector_size(2 * LANES)));

// Elements that are worked on at a time when they must be converted on the way; stays in L1.
enum { CHUNK = 1024 };

// Below this, a parallel region costs more than it brings (10-50 us with passive waiting).
enum { SERIAL = 16384 };

bool CZ_ISA_NAME(find_conv)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_conv_filter)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_math)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_reduce)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_resize)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_shape)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_softmax)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_thin)(const CzNode *, const CzNode *const *, int, CzKernel *);
bool CZ_ISA_NAME(find_update)(const CzNode *, const CzNode *const *, int, CzKernel *);

// ---- dividing work ------------------------------------------------------------------------------

// Parts to divide work on n_elements into: 1 if it is small, else at most n_threads.
static inline int part_count(size_t n_elements, int n_threads)
{
    if (n_elements < SERIAL || n_threads <= 1)
        return 1;
    size_t most = n_elements / (SERIAL / 2);
    return most < (size_t)n_threads ? (int)most : n_threads;
}

// Where part `part` of n_parts begins among n items; the end of the last one is n.
static inline size_t part_start(size_t n, int part, int n_parts)
{
    return n / n_parts * part + (n % n_parts < (size_t)part ? n % n_parts : (size_t)part);
}

// The same, on a multiple of grain.
static inline size_t part_start_grain(size_t n, size_t grain, int part, int n_parts)
{
    if (part == n_parts)
        return n;
    return part_start((n + grain - 1) / grain, part, n_parts) * grain;
}

// In front of `for (int part = 0; part < n_parts; part++)`.
#define CZ_PRAGMA(text) _Pragma(#text)
#define PARALLEL(n_parts) CZ_PRAGMA(omp parallel for num_threads(n_parts) schedule(static, 1))

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

// ---- element types ------------------------------------------------------------------------------

static inline float bf16_widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// To the nearest, ties to even; a NaN stays one.
static inline uint16_t bf16_round(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t nan = bits >> 16 | 0x40, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(value != value ? nan : rounded);
}

static inline void widen_row(float *restrict dst, const uint16_t *restrict src, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_widen(src[i]);
}

static inline void round_row(uint16_t *restrict dst, const float *restrict src, size_t n)
{
    size_t i = 0;
#ifdef __AVX512BF16__
    for (; i + 32 <= n; i += 32) {
        __m512bh half =
            _mm512_cvtne2ps_pbh(_mm512_loadu_ps(src + i + 16), _mm512_loadu_ps(src + i));
        memcpy(dst + i, &half, sizeof half);
    }
#endif
#pragma omp simd
    for (size_t k = i; k < n; k++)
        dst[k] = bf16_round(src[k]);
}

// The address of element i.
static inline void *view_at(const CzView *view, size_t i)
{
    return (char *)view->data + i * cz_dtype_size(view->dtype);
}

static inline float view_get(const CzView *view, size_t i)
{
    return view->dtype == CZ_F32 ? ((const float *)view->data)[i]
                                 : bf16_widen(((const uint16_t *)view->data)[i]);
}

// n elements from i on as F32: where they lie, or in buffer if they must be converted.
static inline const float *view_read(const CzView *view, size_t i, size_t n, float *buffer)
{
    if (view->dtype == CZ_F32)
        return (const float *)view->data + i;
    widen_row(buffer, (const uint16_t *)view->data + i, n);
    return buffer;
}

// Where to write n F32 elements from i on before view_written().
static inline float *view_target(CzView *view, size_t i, float *buffer)
{
    return view->dtype == CZ_F32 ? (float *)view->data + i : buffer;
}

static inline void view_written(CzView *view, size_t i, size_t n, const float *buffer)
{
    if (view->dtype != CZ_F32)
        round_row((uint16_t *)view->data + i, buffer, n);
}

// ---- exponential --------------------------------------------------------------------------------

static inline float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// e^x to about 1 ulp, after Cephes (Moshier 1992): e^x = 2^n e^r with |r| <= ln 2 / 2. 2^n is
// applied in two halves, so that the largest and the denormal results come out too.
static inline float exponential(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float magic = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    float n = (x * 1.44269504f + magic) - magic;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    // A NaN has no integer; it goes through p.
    int32_t whole = n == n ? (int32_t)n : 0, half = whole >> 1;
    return p * from_bits((uint32_t)(half + 127) << 23) *
           from_bits((uint32_t)(whole - half + 127) << 23);
}

// ---- vectors ------------------------------------------------------------------------------------

static inline __attribute__((always_inline)) Vec vec_load(const float *at)
{
    Vec v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline __attribute__((always_inline)) void vec_store(float *at, Vec v)
{
    memcpy(at, &v, sizeof v);
}

static inline __attribute__((always_inline)) Vec vec_load_bf16(const uint16_t *at)
{
    VecH half;
    memcpy(&half, at, sizeof half);
    return (Vec)(__builtin_convertvector(half, VecU) << 16);
}

static inline __attribute__((always_inline)) Vec vec_select(VecI mask, Vec yes, Vec no)
{
    return (Vec)((mask & (VecI)yes) | (~mask & (VecI)no));
}

// NaN stays.
static inline __attribute__((always_inline)) Vec vec_clamp(Vec v, Vec low, Vec high)
{
    v = vec_select(v < low, low, v);
    return vec_select(v > high, high, v);
}

// As bf16_round().
static inline __attribute__((always_inline)) void vec_store_bf16(uint16_t *at, Vec v)
{
#ifdef __AVX512BF16__
    __m256bh half = _mm512_cvtneps_pbh((__m512)v);
#else
    VecU bits = (VecU)v, mask = (VecU)(v != v);
    VecU nan = bits >> 16 | 0x40, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    VecH half = __builtin_convertvector((mask & nan) | (~mask & rounded), VecH);
#endif
    memcpy(at, &half, sizeof half);
}
