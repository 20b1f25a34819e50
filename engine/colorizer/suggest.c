// SPDX-License-Identifier: LGPL-3.0-or-later
// Colors to choose from for a place: the network's own, those it takes for likely beside, those of
// places that look alike, paler and more vivid ones, and the hues that are left.
#include "colorizer/private.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/hints.h>
#include <cz/memory.h>

// Two suggestions are at least this apart: less does not look like a choice.
#define LEAST_DISTANCE 5.0f
// Colors of like places are counted in squares of a*b*, of this size, this many each way from grey.
#define SQUARE    5.0f
#define N_SQUARES 25
// A color of like places must have this share of all, and there are at most so many.
#define LEAST_SHARE 0.02f
#define MOST_LIKE   4
// A mode of the classes must have this share of all, and there are at most so many.
#define LEAST_MODE 0.05f
#define MOST_MODES 4
// Hues all around, at a part of what the gamut holds: nobody wants sRGB's own corners.
#define N_HUES        12
#define HUE_SHARE     0.6f
#define MOST_CHROMA   45.0f
#define PREDICTED_MIN 6.0f // chroma below which the prediction has no hue worth the name

// What looks like the place, wherever it is and whatever color it got. Unrelated places are 1.4
// apart in features, so that they weigh a hundredth.
static const CzHintKernel alike = {.feature = 0.5f,
                                   .place = 8,
                                   .lightness = 20,
                                   .chroma = 1e6f,
                                   .bold = 1,
                                   .sharper = 1,
                                   .near_place = 1};

typedef struct {
    float l;
    float (*ab)[2];
    size_t n, n_max;
} Choice;

// Appends a color unless there is one like it already.
static void add(Choice *choice, float a, float b)
{
    float lab[3] = {choice->l, a, b};
    cz_lab_into_gamut(lab, 1);
    for (size_t i = 0; i < choice->n; i++) {
        const float other[3] = {choice->l, choice->ab[i][0], choice->ab[i][1]};
        if (cz_delta_e_2000(lab, other) < LEAST_DISTANCE)
            return;
    }
    if (choice->n == choice->n_max)
        return;
    choice->ab[choice->n][0] = lab[1];
    choice->ab[choice->n++][1] = lab[2];
}

// ---- colors of places that look alike -----------------------------------------------------------

typedef struct {
    float weight, a, b; // a, b: weighted sums
} Square;

static int square_of(float value)
{
    int at = (int)floorf(value / SQUARE + 0.5f) + N_SQUARES / 2;
    return CLAMP(at, 0, N_SQUARES - 1);
}

// The heaviest square and its neighbours, which are then empty. FALSE: too light to count.
static bool take_heaviest(Square *squares, float least, float ab[2])
{
    int most = 0;
    float weight = 0, a = 0, b = 0;
    for (int i = 1; i < N_SQUARES * N_SQUARES; i++)
        if (squares[i].weight > squares[most].weight)
            most = i;
    int x = most % N_SQUARES, y = most / N_SQUARES;
    for (int j = MAX(y - 1, 0); j <= MIN(y + 1, N_SQUARES - 1); j++)
        for (int i = MAX(x - 1, 0); i <= MIN(x + 1, N_SQUARES - 1); i++) {
            Square *square = &squares[j * N_SQUARES + i];
            weight += square->weight;
            a += square->a;
            b += square->b;
            memset(square, 0, sizeof *square);
        }
    if (!(weight > least))
        return false;
    ab[0] = a / weight;
    ab[1] = b / weight;
    return true;
}

// Without memory there are no such colors, but others.
static void add_alike(Choice *choice, const CzGround *ground, const CzDab *dab)
{
    const CzField *field = &ground->field;
    size_t n = (size_t)field->width * field->height;
    float *likeness = cz_memory_alloc(n * sizeof(float), "what looks alike", NULL), sum = 0, ab[2];
    Square squares[N_SQUARES * N_SQUARES] = {0};
    if (!likeness || !cz_hints_likeness(ground, dab, &alike, likeness, NULL))
        n = 0;
    for (size_t i = 0; i < n; i++) {
        const float *c = field->c + 2 * i;
        Square *square = &squares[square_of(c[1]) * N_SQUARES + square_of(c[0])];
        square->weight += likeness[i];
        square->a += likeness[i] * c[0];
        square->b += likeness[i] * c[1];
        sum += likeness[i];
    }
    for (int i = 0; n > 0 && i < MOST_LIKE && take_heaviest(squares, LEAST_SHARE * sum, ab); i++)
        add(choice, ab[0], ab[1]);
    cz_memory_free(likeness);
}

// ---- classes ------------------------------------------------------------------------------------

// The shares are those of the training's loss, in which rare colors count more
// (training/classes.h), and are left so: what is common, greyish mostly, the prediction and the
// grey below offer already. Divided by the balance they bring the truth no nearer than no head does
// (bench_hints suggest, 15 colors: 5.9 units of a*b* as they are, 6.1 divided, 6.0 without a head).
static void add_modes(Choice *choice, const CzClassMap *classes, const CzDab *dab)
{
    float shares[CZ_N_CLASSES];
    CzClassMode modes[MOST_MODES];
    if (!cz_class_map_shares(classes, (double)dab->x, (double)dab->y, shares))
        return;
    size_t n = cz_class_modes(shares, LEAST_MODE, modes, MOST_MODES);
    for (size_t i = 0; i < n; i++)
        add(choice, modes[i].ab[0], modes[i].ab[1]);
}

// ---- hues ---------------------------------------------------------------------------------------

static void add_hue(Choice *choice, float hue)
{
    float most[3] = {choice->l, 200 * cosf(hue), 200 * sinf(hue)};
    cz_lab_into_gamut(most, 1);
    float chroma = MIN(HUE_SHARE * hypotf(most[1], most[2]), MOST_CHROMA);
    add(choice, chroma * cosf(hue), chroma * sinf(hue));
}

// Those near the first hue first, on both sides in turn.
static void add_hues(Choice *choice, float hue)
{
    const float step = 2 * (float)G_PI / N_HUES;
    for (int i = 0; i < N_HUES; i++) {
        int away = i % 2 ? (i + 1) / 2 : -(i / 2);
        add_hue(choice, hue + step * (float)away);
    }
}

size_t cz_chroma_suggest(const CzChroma *chroma, double x, double y, double l, float (*ab)[2],
                         size_t n_max)
{
    if (!isfinite(x + y + l) || n_max == 0)
        return 0;
    Choice choice = {.l = (float)CLAMP(l, 0, 100), .ab = ab, .n_max = n_max};
    const CzDab dab = {(float)CLAMP(x, 0, 1), (float)CLAMP(y, 0, 1), choice.l, 0, 0, 1};
    float predicted[2], a, b;
    cz_hints_predicted(&chroma->ground, &dab, predicted);
    a = predicted[0];
    b = predicted[1];
    add(&choice, a, b);
    add_modes(&choice, &chroma->classes, &dab);
    add_alike(&choice, &chroma->ground, &dab);
    add(&choice, 1.6f * a, 1.6f * b);
    add(&choice, 2.5f * a, 2.5f * b);
    add(&choice, 0.5f * a, 0.5f * b);
    add(&choice, 0, 0);
    // Skin, wood, earth and paper make up most of what is painted by hand where nothing is known.
    add_hues(&choice, hypotf(a, b) > PREDICTED_MIN ? atan2f(b, a) : (float)G_PI / 3);
    return choice.n;
}
