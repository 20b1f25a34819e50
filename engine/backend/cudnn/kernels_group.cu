// SPDX-License-Identifier: LGPL-3.0-or-later
// Grouped convolution, depthwise above all, and its gradients: every thread gathers one sum.
//
// Neighbouring threads have neighbouring channels, so that reads of maps are of whole lines;
// filters are turned round first (group_filter), so that theirs are, too.
#include "kernels_device.h"

// (out, places, in) in F32 to (places, in, out), rounded as the maps are: as the hardware that
// multiplies in 16 bits has it.
template <class T> DEVICE void group_filter(const FilterArgs &a)
{
    const float *src = global<const float>(a.src);
    uint64_t n = (uint64_t)a.n_out * a.n_places * a.n_in;
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        uint64_t rest = i, out = split(&rest, a.n_out), in = split(&rest, a.n_in);
        global<T>(a.dst)[i] = narrow<T>(src[(out * a.n_places + rest) * a.n_in + in]);
    }
}

KERNELS_OF(group_filter, FilterArgs)

// One element of a map of height h, width w and c channels.
struct Element {
    int32_t n, c, h, w;
};

DEVICE Element element_at(uint64_t i, int32_t c, int32_t h, int32_t w)
{
    Element at;
    at.c = (int32_t)split(&i, c);
    at.w = (int32_t)split(&i, w);
    at.h = (int32_t)split(&i, h);
    at.n = (int32_t)i;
    return at;
}

DEVICE uint64_t row_start(int32_t n, int32_t y, int32_t h, int32_t w)
{
    return ((uint64_t)n * h + y) * w;
}

// sums of KERNEL_WIDTH neighbouring channels += src * filter: depthwise, where every channel has
// its own filter and no other.
template <class T> DEVICE void add_products(float *sums, const T *src, const T *filter)
{
    Four<T> x = *(const Four<T> *)src, factor = *(const Four<T> *)filter;
#pragma unroll
    for (int k = 0; k < KERNEL_WIDTH; k++)
        sums[k] += widen(x.e[k]) * widen(factor.e[k]);
}

// Sums over the window of one output, or of KERNEL_WIDTH neighbours.
template <class T, int WIDTH> DEVICE void window_sums(const ConvArgs &a, Element at, float *sums)
{
    const T *src = global<const T>(a.src), *filter = global<const T>(a.filter);
    int32_t first = at.c / a.out_group * a.in_group;
    int32_t top = at.h * a.stride - a.pad_top, left = at.w * a.stride - a.pad_left;
    for (int32_t ky = 0; ky < a.filter_h; ky++) {
        int32_t y = top + ky * a.dilation;
        if (y < 0 || y >= a.src_h)
            continue;
        for (int32_t kx = 0; kx < a.filter_w; kx++) {
            int32_t x = left + kx * a.dilation;
            if (x < 0 || x >= a.src_w)
                continue;
            const T *from = src + (row_start(at.n, y, a.src_h, a.src_w) + x) * a.src_c + first;
            const T *factor =
                filter + (uint64_t)(ky * a.filter_w + kx) * a.in_group * a.dst_c + at.c;
            if (WIDTH > 1) {
                add_products(sums, from, factor);
                continue;
            }
#pragma unroll 1
            for (int32_t i = 0; i < a.in_group; i++)
                sums[0] += widen(from[i]) * widen(factor[(uint64_t)i * a.dst_c]);
        }
    }
}

template <class T, int WIDTH> DEVICE void group_conv_of(const ConvArgs &a)
{
    uint64_t n = row_start(a.n, 0, a.dst_h, a.dst_w) * (a.dst_c / WIDTH);
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        Element at = element_at(i, a.dst_c / WIDTH, a.dst_h, a.dst_w);
        float sums[WIDTH] = {0};
        Some<T, WIDTH> dst = {};
        at.c *= WIDTH;
        window_sums<T, WIDTH>(a, at, sums);
        if (a.residual)
            dst = global<const Some<T, WIDTH>>(a.residual)[i];
#pragma unroll
        for (int k = 0; k < WIDTH; k++) {
            float bias = a.bias ? global<const float>(a.bias)[at.c + k] : 0;
            float sum = sums[k] + bias + (a.residual ? widen(dst.e[k]) : 0);
            dst.e[k] = narrow<T>(activate(a.activation, sum, a.slope));
        }
        global<Some<T, WIDTH>>(a.dst)[i] = dst;
    }
}

template <class T> DEVICE void group_conv(const ConvArgs &a)
{
    if (a.width > 1)
        group_conv_of<T, KERNEL_WIDTH>(a);
    else
        group_conv_of<T, 1>(a);
}

KERNELS_OF(group_conv, ConvArgs)

// Place in dst to which a tap carries the source at x; false if there is none.
DEVICE bool reaches(int32_t x, int32_t pad, int32_t tap, const ConvArgs &a, int32_t size,
                    int32_t *at)
{
    int32_t scaled = x + pad - tap * a.dilation;
    *at = scaled / a.stride;
    return scaled >= 0 && *at * a.stride == scaled && *at < size;
}

