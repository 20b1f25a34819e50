// SPDX-License-Identifier: LGPL-3.0-or-later
// A look at a run while it goes on.
#include "validate.h"

#include <stdio.h>

#include "scores.h"
#include "sheet.h"

#define MAX_PICTURES 40
#define SIDE         192 // most pictures of a set are no larger

typedef struct {
    TrainImage pictures[MAX_PICTURES], outputs[MAX_PICTURES];
    size_t n;
} Look;

static bool load(Look *look, const TrainRunOptions *options, GError **error)
{
    size_t n;
    bool done = true;
    g_autofree uint32_t *held =
        train_set_split(options->set, options->recipe->validation, true, &n);
    look->n = MIN(n, (size_t)MAX_PICTURES);
    for (size_t i = 0; done && i < look->n; i++) {
        TrainPicture picture = train_set_picture(options->set, held[i * n / look->n]);
        done = train_image_evaluation(picture.rgb, picture.width, picture.height, SIDE,
                                      &look->pictures[i], error);
    }
    return done;
}

static bool draw(const Look *look, const TrainRunOptions *options, GError **error)
{
    static const char *const labels[] = {"grey", "output", "truth"};
    size_t n = MIN(look->n, (size_t)options->recipe->sheet_pictures);
    g_autofree char *path = g_build_filename(options->folder, "sheet.png", NULL);
    if (n == 0)
        return true;
    g_autoptr(TrainSheet) sheet = train_sheet_new(3, labels, (int)n, SIDE, error);
    bool done = sheet != NULL;
    for (size_t i = 0; done && i < n; i++) {
        g_auto(TrainImage) grey = {0};
        const TrainImage *rows[] = {&grey, &look->outputs[i], &look->pictures[i]};
        done = train_image_grey(&look->pictures[i], &grey, error);
        for (int row = 0; done && row < 3; row++)
            train_sheet_put(sheet, row, (int)i, rows[row]->rgb, rows[row]->width,
                            rows[row]->height);
    }
    return done && train_sheet_save(sheet, path, error);
}

static void tell(TrainLog *log, int64_t step, const TrainScores *scores)
{
    double gain = scores->values[TRAIN_GAIN], share = scores->values[TRAIN_CF_SHARE];
    double ssim = scores->values[TRAIN_SSIM], delta_e = scores->values[TRAIN_DELTA_E];
    const TrainCell figures[] = {{"pictures", (double)scores->n},
                                 {"gain_db", gain},
                                 {"colourfulness_percent", share},
                                 {"ssim", ssim},
                                 {"delta_e_2000", delta_e}};
    train_log_validation(log, step, figures, G_N_ELEMENTS(figures));
    printf(
        "validation on %zu pictures: gain %+.2f dB, colourfulness %.0f %%, SSIM %.4f, dE00 %.2f\n",
        scores->n, gain, share, ssim, delta_e);
    fflush(stdout);
}

bool train_validate(const TrainRunOptions *options, TrainLog *log, int64_t step, TrainScores *mean,
                    GError **error)
{
    Look look = {.n = 0};
    TrainScores scores = {.n = 0};
    g_autofree char *weights = g_build_filename(options->folder, "ema.safetensors", NULL);
    bool done = load(&look, options, error);
    const double strength = 1;
    const TrainMeasure measure = {
        .weights = weights, .device = options->device, .strengths = &strength, .n_strengths = 1};
    if (done && look.n > 0)
        done = train_scores_measure(&measure, look.pictures, look.n, &scores, look.outputs, look.n,
                                    error) &&
               draw(&look, options, error);
    if (done && look.n > 0)
        tell(log, step, &scores);
    *mean = scores;
    for (size_t i = 0; i < MAX_PICTURES; i++) {
        train_image_clear(&look.pictures[i]);
        train_image_clear(&look.outputs[i]);
    }
    return done;
}
