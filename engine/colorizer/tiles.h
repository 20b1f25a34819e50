// SPDX-License-Identifier: LGPL-3.0-or-later
// Detail in tiles: after the pass over the whole photograph, the network sees overlapping parts of
// a finer picture of it. What they say of large areas is replaced by what the whole says; only the
// detail is theirs.
#pragma once

#include <cz/colorizer.h>

#include "colorizer/network.h"

// Beyond it the finer picture would take more memory than it is worth: 8 megapixels.
#define CZ_MOST_FINE_PIXELS 8e6

typedef struct {
    int32_t w, h;           // of the finer picture; 0: no tiles
    int32_t tile_w, tile_h; // in it, even
    int32_t n_x, n_y;       // tiles
} CzTiling;

// tile_size: as in CzSettings. working: the side of the picture that the network sees of a tile.
// No tiles where they would show little more than the whole at its working size.
CzTiling cz_tiling(int32_t photo_w, int32_t photo_h, int32_t tile_size, int32_t working);
// Where tile i of an axis begins, even.
int32_t cz_tile_start(int32_t whole, int32_t tile, int32_t n, int32_t i);

typedef struct {
    CzTiling tiling;
    CzNetwork *network;
    const CzField *whole;   // the field of the pass over everything
    const float *lightness; // tiling.h * tiling.w, L*
    CzField *fine;          // half of tiling, rounded up; c, l and s are written
    bool (*report)(void *user, double fraction);
    void *user;
} CzTileJob;

// On the engine thread. CZ_ERROR_CANCELLED after the tile at hand, or what cz_network_run says.
bool cz_tiles_run(const CzTileJob *job, GError **error);
