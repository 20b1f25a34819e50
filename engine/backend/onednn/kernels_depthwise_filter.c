// SPDX-License-Identifier: LGPL-3.0-or-later
// Gradient of a depthwise convolution by its filter.

#include "kernels_depthwise.h"

// sums[k] += sum over one row of row(x * stride + k) * d(x), two vectors of channels at a time:
// enough sums to hide the latency of a multiplication.
static inline __attribute__((always_inline)) void
correlate(float *sums, const float *row, const float *d, int32_t n, int32_t n_x, int32_t stride)
{
    Vec sum[2 * MAX_TAPS];
#pragma GCC unroll 16
    for (int32_t k = 0; k < 2 * n_x; k++)
        sum[k] = (Vec){0};
    for (int32_t x = 0; x < n; x++, row += stride * BLOCK, d += BLOCK) {
        Vec a = vec_load(d), b = vec_load(d + LANES);
#pragma GCC unroll 8
        for (int32_t k = 0; k < n_x; k++) {
            sum[2 * k] += vec_load(row + k * BLOCK) * a;
            sum[2 * k + 1] += vec_load(row + k * BLOCK + LANES) * b;
        }
    }
#pragma GCC unroll 16
    for (int32_t k = 0; k < 2 * n_x; k++) {
        float *to = sums + k / 2 * BLOCK + k % 2 * LANES;
        vec_store(to, vec_load(to) + sum[k]);
    }
}

static void correlate_any(float *sums, const float *row, const float *d, int32_t n, int32_t n_x,
                          int32_t stride)
{
    switch (n_x * 8 + stride) {
    case 3 * 8 + 1:
        correlate(sums, row, d, n, 3, 1);
        break;
    case 5 * 8 + 1:
        correlate(sums, row, d, n, 5, 1);
        break;
    case 3 * 8 + 2:
        correlate(sums, row, d, n, 3, 2);
        break;
    case 5 * 8 + 2:
        correlate(sums, row, d, n, 5, 2);
        break;
    default:
        for (int32_t k = 0; k < n_x; k++)
            correlate(sums + k * BLOCK, row + k * BLOCK, d, n, 1, stride);
    }
}

// Sums of rows make the band's, and these the part's: sums of sums are the more exact.
static void filter_band(const Part *part, CzShape at, int32_t first, int32_t last)
{
    const Pass *pass = part->pass;
    int32_t width = block_width(pass, at.c), next = at_least(tap_low(first, pass), 0);
    size_t n_sums = (size_t)pass->kh * pass->kw * BLOCK;
    float sums[MAX_TAPS * MAX_TAPS * BLOCK] __attribute__((aligned(64)));
    memset(sums, 0, n_sums * sizeof *sums);
    for (int32_t y = first; y < last; y++) {
        int32_t low = tap_low(y, pass), top = low + pass->kh - 1;
        next = at_least(next, low);
        fill_ring(part->ring, pass, part->from, at, top < pass->from.h ? top : pass->from.h - 1,
                  &next);
        load_row(part->row, part->to, at.n, y, at.c);
        for (int32_t ky = 0; ky < pass->kh; ky++) {
            if (low + ky < 0 || low + ky >= pass->from.h)
                continue;
            const float *row = ring_row(part->ring, pass, low + ky);
            for (int32_t c = 0; c < width; c += 2 * LANES)
                correlate_any(sums + (size_t)ky * pass->kw * BLOCK + c, row + c, part->row + c,
                              pass->to.w, pass->kw, pass->p.stride);
        }
    }
    float *total = part->totals + at.c / BLOCK * n_sums;
    for (size_t i = 0; i < n_sums; i++)
        total[i] += sums[i];
}

// Adds up the parts' sums in their order, back to (c, kh, kw).
static void unpack_sums(float *d_filter, const float *totals, size_t step, const Pass *pass)
{
    int32_t n_taps = pass->kh * pass->kw;
    for (int32_t c = 0; c < pass->from.c; c++) {
        const float *at = totals + (size_t)(c / BLOCK) * n_taps * BLOCK + c % BLOCK;
        for (int32_t tap = 0; tap < n_taps; tap++) {
            float sum = 0;
            for (int part = 0; part < pass->n_parts; part++)
                sum += at[part * step + (size_t)tap * BLOCK];
            d_filter[(size_t)c * n_taps + tap] = sum;
        }
    }
}

static void run_filter(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                       int n_threads)
{
    Pass pass =
        make_pass(node->params.conv, src[0].shape, src[1].shape, dst->shape, false, n_threads);
    float *totals = scratch;
    size_t n_totals = pass.n_parts * pass.filter_floats;
    CzView d_dst = src[1];
    Part part = {.pass = &pass, .from = &src[0], .to = &d_dst, .totals = totals};
    memset(totals, 0, n_totals * sizeof *totals);
    run_pass(&pass, &part, filter_band, totals + n_totals);
    unpack_sums(dst->data, totals, pass.filter_floats, &pass);
}

bool CZ_ISA_NAME(find_conv_filter)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                                   CzKernel *kernel)
{
    CzShape src = nodes[node->src[0]]->shape, d_dst = nodes[node->src[1]]->shape;
    if (!is_depthwise(&node->params.conv, src, node->shape))
        return false;
    Pass pass = make_pass(node->params.conv, src, d_dst, node->shape, false, n_threads);
    size_t n_floats = pass.n_parts * (pass.filter_floats + part_floats(&pass));
    *kernel = (CzKernel){run_filter, n_floats * sizeof(float), "own depthwise grad_filter"};
    return true;
}
