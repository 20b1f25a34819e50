// SPDX-License-Identifier: LGPL-3.0-or-later
// Changing the size of maps. Gradients gather, too: a thread for each source, no atomics.
//
// Places are exact fractions: target t of n lies at ((2 t + 1) m - n) / 2 n among m sources.
// Doubles, as in the reference, are slow on most GPUs.
#include "kernels_device.h"

struct MapElement {
    int32_t n, c, h, w;
};

// Of dst, i in units of WIDTH channels.
template <int WIDTH> DEVICE MapElement map_element(uint64_t i, const ResizeArgs &a)
{
    MapElement at;
    at.c = (int32_t)split(&i, a.c / WIDTH) * WIDTH;
    at.w = (int32_t)split(&i, a.dst_w);
    at.h = (int32_t)split(&i, a.dst_h);
    at.n = (int32_t)i;
    return at;
}

template <int WIDTH> DEVICE uint64_t map_size(const ResizeArgs &a)
{
    return (uint64_t)a.n * a.dst_h * a.dst_w * (a.c / WIDTH);
}

// sums += weight * src at (y, x)
template <class T, int WIDTH>
DEVICE void map_add(float *sums, float weight, const ResizeArgs &a, MapElement at, int32_t y,
                    int32_t x)
{
    uint64_t place = ((uint64_t)at.n * a.src_h + y) * a.src_w + x;
    const T *src = global<const T>(a.src) + place * a.c + at.c;
    Some<T, WIDTH> some = *(const Some<T, WIDTH> *)src;
#pragma unroll
    for (int k = 0; k < WIDTH; k++)
        sums[k] += weight * widen(some.e[k]);
}

template <class T, int WIDTH> DEVICE void map_store(const ResizeArgs &a, uint64_t i, float *sums)
{
    Some<T, WIDTH> some;
#pragma unroll
    for (int k = 0; k < WIDTH; k++)
        some.e[k] = narrow<T>(sums[k]);
    global<Some<T, WIDTH>>(a.dst)[i] = some;
}

// A kernel of name_of<T, WIDTH>().
#define MAP_KERNELS(name)                                    \
    template <class T> DEVICE void name(const ResizeArgs &a) \
    {                                                        \
        if (a.width > 1)                                     \
            name##_of<T, KERNEL_WIDTH>(a);                   \
        else                                                 \
            name##_of<T, 1>(a);                              \
    }                                                        \
    KERNELS_OF(name, ResizeArgs)

// ---- resize -------------------------------------------------------------------------------------

// Numerator of a target's place, kept within the sources; the denominator is 2 n_dst.
DEVICE int64_t place_of(int32_t dst, int32_t n_dst, int32_t n_src)
{
    int64_t place = (2 * (int64_t)dst + 1) * n_src - n_dst, last = 2 * (int64_t)n_dst * (n_src - 1);
    return place < 0 ? 0 : place > last ? last : place;
}

// The two source places that a target place lies between, and the weight of the second.
struct Between {
    int32_t first, second;
    float weight;
};

DEVICE Between between(int32_t dst, int32_t n_dst, int32_t n_src)
{
    uint64_t place = (uint64_t)place_of(dst, n_dst, n_src);
    uint64_t rest = split(&place, 2 * (uint64_t)n_dst);
    int32_t first = (int32_t)place;
    return Between{first, first + 1 < n_src ? first + 1 : first, (float)rest / (2 * (float)n_dst)};
}

template <class T, int WIDTH> DEVICE void resize_of(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size<WIDTH>(a); i += index_step()) {
        MapElement at = map_element<WIDTH>(i, a);
        Between y = between(at.h, a.dst_h, a.src_h), x = between(at.w, a.dst_w, a.src_w);
        float upper[WIDTH] = {0}, lower[WIDTH] = {0};
        map_add<T, WIDTH>(upper, 1 - x.weight, a, at, y.first, x.first);
        map_add<T, WIDTH>(upper, x.weight, a, at, y.first, x.second);
        map_add<T, WIDTH>(lower, 1 - x.weight, a, at, y.second, x.first);
        map_add<T, WIDTH>(lower, x.weight, a, at, y.second, x.second);
#pragma unroll
        for (int k = 0; k < WIDTH; k++)
            upper[k] = (1 - y.weight) * upper[k] + y.weight * lower[k];
        map_store<T, WIDTH>(a, i, upper);
    }
}

