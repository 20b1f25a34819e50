// SPDX-License-Identifier: LGPL-3.0-or-later
// Looks, sums, and the loop over the pictures.
#include "scores.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/memory.h>

#include "metrics.h"
#include "worn.h"

// ---- one picture --------------------------------------------------------------------------------

static void to_lab(const TrainImage *image, float *lab)
{
    size_t n = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < 3 * n; i++)
        lab[i] = (float)image->rgb[i] / 255;
    cz_rgb_to_lab(lab, lab, n);
}

bool train_look_begin(TrainLook *look, TrainEye *eye, const TrainImage *truth,
                      const TrainImage *grey, GError **error)
{
    size_t n = (size_t)truth->width * (size_t)truth->height;
    train_look_clear(look);
    look->eye = eye;
    look->truth = truth;
    look->true_lab = cz_memory_alloc(7 * n * sizeof *look->true_lab, "a picture", error);
    if (!look->true_lab)
        return false;
    look->lab = look->true_lab + 3 * n;
    look->scratch = look->lab + 3 * n;
    look->psnr_grey = train_psnr(truth->rgb, grey->rgb, truth->width, truth->height);
    to_lab(truth, look->true_lab);
    return !eye || train_eye_see(eye, truth, &look->true_sight, error);
}

bool train_look_at(TrainLook *look, const TrainImage *output, GError **error)
{
    look->output = output;
    look->reduced = 0;
    look->seconds = NAN;
    to_lab(output, look->lab);
    look->edges = train_edges(look->lab, output->width, output->height, look->scratch);
    return !look->eye || train_eye_see(look->eye, output, &look->sight, error);
}

void train_look_clear(TrainLook *look)
{
    cz_memory_free(look->true_lab);
    train_sight_clear(&look->true_sight);
    train_sight_clear(&look->sight);
    memset(look, 0, sizeof *look);
}

// ---- sums ---------------------------------------------------------------------------------------

struct TrainTally {
    size_t n;
    double sums[TRAIN_N_FIGURES];
    GArray *true_features, *features; // of float
};

TrainTally *train_tally_new(void)
{
    TrainTally *tally = g_new0(TrainTally, 1);
    tally->true_features = g_array_new(FALSE, FALSE, sizeof(float));
    tally->features = g_array_new(FALSE, FALSE, sizeof(float));
    return tally;
}

void train_tally_free(TrainTally *tally)
{
    if (!tally)
        return;
    g_array_unref(tally->true_features);
    g_array_unref(tally->features);
    g_free(tally);
}

void train_tally_add(TrainTally *tally, const TrainLook *look)
{
    tally->n++;
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++)
        if (train_figures[i].picture)
            tally->sums[i] += train_figures[i].picture(look);
    if (!look->eye)
        return;
    g_array_append_vals(tally->true_features, look->true_sight.summary, TRAIN_EYE_VALUES);
    g_array_append_vals(tally->features, look->sight.summary, TRAIN_EYE_VALUES);
}

TrainScores train_tally_finish(const TrainTally *tally)
{
    TrainScores scores = {.n = tally->n};
    bool seen = tally->n > 0 && tally->features->len == tally->n * TRAIN_EYE_VALUES;
    const TrainTotals totals = {
        .means = scores.values,
        .n = tally->n,
        .true_features = seen ? (const float *)(const void *)tally->true_features->data : NULL,
        .features = seen ? (const float *)(const void *)tally->features->data : NULL};
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++)
        scores.values[i] = tally->sums[i] / (double)tally->n;
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++)
        if (train_figures[i].set)
            scores.values[i] = train_figures[i].set(&totals);
    return scores;
}

// ---- weights over a set -------------------------------------------------------------------------

typedef struct {
    const TrainMeasure *measure;
    CzColorizer *colorizer;
    TrainTally **tallies; // one for each strength
    TrainImage *outputs;
    size_t n_outputs;
} Measuring;

static double seconds_since(gint64 began)
{
    return (double)(g_get_monotonic_time() - began) * 1e-6;
}

// What the network gives for seen, at a strength, on the lightness of truth.
static bool apply(const Measuring *measuring, const CzChroma *chroma, const TrainImage *seen,
                  const TrainImage *truth, double strength, TrainImage *out, GError **error)
{
    g_auto(TrainImage) colored = {0};
    if (seen == truth)
        return train_image_apply(chroma, measuring->colorizer, truth, strength, out, error);
    return train_image_apply(chroma, measuring->colorizer, seen, strength, &colored, error) &&
           train_worn_recolor(truth, &colored, out, error);
}