// d_src: every output of the group that this source, or KERNEL_WIDTH neighbours, reach.
template <class T, int WIDTH> DEVICE void source_sums(const ConvArgs &a, Element at, float *sums)
{
    const T *d_dst = global<const T>(a.dst), *filter = global<const T>(a.filter);
    int32_t first = at.c / a.in_group * a.out_group, in = at.c % a.in_group;
    for (int32_t ky = 0; ky < a.filter_h; ky++) {
        int32_t y, x;
        if (!reaches(at.h, a.pad_top, ky, a, a.dst_h, &y))
            continue;
        for (int32_t kx = 0; kx < a.filter_w; kx++) {
            if (!reaches(at.w, a.pad_left, kx, a, a.dst_w, &x))
                continue;
            const T *from = d_dst + (row_start(at.n, y, a.dst_h, a.dst_w) + x) * a.dst_c + first;
            uint64_t place = (uint64_t)(ky * a.filter_w + kx) * a.in_group + in;
            const T *factor = filter + place * a.dst_c + first;
            if (WIDTH > 1) {
                add_products(sums, from, factor);
                continue;
            }
#pragma unroll 1
            for (int32_t o = 0; o < a.out_group; o++)
                sums[0] += widen(from[o]) * widen(factor[o]);
        }
    }
}

template <class T, int WIDTH> DEVICE void group_grad_src_of(const ConvArgs &a)
{
    uint64_t n = row_start(a.n, 0, a.src_h, a.src_w) * (a.src_c / WIDTH);
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        Element at = element_at(i, a.src_c / WIDTH, a.src_h, a.src_w);
        float sums[WIDTH] = {0};
        Some<T, WIDTH> d_src;
        at.c *= WIDTH;
        source_sums<T, WIDTH>(a, at, sums);
#pragma unroll
        for (int k = 0; k < WIDTH; k++)
            d_src.e[k] = narrow<T>(sums[k]);
        global<Some<T, WIDTH>>(a.src)[i] = d_src;
    }
}

template <class T> DEVICE void group_grad_src(const ConvArgs &a)
{
    if (a.width > 1)
        group_grad_src_of<T, KERNEL_WIDTH>(a);
    else
        group_grad_src_of<T, 1>(a);
}

KERNELS_OF(group_grad_src, ConvArgs)

// What one thread sums of d_filter (out, tap, in): every KERNEL_ROWS-th place of the chunk.
template <class T>
DEVICE float tap_sum(const ConvArgs &a, int32_t out, int32_t in, int32_t tap, uint64_t chunk)
{
    const T *src = global<const T>(a.src), *d_dst = global<const T>(a.dst);
    int32_t down = tap / a.filter_w * a.dilation - a.pad_top;
    int32_t right = tap % a.filter_w * a.dilation - a.pad_left;
    uint64_t n_places = row_start(a.n, 0, a.dst_h, a.dst_w), end = (chunk + 1) * a.chunk;
    end = end < n_places ? end : n_places;
    float sum = 0;
    for (uint64_t i = chunk * a.chunk + threadIdx.y; i < end; i += KERNEL_ROWS) {
        Element at = element_at(i, 1, a.dst_h, a.dst_w);
        int32_t y = at.h * a.stride + down, x = at.w * a.stride + right;
        if (y < 0 || y >= a.src_h || x < 0 || x >= a.src_w)
            continue;
        uint64_t from = (row_start(at.n, y, a.src_h, a.src_w) + x) * a.src_c + in;
        sum += widen(d_dst[i * a.dst_c + out]) * widen(src[from]);
    }
    return sum;
}

// filter: a sum a chunk, of a whole filter each. blockIdx.x: taps, of 32 (out, in) each; y: chunks.
template <class T> DEVICE void group_grad_filter(const ConvArgs &a, float *shared)
{
    int32_t n_pairs = a.dst_c * a.in_group, n_taps = a.filter_h * a.filter_w;
    int32_t n_tiles = (n_pairs + KERNEL_LANES - 1) / KERNEL_LANES;
    int32_t tap = blockIdx.x / n_tiles;
    int32_t pair = blockIdx.x % n_tiles * KERNEL_LANES + threadIdx.x;
    int32_t out = pair / a.in_group, in = pair % a.in_group;
    float sum = 0;
    if (pair < n_pairs)
        sum = tap_sum<T>(a, out, out / a.out_group * a.in_group + in, tap, blockIdx.y);
    shared[threadIdx.y * KERNEL_LANES + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || pair >= n_pairs)
        return;
    for (int32_t row = 1; row < KERNEL_ROWS; row++)
        sum += shared[row * KERNEL_LANES + threadIdx.x];
    uint64_t n_filter = (uint64_t)n_pairs * n_taps;
    uint64_t at = ((uint64_t)out * n_taps + tap) * a.in_group + in;
    global<float>(a.filter)[blockIdx.y * n_filter + at] = sum;
}

KERNELS_OF_SHARED(group_grad_filter, ConvArgs, KERNEL_THREADS)
