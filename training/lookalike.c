// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures that look alike: hashes, bands of them as an index, and who goes.
#include "lookalike.h"

#include <math.h>
#include <stdlib.h>

#include <cz/memory.h>
#include <cz/resample.h>

enum { COLUMNS = TRAIN_LOOK_COLUMNS, ROWS = TRAIN_LOOK_ROWS, CELLS = COLUMNS * ROWS };

// ---- the hash -----------------------------------------------------------------------------------

static uint64_t compare_neighbours(const float *means, bool mirrored)
{
    uint64_t bits = 0;

    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x + 1 < COLUMNS; x++) {
            const float *row = means + y * COLUMNS;
            float left = mirrored ? row[COLUMNS - 1 - x] : row[x];
            float right = mirrored ? row[COLUMNS - 2 - x] : row[x + 1];

            bits |= (uint64_t)(left > right) << (8 * y + x);
        }
    return bits;
}

static void centre(const float *means, int8_t *luma)
{
    float mean = 0, largest = 1e-9f;

    for (int i = 0; i < CELLS; i++)
        mean += means[i] / CELLS;
    for (int i = 0; i < CELLS; i++)
        largest = MAX(largest, fabsf(means[i] - mean));
    for (int i = 0; i < CELLS; i++)
        luma[i] = (int8_t)lrintf((means[i] - mean) * (127 / largest));
}

bool train_look_make(TrainLook *look, const TrainPicture *picture, GError **error)
{
    size_t n = (size_t)picture->width * (size_t)picture->height;
    float *luma = cz_memory_alloc(n * sizeof *luma, "a picture's luma", error);
    float means[CELLS];
    bool ok;

    if (!luma)
        return FALSE;
    for (size_t i = 0; i < n; i++) { // ITU-R BT.601
        const uint8_t *rgb = picture->rgb + 3 * i;

        luma[i] = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
    }
    ok = cz_resize_image(means, COLUMNS, ROWS, luma, picture->width, picture->height, 1, error);
    cz_memory_free(luma);
    if (!ok)
        return FALSE;
    *look = (TrainLook){.hash = picture->hash,
                        .bits = compare_neighbours(means, FALSE),
                        .mirrored = compare_neighbours(means, TRUE)};
    centre(means, look->luma);
    return TRUE;
}

// Pearson's coefficient, the second picture mirrored or not. What is of one luma goes with all.
static bool correlate(const TrainLook *a, const TrainLook *b, bool mirrored)
{
    int32_t product = 0, squares[2] = {0};

    for (int i = 0; i < CELLS; i++) {
        int32_t x = i % COLUMNS, other = mirrored ? i - x + COLUMNS - 1 - x : i;

        product += a->luma[i] * b->luma[other];
        squares[0] += a->luma[i] * a->luma[i];
        squares[1] += b->luma[i] * b->luma[i];
    }
    return (float)product >=
           TRAIN_LOOK_MIN_CORRELATION * sqrtf((float)squares[0]) * sqrtf((float)squares[1]);
}

// ---- the index ----------------------------------------------------------------------------------

// Of max_bits + 1 bands of bits, two hashes with max_bits differences share one at least. For each
// band all pictures lie sorted by it.
typedef struct {
    uint32_t key, picture;
} Entry;

typedef struct {
    Entry *entries; // n_bands * n
    size_t n;
    int n_bands;
} Index;

// Bands of more than 32 bits are cut, which only lets more be looked at.
static uint32_t band_key(const Index *index, uint64_t bits, int band)
{
    int begin = 64 * band / index->n_bands, end = 64 * (band + 1) / index->n_bands;
    int width = MIN(end - begin, 32);

    return (uint32_t)(bits >> begin & ((UINT64_C(1) << width) - 1));
}

static int compare_entries(const void *a, const void *b)
{
    const Entry *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->picture < y->picture ? -1 : x->picture > y->picture;
}

