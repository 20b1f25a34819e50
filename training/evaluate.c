// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer evaluate: weights files side by side on the same pictures, as a table, JSON and sheet.
#include <stdio.h>
#include <string.h>

#include <cz/error.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "decode.h"
#include "hint_plot.h"
#include "list.h"
#include "report.h"
#include "set.h"
#include "sheet.h"

#define MAX_WEIGHTS    16
#define MAX_STRENGTHS  16
#define MAX_ROWS       (MAX_WEIGHTS * MAX_STRENGTHS + 2)
#define SHEET_PICTURES 12
#define MAX_CELL       512
#define ENCODER_KEY    "COLORIZE_ENCODER"

typedef struct {
    char **data, **weights, *json, *sheet, *device, *hints, *hint_curve, *hint_places, *strengths;
    char *encoder;
    int size, limit, threads;
    double strength, reach, held_back;
    gboolean worn, frontier;
    double list[MAX_STRENGTHS]; // from strengths, or strength alone
    size_t n_list;
    TrainHints wanted; // n = 0: none
} Arguments;

// Rows of the table: grey, the weights at each strength, truth; beside each its first pictures.
typedef struct {
    size_t n;
    TrainRow rows[MAX_ROWS];
    TrainImage outputs[MAX_ROWS][SHEET_PICTURES];
} Table;

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
    double share = pictures->arguments->held_back;
    for (size_t i = 0; done && i < train_set_n(set); i++) {
        TrainPicture picture = train_set_picture(set, i);
        if (share > 0 && !train_picture_held_back(&picture, share))
            continue;
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
        if (!set && pictures->arguments->held_back > 0) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "--held-back is about sets that were trained on, and %s is none", *path);
            return false;
        }
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

static bool write_sheet(const char *path, const Table *table, const Pictures *pictures,
                        GError **error)
{
    guint n = MIN(pictures->pictures->len, SHEET_PICTURES);
    const char *labels[MAX_ROWS];
    for (size_t r = 0; r < table->n; r++)
        labels[r] = table->rows[r].label;
    g_autoptr(TrainSheet) sheet = train_sheet_new((int)table->n, labels, (int)n,
                                                  MIN(pictures->arguments->size, MAX_CELL), error);
    for (size_t r = 0; sheet && r < table->n; r++)
        for (guint i = 0; i < n; i++) {
            const TrainImage *image = &table->outputs[r][i];
            if (image->rgb)
                train_sheet_put(sheet, (int)r, (int)i, image->rgb, image->width, image->height);
        }
    return sheet && train_sheet_save(sheet, path, error);
}

// A line for each weights file, at its first strength.
static bool write_hint_curve(const char *path, const Table *table, GError **error)
{
    const TrainHints *hints[MAX_WEIGHTS];
    const char *names[MAX_WEIGHTS];
    size_t n = 0;
    for (size_t r = 0; r < table->n; r++)
        if (table->rows[r].hints.n > 0) {
            names[n] = table->rows[r].weights;
            hints[n++] = &table->rows[r].hints;
        }
    return train_hint_plot(path, hints, names, n, error);
}

static const TrainImage *all_of(const Pictures *pictures)
{
    return (const TrainImage *)(const void *)pictures->pictures->data;
}

static bool add_ends(const TrainImage *truth, TrainImage *grey, TrainEye *eye, TrainLook *look,
                     TrainTally *const tallies[2], GError **error)
{
    if (!train_image_grey(truth, grey, error) || !train_look_begin(look, eye, truth, grey, error) ||
        !train_look_at(look, grey, error))
        return false;
    train_tally_add(tallies[0], look);
    if (!train_look_at(look, truth, error))
        return false;
    train_tally_add(tallies[1], look);
    return true;
}

