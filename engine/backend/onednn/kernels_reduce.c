// SPDX-License-Identifier: LGPL-3.0-or-later
// Sums: over places, over places and pictures, over everything, of products.
//
// F32 in short runs, double above them; each part has its own totals, added up in their order.

#include "kernels_simd.h"

enum {
    RUN = 64,   // rows that are summed in F32
    WIDE = 256, // short rows are taken several at a time, up to this many numbers
};

// ---- to (1, C, 1, 1), (N, C, 1, 1), (1, 1, 1, 1), (N, 1, 1, 1)
// -----------------------------------

// The source seen as `outer` groups of `rows` rows of `width` numbers; the sum runs over rows.
typedef struct {
    size_t outer, rows, width;
    size_t fold;   // short rows that are taken as one
    bool over_all; // the width is summed too
    int n_parts;
} Sum;

static bool make_sum(CzShape src, CzShape dst, int n_threads, Sum *sum)
{
    bool keeps_n = dst.n == src.n && src.n > 1, keeps_c = dst.c == src.c;
    if ((src.h > 1 && dst.h == src.h) || (src.w > 1 && dst.w == src.w))
        return false;
    size_t places = (size_t)src.h * src.w;
    sum->outer = keeps_n ? src.n : 1;
    sum->rows = keeps_n ? places : places * src.n;
    sum->width = src.c;
    sum->over_all = !keeps_c;
    sum->fold = (size_t)src.c >= WIDE ? 1 : WIDE / src.c;
    sum->n_parts = part_count(cz_shape_count(src), n_threads);
    return true;
}

// Numbers in the totals of one group.
static inline size_t sum_width(const Sum *sum)
{
    return sum->width * sum->fold;
}

// total[0..width) += rows of F32 numbers, at most RUN of them, four at a time.
static void add_rows(float *restrict run, const float *restrict src, size_t n_rows, size_t width)
{
    size_t r = 0;
    for (; r + 4 <= n_rows; r += 4, src += 4 * width) {
#pragma omp simd
        for (size_t i = 0; i < width; i++)
            run[i] += (src[i] + src[i + width]) + (src[i + 2 * width] + src[i + 3 * width]);
    }
    for (; r < n_rows; r++, src += width) {
#pragma omp simd
        for (size_t i = 0; i < width; i++)
            run[i] += src[i];
    }
}

static void add_rows_bf16(float *restrict run, const uint16_t *restrict src, size_t n_rows,
                          size_t width)
{
    size_t r = 0;
    for (; r + 4 <= n_rows; r += 4, src += 4 * width) {
#pragma omp simd
        for (size_t i = 0; i < width; i++)
            run[i] += (bf16_widen(src[i]) + bf16_widen(src[i + width])) +
                      (bf16_widen(src[i + 2 * width]) + bf16_widen(src[i + 3 * width]));
    }
    for (; r < n_rows; r++, src += width) {
#pragma omp simd
        for (size_t i = 0; i < width; i++)
            run[i] += bf16_widen(src[i]);
    }
}

// n numbers from element `at` on, as rows of `width`; the last may be short.
static void add_run(double *totals, float *run, const CzView *src, size_t at, size_t n,
                    size_t width)
{
    memset(run, 0, width * sizeof *run);
    size_t n_rows = n / width, left = n % width;
    if (src->dtype == CZ_F32) {
        const float *from = (const float *)src->data + at;
        add_rows(run, from, n_rows, width);
        add_rows(run, from + n_rows * width, left > 0, left);
    } else {
        const uint16_t *from = (const uint16_t *)src->data + at;
        add_rows_bf16(run, from, n_rows, width);
        add_rows_bf16(run, from + n_rows * width, left > 0, left);
    }
    for (size_t i = 0; i < width; i++)
        totals[i] += run[i];
}

// Rows first to last (counted through all groups) into this part's totals.
static void sum_part(const Sum *sum, const CzView *src, size_t first, size_t last, double *totals,
                     float *run)
{
    size_t wide = sum_width(sum), rows = RUN * sum->fold;
    memset(totals, 0, sum->outer * wide * sizeof *totals);
    for (size_t row = first; row < last;) {
        size_t group = row / sum->rows, end = min_size((group + 1) * sum->rows, last);
        size_t n = min_size(end - row, rows);
        add_run(totals + group * wide, run, src, row * sum->width, n * sum->width, wide);
        row += n;
    }
}

static void add_parts(const Sum *sum, const double *totals, float *dst)
{
    size_t wide = sum_width(sum), step = sum->outer * wide;
    for (size_t group = 0; group < sum->outer; group++) {
        double all = 0;
        for (size_t c = 0; c < sum->width; c++) {
            double one = 0;
            for (int part = 0; part < sum->n_parts; part++)
                for (size_t f = 0; f < sum->fold; f++)
                    one += totals[part * step + group * wide + f * sum->width + c];
            all += one;
            if (!sum->over_all)
                dst[group * sum->width + c] = (float)one;
        }
        if (sum->over_all)
            dst[group] = (float)all;
    }
}

