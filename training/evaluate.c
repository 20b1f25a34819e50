// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer evaluate: weights files side by side on the same pictures, as a table, JSON and sheet.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <cz/error.h>
#include <cz/model.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "decode.h"
#include "hints.h"
#include "list.h"
#include "scores.h"
#include "set.h"
#include "sheet.h"

#define MAX_WEIGHTS    16
#define SHEET_PICTURES 12
#define MAX_CELL       512

typedef struct {
    char **data, **weights, *json, *sheet, *device, *hints;
    int size, limit, threads;
    double strength, reach;
    gboolean worn;
} Arguments;

// One row of the table; rows for the grey and the true pictures frame those of the weights.
typedef struct {
    const char *name;
    TrainScores scores;
    TrainHints hints; // n = 0: not asked for
    TrainImage outputs[SHEET_PICTURES];
} Row;

typedef struct {
    const Arguments *arguments;
    GArray *pictures; // of TrainImage
    size_t refused;
} Pictures;

static void clear_image(gpointer image)
{
    train_image_clear(image);
}

static bool add_picture(Pictures *pictures, const uint8_t *rgb, int32_t width, int32_t height,
                        GError **error)
{
    TrainImage image = {0};
    if (!train_image_evaluation(rgb, width, height, pictures->arguments->size, &image, error))
        return false;
    g_array_append_val(pictures->pictures, image);
    return true;
}

// A picture that cannot be read is counted and named, the others go on.
static bool visit(void *user, const TrainCandidate *candidate, GError **error)
{
    Pictures *pictures = user;
    g_autoptr(GError) local = NULL;
    TrainPhoto photo = {0};
    const char *problem = candidate->problem;
    if (!problem && !train_decode_memory(&photo, candidate->bytes, candidate->n_bytes,
                                         candidate->name, NULL, &local))
        problem = local->message;
    if (problem) {
        fprintf(stderr, "colorizer evaluate: left out: %s\n", problem);
        pictures->refused++;
        return true;
    }
    bool done = add_picture(pictures, photo.rgb, photo.width, photo.height, error);
    train_photo_clear(&photo);
    return done;
}

static bool read_set(Pictures *pictures, const char *path, GError **error)
{
    g_autoptr(TrainSet) set = train_set_open(path, error);
    bool done = set != NULL;
    for (size_t i = 0; done && i < train_set_n(set); i++) {
        TrainPicture picture = train_set_picture(set, i);
        done = add_picture(pictures, picture.rgb, picture.width, picture.height, error);
    }
    return done;
}

static bool read_pictures(Pictures *pictures, GError **error)
{
    for (char **path = pictures->arguments->data; *path; path++) {
        const char *one[] = {*path};
        // A broken set should be told as one, not as a picture of no known format.
        bool set = train_set_is(*path) || g_str_has_suffix(*path, ".set");
        bool done = set ? read_set(pictures, *path, error)
                        : train_list_visit(one, 1, visit, pictures, error);
        if (!done)
            return false;
    }
    if (pictures->pictures->len == 0)
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "there is no picture in what --data names");
    return pictures->pictures->len > 0;
}

// --limit takes pictures at even distances, so that every class of a sorted archive is there.
static void thin_out(Pictures *pictures)
{
    guint n = pictures->pictures->len, limit = (guint)pictures->arguments->limit;
    if (limit == 0 || n <= limit)
        return;
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(TrainImage));
    for (guint i = 0; i < n; i++) {
        TrainImage *image = &g_array_index(pictures->pictures, TrainImage, i);
        if (kept->len < limit && i == (guint)((guint64)kept->len * n / limit)) {
            g_array_append_val(kept, *image);
            memset(image, 0, sizeof *image);
        }
    }
    g_array_unref(pictures->pictures);
    pictures->pictures = kept;
    g_array_set_clear_func(kept, clear_image);
}

