// SPDX-License-Identifier: LGPL-3.0-or-later
// Kernels that go element by element.
#include "kernels_device.h"

// ---- fill ---------------------------------------------------------------------------------------

template <class T> DEVICE void fill(const FillArgs &a)
{
    for (uint64_t i = first_index(); i < a.n; i += index_step())
        global<T>(a.dst)[i] = narrow<T>(a.value);
}

KERNELS_OF(fill, FillArgs)

// ---- functions of one number --------------------------------------------------------------------

DEVICE float function_of(const MapArgs &a, float x)
{
    switch (a.function) {
    case FUNCTION_ABS:
        return fabsf(x);
    case FUNCTION_SQRT:
        return sqrtf(x);
    case FUNCTION_EXP:
        return expf(x);
    case FUNCTION_LOG:
        return logf(x);
    case FUNCTION_RECIPROCAL:
        return 1.0f / x;
    case FUNCTION_SIGN:
        return (float)((x > 0.0f) - (x < 0.0f));
    case FUNCTION_SQUARE:
        return x * x;
    case FUNCTION_SCALE:
        return a.a * x + a.b;
    case FUNCTION_CLAMP:
        return x < a.a ? a.a : x > a.b ? a.b : x;
    case FUNCTION_IN_RANGE:
        return x > a.a && x < a.b ? 1.0f : 0.0f;
    case FUNCTION_HUBER:
        return fabsf(x) < a.a ? x * x / (2.0f * a.a) : fabsf(x) - 0.5f * a.a;
    default:
        return activate(a.function, x, a.a);
    }
}

template <class T> DEVICE void map(const MapArgs &a)
{
    const T *src = global<const T>(a.src);
    T *dst = global<T>(a.dst);
    uint64_t n_fours = a.n / KERNEL_WIDTH;
    for (uint64_t i = first_index(); i < n_fours; i += index_step()) {
        Four<T> x = ((const Four<T> *)src)[i];
#pragma unroll
        for (int k = 0; k < KERNEL_WIDTH; k++)
            x.e[k] = narrow<T>(function_of(a, widen(x.e[k])));
        ((Four<T> *)dst)[i] = x;
    }
    uint64_t last = n_fours * KERNEL_WIDTH + first_index();
    if (last < a.n)
        dst[last] = narrow<T>(function_of(a, widen(src[last])));
}

KERNELS_OF(map, MapArgs)

// ---- functions of two ---------------------------------------------------------------------------

// act'(x) where act(x) = y.
DEVICE float derivative(int32_t activation, float y, float slope)
{
    switch (activation) {
    case FUNCTION_RELU:
        return y > 0.0f ? 1.0f : 0.0f;
    case FUNCTION_RELU6:
        return y > 0.0f && y < 6.0f ? 1.0f : 0.0f;
    case FUNCTION_LEAKY:
        return y > 0.0f ? 1.0f : slope;
    case FUNCTION_TANH:
        return 1.0f - y * y;
    case FUNCTION_SIGMOID:
        return y * (1.0f - y);
    default:
        return 1.0f;
    }
}

DEVICE float pair_of(const PairArgs &a, float x, float y)
{
    if (a.function == PAIR_ADD)
        return x + y;
    return x * (a.function == PAIR_MUL ? y : derivative(a.activation, y, a.slope));
}

template <class A, class B> DEVICE void pair(const PairArgs &a)
{
    const A *x = global<const A>(a.a);
    const B *y = global<const B>(a.b);
    A *dst = global<A>(a.dst);
    uint64_t n = a.dims[0] * a.dims[1] * a.dims[2] * a.dims[3], width = (uint64_t)a.width;
    for (uint64_t i = first_index() * width; i < n; i += index_step() * width) {
        uint64_t at = offsets_of(i, a.dims, a.b_strides, a.b_strides).x;
        if (width == 1) {
            dst[i] = narrow<A>(pair_of(a, widen(x[i]), widen(y[at])));
            continue;
        }
        Four<A> fx = *(const Four<A> *)(x + i);
        Four<B> fy;
        if (a.b_strides[3] == 1) {
            fy = *(const Four<B> *)(y + at);
        } else {
            for (int k = 0; k < KERNEL_WIDTH; k++)
                fy.e[k] = y[at];
        }
#pragma unroll
        for (int k = 0; k < KERNEL_WIDTH; k++)
            fx.e[k] = narrow<A>(pair_of(a, widen(fx.e[k]), widen(fy.e[k])));
        *(Four<A> *)(dst + i) = fx;
    }
}

KERNEL_OF(pair, f32_f32, PairArgs, f32, f32)
KERNEL_OF(pair, bf16_bf16, PairArgs, bf16, bf16)
KERNEL_OF(pair, bf16_f32, PairArgs, bf16, f32)
KERNEL_OF(pair, f16_f16, PairArgs, f16, f16)
KERNEL_OF(pair, f16_f32, PairArgs, f16, f32)

// ---- after a convolution ------------------------------------------------------------------------

template <class T> DEVICE T post_of(const PostArgs &a, T src, uint64_t i, T residual)
{
    float x = widen(src);
    if (a.bias) {
        uint64_t rest = i;
        x += global<const float>(a.bias)[split(&rest, a.n_channels)];
    }
    if (a.residual)
        x += widen(residual);
    return narrow<T>(activate(a.activation, x, a.slope));
}

template <class T> DEVICE void post(const PostArgs &a)
{
    const T *src = global<const T>(a.src);
    const T *residual = global<const T>(a.residual); // read if there is one
    T *dst = global<T>(a.dst);
    uint64_t width = (uint64_t)a.width;
    for (uint64_t i = first_index() * width; i < a.n; i += index_step() * width) {
        if (width == 1) {
            dst[i] = post_of(a, src[i], i, a.residual ? residual[i] : T());
            continue;
        }
        Four<T> x = *(const Four<T> *)(src + i), y = {};
        if (a.residual)
            y = *(const Four<T> *)(residual + i);
#pragma unroll
        for (int k = 0; k < KERNEL_WIDTH; k++)
            y.e[k] = post_of(a, x.e[k], i + k, y.e[k]);
        *(Four<T> *)(dst + i) = y;
    }
}

KERNEL_OF(post, f32, PostArgs, f32)
KERNEL_OF(post, bf16, PostArgs, bf16)
KERNEL_OF(post, f16, PostArgs, f16)
