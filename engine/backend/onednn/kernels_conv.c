// SPDX-License-Identifier: LGPL-3.0-or-later
// Depthwise convolution and its two gradients.
//
// All three walk through bands of rows and blocks of channels: rows of the source go into a ring
// of F32 rows with zeros at both ends, small enough for L1 and free of borders, types and odd
// numbers of channels; what is left is one loop over taps that has vectors across channels and
// four outputs in registers.
//
// The data gradient is the same loop on d_dst: of a convolution with stride s, the places with the
// same remainder by s ("phase") see every s-th tap, in reverse, with stride 1.

#include "kernels_simd.h"

enum {
    BLOCK = 32,   // channels at a time
    TILE = 4,     // outputs in registers
    MAX_TAPS = 7, // edge of the largest filter
    MAX_STRIDE = 4,
    BAND_BYTES = 1 << 18 // of source and output that a band of rows should take
};

// One pass: rows of `from` go into the ring, rows of `to` come out (for the gradient by the filter:
// go in too).
typedef struct {
    CzShape from, to;
    CzConvParams p;
    int32_t kh, kw;
    int32_t n_blocks;      // of channels
    int32_t band, n_bands; // rows of `to` in a band, bands in a picture
    int32_t left;          // zeros in front of a ring row
    size_t ring_width;     // pixels of a ring row, zeros included
    int32_t ring_rows;
    size_t row_width; // pixels of the other row buffer
    size_t ring_floats, row_floats, filter_floats;
    int n_parts;
} Pass;

