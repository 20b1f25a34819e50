// SPDX-License-Identifier: LGPL-3.0-or-later
// Counter-based random numbers: the n-th number of a stream is a function of (seed, stream, n).
//
// Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). State is
// three integers, so that a checkpoint holds it and any thread can make any sample's numbers.
#pragma once

#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    uint64_t seed, stream, counter;
} CzRng;

CzRng cz_rng(uint64_t seed, uint64_t stream);
uint32_t cz_rng_u32(CzRng *rng);
float cz_rng_uniform(CzRng *rng);                 // [0, 1)
float cz_rng_normal(CzRng *rng);                  // mean 0, deviation 1 (Box-Muller)
uint32_t cz_rng_below(CzRng *rng, uint32_t limit); // [0, limit), unbiased; limit > 0

G_END_DECLS
