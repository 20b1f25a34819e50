// SPDX-License-Identifier: LGPL-3.0-or-later
// From a painted picture to dabs, in two steps.
//
// Pixels are summed into spots, in a table of bounded size: a spot is a small square of the
// picture, a range of colors and a range of L*. When the table fills up, all three become coarser.
// Then spots close to each other in all three are joined, with a radius that grows until there are
// few enough.
#include "colorizer/private.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/hints.h>
#include <cz/memory.h>

// Pixels of a band: a hint picture is four floats a pixel, the photograph three.
#define BAND (1 << 18)
// Slots of the table, and how many may be taken.
#define N_SLOTS 16384
#define LIMIT   (N_SLOTS / 4 * 3)

// Sizes of spots at first: in shorter sides, a*b*, L*.
#define SPOT_SIDE (1.0f / 128)
#define SPOT_AB   12.0f
#define SPOT_L    25.0f
// Radii in which spots are joined at first: a few places of the network's features.
#define JOIN_SIDE (1.0f / 20)
#define JOIN_AB   10.0f
#define JOIN_L    30.0f

typedef struct {
    int32_t key[5];       // of place, color and L*
    float most;           // alpha
    double weight;        // 0: the slot is free
    double x, y, l, a, b; // weighted sums; x and y in shorter sides
} Spot;

typedef struct {
    const CzPhoto *photo;
    const CzHintPicture *picture;
    Spot *slots, *spare; // N_SLOTS each
    size_t n;
    float coarseness;                       // factor on the sizes of spots
    float shorter;                          // side, in pixels
    float *rgba, *rgb, *hint_lab, *photo_l; // a band, a band, a row of hinted pixels
    int32_t *columns;                       // of these
} Gatherer;

// ---- the table ----------------------------------------------------------------------------------

static int32_t bin(double value, float size)
{
    return (int32_t)CLAMP(floor(value / size), INT32_MIN, INT32_MAX);
}

static void spot_key(const Gatherer *g, Spot *spot)
{
    double scale = 1 / spot->weight;
    spot->key[0] = bin(spot->x * scale, SPOT_SIDE * g->coarseness);
    spot->key[1] = bin(spot->y * scale, SPOT_SIDE * g->coarseness);
    spot->key[2] = bin(spot->a * scale, SPOT_AB * g->coarseness);
    spot->key[3] = bin(spot->b * scale, SPOT_AB * g->coarseness);
    spot->key[4] = bin(spot->l * scale, SPOT_L * g->coarseness);
}

static size_t slot_of(const Spot *spot)
{
    guint32 hash = 2166136261u; // FNV-1a
    for (size_t i = 0; i < G_N_ELEMENTS(spot->key); i++)
        hash = (hash ^ (guint32)spot->key[i]) * 16777619u;
    return (hash ^ hash >> 15) % N_SLOTS;
}

static void spot_add(Spot *to, const Spot *spot)
{
    to->weight += spot->weight;
    to->most = MAX(to->most, spot->most);
    to->x += spot->x;
    to->y += spot->y;
    to->l += spot->l;
    to->a += spot->a;
    to->b += spot->b;
}

static void table_add(Gatherer *g, Spot *spot)
{
    spot_key(g, spot);
    size_t i = slot_of(spot);
    while (g->slots[i].weight > 0 && memcmp(g->slots[i].key, spot->key, sizeof spot->key) != 0)
        i = (i + 1) % N_SLOTS;
    if (g->slots[i].weight > 0) {
        spot_add(&g->slots[i], spot);
        return;
    }
    g->slots[i] = *spot;
    g->n++;
}

static void make_coarser(Gatherer *g)
{
    Spot *full = g->slots;
    g->slots = g->spare;
    g->spare = full;
    g->n = 0;
    g->coarseness *= 1.5f;
    memset(g->slots, 0, N_SLOTS * sizeof *g->slots);
    for (size_t i = 0; i < N_SLOTS; i++)
        if (full[i].weight > 0)
            table_add(g, &full[i]);
}

// ---- reading ------------------------------------------------------------------------------------

// Picks the hinted pixels of a row; their number.
static int32_t pick(const Gatherer *g, const float *rgba)
{
    int32_t n = 0;
    for (int32_t x = 0; x < g->photo->width; x++) {
        const float *pixel = rgba + 4 * (size_t)x;
        if (!(pixel[3] > 0) || !isfinite(pixel[0] + pixel[1] + pixel[2] + pixel[3]))
            continue;
        memcpy(g->hint_lab + 3 * (size_t)n, pixel, 3 * sizeof *pixel);
        g->columns[n++] = x;
    }
    return n;
}

static void add_row(Gatherer *g, int32_t y, const float *rgba, const float *rgb)
{
    int32_t n = pick(g, rgba);
    if (n == 0)
        return;
    cz_rgb_to_lab(g->hint_lab, g->hint_lab, n);
    cz_rgb_to_lightness(g->photo_l, rgb, g->photo->width);
    for (int32_t i = 0; i < n; i++) {
        int32_t x = g->columns[i];
        float l = g->photo_l[x], alpha = MIN(rgba[4 * (size_t)x + 3], 1);
        Spot spot = {.most = alpha,
                     .weight = alpha,
                     .x = alpha * (x + 0.5) / g->shorter,
                     .y = alpha * (y + 0.5) / g->shorter,
                     .l = alpha * (l > 0 ? MIN(l, 100) : 0),
                     .a = alpha * g->hint_lab[3 * (size_t)i + 1],
                     .b = alpha * g->hint_lab[3 * (size_t)i + 2]};
        table_add(g, &spot);
        while (g->n > LIMIT)
            make_coarser(g);
    }
}

