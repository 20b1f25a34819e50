// SPDX-License-Identifier: LGPL-3.0-or-later
// Bilinear resize, means over squares, and the adjoint of each.
//
// Rows first: two source rows become one (in the adjoint: the rows that saw a source row are added
// up), then pixels within it, so that most of the work is on long rows.

#include "kernels_simd.h"

// The two source places that a target place lies between, and the weight of the second.
typedef struct {
    int32_t first, second;
    float weight;
} Pair;

static Pair pair_at(int32_t dst, int32_t n_dst, int32_t n_src)
{
    double place = (dst + 0.5) * n_src / n_dst - 0.5;
    place = place < 0 ? 0 : place;
    int32_t first = place < n_src - 1 ? (int32_t)place : n_src - 1;
    return (Pair){first, first + 1 < n_src ? first + 1 : n_src - 1, (float)(place - first)};
}

// large: the target of a resize; small: its source. Not always the larger one.
typedef struct {
    CzShape large, small;
    Pair *x, *y;       // by place in large
    float *rows;       // the parts' buffers
    size_t row_floats; // of a part
    int n_parts;
} Resize;

// Buffers of a part: one row of large or small at full width for sums, one for conversion.
static Resize make_resize(CzShape large, CzShape small, void *scratch, int n_threads)
{
    Resize r = {.large = large, .small = small};
    size_t widest = (size_t)(large.w > small.w ? large.w : small.w) * large.c;
    r.n_parts = part_count(cz_shape_count(large) + cz_shape_count(small), n_threads);
    r.row_floats = 2 * round_up(widest, 16);
    r.x = scratch;
    r.y = r.x + large.w;
    r.rows = (float *)((char *)scratch + round_up(((size_t)large.w + large.h) * sizeof(Pair), 64));
    return r;
}

static size_t resize_bytes(CzShape large, CzShape small, int n_threads)
{
    Resize r = make_resize(large, small, NULL, n_threads);
    return round_up(((size_t)large.w + large.h) * sizeof(Pair), 64) +
           r.n_parts * r.row_floats * sizeof(float);
}

static void fill_pairs(Resize *r)
{
    for (int32_t x = 0; x < r->large.w; x++)
        r->x[x] = pair_at(x, r->large.w, r->small.w);
    for (int32_t y = 0; y < r->large.h; y++)
        r->y[y] = pair_at(y, r->large.h, r->small.h);
}

static inline void mix_row_f32(float *restrict dst, const float *a, const float *b, float weight,
                               size_t n)
{
    float rest = 1 - weight;
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dst[i] = rest * a[i] + weight * b[i];
}

static void mix_row_bf16(float *restrict dst, const uint16_t *a, const uint16_t *b, float weight,
                         size_t n)
{
    float rest = 1 - weight;
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dst[i] = rest * bf16_widen(a[i]) + weight * bf16_widen(b[i]);
}

// Target row `row`, counted through all pictures. mixed: a part's buffers.
static void resize_row(const Resize *r, const CzView *src, CzView *dst, size_t row, float *mixed)
{
    size_t n = row / r->large.h, c = r->large.c, width = (size_t)r->small.w * c;
    size_t to = row * r->large.w * c;
    Pair y = r->y[row % r->large.h];
    size_t a = (n * r->small.h + y.first) * width, b = (n * r->small.h + y.second) * width;
    if (src->dtype == CZ_F32)
        mix_row_f32(mixed, view_at(src, a), view_at(src, b), y.weight, width);
    else
        mix_row_bf16(mixed, view_at(src, a), view_at(src, b), y.weight, width);
    float *buffer = mixed + r->row_floats / 2, *target = view_target(dst, to, buffer);
    for (int32_t x = 0; x < r->large.w; x++, target += c) {
        Pair p = r->x[x];
        const float *first = mixed + p.first * c, *second = mixed + p.second * c;
        mix_row_f32(target, first, second, p.weight, c);
    }
    view_written(dst, to, r->large.w * c, buffer);
}

static void run_resize(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                       int n_threads)
{
    Resize r = make_resize(dst->shape, src->shape, scratch, n_threads);
    fill_pairs(&r);
    size_t n_rows = (size_t)r.large.n * r.large.h;
    PARALLEL(r.n_parts)
    for (int part = 0; part < r.n_parts; part++)
        for (size_t row = part_start(n_rows, part, r.n_parts);
             row < part_start(n_rows, part + 1, r.n_parts); row++)
            resize_row(&r, src, dst, row, r.rows + part * r.row_floats);
}

// ---- adjoint ------------------------------------------------------------------------------------

// sum += weight * row
static void add_weighted(float *restrict sum, const CzView *view, size_t at, float weight, size_t n)
{
    if (view->dtype == CZ_F32) {
        const float *restrict from = view_at(view, at);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            sum[i] += weight * from[i];
    } else {
        const uint16_t *restrict from = view_at(view, at);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            sum[i] += weight * bf16_widen(from[i]);
    }
}

// The first row of large, from `from` on, that has row y of small as its second or later.
static int32_t first_seeing(const Resize *r, int32_t y, int32_t from)
{
    while (from < r->large.h && r->y[from].second < y)
        from++;
    return from;
}

static void spread_pixels(float *restrict sum, const float *restrict row, const Resize *r)
{
    size_t c = r->large.c;
    for (int32_t x = 0; x < r->large.w; x++, row += c) {
        Pair p = r->x[x];
        float *first = sum + p.first * c, *second = sum + p.second * c;
        float rest = 1 - p.weight, weight = p.weight;
#pragma omp simd
        for (size_t i = 0; i < c; i++)
            first[i] += rest * row[i];
#pragma omp simd
        for (size_t i = 0; i < c; i++)
            second[i] += weight * row[i];
    }
}