// The grey and the true picture go through the same measurement as everything else.
static bool measure_ends(Table *table, const Pictures *pictures, TrainEye *eye, GError **error)
{
    g_autoptr(TrainTally) greys = train_tally_new(), truths = train_tally_new();
    TrainTally *const tallies[2] = {greys, truths};
    TrainLook look = {0};
    bool done = true;
    for (guint i = 0; done && i < pictures->pictures->len; i++) {
        const TrainImage *truth = &all_of(pictures)[i];
        g_auto(TrainImage) grey = {0};
        done = add_ends(truth, &grey, eye, &look, tallies, error);
        if (done && i < SHEET_PICTURES) {
            table->outputs[0][i] = grey;
            table->outputs[table->n - 1][i] = *truth; // borrowed: see clear_table()
            memset(&grey, 0, sizeof grey);
        }
    }
    table->rows[0].scores = train_tally_finish(greys);
    table->rows[table->n - 1].scores = train_tally_finish(truths);
    train_look_clear(&look);
    return done;
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

static void name_rows(Table *table, const Arguments *a)
{
    size_t n_weights = a->weights ? g_strv_length(a->weights) : 1, r = 0;
    table->rows[r++] = (TrainRow){.label = g_strdup("grey"), .weights = "grey"};
    for (size_t i = 0; i < n_weights; i++)
        for (size_t k = 0; k < a->n_list; k++) {
            const char *name = a->weights ? a->weights[i] : "bundled";
            table->rows[r++] =
                (TrainRow){.label = a->n_list > 1 ? g_strdup_printf("%s x%g", name, a->list[k])
                                                  : g_strdup(name),
                           .weights = name,
                           .strength = a->list[k]};
        }
    table->rows[r++] = (TrainRow){.label = g_strdup("truth"), .weights = "truth"};
    table->n = r;
}

static void clear_table(Table *table)
{
    for (size_t r = 0; r < table->n; r++) {
        g_free(table->rows[r].label);
        for (int i = 0; r + 1 < table->n && i < SHEET_PICTURES; i++) // the last row's are borrowed
            train_image_clear(&table->outputs[r][i]);
    }
    g_free(table);
}

// The rows of one weights file, from row first on; what belongs to the file stands in the first.
static bool measure_weights(Table *table, size_t first, const Pictures *pictures, TrainEye *eye,
                            GError **error)
{
    const Arguments *a = pictures->arguments;
    TrainRow *row = &table->rows[first];
    TrainScores scores[MAX_STRENGTHS];
    const TrainMeasure measure = {.weights = a->weights ? row->weights : NULL,
                                  .device = a->device,
                                  .eye = eye,
                                  .strengths = a->list,
                                  .n_strengths = a->n_list,
                                  .worn = a->worn,
                                  .frontier = a->frontier ? &row->frontier : NULL,
                                  .hints = a->wanted.n > 0 ? &row->hints : NULL};
    row->hints = a->wanted;
    if (!train_scores_measure(&measure, all_of(pictures), pictures->pictures->len, scores,
                              table->outputs[first], SHEET_PICTURES, error))
        return false;
    for (size_t k = 0; k < a->n_list; k++)
        row[k].scores = scores[k];
    return true;
}

static bool open_eye(const Arguments *a, TrainEye **eye, GError **error)
{
    const char *path = a->encoder ? a->encoder : g_getenv(ENCODER_KEY);
    *eye = NULL;
    if (path && g_str_equal(path, "none"))
        return true;
    if (!path) {
        train_cli_tell("evaluate", TRAIN_OK,
                       "no pretrained encoder, so that LPIPS-like and Frechet are left out: "
                       "--encoder names its file");
        return true;
    }
    *eye = train_eye_open(path, a->device, error);
    return *eye != NULL;
}

static bool evaluate(const Arguments *a, Pictures *pictures, Table *table, GError **error)
{
    g_autoptr(TrainEye) eye = NULL;
    if (!train_vips_start(error) || !open_eye(a, &eye, error) || !read_pictures(pictures, error))
        return false;
    thin_out(pictures);
    spread(pictures);
    if (!measure_ends(table, pictures, eye, error))
        return false;
    for (size_t first = 1; first + 1 < table->n; first += a->n_list)
        if (!measure_weights(table, first, pictures, eye, error))
            return false;
    train_table_print(table->rows, table->n);
    return (!a->json || train_table_write(a->json, table->rows, table->n, a->size, error)) &&
           (!a->sheet || write_sheet(a->sheet, table, pictures, error)) &&
           (!a->hint_curve || write_hint_curve(a->hint_curve, table, error));
}

static int run(const Arguments *arguments)
{
    GError *error = NULL;
    Table *table = g_new0(Table, 1);
    Pictures pictures = {.arguments = arguments,
                         .pictures = g_array_new(FALSE, FALSE, sizeof(TrainImage))};
    g_array_set_clear_func(pictures.pictures, clear_image);
    name_rows(table, arguments);
    cz_threads_set(arguments->threads);
    bool done = evaluate(arguments, &pictures, table, &error);
    if (done && pictures.refused)
        printf("%zu pictures left out\n", pictures.refused);
    clear_table(table);
    g_array_unref(pictures.pictures);
    return done ? TRAIN_OK : train_cli_fail("evaluate", &error);
}

// ---- options ------------------------------------------------------------------------------------

static bool parse_strengths(Arguments *a)
{
    g_auto(GStrv) parts =
        a->strengths ? g_strsplit(a->strengths, ",", MAX_STRENGTHS + 1) : g_new0(char *, 1);
    a->n_list = g_strv_length(parts);
    if (!a->strengths)
        a->list[a->n_list++] = a->strength;
    bool good = a->n_list >= 1 && a->n_list <= MAX_STRENGTHS;
    for (size_t i = 0; good && a->strengths && i < a->n_list; i++) {
        char *end = NULL;
        a->list[i] = g_ascii_strtod(g_strstrip(parts[i]), &end);
        good = end != parts[i] && *end == '\0';
    }
    for (size_t i = 0; good && i < a->n_list; i++)
        good = a->list[i] >= 0 && a->list[i] <= 2;
    return good;
}

static int check_hints(Arguments *a)
{
    const char *list = a->hints ? a->hints : a->hint_curve ? TRAIN_HINTS_CURVE : NULL;
    const char *places = a->hint_places ? a->hint_places : "uniform";
    bool normal = g_str_equal(places, "normal");
    if (list && !train_hints_parse(&a->wanted, list))
        return train_cli_tell(
            "evaluate", TRAIN_USAGE,
            "--hints is '%s', expected up to %d numbers from 1 to %d, as in 1,5,10", a->hints,
            TRAIN_HINTS_MOST_COUNTS, TRAIN_HINTS_MOST);
    if (!normal && !g_str_equal(places, "uniform"))
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--hint-places is '%s', expected uniform or normal", places);
    if (!(a->reach >= 0 && a->reach <= 1))
        return train_cli_tell("evaluate", TRAIN_USAGE, "--reach is %g, allowed is 0 to 1",
                              a->reach);
    a->wanted.places = normal ? TRAIN_PLACES_NORMAL : TRAIN_PLACES_UNIFORM;
    a->wanted.reach = a->reach;
    return TRAIN_OK;
}

static int check(Arguments *a)
{
    if (!a->data)
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--data is needed; see colorizer evaluate --help");
    if (a->size < 16 || a->size > 4096)
        return train_cli_tell("evaluate", TRAIN_USAGE, "--size is %d, allowed is 16 to 4096",
                              a->size);
    if (!(a->held_back >= 0 && a->held_back <= 0.5))
        return train_cli_tell("evaluate", TRAIN_USAGE, "--held-back is %g, allowed is 0 to 0.5",
                              a->held_back);
    if (a->limit < 0 || a->threads < 0 || a->threads > 1024)
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--limit is at least 0, --threads 0 to 1024");
    if (a->weights && g_strv_length(a->weights) > MAX_WEIGHTS)
        return train_cli_tell("evaluate", TRAIN_USAGE, "at most %d weights files at once",
                              MAX_WEIGHTS);
    if (!parse_strengths(a))
        return train_cli_tell("evaluate", TRAIN_USAGE,
                              "--strength and --strengths: expected 1 to %d numbers from 0 to 2, "
                              "as in 1,1.15,1.3",
                              MAX_STRENGTHS);
    return check_hints(a);
}

static void free_arguments(Arguments *a)
{
    char *const texts[] = {a->json,       a->sheet,       a->device,    a->hints,
                           a->hint_curve, a->hint_places, a->strengths, a->encoder};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(a->data);
    g_strfreev(a->weights);
}

int train_command_evaluate(int argc, char **argv)
{
    Arguments a = {.size = 256, .strength = 1, .reach = 0.5};
    // clang-format off
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.data, "True pictures (may be repeated)", "SET|FOLDER|TAR"},
        {"weights", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.weights, "Weights (may be repeated; default: bundled)", "FILE"},
        {"size", 0, 0, G_OPTION_ARG_INT, &a.size, "Side of the square that is compared (default: 256)", "PX"},
        {"held-back", 0, 0, G_OPTION_ARG_DOUBLE, &a.held_back,
         "Of a set, only what a training with data.validation=SHARE never sees", "SHARE"},
        {"limit", 0, 0, G_OPTION_ARG_INT, &a.limit, "At most so many pictures, evenly chosen (default: all)", "N"},
        {"strength", 0, 0, G_OPTION_ARG_DOUBLE, &a.strength, "Factor on chroma (default: 1)", "S"},
        {"strengths", 0, 0, G_OPTION_ARG_STRING, &a.strengths, "A row for each of these factors", "1,1.15,1.3"},
        {"frontier", 0, 0, G_OPTION_ARG_NONE, &a.frontier,
         "Also tell the gain at 60, 70, 80 and 90 % of the true colourfulness, which a factor on chroma brings about", NULL},
        {"worn", 0, 0, G_OPTION_ARG_NONE, &a.worn,
         "Show the networks the pictures as if they were old: plates, fading, grain, blur, JPEG", NULL},
        {"hints", 0, 0, G_OPTION_ARG_STRING, &a.hints,
         "Also tell what so many hints gain: 6 x 6 pixels of true color at random places", "1,5,10,50"},
        {"hint-curve", 0, 0, G_OPTION_ARG_FILENAME, &a.hint_curve,
         "Draw that beside SIGGRAPH17's published curve; default of --hints is then " TRAIN_HINTS_CURVE, "FILE.png"},
        {"hint-places", 0, 0, G_OPTION_ARG_STRING, &a.hint_places,
         "uniform (default), or normal: about the middle, as SIGGRAPH17's code draws them", "P"},
        {"reach", 0, 0, G_OPTION_ARG_DOUBLE, &a.reach, "How far a hint reaches (default: 0.5)", "R"},
        {"encoder", 0, 0, G_OPTION_ARG_FILENAME, &a.encoder,
         "Pretrained encoder for LPIPS-like and Frechet, or none (default: $" ENCODER_KEY ")", "FILE"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N, cuda:NAME", "D"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads, "Compute threads (default: free physical cores)", "N"},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &a.json, "Write the table as JSON", "FILE"},
        {"sheet", 0, 0, G_OPTION_ARG_FILENAME, &a.sheet, "Write 12 pictures in rows grey, outputs, truth", "FILE.png"},
        {NULL},
    };
    // clang-format on
    g_autofree char *figures = train_figures_help();
    g_autofree char *about = g_strconcat(
        "Colorizes pictures from their L* alone and compares them with the truth, 8 bit; grey and "
        "true pictures are the first and the last row.\n\n",
        figures, NULL);
    if (!train_cli_parse(&argc, &argv, entries, NULL, about))
        return TRAIN_USAGE;
    int status = argc > 1 ? train_cli_tell("evaluate", TRAIN_USAGE,
                                           "'%s' belongs to no option; see colorizer evaluate "
                                           "--help",
                                           argv[1])
                          : check(&a);
    status = status == TRAIN_OK ? run(&a) : status;
    free_arguments(&a);
    return status;
}
