// SPDX-License-Identifier: LGPL-3.0-or-later
// A look at a run while it goes on.
#include "validate.h"

#include <errno.h>
#include <stdio.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "scores.h"
#include "sheet.h"

#define MAX_PICTURES 40
#define SIDE         192 // most pictures of a set are no larger

typedef struct {
    TrainImage pictures[MAX_PICTURES], outputs[MAX_PICTURES];
    size_t n;
} Look;

static int descending(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static char *sheet_path(const char *folder, int64_t step)
{
    g_autofree char *name = g_strdup_printf("%09" G_GINT64_FORMAT ".png", step);
    return g_build_filename(folder, name, NULL);
}

// The same pictures each time, held back from training and as they are, never mirrored: the first
// `most` of those that validation looks at.
static bool load(Look *look, const TrainRunOptions *options, size_t most, GError **error)
{
    size_t n;
    bool done = true;
    g_autofree uint32_t *held =
        train_set_split(options->set, options->recipe->validation, true, &n);
    size_t all = MIN(n, (size_t)MAX_PICTURES);
    look->n = MIN(all, most);
    for (size_t i = 0; done && i < look->n; i++) {
        size_t at = i * all / look->n; // a sheet alone shows what it shows at validations
        TrainPicture picture = train_set_picture(options->set, held[at * n / all]);
        done = train_image_evaluation(picture.rgb, picture.width, picture.height, SIDE,
                                      &look->pictures[i], error);
    }
    return done;
}

// Leaves the newest in sheets/, by their numbers.
static void thin_out(const char *folder, int32_t n_kept)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GArray) steps = g_array_new(FALSE, FALSE, sizeof(int64_t));
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        char *end;
        int64_t step = g_ascii_strtoll(name, &end, 10);
        if (end != name && strcmp(end, ".png") == 0)
            g_array_append_val(steps, step);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_array_sort(steps, descending);
    for (guint i = (guint)n_kept; i < steps->len; i++) {
        g_autofree char *path = sheet_path(folder, g_array_index(steps, int64_t, i));
        g_unlink(path);
    }
}

static bool keep_sheet(TrainSheet *sheet, const TrainRunOptions *options, int64_t step,
                       GError **error)
{
    g_autofree char *folder = g_build_filename(options->folder, "sheets", NULL);
    g_autofree char *path = sheet_path(folder, step);
    if (options->recipe->keep_sheets == 0)
        return true;
    if (g_mkdir_with_parents(folder, 0777) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot make the folder %s: %s", folder,
                    g_strerror(errno));
        return false;
    }
    bool done = train_sheet_save(sheet, path, error);
    thin_out(folder, options->recipe->keep_sheets);
    return done;
}

static bool draw(const Look *look, const TrainRunOptions *options, int64_t step, GError **error)
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
        size_t at = i * look->n / n; // evenly, so that every kind of picture is there
        const TrainImage *rows[] = {&grey, &look->outputs[at], &look->pictures[at]};
        done = train_image_grey(&look->pictures[at], &grey, error);
        for (int row = 0; done && row < 3; row++)
            train_sheet_put(sheet, row, (int)i, rows[row]->rgb, rows[row]->width,
                            rows[row]->height);
    }
    return done && train_sheet_save(sheet, path, error) && keep_sheet(sheet, options, step, error);
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

static void clear(Look *look)
{
    for (size_t i = 0; i < MAX_PICTURES; i++) {
        train_image_clear(&look->pictures[i]);
        train_image_clear(&look->outputs[i]);
    }
}

// A sheet that cannot be written is told, and no reason to stop training.
static void show(const Look *look, const TrainRunOptions *options, TrainLog *log, int64_t step)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(options->folder, "sheet.png", NULL);
    if (!draw(look, options, step, &error))
        fprintf(stderr, "colorizer train: %s\n", error->message);
    else if (look->n > 0 && options->recipe->sheet_pictures > 0)
        train_log_sheet(log, step, path);
}

static bool examine(const TrainRunOptions *options, TrainLog *log, int64_t step, size_t most,
                    TrainScores *mean, GError **error)
{
    Look look = {.n = 0};
    g_autofree char *weights = g_build_filename(options->folder, "ema.safetensors", NULL);
    const double strength = 1;
    const TrainMeasure measure = {
        .weights = weights, .device = options->device, .strengths = &strength, .n_strengths = 1};
    bool done = load(&look, options, most, error);
    if (done && look.n > 0)
        done = train_scores_measure(&measure, look.pictures, look.n, mean, look.outputs, look.n,
                                    error);
    if (done)
        show(&look, options, log, step);
    clear(&look);
    return done;
}

bool train_validate(const TrainRunOptions *options, TrainLog *log, int64_t step, TrainScores *mean,
                    GError **error)
{
    *mean = (TrainScores){.n = 0};
    if (!examine(options, log, step, MAX_PICTURES, mean, error))
        return false;
    if (mean->n > 0)
        tell(log, step, mean);
    return true;
}

bool train_show(const TrainRunOptions *options, TrainLog *log, int64_t step, GError **error)
{
    TrainScores unheard = {.n = 0};
    return examine(options, log, step, (size_t)options->recipe->sheet_pictures, &unheard, error);
}