static void print_table(const Row *rows, size_t n_rows)
{
    printf("%-28s %8s %8s %7s %7s %7s %7s %7s %6s\n", "weights", "PSNR dB", "gain dB", "SSIM",
           "dE00", "CF", "CF %", "dCF", "s/MP");
    for (size_t i = 0; i < n_rows; i++) {
        const TrainScores *s = &rows[i].scores;
        printf("%-28s %8.2f %+8.2f %7.4f %7.2f %7.2f %7.1f %7.2f %6.2f\n", rows[i].name, s->psnr,
               s->psnr - s->psnr_grey, s->ssim, s->delta_e, s->colourfulness,
               100 * s->colourfulness / MAX(s->colourfulness_true, 1e-9),
               fabs(s->colourfulness - s->colourfulness_true), s->seconds);
    }
}

static void print_hints(const Row *rows, size_t n_rows)
{
    const TrainHints *asked = &rows[1].hints;
    if (asked->n == 0)
        return;
    printf("\n%-28s", "gain over no hint, dB");
    for (size_t i = 0; i < asked->n; i++)
        printf(" %7d", asked->counts[i]);
    for (size_t r = 1; r + 1 < n_rows; r++) {
        printf("\n%-28s", rows[r].name);
        for (size_t i = 0; i < asked->n; i++)
            printf(" %+7.2f", rows[r].hints.gains[i]);
    }
    printf("\n");
}

// An object of number of hints to gain.
static json_t *hints_json(const TrainHints *hints)
{
    json_t *gains = json_object();
    for (size_t i = 0; i < hints->n; i++) {
        char number[16];
        g_snprintf(number, sizeof number, "%d", hints->counts[i]);
        json_object_set_new(gains, number, json_real(hints->gains[i]));
    }
    return gains;
}

static bool write_json(const char *path, const Row *rows, size_t n_rows, int size, GError **error)
{
    json_t *root = json_pack(
        "{s:i, s:I, s:s, s:[]}", "size", size, "pictures", (json_int_t)rows[0].scores.n, "protocol",
        "shorter side to size (area down, bicubic up), centre square, 8 bit", "rows");
    for (size_t i = 0; i < n_rows; i++) {
        const TrainScores *s = &rows[i].scores;
        char *name = g_utf8_make_valid(rows[i].name, -1); // JSON takes nothing else
        json_t *row =
            json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "weights", name, "psnr_db",
                      s->psnr, "gain_over_grey_db", s->psnr - s->psnr_grey, "ssim_rgb", s->ssim,
                      "delta_e_2000", s->delta_e, "colourfulness", s->colourfulness,
                      "colourfulness_true", s->colourfulness_true, "delta_cf_of_means",
                      fabs(s->colourfulness - s->colourfulness_true));
        if (rows[i].hints.n > 0)
            json_object_set_new(row, "hint_gain_db", hints_json(&rows[i].hints));
        json_array_append_new(json_object_get(root, "rows"), row);
        g_free(name);
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
    bool done = cz_file_replace(path, text, strlen(text), error);
    free(text);
    json_decref(root);
    return done;
}

static bool write_sheet(const char *path, const Row *rows, size_t n_rows, const Pictures *pictures,
                        GError **error)
{
    guint n = MIN(pictures->pictures->len, SHEET_PICTURES);
    const char *labels[MAX_WEIGHTS + 2];
    for (size_t r = 0; r < n_rows; r++)
        labels[r] = rows[r].name;
    g_autoptr(TrainSheet) sheet = train_sheet_new((int)n_rows, labels, (int)n,
                                                  MIN(pictures->arguments->size, MAX_CELL), error);
    for (size_t r = 0; sheet && r < n_rows; r++)
        for (guint i = 0; i < n; i++) {
            const TrainImage *image = &rows[r].outputs[i];
            if (image->rgb)
                train_sheet_put(sheet, (int)r, (int)i, image->rgb, image->width, image->height);
        }
    return sheet && train_sheet_save(sheet, path, error);
}

