// SPDX-License-Identifier: LGPL-3.0-or-later
// Changing the size of maps. Gradients gather, too: a thread for each source, no atomics.
//
// Places are exact fractions: target t of n lies at ((2 t + 1) m - n) / 2 n among m sources.
// Doubles, as in the reference, are slow on most GPUs.
#include "kernels_device.h"

struct MapElement {
    int32_t n, c, h, w;
};

DEVICE MapElement map_element(uint64_t i, const ResizeArgs &a)
{
    MapElement at;
    at.c = (int32_t)split(&i, a.c);
    at.w = (int32_t)split(&i, a.dst_w);
    at.h = (int32_t)split(&i, a.dst_h);
    at.n = (int32_t)i;
    return at;
}

DEVICE uint64_t map_size(const ResizeArgs &a)
{
    return (uint64_t)a.n * a.dst_h * a.dst_w * a.c;
}

template <class T> DEVICE float map_load(const ResizeArgs &a, MapElement at, int32_t y, int32_t x)
{
    uint64_t place = ((uint64_t)at.n * a.src_h + y) * a.src_w + x;
    return widen(global<const T>(a.src)[place * a.c + at.c]);
}

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

template <class T> DEVICE void resize(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size(a); i += index_step()) {
        MapElement at = map_element(i, a);
        Between y = between(at.h, a.dst_h, a.src_h), x = between(at.w, a.dst_w, a.src_w);
        float upper = (1 - x.weight) * map_load<T>(a, at, y.first, x.first) +
                      x.weight * map_load<T>(a, at, y.first, x.second);
        float lower = (1 - x.weight) * map_load<T>(a, at, y.second, x.first) +
                      x.weight * map_load<T>(a, at, y.second, x.second);
        global<T>(a.dst)[i] = narrow<T>((1 - y.weight) * upper + y.weight * lower);
    }
}

KERNELS_OF(resize, ResizeArgs)

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
template <class T> DEVICE void resize_grad(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size(a); i += index_step()) {
        MapElement at = map_element(i, a);
        Range rows = seen_by(at.h, a.dst_h, a.src_h), columns = seen_by(at.w, a.dst_w, a.src_w);
        float sum = 0;
#pragma unroll 1
        for (int32_t y = rows.first; y <= rows.last; y++) {
            float row_weight = seen(at.h, a.dst_h, y, a.src_h);
#pragma unroll 1
            for (int32_t x = columns.first; x <= columns.last; x++) {
                float weight = row_weight * seen(at.w, a.dst_w, x, a.src_w);
                if (weight != 0)
                    sum += weight * map_load<T>(a, at, y, x);
            }
        }
        global<T>(a.dst)[i] = narrow<T>(sum);
    }
}

KERNELS_OF(resize_grad, ResizeArgs)

// ---- pool ---------------------------------------------------------------------------------------

template <class T> DEVICE void pool(const ResizeArgs &a)
{
    for (uint64_t i = first_index(); i < map_size(a); i += index_step()) {
        MapElement at = map_element(i, a);
        float sum = 0;
        for (int32_t y = at.h * a.pool; y < (at.h + 1) * a.pool; y++)
            for (int32_t x = at.w * a.pool; x < (at.w + 1) * a.pool; x++)
                sum += map_load<T>(a, at, y, x);
        global<T>(a.dst)[i] = narrow<T>(sum / ((float)a.pool * (float)a.pool));
    }
}

KERNELS_OF(pool, ResizeArgs)

template <class T> DEVICE void pool_grad(const ResizeArgs &a)
{
    float share = 1 / ((float)a.pool * (float)a.pool);
    for (uint64_t i = first_index(); i < map_size(a); i += index_step()) {
        MapElement at = map_element(i, a);
        float value = map_load<T>(a, at, at.h / a.pool, at.w / a.pool);
        global<T>(a.dst)[i] = narrow<T>(share * value);
    }
}

KERNELS_OF(pool_grad, ResizeArgs)
