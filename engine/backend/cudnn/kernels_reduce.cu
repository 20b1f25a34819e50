// SPDX-License-Identifier: LGPL-3.0-or-later
// Kernels that sum. No atomics: the order of every sum is a function of the shapes alone, so that
// runs repeat bit by bit. Long sums go in two stages, a partial sum a chunk first.
#include "kernels_device.h"

// ---- sum ----------------------------------------------------------------------------------------

// Offset of index i in two dimensions; inner: the size of the faster.
DEVICE uint64_t offset_in(uint64_t i, uint64_t inner, const uint64_t *strides)
{
    uint64_t place = i, rest = 0;
    if (i >= inner) {
        rest = i;
        place = split(&rest, inner);
    }
    return rest * strides[0] + place * strides[1];
}

template <class T>
DEVICE float chunk_sum(const SumArgs &a, uint64_t kept, uint64_t first, uint64_t step)
{
    const T *src = global<const T>(a.src) + offset_in(kept, a.kept_inner, a.kept_strides);
    uint64_t start = blockIdx.y * a.chunk, end = start + a.chunk;
    end = end < a.n_summed ? end : a.n_summed;
    float sum = 0;
    for (uint64_t i = start + first; i < end; i += step)
        sum += widen(src[offset_in(i, a.summed_inner, a.summed_strides)]);
    return sum;
}

// Where neighbours in memory go into different sums: a lane for each, rows of threads side by side.
template <class T> DEVICE void sum_columns(const SumArgs &a, float *shared)
{
    uint64_t kept = (uint64_t)blockIdx.x * KERNEL_LANES + threadIdx.x;
    float sum = kept < a.n_kept ? chunk_sum<T>(a, kept, threadIdx.y, KERNEL_ROWS) : 0;
    shared[threadIdx.y * KERNEL_LANES + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || kept >= a.n_kept)
        return;
    for (int row = 1; row < KERNEL_ROWS; row++)
        sum += shared[row * KERNEL_LANES + threadIdx.x];
    global<float>(a.dst)[blockIdx.y * a.n_kept + kept] = sum;
}

KERNELS_OF_SHARED(sum_columns, SumArgs, KERNEL_THREADS)

// Where neighbours go into one sum: a warp for each sum, or a block if they are long.
template <class T> DEVICE void sum_rows(const SumArgs &a, float *shared)
{
    uint64_t kept = (uint64_t)blockIdx.x * blockDim.y + threadIdx.y;
    float sum = kept < a.n_kept ? chunk_sum<T>(a, kept, threadIdx.x, blockDim.x) : 0;
    sum = blockDim.x == KERNEL_LANES ? warp_sum(sum) : block_sum(sum, shared);
    if (threadIdx.x == 0 && kept < a.n_kept)
        global<float>(a.dst)[blockIdx.y * a.n_kept + kept] = sum;
}

KERNELS_OF_SHARED(sum_rows, SumArgs, KERNEL_ROWS)

// ---- dot ----------------------------------------------------------------------------------------

template <class T> DEVICE void dot(const DotArgs &a, float *shared)
{
    const T *x = global<const T>(a.a), *y = global<const T>(a.b);
    float sum = 0;
    for (uint64_t i = first_index(); i < a.n; i += index_step())
        sum += widen(x[i]) * widen(y[i]);
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        global<float>(a.dst)[blockIdx.x] = sum;
}

KERNELS_OF_SHARED(dot, DotArgs, KERNEL_ROWS)

// ---- log_softmax --------------------------------------------------------------------------------

// NaN stays, as in the reference.
DEVICE float larger(float x, float most)
{
    return x <= most ? most : x;
}

// A warp for each place. x - max - log(sum of e^(x - max)): nothing overflows.
template <class T> DEVICE void log_softmax(const SoftmaxArgs &a)
{
    uint64_t place = (uint64_t)blockIdx.x * KERNEL_ROWS + threadIdx.y;
    bool inside = place < a.n_places;
    uint64_t start = inside ? place * a.n_channels : 0;
    const T *src = global<const T>(a.src) + start;
    T *dst = global<T>(a.dst) + start;
    float most = widen(src[0]), sum = 0;
    for (int32_t c = threadIdx.x; c < a.n_channels; c += KERNEL_LANES)
        most = larger(widen(src[c]), most);
#pragma unroll
    for (int lane = 16; lane > 0; lane /= 2)
        most = larger(__shfl_xor_sync(0xffffffffu, most, lane), most);
    for (int32_t c = threadIdx.x; c < a.n_channels; c += KERNEL_LANES)
        sum += expf(widen(src[c]) - most);
    float shift = logf(warp_sum(sum));
    for (int32_t c = threadIdx.x; inside && c < a.n_channels; c += KERNEL_LANES)
        dst[c] = narrow<T>(widen(src[c]) - most - shift);
}

KERNELS_OF(log_softmax, SoftmaxArgs)

// ---- matmul -------------------------------------------------------------------------------------

#define TILE        KERNEL_LANES
#define TILE_PITCH  (TILE + 1) // no two rows begin in the same bank
#define TILE_FLOATS (TILE * TILE_PITCH)

// tile(k, i) = src at i * stride + k * step from the corner, 0 outside. Threads follow memory.
template <class T>
DEVICE void load_tile(float *tile, const T *src, uint64_t stride, uint64_t step, uint64_t n_i,
                      uint64_t n_k)
{
#pragma unroll 1
    for (uint32_t row = threadIdx.y; row < TILE; row += KERNEL_ROWS) {
        uint32_t i = step == 1 ? row : threadIdx.x, k = step == 1 ? threadIdx.x : row;
        bool inside = i < n_i && k < n_k;
        tile[k * TILE_PITCH + i] = inside ? widen(src[i * stride + k * step]) : 0;
    }
}

// A tile of 32 x 32 a block, four elements a thread.
template <class T> DEVICE void matmul(const MatmulArgs &a, float *shared)
{
    uint64_t tile = blockIdx.x;
    uint64_t column = split(&tile, a.column_tiles) * TILE, row = split(&tile, a.row_tiles) * TILE;
    const T *left = global<const T>(a.a) + tile * a.rows * a.length + row * a.a_row;
    const T *right = global<const T>(a.b) + tile * a.columns * a.length + column * a.b_column;
    T *dst = global<T>(a.dst) + tile * a.rows * a.columns + row * a.columns + column;
    float sums[TILE / KERNEL_ROWS] = {0};
    for (uint64_t k = 0; k < a.length; k += TILE) {
        load_tile(shared, left + k * a.a_step, a.a_row, a.a_step, a.rows - row, a.length - k);
        load_tile(shared + TILE_FLOATS, right + k * a.b_step, a.b_column, a.b_step,
                  a.columns - column, a.length - k);
        __syncthreads();
#pragma unroll 4
        for (int i = 0; i < TILE; i++) {
            const float *x = shared + i * TILE_PITCH + threadIdx.y;
            float y = shared[TILE_FLOATS + i * TILE_PITCH + threadIdx.x];
#pragma unroll
            for (int part = 0; part < TILE / KERNEL_ROWS; part++)
                sums[part] += x[part * KERNEL_ROWS] * y;
        }
        __syncthreads();
    }
#pragma unroll
    for (int part = 0; part < TILE / KERNEL_ROWS; part++) {
        uint64_t i = threadIdx.y + part * KERNEL_ROWS;
        if (row + i < a.rows && column + threadIdx.x < a.columns)
            dst[i * a.columns + threadIdx.x] = narrow<T>(sums[part]);
    }
}

KERNELS_OF_SHARED(matmul, MatmulArgs, 2 * TILE_FLOATS)