// Strength 0 is the grey picture: it goes through the same measurement as everything else.
static bool measure_ends(Row *grey, Row *truth, const Pictures *pictures, GError **error)
{
    const TrainImage *all = (const TrainImage *)(const void *)pictures->pictures->data;
    TrainScores sums_grey = {0}, sums_truth = {0};
    for (guint i = 0; i < pictures->pictures->len; i++) {
        g_auto(TrainImage) image = {0};
        if (!train_image_grey(&all[i], &image, error))
            return false;
        train_scores_add(&sums_grey, &all[i], &image, &image);
        train_scores_add(&sums_truth, &all[i], &image, &all[i]);
        if (i < SHEET_PICTURES) {
            grey->outputs[i] = image;
            truth->outputs[i] = all[i]; // borrowed: see clear_rows()
            memset(&image, 0, sizeof image);
        }
    }
    grey->scores = train_scores_mean(&sums_grey);
    truth->scores = train_scores_mean(&sums_truth);
    return true;
}

// The sheet shows pictures at even distances: outputs of exactly those are kept.
static void spread(Pictures *pictures)
{
    GArray *all = pictures->pictures;
    for (guint i = 0; i < MIN(all->len, SHEET_PICTURES); i++) {
        guint from = (guint)((guint64)i * all->len / MIN(all->len, SHEET_PICTURES));
        TrainImage *a = &g_array_index(all, TrainImage, i),
                   *b = &g_array_index(all, TrainImage, from), swap = *a;
        *a = *b;
        *b = swap;
    }
}

static void clear_rows(Row *rows, size_t n_rows)
{
    for (size_t r = 0; r + 1 < n_rows; r++) // the last row's pictures are borrowed
        for (int i = 0; i < SHEET_PICTURES; i++)
            train_image_clear(&rows[r].outputs[i]);
}

static bool evaluate(const Arguments *arguments, Pictures *pictures, Row *rows, size_t n_rows,
                     GError **error)
{
    if (!train_vips_start(error) || !read_pictures(pictures, error))
        return false;
    thin_out(pictures);
    spread(pictures);
    const TrainImage *all = (const TrainImage *)(const void *)pictures->pictures->data;
    if (!measure_ends(&rows[0], &rows[n_rows - 1], pictures, error))
        return false;
    for (size_t i = 1; i + 1 < n_rows; i++) {
        const char *path = arguments->weights ? arguments->weights[i - 1] : NULL;
        if (!train_scores_measure(path, arguments->device, arguments->strength, arguments->worn,
                                  all, pictures->pictures->len, rows[i].outputs, SHEET_PICTURES,
                                  &rows[i].scores, error))
            return false;
        if (arguments->hints &&
            (!train_hints_parse(&rows[i].hints, arguments->hints) ||
             !train_hints_measure(&rows[i].hints, path, arguments->device, arguments->reach, all,
                                  pictures->pictures->len, error)))
            return false;
        rows[i].scores.seconds *= 1e6 / ((double)all[0].width * all[0].height);
    }
    print_table(rows, n_rows);
    print_hints(rows, n_rows);
    return (!arguments->json ||
            write_json(arguments->json, rows, n_rows, arguments->size, error)) &&
           (!arguments->sheet || write_sheet(arguments->sheet, rows, n_rows, pictures, error));
}

static int run(const Arguments *arguments)
{
    GError *error = NULL;
    size_t n_weights = arguments->weights ? g_strv_length(arguments->weights) : 1,
           n_rows = n_weights + 2;
    Row rows[MAX_WEIGHTS + 2] = {0};
    Pictures pictures = {.arguments = arguments,
                         .pictures = g_array_new(FALSE, FALSE, sizeof(TrainImage))};
    g_array_set_clear_func(pictures.pictures, clear_image);
    rows[0].name = "grey";
    for (size_t i = 0; i < n_weights; i++)
        rows[i + 1].name = arguments->weights ? arguments->weights[i] : "bundled";
    rows[n_rows - 1].name = "truth";
    cz_threads_set(arguments->threads);
    bool done = evaluate(arguments, &pictures, rows, n_rows, &error);
    if (done && pictures.refused)
        printf("%zu pictures left out\n", pictures.refused);
    clear_rows(rows, n_rows);
    g_array_unref(pictures.pictures);
    return done ? TRAIN_OK : train_cli_fail("evaluate", &error);
}

