// SPDX-License-Identifier: LGPL-3.0-or-later
// What the three passes of a depthwise convolution share: bands, the ring, rows in.
//
// All walk through bands of rows and blocks of channels: rows of the source go into a ring of F32
// rows with zeros at both ends, small enough for L1 and free of borders, types and odd numbers of
// channels; what is left is one loop over taps that has vectors across channels.
#pragma once

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

static inline size_t part_floats(const Pass *pass)
{
    return pass->ring_floats + pass->row_floats;
}

// backward: from = d_dst, to = d_src; else from = src, to = dst or d_dst.
static inline Pass make_pass(CzConvParams p, CzShape from, CzShape to, CzShape filter,
                             bool backward, int n_threads)
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

// Row y of picture n, channels from c on, as BLOCK-wide pixels. The next row is asked for: pixels
// lie too far apart for the hardware to guess.
static inline void load_row(float *dst, const CzView *view, int32_t n, int32_t y, int32_t c)
{
    CzShape s = view->shape;
    int32_t width = s.c - c < BLOCK ? s.c - c : BLOCK;
    size_t at = (((size_t)n * s.h + y) * s.w) * s.c + c, size = cz_dtype_size(view->dtype);
    const char *next = (const char *)view->data + (at + (size_t)s.w * s.c) * size;
    for (int32_t x = 0; x < s.w; x++, at += s.c, dst += BLOCK, next += s.c * size) {
        __builtin_prefetch(next);
        if (view->dtype == CZ_F32)
            __builtin_prefetch(next + 64);
        copy_block(dst, view, at, width);
    }
}

// A ring row by the row's number in the picture.
static inline float *ring_row(float *ring, const Pass *pass, int32_t y)
{
    return ring + (size_t)(y % pass->ring_rows) * pass->ring_width * BLOCK;
}

// Rows up to `last` that the ring does not hold yet; *next is the first of them.
static inline void fill_ring(float *ring, const Pass *pass, const CzView *view, CzShape at,
                             int32_t last, int32_t *next)
{
    for (; *next <= last; (*next)++)
        load_row(ring_row(ring, pass, *next) + (size_t)pass->left * BLOCK, view, at.n, *next, at.c);
}

// Channels of a block, up to whole vectors.
static inline int32_t block_width(const Pass *pass, int32_t c)
{
    int32_t left = pass->from.c - c;
    return left < BLOCK ? (left + LANES - 1) / LANES * LANES : BLOCK;
}

// First row of the source that output row y sees; may lie above the picture.
static inline int32_t tap_low(int32_t y, const Pass *pass)
{
    return y * pass->p.stride - pass->p.pad_top;
}

// What a part works with.
typedef struct {
    const Pass *pass;
    const CzView *from, *residual; // residual: or NULL
    CzView *to;
    const float *filter; // packed
    const float *bias;   // or NULL
    float *totals;       // gradient by the filter: the part's sums
    float *ring, *row;
    bool is_direct; // sums can be written to their place at once
} Part;

// Rows first to last of `to`, one block of channels, one picture: at.n, at.c.
typedef void (*BandFunction)(const Part *part, CzShape at, int32_t first, int32_t last);

// Every part its bands; channels innermost, so that neighbours in memory come one after the other.
// scratch: ring and row of each part.
static inline void run_pass(const Pass *pass, const Part *shared, BandFunction band_function,
                            float *scratch)
{
    size_t n_units = (size_t)pass->to.n * pass->n_bands * pass->n_blocks;
    PARALLEL(pass->n_parts)
    for (int i = 0; i < pass->n_parts; i++) {
        Part part = *shared;
        part.ring = scratch + i * part_floats(pass);
        part.row = part.ring + pass->ring_floats;
        part.totals += part.totals ? i * pass->filter_floats : 0;
        memset(part.ring, 0, part_floats(pass) * sizeof *part.ring);
        for (size_t unit = part_start(n_units, i, pass->n_parts);
             unit < part_start(n_units, i + 1, pass->n_parts); unit++) {
            size_t band = unit / pass->n_blocks;
            CzShape at = {.n = (int32_t)(band / pass->n_bands),
                          .c = (int32_t)(unit % pass->n_blocks) * BLOCK};
            int32_t top = (int32_t)(band % pass->n_bands) * pass->band;
            int32_t bottom = top + pass->band < pass->to.h ? top + pass->band : pass->to.h;
            band_function(&part, at, top, bottom);
        }
    }
}

// Depthwise, of a size that the passes are made for.
static inline bool is_depthwise(const CzConvParams *p, CzShape src, CzShape filter)
{
    int32_t groups = at_least(p->groups, 1);
    return src.c == groups && filter.n == groups && filter.c == 1 && filter.h <= MAX_TAPS &&
           filter.w <= MAX_TAPS && p->dilation <= 1 && p->stride <= MAX_STRIDE;
}
