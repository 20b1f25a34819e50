// SPDX-License-Identifier: LGPL-3.0-or-later
// From pictures to a row of the table.
#include "scores.h"

#include <string.h>

#include "metrics.h"
#include "worn.h"

void train_scores_add(TrainScores *scores, const TrainImage *truth, const TrainImage *grey,
                      const TrainImage *output)
{
    int32_t w = truth->width, h = truth->height;
    scores->n++;
    scores->psnr += train_psnr(truth->rgb, output->rgb, w, h);
    scores->psnr_grey += train_psnr(truth->rgb, grey->rgb, w, h);
    scores->ssim += train_ssim(truth->rgb, output->rgb, w, h);
    scores->ssim_grey += train_ssim(truth->rgb, grey->rgb, w, h);
    scores->delta_e += train_delta_e(truth->rgb, output->rgb, w, h);
    scores->delta_e_grey += train_delta_e(truth->rgb, grey->rgb, w, h);
    scores->colourfulness += train_colourfulness(output->rgb, w, h);
    scores->colourfulness_true += train_colourfulness(truth->rgb, w, h);
}

TrainScores train_scores_mean(const TrainScores *sums)
{
    TrainScores mean = *sums;
    double n = (double)MAX(sums->n, 1);
    double *const fields[] = {
        &mean.psnr,    &mean.psnr_grey,    &mean.ssim,          &mean.ssim_grey,
        &mean.delta_e, &mean.delta_e_grey, &mean.colourfulness, &mean.colourfulness_true,
        &mean.seconds};
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        *fields[i] /= n;
    return mean;
}

static bool colorize_worn(CzColorizer *colorizer, const TrainImage *picture, size_t number,
                          double strength, TrainImage *out, GError **error)
{
    g_auto(TrainImage) old = {0}, colored = {0};
    return train_worn_make(picture, number, &old, error) &&
           train_image_colorize(colorizer, &old, strength, &colored, error) &&
           train_worn_recolor(picture, &colored, out, error);
}

bool train_scores_measure(const char *weights, const char *device, double strength, bool worn,
                          const TrainImage *pictures, size_t n, TrainImage *outputs,
                          size_t n_outputs, TrainScores *mean, GError **error)
{
    const CzColorizerOptions options = {.weights = weights, .device = device};
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, error);
    TrainScores sums = {0};
    bool done = colorizer != NULL;
    for (size_t i = 0; done && i < n; i++) {
        g_auto(TrainImage) grey = {0}, output = {0};
        gint64 began = g_get_monotonic_time();
        done = worn ? colorize_worn(colorizer, &pictures[i], i, strength, &output, error)
                    : train_image_colorize(colorizer, &pictures[i], strength, &output, error);
        sums.seconds += (double)(g_get_monotonic_time() - began) * 1e-6;
        done = done && train_image_grey(&pictures[i], &grey, error);
        if (!done)
            break;
        train_scores_add(&sums, &pictures[i], &grey, &output);
        if (i < n_outputs) {
            train_image_clear(&outputs[i]);
            outputs[i] = output;
            memset(&output, 0, sizeof output);
        }
    }
    *mean = train_scores_mean(&sums);
    return done;
}