static int check(const Arguments *a)
{
    if (!a->data)
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--data is needed; see colorizer evaluate --help");
    if (a->size < 16 || a->size > 4096)
        return train_cli_tell("evaluate", TRAIN_USAGE, "--size is %d, allowed is 16 to 4096",
                              a->size);
    if (a->limit < 0 || a->threads < 0 || a->threads > 1024)
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--limit is at least 0, --threads 0 to 1024");
    if (a->weights && g_strv_length(a->weights) > MAX_WEIGHTS)
        return train_cli_tell("evaluate", TRAIN_USAGE, "at most %d weights files at once",
                              MAX_WEIGHTS);
    TrainHints hints;
    if (a->hints && !train_hints_parse(&hints, a->hints))
        return train_cli_tell(
            "evaluate", TRAIN_USAGE,
            "--hints is '%s', expected up to %d numbers from 1 to %d, as in 1,5,10", a->hints,
            TRAIN_HINTS_MOST_COUNTS, TRAIN_HINTS_MOST);
    if (!(a->reach >= 0 && a->reach <= 1))
        return train_cli_tell("evaluate", TRAIN_USAGE, "--reach is %g, allowed is 0 to 1",
                              a->reach);
    return TRAIN_OK;
}

int train_command_evaluate(int argc, char **argv)
{
    Arguments a = {.size = 256, .strength = 1, .reach = 0.5};
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.data, "True pictures (may be repeated)",
         "SET|FOLDER|TAR"},
        {"weights", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.weights,
         "Weights (may be repeated; default: bundled)", "FILE"},
        {"size", 0, 0, G_OPTION_ARG_INT, &a.size,
         "Side of the square that is compared (default: 256)", "PX"},
        {"limit", 0, 0, G_OPTION_ARG_INT, &a.limit,
         "At most so many pictures, evenly chosen (default: all)", "N"},
        {"strength", 0, 0, G_OPTION_ARG_DOUBLE, &a.strength, "Factor on chroma (default: 1)", "S"},
        {"worn", 0, 0, G_OPTION_ARG_NONE, &a.worn,
         "Show the networks the pictures as if they were old: plates, fading, grain, blur, JPEG",
         NULL},
        {"hints", 0, 0, G_OPTION_ARG_STRING, &a.hints,
         "Also tell what so many hints gain: 6 x 6 pixels of true color at random places",
         "1,5,10,50"},
        {"reach", 0, 0, G_OPTION_ARG_DOUBLE, &a.reach, "How far a hint reaches (default: 0.5)",
         "R"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N", "D"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &a.json, "Write the table as JSON", "FILE"},
        {"sheet", 0, 0, G_OPTION_ARG_FILENAME, &a.sheet,
         "Write 12 pictures in rows grey, outputs, truth", "FILE.png"},
        {NULL},
    };
    if (!train_cli_parse(
            &argc, &argv, entries, NULL,
            "Colorizes pictures from their L* alone and compares them with the truth: PSNR (RGB, 8 "
            "bit), "
            "gain over the grey picture, SSIM (RGB), CIEDE2000, colourfulness CF (Hasler & "
            "Suesstrunk, "
            "signed), its share of the truth's, dCF (of the means), seconds a megapixel."))
        return TRAIN_USAGE;
    int status = argc > 1 ? train_cli_tell("evaluate", TRAIN_USAGE,
                                           "'%s' belongs to no option; see colorizer evaluate "
                                           "--help",
                                           argv[1])
                          : check(&a);
    status = status == TRAIN_OK ? run(&a) : status;
    g_strfreev(a.data);
    g_strfreev(a.weights);
    g_free(a.json);
    g_free(a.sheet);
    g_free(a.device);
    g_free(a.hints);
    return status;
}