static bool row_has_hints(const float *rgba, int32_t width)
{
    for (int32_t x = 0; x < width; x++)
        if (rgba[4 * (size_t)x + 3] > 0)
            return true;
    return false;
}

// One band: of the photograph only the rows from the first hint to the last are read.
static bool read_band(Gatherer *g, int32_t y, int32_t n_rows, GError **error)
{
    size_t width = g->photo->width;
    int32_t first = 0, last = n_rows;
    if (!g->picture->read_rows(g->picture->user, y, n_rows, g->rgba, error))
        return false;
    while (first < n_rows && !row_has_hints(g->rgba + 4 * first * width, (int32_t)width))
        first++;
    while (last > first && !row_has_hints(g->rgba + 4 * (last - 1) * width, (int32_t)width))
        last--;
    if (first == last)
        return true;
    if (!g->photo->read_rows(g->photo->user, y + first, last - first, g->rgb, error))
        return false;
    for (int32_t i = first; i < last; i++)
        add_row(g, y + i, g->rgba + 4 * i * width, g->rgb + 3 * (i - first) * width);
    return true;
}

static bool read_all(Gatherer *g, int32_t band, const CzProgress *progress, GError **error)
{
    int32_t height = g->photo->height;
    for (int32_t y = 0; y < height; y += band)
        if (!cz_progress_report(progress, (double)y / height, error) ||
            !read_band(g, y, MIN(band, height - y), error))
            return false;
    return cz_progress_report(progress, 1, error);
}

// ---- joining ------------------------------------------------------------------------------------

// Squared, where 1 is the radius.
static double distance(const Spot *p, const Spot *q)
{
    double u = 1 / p->weight, v = 1 / q->weight;
    double dx = (p->x * u - q->x * v) / JOIN_SIDE, dy = (p->y * u - q->y * v) / JOIN_SIDE;
    double da = (p->a * u - q->a * v) / JOIN_AB, db = (p->b * u - q->b * v) / JOIN_AB;
    double dl = (p->l * u - q->l * v) / JOIN_L;
    return dx * dx + dy * dy + da * da + db * db + dl * dl;
}

// Every spot goes to the first group within the radius, or begins one. SIZE_MAX: too many groups.
static size_t join(const Spot *slots, double radius, Spot *groups)
{
    size_t n = 0;
    for (size_t i = 0; i < N_SLOTS; i++) {
        if (!(slots[i].weight > 0))
            continue;
        size_t j = 0;
        while (j < n && distance(&slots[i], &groups[j]) > radius * radius)
            j++;
        if (j < n) {
            spot_add(&groups[j], &slots[i]);
            continue;
        }
        if (n == CZ_MAX_DABS)
            return SIZE_MAX;
        groups[n++] = slots[i];
    }
    return n;
}

static size_t make_dabs(const Gatherer *g, CzDab *dabs)
{
    Spot groups[CZ_MAX_DABS];
    size_t n = SIZE_MAX;
    for (double radius = 1; n == SIZE_MAX; radius *= 1.4)
        n = join(g->slots, radius, groups);
    for (size_t i = 0; i < n; i++) {
        const Spot *group = &groups[i];
        double scale = 1 / group->weight;
        dabs[i] = (CzDab){.x = (float)(group->x * scale * g->shorter / g->photo->width),
                          .y = (float)(group->y * scale * g->shorter / g->photo->height),
                          .l = (float)(group->l * scale),
                          .a = (float)(group->a * scale),
                          .b = (float)(group->b * scale),
                          .weight = group->most};
    }
    return n;
}

// ---- the whole ----------------------------------------------------------------------------------

static void gatherer_clear(Gatherer *g)
{
    void *const memory[] = {g->slots,    g->spare,   g->rgba,   g->rgb,
                            g->hint_lab, g->photo_l, g->columns};
    for (size_t i = 0; i < G_N_ELEMENTS(memory); i++)
        cz_memory_free(memory[i]);
}

static bool gatherer_init(Gatherer *g, int32_t band, GError **error)
{
    size_t width = g->photo->width, n = width * band;
    g->slots = cz_memory_alloc(N_SLOTS * sizeof(Spot), "spots of hints", error);
    g->spare = g->slots ? cz_memory_alloc(N_SLOTS * sizeof(Spot), "spots of hints", error) : NULL;
    g->rgba = g->spare ? cz_memory_alloc(n * 4 * sizeof(float), "rows of hints", error) : NULL;
    g->rgb = g->rgba ? cz_memory_alloc(n * 3 * sizeof(float), "rows under hints", error) : NULL;
    g->hint_lab = g->rgb ? cz_memory_alloc(width * 3 * sizeof(float), "a row", error) : NULL;
    g->photo_l = g->hint_lab ? cz_memory_alloc(width * sizeof(float), "a row", error) : NULL;
    g->columns = g->photo_l ? cz_memory_alloc(width * sizeof(int32_t), "a row", error) : NULL;
    if (!g->columns)
        return false;
    memset(g->slots, 0, N_SLOTS * sizeof(Spot));
    return true;
}

bool cz_dabs_gather(const CzPhoto *photo, const CzHintPicture *picture, const CzProgress *progress,
                    CzDab *dabs, size_t *n_dabs, GError **error)
{
    if (photo->width < 1 || photo->height < 1) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "a photograph of %d x %d pixels is empty",
                    photo->width, photo->height);
        return false;
    }
    Gatherer g = {.photo = photo,
                  .picture = picture,
                  .coarseness = 1,
                  .shorter = (float)MIN(photo->width, photo->height)};
    int32_t band = CLAMP(BAND / photo->width, 1, photo->height);
    bool good = gatherer_init(&g, band, error) && read_all(&g, band, progress, error);
    if (good)
        *n_dabs = make_dabs(&g, dabs);
    gatherer_clear(&g);
    return good;
}
