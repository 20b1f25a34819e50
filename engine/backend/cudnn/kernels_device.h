// SPDX-License-Identifier: LGPL-3.0-or-later
// What kernels share: element types, places of threads, sums over warps and blocks.
//
// Includes nothing of CUDA, so that NVRTC needs no headers. Device builds and the tests' C++ differ
// here and nowhere else.
#pragma once

#include "kernels.h"

#define DEVICE static __device__ __forceinline__

// Element types. Numbers are widened to float, computed on, and narrowed once.
struct f32 {
    float value;
};
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

// A thread's neighbouring elements as one access.
template <class T, int WIDTH> struct alignas(WIDTH * sizeof(T)) Some {
    T e[WIDTH];
};
template <class T> using Four = Some<T, KERNEL_WIDTH>;

// Device memory of the driver. The compiler is told that it is not shared memory.
template <class T> DEVICE T *global(uint64_t address)
{
    T *pointer = (T *)address;
#ifdef __CUDACC__
    __builtin_assume(__isGlobal(pointer));
#endif
    return pointer;
}

DEVICE uint32_t bits_of(float x)
{
    return (uint32_t)__float_as_int(x);
}

DEVICE float widen(f32 x)
{
    return x.value;
}

DEVICE float widen(bf16 x)
{
    return __int_as_float((int)((uint32_t)x.bits << 16));
}

#ifdef __CUDACC__
DEVICE float widen(f16 x)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
    return value;
}

DEVICE uint16_t half_of(float x)
{
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#else
DEVICE float widen(f16 x)
{
    return host_half_to_float(x.bits);
}

DEVICE uint16_t half_of(float x)
{
    return host_float_to_half(x);
}
#endif

DEVICE void narrow_into(float x, f32 *to)
{
    to->value = x;
}

// Nearest, ties to even; a NaN keeps a set mantissa bit, or it would round to infinity.
DEVICE void narrow_into(float x, bf16 *to)
{
    uint32_t bits = bits_of(x), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    to->bits = (uint16_t)(x != x ? (bits >> 16) | 0x40u : rounded);
}

DEVICE void narrow_into(float x, f16 *to)
{
    to->bits = half_of(x);
}

template <class T> DEVICE T narrow(float x)
{
    T to;
    narrow_into(x, &to);
    return to;
}

// ---- places -------------------------------------------------------------------------------------

// Threads go over elements in steps of the whole grid, so that no grid is too small.
DEVICE uint64_t first_index(void)
{
    return (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

DEVICE uint64_t index_step(void)
{
    return (uint64_t)gridDim.x * blockDim.x;
}

// i % n, and i becomes i / n. Divisions of 64 bits cost several times those of 32.
DEVICE uint64_t split(uint64_t *i, uint64_t n)
{
    uint64_t all = *i;
    if ((all | n) >> 32) {
        *i = all / n;
        return all - *i * n;
    }
    *i = (uint32_t)all / (uint32_t)n;
    return (uint32_t)all - (uint32_t)*i * (uint32_t)n;
}

// The offsets of the i-th element of dims at two kinds of strides.
struct Offsets {
    uint64_t x, y;
};

DEVICE Offsets offsets_of(uint64_t i, const uint64_t *dims, const uint64_t *x, const uint64_t *y)
{
    Offsets at = {0, 0};
#pragma unroll
    for (int d = 3; d > 0; d--) {
        uint64_t rest = i < dims[d] ? 0 : i, place = i;
        if (rest)
            place = split(&rest, dims[d]);
        at.x += place * x[d];
        at.y += place * y[d];
        i = rest;
    }
    at.x += i * x[0];
    at.y += i * y[0];
    return at;
}

// ---- sums ---------------------------------------------------------------------------------------

// In every lane. All 32 must come here.
DEVICE float warp_sum(float x)
{
#pragma unroll
    for (int lane = 16; lane > 0; lane /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}

// In thread 0, of a block that is one row of threads. shared: a float a warp.
DEVICE float block_sum(float x, float *shared)
{
    x = warp_sum(x);
    if (threadIdx.x % KERNEL_LANES == 0)
        shared[threadIdx.x / KERNEL_LANES] = x;
    __syncthreads();
    if (threadIdx.x == 0)
        for (uint32_t i = 1; i < blockDim.x / KERNEL_LANES; i++)
            x += shared[i];
    return x;
}

// ---- functions ----------------------------------------------------------------------------------

// Comparisons that let NaN through, for the step gate to see it.
DEVICE float activate(int32_t activation, float x, float slope)
{
    switch (activation) {
    case FUNCTION_RELU:
        return x < 0.0f ? 0.0f : x;
    case FUNCTION_RELU6:
        return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
    case FUNCTION_LEAKY:
        return x < 0.0f ? slope * x : x;
    case FUNCTION_TANH:
        return tanhf(x);
    case FUNCTION_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    default:
        return x;
    }
}

// ---- definitions --------------------------------------------------------------------------------

// extern "C" kernels of a function template: one for each element type, or one of given types.
// floats: of shared memory, which the template gets as its second argument.
#define KERNEL_OF(name, suffix, Args, ...)                                                     \
    extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) name##_##suffix(const Args a) \
    {                                                                                          \
        name<__VA_ARGS__>(a);                                                                  \
    }
#define KERNEL_OF_SHARED(name, suffix, Args, floats, T)                                        \
    extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) name##_##suffix(const Args a) \
    {                                                                                          \
        __shared__ float shared[floats];                                                       \
        name<T>(a, shared);                                                                    \
    }
#define KERNELS_OF(name, Args)        \
    KERNEL_OF(name, f32, Args, f32)   \
    KERNEL_OF(name, bf16, Args, bf16) \
    KERNEL_OF(name, f16, Args, f16)
#define KERNELS_OF_SHARED(name, Args, floats)        \
    KERNEL_OF_SHARED(name, f32, Args, floats, f32)   \
    KERNEL_OF_SHARED(name, bf16, Args, floats, bf16) \
    KERNEL_OF_SHARED(name, f16, Args, floats, f16)
