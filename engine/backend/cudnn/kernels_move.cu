// SPDX-License-Identifier: LGPL-3.0-or-later
// Kernels that move elements: cast, broadcast, concat, slice, pad and transpose are one kernel at
// different strides; pack joins many tensors.
#include "kernels_device.h"

// Bits of 32 and 16: moved as they are, so that no NaN changes.
struct b32 {
    uint32_t bits;
};
struct b16 {
    uint16_t bits;
};

template <class S, class T> struct Moved {
    static __device__ __forceinline__ T of(S x)
    {
        return narrow<T>(widen(x));
    }
};

template <class S> struct Moved<S, S> {
    static __device__ __forceinline__ S of(S x)
    {
        return x;
    }
};

template <class S, class T> DEVICE void move(const MoveArgs &a)
{
    const S *src = global<const S>(a.src);
    T *dst = global<T>(a.dst);
    uint64_t n = a.dims[0] * a.dims[1] * a.dims[2] * a.dims[3], width = (uint64_t)a.width;
    for (uint64_t i = first_index() * width; i < n; i += index_step() * width) {
        Offsets at = offsets_of(i, a.dims, a.src_strides, a.dst_strides);
        if (width == 1) {
            dst[at.y] = Moved<S, T>::of(src[at.x]);
            continue;
        }
        Four<S> x;
        if (a.src_strides[3] == 1) {
            x = *(const Four<S> *)(src + at.x);
        } else {
            for (int k = 0; k < KERNEL_WIDTH; k++)
                x.e[k] = src[at.x];
        }
        Four<T> y;
#pragma unroll
        for (int k = 0; k < KERNEL_WIDTH; k++)
            y.e[k] = Moved<S, T>::of(x.e[k]);
        *(Four<T> *)(dst + at.y) = y;
    }
}

KERNEL_OF(move, b32, MoveArgs, b32, b32)
KERNEL_OF(move, b16, MoveArgs, b16, b16)
KERNEL_OF(move, f32_bf16, MoveArgs, f32, bf16)
KERNEL_OF(move, f32_f16, MoveArgs, f32, f16)
KERNEL_OF(move, bf16_f32, MoveArgs, bf16, f32)
KERNEL_OF(move, bf16_f16, MoveArgs, bf16, f16)
KERNEL_OF(move, f16_f32, MoveArgs, f16, f32)
KERNEL_OF(move, f16_bf16, MoveArgs, f16, bf16)

// A row of blocks for each source.
extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) pack(const PackArgs a)
{
    const uint32_t *src = global<const uint32_t>(a.src[blockIdx.y]);
    uint32_t *dst = global<uint32_t>(a.dst[blockIdx.y]);
    for (uint64_t i = first_index(); i < a.n[blockIdx.y]; i += index_step())
        dst[i] = src[i];
}