// Source row y of picture n; *from: where to look for the rows that saw it.
static void spread_row(const Resize *r, const CzView *d_dst, CzView *d_src, size_t row,
                       int32_t *from, float *sum)
{
    int32_t y = (int32_t)(row % r->small.h);
    size_t n = row / r->small.h, c = r->large.c;
    size_t large = (size_t)r->large.w * c, small = (size_t)r->small.w * c;
    float *pixels = sum + r->row_floats / 2;
    memset(sum, 0, large * sizeof *sum);
    memset(pixels, 0, small * sizeof *pixels);
    *from = first_seeing(r, y, y == 0 ? 0 : *from);
    for (int32_t i = *from; i < r->large.h && r->y[i].first <= y; i++) {
        Pair p = r->y[i];
        float weight = (p.first == y ? 1 - p.weight : 0) + (p.second == y ? p.weight : 0);
        if (weight != 0)
            add_weighted(sum, d_dst, (n * r->large.h + i) * large, weight, large);
    }
    spread_pixels(pixels, sum, r);
    if (d_src->dtype == CZ_F32)
        memcpy(view_at(d_src, row * small), pixels, small * sizeof *pixels);
    else
        round_row(view_at(d_src, row * small), pixels, small);
}

static void run_resize_grad(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                            int n_threads)
{
    Resize r = make_resize(src->shape, dst->shape, scratch, n_threads);
    fill_pairs(&r);
    size_t n_rows = (size_t)r.small.n * r.small.h;
    PARALLEL(r.n_parts)
    for (int part = 0; part < r.n_parts; part++) {
        int32_t from = 0;
        for (size_t row = part_start(n_rows, part, r.n_parts);
             row < part_start(n_rows, part + 1, r.n_parts); row++)
            spread_row(&r, src, dst, row, &from, r.rows + part * r.row_floats);
    }
}

// ---- pool ---------------------------------------------------------------------------------------

// Target row `row`, counted through all pictures, CHUNK channels of a pixel at a time.
static void pool_row(const CzView *src, CzView *dst, size_t row, int32_t pool)
{
    float share = 1 / ((float)pool * (float)pool);
    size_t c = dst->shape.c, large = (size_t)src->shape.w * c;
    for (size_t x = 0; x < (size_t)dst->shape.w; x++) {
        for (size_t at = 0; at < c; at += CHUNK) {
            float sum[CHUNK], one[CHUNK];
            size_t n = min_size(CHUNK, c - at);
            memset(sum, 0, n * sizeof *sum);
            for (size_t i = 0; i < (size_t)pool * pool; i++) {
                size_t y = row * pool + i / pool, sx = x * pool + i % pool;
                const float *from = view_read(src, y * large + sx * c + at, n, one);
#pragma omp simd
                for (size_t k = 0; k < n; k++)
                    sum[k] += from[k];
            }
            for (size_t k = 0; k < n; k++)
                sum[k] *= share;
            size_t to = (row * dst->shape.w + x) * c + at;
            if (dst->dtype == CZ_F32)
                memcpy(view_at(dst, to), sum, n * sizeof *sum);
            else
                round_row(view_at(dst, to), sum, n);
        }
    }
}

static void pool_grad_row(const CzView *src, CzView *dst, size_t row, int32_t pool)
{
    float share = 1 / ((float)pool * (float)pool);
    size_t c = dst->shape.c, small = (size_t)src->shape.w * c;
    for (size_t x = 0; x < (size_t)dst->shape.w; x++) {
        for (size_t at = 0; at < c; at += CHUNK) {
            float in[CHUNK], out[CHUNK];
            size_t n = min_size(CHUNK, c - at), to = (row * dst->shape.w + x) * c + at;
            const float *from = view_read(src, row / pool * small + x / pool * c + at, n, in);
            float *target = view_target(dst, to, out);
#pragma omp simd
            for (size_t k = 0; k < n; k++)
                target[k] = share * from[k];
            view_written(dst, to, n, out);
        }
    }
}

static void run_pool(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                     int n_threads)
{
    size_t n_rows = (size_t)dst->shape.n * dst->shape.h;
    int n_parts = part_count(cz_shape_count(src->shape) + cz_shape_count(dst->shape), n_threads);
    bool is_grad = node->op == CZ_OP_POOL_GRAD;
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++) {
        for (size_t row = part_start(n_rows, part, n_parts);
             row < part_start(n_rows, part + 1, n_parts); row++) {
            if (is_grad)
                pool_grad_row(src, dst, row, node->params.pool);
            else
                pool_row(src, dst, row, node->params.pool);
        }
    }
}

bool CZ_ISA_NAME(find_resize)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                              CzKernel *kernel)
{
    CzShape src = nodes[node->src[0]]->shape;
    if (node->op == CZ_OP_RESIZE)
        *kernel = (CzKernel){run_resize, resize_bytes(node->shape, src, n_threads), "own resize"};
    else if (node->op == CZ_OP_RESIZE_GRAD)
        *kernel = (CzKernel){run_resize_grad, resize_bytes(src, node->shape, n_threads),
                             "own resize_grad"};
    else
        *kernel = (CzKernel){run_pool, 0, node->op == CZ_OP_POOL ? "own pool" : "own pool_grad"};
    return true;
}
