// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of figures (figures.def) and what they are computed from.
#pragma once

#include "edges.h"
#include "eye.h"
#include "picture.h"

typedef enum {
#define FIGURE(id, ...) TRAIN_##id,
#include "figures.def"
#undef FIGURE
    TRAIN_N_FIGURES
} TrainFigureId;

typedef enum { TRAIN_MORE, TRAIN_LESS, TRAIN_AS_TRUTH, TRAIN_TELLS } TrainBetter;
typedef enum { TRAIN_FIDELITY, TRAIN_COLOUR, TRAIN_EDGES, TRAIN_N_PLACES } TrainFigurePlace;

// One output beside its truth, and all that the figures share.
typedef struct {
    TrainEye *eye;                    // borrowed; NULL: its figures are left out
    const TrainImage *truth, *output; // borrowed
    double psnr_grey;
    float *true_lab, *lab, *scratch; // 3, 3 and 1 floats a pixel; one allocation
    TrainSight true_sight, sight;
    TrainEdges edges;
    double reduced; // share of the pixels, 0 to 1
    double seconds; // for a megapixel; NaN: nothing was computed
} TrainLook;

// Means over a set; features in rows of TRAIN_EYE_VALUES.
typedef struct {
    const double *means;
    size_t n;
    const float *true_features, *features; // NULL: no eye
} TrainTotals;

typedef struct {
    const char *key, *head, *unit;
    int digits;
    TrainBetter better;
    double (*picture)(const TrainLook *look); // one of the two is NULL
    double (*set)(const TrainTotals *totals);
    TrainFigurePlace place;
    const char *about;
} TrainFigure;

extern const TrainFigure train_figures[TRAIN_N_FIGURES];

// "higher is better" and so on.
const char *train_better_name(TrainBetter better);
// All figures, a line each, for --help. The caller frees.
char *train_figures_help(void);
