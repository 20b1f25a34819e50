// SPDX-License-Identifier: LGPL-3.0-or-later
// Depthwise convolution, and its gradient by the source.
//
// The gradient is the same loop over taps on d_dst: of a convolution with stride s, the places with
// the same remainder by s ("phase") see every s-th tap, in reverse, with stride 1.

#include "kernels_depthwise.h"

// ---- rows out -----------------------------------------------------------------------------------

static inline float activate(float x, CzActivation activation)
{
    switch (activation) {
    case CZ_ACT_RELU:
        return x < 0 ? 0 : x;
    case CZ_ACT_RELU6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
    case CZ_ACT_LEAKY:
        return x < 0 ? CZ_LEAKY_SLOPE * x : x;
    case CZ_ACT_TANH:
        return tanhf(x);
    case CZ_ACT_SIGMOID:
        return 1 / (1 + expf(-x));
    default:
        return x;
    }
}

// The row that could not be written as it came out of the sums: residual, activation, type.
static void store_row(const float *row, CzView *dst, const CzView *residual, CzShape at,
                      CzActivation activation)
{
    CzShape s = dst->shape;
    int32_t width = s.c - at.c < BLOCK ? s.c - at.c : BLOCK;
    size_t i = (((size_t)at.n * s.h + at.h) * s.w) * s.c + at.c;
    for (int32_t x = 0; x < s.w; x++, i += s.c, row += BLOCK) {
        float sum[BLOCK] = {0};
        if (residual)
            copy_block(sum, residual, i, width);
        for (int32_t c = 0; c < width; c++)
            sum[c] = activate(sum[c] + row[c], activation);
        if (dst->dtype == CZ_F32)
            memcpy((float *)dst->data + i, sum, width * sizeof *sum);
        else
            round_row((uint16_t *)dst->data + i, sum, width);
    }
}

// Where a row of sums goes: pixels of F32 or BF16, `step` elements apart, clamped.
typedef struct {
    void *at;
    size_t step;
    int32_t n; // pixels; rounded up to TILE are written
    float low, high;
} Out;

// If so, a row of outputs in the memory of `to`, else in part->row.
static Out out_row(const Part *part, CzShape at)
{
    CzShape s = part->pass->to;
    CzActivation activation = part->pass->p.activation;
    if (!part->is_direct)
        return (Out){part->row, BLOCK, s.w, -INFINITY, INFINITY};
    Out out = {.step = s.c, .n = s.w, .low = -INFINITY, .high = INFINITY};
    out.at = view_at(part->to, (((size_t)at.n * s.h + at.h) * s.w) * s.c + at.c);
    if (activation == CZ_ACT_RELU || activation == CZ_ACT_RELU6)
        out.low = 0;
    if (activation == CZ_ACT_RELU6)
        out.high = 6;
    return out;
}

// Whole vectors of channels, whole tiles of pixels (of each phase), nothing but a clamp after.
static bool can_be_direct(const Part *part, int32_t n_phases)
{
    const Pass *pass = part->pass;
    return !part->residual && pass->p.activation <= CZ_ACT_RELU6 && pass->to.c % LANES == 0 &&
           pass->to.w % (TILE * n_phases) == 0;
}

// ---- the loop over taps -------------------------------------------------------------------------

// Rows of the ring that an output row sees, with their filter rows: n_x taps of BLOCK channels.
typedef struct {
    int32_t n;
    const float *row[MAX_TAPS];
    const float *filter[MAX_TAPS];
} Taps;

// One tile of outputs, one vector of channels.
static inline __attribute__((always_inline)) void tile_sum(Vec *sum, const Taps *taps, size_t x,
                                                           int32_t n_x, int32_t stride, int32_t c)
{
    for (int32_t y = 0; y < taps->n; y++) {
        const float *row = taps->row[y] + x * BLOCK + c, *filter = taps->filter[y] + c;
#pragma GCC unroll 8
        for (int32_t k = 0; k < n_x; k++) {
            Vec f = vec_load(filter + k * BLOCK);
#pragma GCC unroll 4
            for (int32_t t = 0; t < TILE; t++)
                sum[t] += vec_load(row + (size_t)(t * stride + k) * BLOCK) * f;
        }
    }
}