static bool build(Index *index, const TrainLook *looks, GError **error)
{
    size_t n = index->n, n_bands = (size_t)index->n_bands;

    index->entries =
        cz_memory_alloc(MAX(n_bands * n, 1) * sizeof *index->entries, "looks of pictures", error);
    if (!index->entries)
        return FALSE;
    for (int band = 0; band < index->n_bands; band++) {
        Entry *entries = index->entries + (size_t)band * n;

        for (size_t i = 0; i < n; i++)
            entries[i] = (Entry){band_key(index, looks[i].bits, band), (uint32_t)i};
        qsort(entries, n, sizeof *entries, compare_entries);
    }
    return TRUE;
}

static const Entry *first_with(const Entry *entries, size_t n, uint32_t key)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entries[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return entries + low;
}

// ---- who goes -----------------------------------------------------------------------------------

typedef struct {
    const TrainLook *looks;
    TrainTwin *twins;
    size_t n_fixed;
    int max_bits;
} Search;

// Whether the first picture stays rather than the second.
static bool comes_before(const Search *search, uint32_t first, uint32_t second)
{
    return second >= search->n_fixed &&
           (first < search->n_fixed || search->looks[first].hash < search->looks[second].hash);
}

// Marks what looks like a picture, mirrored or not, and comes after it.
static void mark(const Search *search, const Index *index, uint32_t picture, bool mirrored)
{
    const TrainLook *look = &search->looks[picture];
    uint64_t bits = mirrored ? look->mirrored : look->bits;

    for (int band = 0; band < index->n_bands; band++) {
        uint32_t key = band_key(index, bits, band);
        const Entry *entries = index->entries + (size_t)band * index->n;
        const Entry *entry = first_with(entries, index->n, key);

        for (; entry < entries + index->n && entry->key == key; entry++) {
            const TrainLook *other = &search->looks[entry->picture];
            TrainTwin *twin = &search->twins[entry->picture];
            int n_bits = __builtin_popcountll(other->bits ^ bits);

            if (n_bits <= search->max_bits && twin->index == TRAIN_NO_TWIN &&
                comes_before(search, picture, entry->picture) && correlate(look, other, mirrored))
                *twin = (TrainTwin){picture, n_bits};
        }
    }
}

typedef struct {
    uint64_t hash;
    uint32_t picture;
} Held;

static int compare_held(const void *a, const void *b)
{
    uint64_t x = ((const Held *)a)->hash, y = ((const Held *)b)->hash;

    return x < y ? -1 : x > y;
}

// The pictures that are held back, in the order in which a growing share takes them.
static size_t list_held(const TrainLook *looks, size_t n, size_t n_fixed, double share, Held *held)
{
    size_t n_held = 0;

    for (; n_held < n_fixed; n_held++)
        held[n_held] = (Held){0, (uint32_t)n_held};
    for (size_t i = n_fixed; i < n; i++) {
        TrainPicture picture = {.hash = looks[i].hash};

        if (train_picture_held_back(&picture, share))
            held[n_held++] = (Held){looks[i].hash, (uint32_t)i};
    }
    qsort(held + n_fixed, n_held - n_fixed, sizeof *held, compare_held);
    return n_held;
}

bool train_look_twins(const TrainLook *looks, size_t n, size_t n_fixed, double held_back,
                      int max_bits, TrainTwin *twins, GError **error)
{
    const Search search = {looks, twins, n_fixed, CLAMP(max_bits, 0, TRAIN_LOOK_MAX_BITS)};
    Index index = {NULL, n, search.max_bits + 1};
    Held *held = cz_memory_alloc(MAX(n, 1) * sizeof *held, "pictures held back", error);
    bool ok = held && build(&index, looks, error);
    size_t n_held = ok ? list_held(looks, n, n_fixed, held_back, held) : 0;

    for (size_t i = 0; i < n; i++)
        twins[i] = (TrainTwin){TRAIN_NO_TWIN, 0};
    for (size_t i = 0; i < n_held; i++) {
        uint32_t picture = held[i].picture;

        if (twins[picture].index != TRAIN_NO_TWIN)
            continue;
        mark(&search, &index, picture, FALSE);
        mark(&search, &index, picture, TRUE);
    }
    cz_memory_free(index.entries);
    cz_memory_free(held);
    return ok;
}