static bool measure_strengths(Measuring *measuring, size_t number, const CzChroma *chroma,
                              const TrainImage *seen, double predict_s, TrainLook *look,
                              GError **error)
{
    double megapixels = (double)seen->width * seen->height * 1e-6;
    for (size_t i = 0; i < measuring->measure->n_strengths; i++) {
        g_auto(TrainImage) output = {0};
        double strength = measuring->measure->strengths[i];
        gint64 began = g_get_monotonic_time();
        if (!apply(measuring, chroma, seen, look->truth, strength, &output, error))
            return false;
        double apply_s = seconds_since(began);
        if (!train_look_at(look, &output, error))
            return false;
        look->seconds = (predict_s + apply_s) / megapixels;
        look->reduced = train_image_reduced(chroma, seen, strength);
        train_tally_add(measuring->tallies[i], look);
        if (number < measuring->n_outputs) {
            TrainImage *kept = &measuring->outputs[i * measuring->n_outputs + number];
            train_image_clear(kept);
            *kept = output;
            memset(&output, 0, sizeof output);
        }
    }
    return true;
}

static bool measure_frontier(Measuring *measuring, const CzChroma *chroma, const TrainImage *seen,
                             const TrainLook *look, GError **error)
{
    const TrainImage *truth = look->truth;
    TrainFrontier *frontier = measuring->measure->frontier;
    g_auto(TrainImage) output = {0};
    for (size_t i = 0; frontier && i < TRAIN_FRONTIER_STEPS; i++) {
        if (!apply(measuring, chroma, seen, truth, train_frontier_strength(i), &output, error))
            return false;
        train_frontier_add(frontier, i, truth, &output, look->psnr_grey);
    }
    return true;
}

// Hints come last: they change the chroma. They are asked for on the true lightness.
static bool measure_hints(Measuring *measuring, CzChroma *chroma, const TrainImage *seen,
                          const TrainImage *truth, size_t n, GError **error)
{
    TrainHints *hints = measuring->measure->hints;
    if (!hints)
        return true;
    g_autoptr(CzChroma) own =
        seen == truth ? NULL : train_image_predict(measuring->colorizer, truth, error);
    CzChroma *used = seen == truth ? chroma : own;
    return used && train_hints_add(hints, measuring->colorizer, used, truth, n, error);
}

static bool measure_picture(Measuring *measuring, const TrainImage *truth, size_t number, size_t n,
                            TrainLook *look, GError **error)
{
    const TrainMeasure *measure = measuring->measure;
    g_auto(TrainImage) grey = {0}, old = {0};
    const TrainImage *seen = measure->worn ? &old : truth;
    if (!train_image_grey(truth, &grey, error) ||
        (measure->worn && !train_worn_make(truth, train_image_hash(truth), &old, error)) ||
        !train_look_begin(look, measure->eye, truth, &grey, error))
        return false;
    gint64 began = g_get_monotonic_time();
    g_autoptr(CzChroma) chroma = train_image_predict(measuring->colorizer, seen, error);
    double predict_s = seconds_since(began);
    return chroma && measure_strengths(measuring, number, chroma, seen, predict_s, look, error) &&
           measure_frontier(measuring, chroma, seen, look, error) &&
           measure_hints(measuring, chroma, seen, truth, n, error);
}

bool train_scores_measure(const TrainMeasure *measure, const TrainImage *pictures, size_t n,
                          TrainScores *scores, TrainImage *outputs, size_t n_outputs,
                          GError **error)
{
    const CzColorizerOptions options = {.weights = measure->weights, .device = measure->device};
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, error);
    Measuring measuring = {measure, colorizer, g_new0(TrainTally *, measure->n_strengths), outputs,
                           outputs ? n_outputs : 0};
    TrainLook look = {0};
    bool done = colorizer != NULL;
    for (size_t i = 0; i < measure->n_strengths; i++)
        measuring.tallies[i] = train_tally_new();
    for (size_t i = 0; done && i < n; i++)
        done = measure_picture(&measuring, &pictures[i], i, n, &look, error);
    for (size_t i = 0; i < measure->n_strengths; i++) {
        scores[i] = train_tally_finish(measuring.tallies[i]);
        train_tally_free(measuring.tallies[i]);
    }
    train_look_clear(&look);
    g_free(measuring.tallies);
    return done;
}