// One row of outputs: bias and taps.
static inline __attribute__((always_inline)) void sum_row(const Out *to, const Taps *all,
                                                          const float *bias, int32_t width,
                                                          int32_t n_x, int32_t stride, bool is_bf16)
{
    // Copies, which the compiler sees that no store can change.
    const Out out = *to;
    const Taps taps = *all;
    Vec low = out.low - (Vec){0}, high = out.high - (Vec){0};
    for (int32_t c = 0; c < width; c += LANES) {
        Vec start = vec_load(bias + c);
        for (int32_t x = 0; x < out.n; x += TILE) {
            Vec sum[TILE] = {start, start, start, start};
            tile_sum(sum, &taps, (size_t)x * stride, n_x, stride, c);
#pragma GCC unroll 4
            for (int32_t t = 0; t < TILE; t++) {
                size_t i = (size_t)(x + t) * out.step + c;
                Vec v = vec_clamp(sum[t], low, high);
                if (is_bf16)
                    vec_store_bf16((uint16_t *)out.at + i, v);
                else
                    vec_store((float *)out.at + i, v);
            }
        }
    }
}

// The filters and strides in use get loops of their own.
static inline __attribute__((always_inline)) void sum_row_typed(const Out *out, const Taps *taps,
                                                                const float *bias, int32_t width,
                                                                int32_t n_x, int32_t stride,
                                                                bool is_bf16)
{
    switch (n_x * 8 + stride) {
    case 1 * 8 + 1:
        sum_row(out, taps, bias, width, 1, 1, is_bf16);
        break;
    case 2 * 8 + 1:
        sum_row(out, taps, bias, width, 2, 1, is_bf16);
        break;
    case 3 * 8 + 1:
        sum_row(out, taps, bias, width, 3, 1, is_bf16);
        break;
    case 5 * 8 + 1:
        sum_row(out, taps, bias, width, 5, 1, is_bf16);
        break;
    case 3 * 8 + 2:
        sum_row(out, taps, bias, width, 3, 2, is_bf16);
        break;
    case 5 * 8 + 2:
        sum_row(out, taps, bias, width, 5, 2, is_bf16);
        break;
    default:
        sum_row(out, taps, bias, width, n_x, stride, is_bf16);
    }
}

static __attribute__((noinline)) void sum_row_f32(const Out *out, const Taps *taps,
                                                  const float *bias, int32_t width, int32_t n_x,
                                                  int32_t stride)
{
    sum_row_typed(out, taps, bias, width, n_x, stride, false);
}

static __attribute__((noinline)) void sum_row_bf16(const Out *out, const Taps *taps,
                                                   const float *bias, int32_t width, int32_t n_x,
                                                   int32_t stride)
{
    sum_row_typed(out, taps, bias, width, n_x, stride, true);
}

static void sum_taps(const Part *part, const Out *out, const Taps *taps, const float *bias,
                     int32_t width, int32_t n_x, int32_t stride)
{
    if (part->is_direct && part->to->dtype == CZ_BF16)
        sum_row_bf16(out, taps, bias, width, n_x, stride);
    else
        sum_row_f32(out, taps, bias, width, n_x, stride);
}

static const float no_bias[BLOCK];

// ---- filters ------------------------------------------------------------------------------------

// Number of taps of a phase.
static inline int32_t phase_taps(int32_t k, int32_t phase, int32_t stride)
{
    return (k - phase + stride - 1) / stride;
}