static inline int32_t at_least(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static size_t part_floats(const Pass *pass)
{
    return pass->ring_floats + pass->row_floats;
}

// backward: from = d_dst, to = d_src; else from = src, to = dst or d_dst.
static Pass make_pass(CzConvParams p, CzShape from, CzShape to, CzShape filter, bool backward,
                      int n_threads)
{
    Pass pass = {.from = from, .to = to, .p = p, .kh = filter.h, .kw = filter.w};
    pass.p.stride = at_least(p.stride, 1);
    int32_t s = pass.p.stride;
    pass.n_blocks = (from.c + BLOCK - 1) / BLOCK;
    size_t row_bytes = ((size_t)from.w * from.h / to.h + to.w) * from.c * 4;
    size_t band = BAND_BYTES / (row_bytes ? row_bytes : 1);
    pass.band = band < 8 ? 8 : band > (size_t)to.h ? to.h : (int32_t)band;
    pass.n_parts = part_count(cz_shape_count(from) + cz_shape_count(to), n_threads);
    // Few pictures of few channels: shorter bands, so that there is work for everybody.
    while (pass.band > 8 &&
           (size_t)to.n * ((to.h + pass.band - 1) / pass.band) < 2 * (size_t)pass.n_parts)
        pass.band = (pass.band + 1) / 2;
    pass.n_bands = (to.h + pass.band - 1) / pass.band;
    size_t tiled = round_up(to.w, TILE);
    if (backward) {
        pass.left = pass.kw;
        pass.ring_width = pass.left + (tiled + p.pad_left + pass.kw) / s + TILE + pass.kw;
    } else {
        pass.left = p.pad_left;
        pass.ring_width = pass.left + tiled * s + pass.kw;
    }
    pass.ring_width += pass.ring_width < pass.left + (size_t)from.w
                           ? pass.left + (size_t)from.w - pass.ring_width
                           : 0;
    pass.ring_rows = pass.kh + 1;
    pass.row_width = tiled + (size_t)TILE * s;
    pass.ring_floats = pass.ring_width * pass.ring_rows * BLOCK;
    pass.row_floats = pass.row_width * BLOCK;
    pass.filter_floats = (size_t)pass.n_blocks * pass.kh * pass.kw * BLOCK;
    return pass;
}

// ---- rows in and out ----------------------------------------------------------------------------

static inline void copy_block(float *dst, const CzView *view, size_t i, int32_t n)
{
    if (view->dtype == CZ_F32) {
        const float *src = (const float *)view->data + i;
        if (n == BLOCK)
            memcpy(dst, src, BLOCK * sizeof *dst);
        else
            memcpy(dst, src, n * sizeof *dst);
        return;
    }
    const uint16_t *src = (const uint16_t *)view->data + i;
    if (n == BLOCK) {
#pragma GCC unroll 2
        for (int32_t c = 0; c < BLOCK; c++)
            dst[c] = bf16_widen(src[c]);
    } else {
        for (int32_t c = 0; c < n; c++)
            dst[c] = bf16_widen(src[c]);
    }
}

// Row y of picture n, channels from c on, as BLOCK-wide pixels.
static void load_row(float *dst, const CzView *view, int32_t n, int32_t y, int32_t c)
{
    CzShape s = view->shape;
    int32_t width = s.c - c < BLOCK ? s.c - c : BLOCK;
    size_t at = (((size_t)n * s.h + y) * s.w) * s.c + c;
    for (int32_t x = 0; x < s.w; x++, at += s.c, dst += BLOCK)
        copy_block(dst, view, at, width);
}

// A ring row by the row's number in the picture.
static inline float *ring_row(float *ring, const Pass *pass, int32_t y)
{
    return ring + (size_t)(y % pass->ring_rows) * pass->ring_width * BLOCK;
}

// Rows up to `last` that the ring does not hold yet; *next is the first of them.
static void fill_ring(float *ring, const Pass *pass, const CzView *view, CzShape at, int32_t last,
                      int32_t *next)
{
    for (; *next <= last; (*next)++)
        load_row(ring_row(ring, pass, *next) + (size_t)pass->left * BLOCK, view, at.n, *next, at.c);
}

static float activate(float x, CzActivation activation)
{
    switch (activation) {
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

static inline __attribute__((always_inline)) void
store_pixel(CzView *dst, size_t i, const float *row, int32_t width, float low, float high)
{
    float clamped[BLOCK];
#pragma omp simd
    for (int32_t c = 0; c < width; c++) {
        float x = row[c] < low ? low : row[c];
        clamped[c] = x > high ? high : x;
    }
    if (dst->dtype == CZ_F32)
        memcpy((float *)dst->data + i, clamped, width * sizeof *clamped);
    else
        round_row((uint16_t *)dst->data + i, clamped, width);
}

// The finished row: residual and activation, into the output's type.
static void store_row(const float *row, CzView *dst, const CzView *residual, CzShape at,
                      CzActivation activation)
{
    CzShape s = dst->shape;
    int32_t width = s.c - at.c < BLOCK ? s.c - at.c : BLOCK;
    bool is_relu = activation == CZ_ACT_RELU || activation == CZ_ACT_RELU6;
    float low = is_relu ? 0 : -INFINITY, high = activation == CZ_ACT_RELU6 ? 6 : INFINITY;
    bool is_plain = !residual && (is_relu || activation == CZ_ACT_NONE);
    size_t i = (((size_t)at.n * s.h + at.h) * s.w) * s.c + at.c;
    for (int32_t x = 0; x < s.w; x++, i += s.c, row += BLOCK) {
        if (is_plain && width == BLOCK) {
            store_pixel(dst, i, row, BLOCK, low, high);
            continue;
        }
        float sum[BLOCK] = {0};
        if (residual)
            copy_block(sum, residual, i, width);
        for (int32_t c = 0; c < width; c++)
            sum[c] = activate(sum[c] + row[c], activation);
        store_pixel(dst, i, sum, width, low, high);
    }
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

// out[x * out_step] = bias + taps, for x below n_out (rounded up to TILE).
static inline __attribute__((always_inline)) void sum_row(float *out, int32_t out_step,
                                                          int32_t n_out, const Taps *taps,
                                                          const float *bias, int32_t width,
                                                          int32_t n_x, int32_t stride)
{
    for (int32_t c = 0; c < width; c += LANES) {
        Vec start = vec_load(bias + c);
        for (int32_t x = 0; x < n_out; x += TILE) {
            Vec sum[TILE] = {start, start, start, start};
            tile_sum(sum, taps, (size_t)x * stride, n_x, stride, c);
#pragma GCC unroll 4
            for (int32_t t = 0; t < TILE; t++)
                vec_store(out + (size_t)(x + t) * out_step * BLOCK + c, sum[t]);
        }
    }
}

// The filters and strides in use get loops of their own.
static void sum_row_any(float *out, int32_t out_step, int32_t n_out, const Taps *taps,
                        const float *bias, int32_t width, int32_t n_x, int32_t stride)
{
    switch (n_x * 8 + stride) {
    case 1 * 8 + 1:
        sum_row(out, out_step, n_out, taps, bias, width, 1, 1);
        break;
    case 2 * 8 + 1:
        sum_row(out, out_step, n_out, taps, bias, width, 2, 1);
        break;
    case 3 * 8 + 1:
        sum_row(out, out_step, n_out, taps, bias, width, 3, 1);
        break;
    case 5 * 8 + 1:
        sum_row(out, out_step, n_out, taps, bias, width, 5, 1);
        break;
    case 3 * 8 + 2:
        sum_row(out, out_step, n_out, taps, bias, width, 3, 2);
        break;
    case 5 * 8 + 2:
        sum_row(out, out_step, n_out, taps, bias, width, 5, 2);
        break;
    default:
        sum_row(out, out_step, n_out, taps, bias, width, n_x, stride);
    }
}

static const float no_bias[BLOCK];

// Channels of a block, up to whole vectors.
static inline int32_t block_width(const Pass *pass, int32_t c)
{
    int32_t left = pass->from.c - c;
    return left < BLOCK ? (left + LANES - 1) / LANES * LANES : BLOCK;
}

// ---- filters ------------------------------------------------------------------------------------

// (c, kh, kw) to blocks of (kh, kw, BLOCK), zeros behind the last channel. The data gradient wants
// the taps of each phase together and in reverse. BF16 products have BF16 factors.
static void pack_filter(float *packed, const float *filter, const Pass *pass, bool backward,
                        bool rounded)
{
    int32_t n_taps = pass->kh * pass->kw, stride = backward ? pass->p.stride : 1;
    for (int32_t first = 0; first < pass->from.c; first += BLOCK, packed += n_taps * BLOCK) {
        int32_t width = pass->from.c - first < BLOCK ? pass->from.c - first : BLOCK;
        float *to = packed;
        for (int32_t ky = 0; ky < pass->kh; ky++) {
            for (int32_t phase = 0; phase < stride; phase++) {
                int32_t n = (pass->kw - phase + stride - 1) / stride;
                for (int32_t k = 0; k < n; k++, to += BLOCK) {
                    int32_t kx = backward ? phase + (n - 1 - k) * stride : k;
                    const float *from = filter + (size_t)first * n_taps + ky * pass->kw + kx;
                    memset(to, 0, BLOCK * sizeof *to);
                    for (int32_t c = 0; c < width; c++)
                        to[c] = rounded ? bf16_widen(bf16_round(from[(size_t)c * n_taps]))
                                        : from[(size_t)c * n_taps];
                }
            }
        }
    }
}

// ---- forward ------------------------------------------------------------------------------------

// What a part works with.
typedef struct {
    const Pass *pass;
    const float *filter; // packed
    const float *bias;   // or NULL
    const CzView *from, *residual;
    CzView *to;
    float *ring, *row;
} Part;

static inline int32_t tap_low(int32_t y, const Pass *pass)
{
    return y * pass->p.stride - pass->p.pad_top;
}

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

// Rows first to last of `to`, one block of channels, one picture: at.n, at.c.
static void forward_band(const Part *part, CzShape at, int32_t first, int32_t last)
{
    const Pass *pass = part->pass;
    float bias[BLOCK] = {0};
    int32_t width = block_width(pass, at.c), next = at_least(tap_low(first, pass), 0);
    int32_t n_channels = pass->from.c - at.c < BLOCK ? pass->from.c - at.c : BLOCK;
    if (part->bias)
        memcpy(bias, part->bias + at.c, n_channels * sizeof *bias);
    const float *filter = part->filter + (size_t)(at.c / BLOCK) * pass->kh * pass->kw * BLOCK;
    for (int32_t y = first; y < last; y++) {
        Taps taps;
        int32_t low = tap_low(y, pass), top = low + pass->kh - 1;
        // With strides above the filter's size there are rows that nobody sees.
        next = at_least(next, low);
        fill_ring(part->ring, pass, part->from, at, top < pass->from.h ? top : pass->from.h - 1,
                  &next);
        forward_taps(&taps, part, y, filter);
        sum_row_any(part->row, 1, pass->to.w, &taps, bias, width, pass->kw, pass->p.stride);
        at.h = y;
        store_row(part->row, part->to, part->residual, at, pass->p.activation);
    }
}

// ---- gradient by the source ---------------------------------------------------------------------

// Number of taps of a phase.
static inline int32_t phase_taps(int32_t k, int32_t phase, int32_t stride)
{
    return (k - phase + stride - 1) / stride;
}

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

// One row of d_src into part->row, phase by phase.
static void backward_row(const Part *part, const Taps *all, int32_t width)
{
    const Pass *pass = part->pass;
    int32_t s = pass->p.stride;
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
        sum_row_any(part->row + (size_t)x * BLOCK, s, (pass->to.w - x + s - 1) / s, &taps, no_bias,
                    width, n, 1);
    }
}

static void backward_band(const Part *part, CzShape at, int32_t first, int32_t last)
{
    const Pass *pass = part->pass;
    int32_t s = pass->p.stride, width = block_width(pass, at.c);
    int32_t next = at_least((first + pass->p.pad_top - pass->kh + s) / s, 0);
    const float *filter = part->filter + (size_t)(at.c / BLOCK) * pass->kh * pass->kw * BLOCK;
    for (int32_t y = first; y < last; y++) {
        Taps taps;
        int32_t top = (y + pass->p.pad_top) / s;
        fill_ring(part->ring, pass, part->from, at, top < pass->from.h ? top : pass->from.h - 1,
                  &next);
        backward_taps(&taps, part, y, filter);
        backward_row(part, &taps, width);
        at.h = y;
        store_row(part->row, part->to, NULL, at, CZ_ACT_NONE);
    }
}

// ---- gradient by the filter ---------------------------------------------------------------------

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
static void filter_band(const Part *part, CzShape at, int32_t first, int32_t last, float *total)
{
    const Pass *pass = part->pass;
    int32_t width = block_width(pass, at.c), next = at_least(tap_low(first, pass), 0);
    float sums[MAX_TAPS * MAX_TAPS * BLOCK] __attribute__((aligned(64)));
    memset(sums, 0, (size_t)pass->kh * pass->kw * BLOCK * sizeof *sums);
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
    total += (size_t)(at.c / BLOCK) * pass->kh * pass->kw * BLOCK;
    for (int32_t i = 0; i < pass->kh * pass->kw * BLOCK; i++)
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

// ---- running ------------------------------------------------------------------------------------

typedef enum { FORWARD, BACKWARD, FILTER } Kind;

// Bands from unit `first` on; channels innermost, so that neighbours in memory come one after
// the other.
static void run_units(const Part *part, Kind kind, size_t first, size_t last, float *total)
{
    const Pass *pass = part->pass;
    for (size_t unit = first; unit < last; unit++) {
        size_t band = unit / pass->n_blocks;
        CzShape at = {.n = (int32_t)(band / pass->n_bands),
                      .c = (int32_t)(unit % pass->n_blocks) * BLOCK};
        int32_t top = (int32_t)(band % pass->n_bands) * pass->band;
        int32_t bottom = top + pass->band < pass->to.h ? top + pass->band : pass->to.h;
        if (kind == FORWARD)
            forward_band(part, at, top, bottom);
        else if (kind == BACKWARD)
            backward_band(part, at, top, bottom);
        else
            filter_band(part, at, top, bottom, total);
    }
}

// scratch: filter or the parts' sums, then ring and row of each part.
static void run_pass(const Pass *pass, Part shared, Kind kind, float *scratch, float *totals)
{
    size_t n_units = (size_t)pass->to.n * pass->n_bands * pass->n_blocks;
    PARALLEL(pass->n_parts)
    for (int i = 0; i < pass->n_parts; i++) {
        Part part = shared;
        part.ring = scratch + i * part_floats(pass);
        part.row = part.ring + pass->ring_floats;
        memset(part.ring, 0, part_floats(pass) * sizeof *part.ring);
        float *total = totals ? totals + i * pass->filter_floats : NULL;
        if (total)
            memset(total, 0, pass->filter_floats * sizeof *total);
        run_units(&part, kind, part_start(n_units, i, pass->n_parts),
                  part_start(n_units, i + 1, pass->n_parts), total);
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
    run_pass(&pass, part, FORWARD, filter + pass.filter_floats, NULL);
}

static void run_backward(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                         int n_threads)
{
    Pass pass =
        make_pass(node->params.conv, src[0].shape, dst->shape, src[1].shape, true, n_threads);
    float *filter = scratch;
    pack_filter(filter, src[1].data, &pass, true, src[0].dtype == CZ_BF16);
    Part part = {.pass = &pass, .filter = filter, .from = &src[0], .to = dst};
    run_pass(&pass, part, BACKWARD, filter + pass.filter_floats, NULL);
}

static void run_filter(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                       int n_threads)
{
    Pass pass =
        make_pass(node->params.conv, src[0].shape, src[1].shape, dst->shape, false, n_threads);
    float *totals = scratch;
    CzView d_dst = src[1];
    Part part = {.pass = &pass, .from = &src[0], .to = &d_dst};
    run_pass(&pass, part, FILTER, totals + pass.n_parts * pass.filter_floats, totals);
    unpack_sums(dst->data, totals, pass.filter_floats, &pass);
}

// ---- finding ------------------------------------------------------------------------------------

static bool is_depthwise(const CzConvParams *p, CzShape src, CzShape filter)
{
    int32_t groups = at_least(p->groups, 1);
    return src.c == groups && filter.n == groups && filter.c == 1 && filter.h <= MAX_TAPS &&
           filter.w <= MAX_TAPS && p->dilation <= 1 && p->stride <= MAX_STRIDE;
}

bool CZ_ISA_NAME(find_conv)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                            CzKernel *kernel)
{
    CzShape a = nodes[node->src[0]]->shape, b = nodes[node->src[1]]->shape;
    const CzConvParams *p = &node->params.conv;
    bool is_forward = node->op == CZ_OP_CONV2D, is_filter = node->op == CZ_OP_CONV2D_GRAD_FILTER;
    CzShape src = node->op == CZ_OP_CONV2D_GRAD_SRC ? node->shape : a;
    CzShape filter = is_filter ? node->shape : b, to = is_filter ? b : node->shape;
    if (!is_depthwise(p, src, filter))
        return false;
    Pass pass = make_pass(*p, a, to, filter, !is_forward && !is_filter, n_threads);
    size_t n_filters = is_filter ? pass.n_parts : 1;
    kernel->scratch_bytes =
        (n_filters * pass.filter_floats + pass.n_parts * part_floats(&pass)) * sizeof(float);
    kernel->run = is_forward ? run_forward : is_filter ? run_filter : run_backward;
    kernel->name = is_forward  ? "own depthwise"
                   : is_filter ? "own depthwise grad_filter"
                               : "own depthwise grad_src";
    return true;
}