static size_t totals_bytes(const Sum *sum)
{
    return round_up(sum->outer * sum_width(sum) * sum->n_parts * sizeof(double), 64);
}

static void run_sum(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                    int n_threads)
{
    Sum sum = {0};
    make_sum(src->shape, dst->shape, n_threads, &sum);
    double *totals = scratch;
    float *runs = (float *)((char *)scratch + totals_bytes(&sum));
    size_t n_rows = sum.outer * sum.rows, wide = sum_width(&sum);
    PARALLEL(sum.n_parts)
    for (int part = 0; part < sum.n_parts; part++)
        sum_part(&sum, src, part_start(n_rows, part, sum.n_parts),
                 part_start(n_rows, part + 1, sum.n_parts), totals + part * sum.outer * wide,
                 runs + part * round_up(wide, 16));
    add_parts(&sum, totals, dst->data);
}

static size_t sum_bytes(const Sum *sum)
{
    return totals_bytes(sum) + sum->n_parts * round_up(sum_width(sum), 16) * sizeof(float);
}

// ---- to any other shape -------------------------------------------------------------------------

// Rare (masks): one output after the other, whatever it is a sum of.
static double sum_at(const CzView *src, CzShape dst, size_t i)
{
    CzShape s = src->shape;
    size_t c = i % dst.c, x = i / dst.c % dst.w, y = i / dst.c / dst.w % dst.h;
    size_t picture = i / dst.c / dst.w / dst.h;
    size_t n_c = dst.c == s.c ? 1 : s.c, n_x = dst.w == s.w ? 1 : s.w;
    size_t n_y = dst.h == s.h ? 1 : s.h, n_n = dst.n == s.n ? 1 : s.n;
    double sum = 0;
    for (size_t row = 0; row < n_n * n_y * n_x; row++) {
        size_t at_x = x + row % n_x, at_y = y + row / n_x % n_y, at_n = picture + row / n_x / n_y;
        size_t at = ((at_n * s.h + at_y) * s.w + at_x) * s.c + c;
        for (size_t k = 0; k < n_c; k++)
            sum += view_get(src, at + k);
    }
    return sum;
}

static void run_sum_any(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                        int n_threads)
{
    size_t n = cz_shape_count(dst->shape);
    int n_parts = part_count(cz_shape_count(src->shape), n_threads);
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        for (size_t i = part_start(n, part, n_parts); i < part_start(n, part + 1, n_parts); i++)
            ((float *)dst->data)[i] = (float)sum_at(src, dst->shape, i);
}

// ---- dot ----------------------------------------------------------------------------------------

static double dot_part(const CzView *a, const CzView *b, size_t first, size_t last)
{
    float in_a[CHUNK], in_b[CHUNK];
    double total = 0;
    for (size_t i = first; i < last; i += CHUNK) {
        size_t n = min_size(CHUNK, last - i);
        const float *x = view_read(a, i, n, in_a), *y = view_read(b, i, n, in_b);
        float sums[64] = {0};
        size_t k = 0;
        for (; k + 64 <= n; k += 64) {
#pragma omp simd
            for (int j = 0; j < 64; j++)
                sums[j] += x[k + j] * y[k + j];
        }
        for (; k < n; k++)
            sums[k % 64] += x[k] * y[k];
        for (int j = 0; j < 64; j++)
            total += sums[j];
    }
    return total;
}

static void run_dot(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                    int n_threads)
{
    size_t n = cz_shape_count(src[0].shape);
    int n_parts = part_count(n, n_threads);
    double *totals = scratch, sum = 0;
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        totals[part * 8] = dot_part(&src[0], &src[1], part_start_grain(n, CHUNK, part, n_parts),
                                    part_start_grain(n, CHUNK, part + 1, n_parts));
    for (int part = 0; part < n_parts; part++)
        sum += totals[part * 8];
    *(float *)dst->data = (float)sum;
}

bool CZ_ISA_NAME(find_reduce)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                              CzKernel *kernel)
{
    CzShape src = nodes[node->src[0]]->shape;
    Sum sum = {0};
    if (node->op == CZ_OP_DOT)
        *kernel = (CzKernel){run_dot, (size_t)(n_threads > 1 ? n_threads : 1) * 64, "own dot"};
    else if (make_sum(src, node->shape, n_threads, &sum))
        *kernel = (CzKernel){run_sum, sum_bytes(&sum), "own sum"};
    else
        *kernel = (CzKernel){run_sum_any, 0, "own sum of any shape"};
    return true;
}