// (c, kh, kw) to blocks of (kh, kw, BLOCK), zeros behind the last channel. The data gradient wants
// the taps of each phase together and in reverse. BF16 products have BF16 factors.
static void pack_filter(float *packed, const float *filter, const Pass *pass, bool backward,
                        bool rounded)
{
    int32_t n_taps = pass->kh * pass->kw, stride = backward ? pass->p.stride : 1;
    int32_t place[MAX_TAPS * MAX_TAPS], n_placed = 0;
    for (int32_t ky = 0; ky < pass->kh; ky++) {
        for (int32_t phase = 0; phase < stride; phase++) {
            int32_t n = phase_taps(pass->kw, phase, stride);
            for (int32_t k = 0; k < n; k++) {
                int32_t kx = backward ? phase + (n - 1 - k) * stride : k;
                place[ky * pass->kw + kx] = n_placed++ * BLOCK;
            }
        }
    }
    memset(packed, 0, pass->filter_floats * sizeof *packed);
    for (int32_t c = 0; c < pass->from.c; c++, filter += n_taps) {
        float *to = packed + (size_t)(c / BLOCK) * n_taps * BLOCK + c % BLOCK;
        for (int32_t tap = 0; tap < n_taps; tap++)
            to[place[tap]] = rounded ? bf16_widen(bf16_round(filter[tap])) : filter[tap];
    }
}

// ---- forward ------------------------------------------------------------------------------------

// Rows of the picture under output row y, with their place in the ring.
static void forward_taps(Taps *taps, const Part *part, int32_t y, const float *filter)
{
    const Pass *pass = part->pass;
    taps->n = 0;
    for (int32_t ky = 0; ky < pass->kh; ky++) {
        int32_t sy = tap_low(y, pass) + ky;
        if (sy < 0 || sy >= pass->from.h)
            continue;
        taps->row[taps->n] = ring_row(part->ring, pass, sy);
        taps->filter[taps->n++] = filter + (size_t)ky * pass->kw * BLOCK;
    }
}

static void forward_band(const Part *part, CzShape at, int32_t first, int32_t last)
{
    const Pass *pass = part->pass;
    float bias[BLOCK] = {0};
    int32_t width = block_width(pass, at.c), next = at_least(tap_low(first, pass), 0);
    int32_t n_channels = pass->from.c - at.c < BLOCK ? pass->from.c - at.c : BLOCK;
    if (part->bias)
        memcpy(bias, part->bias + at.c, n_channels * sizeof *bias);
    const float *filter = part->filter + (size_t)(at.c / BLOCK) * pass->kh * pass->kw * BLOCK;
    for (at.h = first; at.h < last; at.h++) {
        Taps taps;
        int32_t low = tap_low(at.h, pass), top = low + pass->kh - 1;
        // With strides above the filter's size there are rows that nobody sees.
        next = at_least(next, low);
        fill_ring(part->ring, pass, part->from, at, top < pass->from.h ? top : pass->from.h - 1,
                  &next);
        forward_taps(&taps, part, at.h, filter);
        Out out = out_row(part, at);
        sum_taps(part, &out, &taps, bias, width, pass->kw, pass->p.stride);
        if (!part->is_direct)
            store_row(part->row, part->to, part->residual, at, pass->p.activation);
    }
}

static void run_forward(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                        int n_threads)
{
    const CzConvParams *p = &node->params.conv;
    Pass pass = make_pass(*p, src[0].shape, dst->shape, src[1].shape, false, n_threads);
    float *filter = scratch;
    pack_filter(filter, src[1].data, &pass, false, src[0].dtype == CZ_BF16);
    Part part = {.pass = &pass,
                 .filter = filter,
                 .bias = p->has_bias ? src[2].data : NULL,
                 .residual = p->has_residual ? &src[node->n_src - 1] : NULL,
                 .from = &src[0],
                 .to = dst};
    part.is_direct = can_be_direct(&part, 1);
    run_pass(&pass, &part, forward_band, filter + pass.filter_floats);
}

// ---- gradient by the source ---------------------------------------------------------------------

