// SPDX-License-Identifier: LGPL-3.0-or-later
// CUDA's language as far as the kernels use it, on the host: included before a .cu file, it makes
// C++ of it. host_kernels.h runs the result.
//
// Not seen here: races inside a warp, the order of memory, unaligned vector accesses, limits on
// registers and shared memory, and the device's own rounding of tanh, exp and log.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)

// One block runs at a time, so its shared memory may be static; the runner finds it by its section
// and poisons it between blocks.
#define __shared__ static __attribute__((section("cuda_shared")))

struct HostIndex {
    uint32_t x, y, z;
};
extern HostIndex threadIdx, blockIdx, blockDim, gridDim;

// Wait for all of the block, and for all of the warp.
void host_barrier(void);
float host_shuffle_xor(float value, int lane_mask);

#define __syncthreads() host_barrier()
#define __shfl_xor_sync(mask, value, lane_mask) \
    (static_assert_full_mask<(mask)>(), host_shuffle_xor(value, lane_mask))

// Shuffles of a part of a warp are not emulated.
template <unsigned mask> inline void static_assert_full_mask(void)
{
    static_assert(mask == 0xffffffffu, "a shuffle of the whole warp");
}

inline int __float_as_int(float value)
{
    int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __int_as_float(int bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline long long __float2ll_rn(float value)
{
    return llrintf(value);
}

inline float host_half_to_float(uint16_t bits)
{
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    return (float)half;
}

inline uint16_t host_float_to_half(float value)
{
    _Float16 half = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}

using std::isfinite;
