// SPDX-License-Identifier: LGPL-3.0-or-later
// Philox-4x32-10 (Salmon, Moraes, Dror & Shaw 2011), one word of each block of four used in turn.
#include <cz/rng.h>

#include <math.h>

CzRng cz_rng(uint64_t seed, uint64_t stream)
{
    return (CzRng){seed, stream, 0};
}

static void philox(uint32_t x[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x[0], p1 = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ key0, y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ key1;
        x[0] = y0;
        x[1] = (uint32_t)p1;
        x[2] = y2;
        x[3] = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

uint32_t cz_rng_u32(CzRng *rng)
{
    uint64_t block = rng->counter / 4;
    uint32_t x[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)rng->stream,
                     (uint32_t)(rng->stream >> 32)};
    philox(x, (uint32_t)rng->seed, (uint32_t)(rng->seed >> 32));
    return x[rng->counter++ % 4];
}

float cz_rng_uniform(CzRng *rng)
{
    return (float)(cz_rng_u32(rng) >> 8) * 0x1p-24f;
}

float cz_rng_normal(CzRng *rng)
{
    double u = ((double)cz_rng_u32(rng) + 0.5) * 0x1p-32, v = (double)cz_rng_u32(rng) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(2.0 * G_PI * v));
}

// Numbers above the largest multiple of limit are drawn again: no remainder is favoured.
uint32_t cz_rng_below(CzRng *rng, uint32_t limit)
{
    uint32_t rest = (uint32_t)(-limit) % limit, draw;
    do
        draw = cz_rng_u32(rng);
    while (draw < rest);
    return draw % limit;
}