// Rows of d_dst that reach row y of d_src.
static void backward_taps(Taps *taps, const Part *part, int32_t y, const float *filter)
{
    const Pass *pass = part->pass;
    int32_t s = pass->p.stride;
    taps->n = 0;
    for (int32_t ky = (y + pass->p.pad_top) % s; ky < pass->kh; ky += s) {
        int32_t up = y + pass->p.pad_top - ky;
        if (up < 0 || up / s >= pass->from.h)
            continue;
        taps->row[taps->n] = ring_row(part->ring, pass, up / s);
        taps->filter[taps->n++] = filter + (size_t)ky * pass->kw * BLOCK;
    }
}

// One row of d_src, phase by phase.
static void backward_row(const Part *part, const Taps *all, CzShape at, int32_t width)
{
    const Pass *pass = part->pass;
    int32_t s = pass->p.stride;
    const Out row = out_row(part, at);
    size_t pixel_bytes = row.step * (part->is_direct ? cz_dtype_size(part->to->dtype) : 4);
    for (int32_t x = 0; x < s && x < pass->to.w; x++) {
        int32_t phase = (x + pass->p.pad_left) % s, n = phase_taps(pass->kw, phase, s);
        int32_t before = 0;
        for (int32_t i = 0; i < phase; i++)
            before += phase_taps(pass->kw, i, s);
        // The first output of this phase sees d_dst from here on; the ring has kw zeros in front.
        int32_t start = (x + pass->p.pad_left - phase) / s - (n - 1);
        Taps taps = {.n = n > 0 ? all->n : 0};
        for (int32_t y = 0; y < taps.n; y++) {
            taps.row[y] = all->row[y] + (ptrdiff_t)(pass->left + start) * BLOCK;
            taps.filter[y] = all->filter[y] + (size_t)before * BLOCK;
        }
        Out out = row;
        out.at = (char *)row.at + x * pixel_bytes;
        out.step = row.step * s;
        out.n = (pass->to.w - x + s - 1) / s;
        sum_taps(part, &out, &taps, no_bias, width, n, 1);
    }
}

static void backward_band(const Part *part, CzShape at, int32_t first, int32_t last)
{
    const Pass *pass = part->pass;
    int32_t s = pass->p.stride, width = block_width(pass, at.c);
    int32_t next = at_least((first + pass->p.pad_top - pass->kh + s) / s, 0);
    const float *filter = part->filter + (size_t)(at.c / BLOCK) * pass->kh * pass->kw * BLOCK;
    for (at.h = first; at.h < last; at.h++) {
        Taps taps;
        int32_t top = (at.h + pass->p.pad_top) / s;
        fill_ring(part->ring, pass, part->from, at, top < pass->from.h ? top : pass->from.h - 1,
                  &next);
        backward_taps(&taps, part, at.h, filter);
        backward_row(part, &taps, at, width);
        if (!part->is_direct)
            store_row(part->row, part->to, NULL, at, CZ_ACT_NONE);
    }
}

static void run_backward(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                         int n_threads)
{
    Pass pass =
        make_pass(node->params.conv, src[0].shape, dst->shape, src[1].shape, true, n_threads);
    float *filter = scratch;
    pack_filter(filter, src[1].data, &pass, true, src[0].dtype == CZ_BF16);
    Part part = {.pass = &pass, .filter = filter, .from = &src[0], .to = dst};
    part.is_direct = can_be_direct(&part, pass.p.stride);
    run_pass(&pass, &part, backward_band, filter + pass.filter_floats);
}

bool CZ_ISA_NAME(find_conv)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                            CzKernel *kernel)
{
    CzShape from = nodes[node->src[0]]->shape, filter = nodes[node->src[1]]->shape;
    bool backward = node->op == CZ_OP_CONV2D_GRAD_SRC;
    if (!is_depthwise(&node->params.conv, backward ? node->shape : from, filter))
        return false;
    Pass pass = make_pass(node->params.conv, from, node->shape, filter, backward, n_threads);
    size_t n_floats = pass.filter_floats + pass.n_parts * part_floats(&pass);
    *kernel = (CzKernel){backward ? run_backward : run_forward, n_floats * sizeof(float),
                         backward ? "own depthwise grad_src" : "own depthwise"};
    return true;
}