MAP_KERNELS(resize)

// How much of source src the target sees: 1 at its place, falling to 0 at the next.
DEVICE float seen(int32_t src, int32_t n_src, int32_t dst, int32_t n_dst)
{
    int64_t unit = 2 * (int64_t)n_dst, away = place_of(dst, n_dst, n_src) - unit * src;
    away = away < 0 ? -away : away;
    return away < unit ? (float)(unit - away) / (float)unit : 0;
}

// The targets that may see source src: from first up to last.
struct Range {
    int32_t first, last;
};

DEVICE Range seen_by(int32_t src, int32_t n_src, int32_t n_dst)
{
    int64_t low = (int64_t)n_dst * (2 * (int64_t)src - 1) - n_src;
    uint64_t first = low > 0 ? (uint64_t)low : 0;
    uint64_t last = (uint64_t)n_dst * (2 * (uint64_t)src + 3);
    split(&first, 2 * (uint64_t)n_src);
    split(&last, 2 * (uint64_t)n_src);
    if (src == n_src - 1 || last >= (uint64_t)n_dst)
        last = (uint64_t)n_dst - 1;
    return Range{(int32_t)first, (int32_t)last};
}

// a.src: the gradient of resize's output; a.dst: that of its source.
template <class T, int WIDTH> DEVICE void resize_grad_of(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size<WIDTH>(a); i += index_step()) {
        MapElement at = map_element<WIDTH>(i, a);
        Range rows = seen_by(at.h, a.dst_h, a.src_h), columns = seen_by(at.w, a.dst_w, a.src_w);
        float sums[WIDTH] = {0};
#pragma unroll 1
        for (int32_t y = rows.first; y <= rows.last; y++) {
            float row_weight = seen(at.h, a.dst_h, y, a.src_h);
#pragma unroll 1
            for (int32_t x = columns.first; x <= columns.last; x++) {
                float weight = row_weight * seen(at.w, a.dst_w, x, a.src_w);
                if (weight != 0)
                    map_add<T, WIDTH>(sums, weight, a, at, y, x);
            }
        }
        map_store<T, WIDTH>(a, i, sums);
    }
}

MAP_KERNELS(resize_grad)

// ---- pool ---------------------------------------------------------------------------------------

template <class T, int WIDTH> DEVICE void pool_of(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size<WIDTH>(a); i += index_step()) {
        MapElement at = map_element<WIDTH>(i, a);
        float sums[WIDTH] = {0};
        for (int32_t y = at.h * a.pool; y < (at.h + 1) * a.pool; y++)
#pragma unroll 1
            for (int32_t x = at.w * a.pool; x < (at.w + 1) * a.pool; x++)
                map_add<T, WIDTH>(sums, 1, a, at, y, x);
#pragma unroll
        for (int k = 0; k < WIDTH; k++)
            sums[k] /= (float)a.pool * (float)a.pool;
        map_store<T, WIDTH>(a, i, sums);
    }
}

MAP_KERNELS(pool)

template <class T, int WIDTH> DEVICE void pool_grad_of(const ResizeArgs &a)
{
    float share = 1 / ((float)a.pool * (float)a.pool);
    for (uint64_t i = first_index(); i < map_size<WIDTH>(a); i += index_step()) {
        MapElement at = map_element<WIDTH>(i, a);
        float sums[WIDTH] = {0};
        map_add<T, WIDTH>(sums, share, a, at, at.h / a.pool, at.w / a.pool);
        map_store<T, WIDTH>(a, i, sums);
    }
}

MAP_KERNELS(pool_grad)
