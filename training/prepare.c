// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures into a set: what is taken, what is left out and why.
#include "prepare.h"

#include <stdio.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "cli.h"
#include "decode.h"
#include "lookalike.h"
#include "prepare_report.h"
#include "recipe.h"
#include "set.h"
#include "tint.h"

// A picture that was taken.
typedef struct {
    TrainLook look;
    size_t number, n_bytes;
    const char *name;
} Taken;

typedef struct {
    const TrainPrepareParams *params;
    TrainPrepareCounts *counts;
    TrainSetWriter *writer;
    GHashTable *hashes; // of the pictures taken, to their place among them
    GArray *taken;
    GArray *unlike; // of Taken, too: pictures of which none in the set may be a near-duplicate
    GStringChunk *names;
    size_t n; // pictures told of
} Prepare;

typedef struct {
    const char *word, *text;
    bool taken;
} Verdict;

static const Verdict verdicts[TRAIN_VERDICTS] = {
    [TRAIN_TAKEN] = {"taken", "taken", true},
    [TRAIN_BROKEN] = {"broken", "cannot be read", false},
    [TRAIN_TINY] = {"tiny", "too small", false},
    [TRAIN_GREY] = {"grey", "grey", false},
    [TRAIN_TINTED] = {"toned", "of one tint", false},
    [TRAIN_DUPLICATE] = {"duplicate", "seen before", false},
    [TRAIN_NEAR] = {"near-duplicate", "like one that is held back", false},
    [TRAIN_NEAR_TAKEN] = {"near-duplicate-kept", "like one that is held back, but taken", true},
    [TRAIN_PASSED_OVER] = {"passed-over", "passed over", false},
};

const char *train_verdict_text(TrainVerdict verdict)
{
    return verdicts[verdict].text;
}

const char *train_verdict_word(TrainVerdict verdict)
{
    return verdicts[verdict].word;
}

bool train_verdict_is_taken(TrainVerdict verdict)
{
    return verdicts[verdict].taken;
}

// A picture's verdict; its number is that of the last one told.
static void tell(Prepare *prepare, const char *name, TrainVerdict verdict, const char *detail)
{
    prepare->counts->n[verdict]++;
    if (prepare->params->report)
        prepare->params->report(prepare->params->user, prepare->n, name, verdict, detail);
    prepare->n++;
}

// ---- one picture --------------------------------------------------------------------------------

static bool take(Prepare *prepare, const TrainPicture *picture, GError **error)
{
    Taken taken = {.number = prepare->n,
                   .n_bytes = (size_t)picture->width * (size_t)picture->height * 3,
                   .name = g_string_chunk_insert(prepare->names, picture->name)};

    if (!train_look_make(&taken.look, picture, error) ||
        !train_set_writer_add(prepare->writer, picture, error))
        return FALSE;
    g_hash_table_insert(prepare->hashes, g_memdup2(&picture->hash, sizeof picture->hash),
                        GUINT_TO_POINTER(prepare->taken->len));
    g_array_append_val(prepare->taken, taken);
    prepare->counts->n_bytes += taken.n_bytes;
    tell(prepare, picture->name, TRAIN_TAKEN, NULL);
    return TRUE;
}

// Judges a decoded photo and writes it if it is good.
static bool judge(Prepare *prepare, const TrainPhoto *photo, const char *name, GError **error)
{
    g_autofree char *detail = NULL;
    TrainPicture picture = {photo->width, photo->height, 0, name, photo->rgb};
    gpointer twin;
    TrainTint tint;

    if (!photo->rgb) {
        detail = g_strdup_printf("%dx%d, the shorter side must have %d", photo->src_width,
                                 photo->src_height, TRAIN_MIN_SIDE);
        tell(prepare, name, TRAIN_TINY, detail);
        return TRUE;
    }
    if (!train_tint_measure(&tint, photo->rgb, photo->width, photo->height, error))
        return FALSE;
    if (tint.chroma < TRAIN_TINT_MIN_CHROMA || tint.spread < TRAIN_TINT_MIN_SPREAD) {
        detail = g_strdup_printf("mean chroma %.1f, spread %.1f", tint.chroma, tint.spread);
        tell(prepare, name, tint.chroma < TRAIN_TINT_MIN_CHROMA ? TRAIN_GREY : TRAIN_TINTED,
             detail);
        return TRUE;
    }
    picture.hash = train_picture_hash(photo->rgb, photo->width, photo->height);
    if (g_hash_table_lookup_extended(prepare->hashes, &picture.hash, NULL, &twin)) {
        detail = g_strdup_printf("the same pixels as '%s'",
                                 g_array_index(prepare->taken, Taken, GPOINTER_TO_UINT(twin)).name);
        tell(prepare, name, TRAIN_DUPLICATE, detail);
        return TRUE;
    }
    return take(prepare, &picture, error);
}

static bool visit(void *user, const TrainCandidate *candidate, GError **error)
{
    Prepare *prepare = user;
    const TrainDecodeParams decode = {prepare->params->side, TRAIN_MIN_SIDE};
    g_autoptr(GError) problem = NULL;
    TrainPhoto photo;
    bool ok;

    if (candidate->n_passed_over > 0) {
        prepare->counts->n[TRAIN_PASSED_OVER] += candidate->n_passed_over - 1; // tell: one more
        tell(prepare, candidate->name, TRAIN_PASSED_OVER, candidate->problem);
        return TRUE;
    }
    if (candidate->problem) {
        tell(prepare, candidate->name, TRAIN_BROKEN, candidate->problem);
        return TRUE;
    }
    if (!train_decode_memory(&photo, candidate->bytes, candidate->n_bytes, candidate->name, &decode,
                             &problem)) {
        if (g_error_matches(problem, CZ_ERROR, CZ_ERROR_MEMORY)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return FALSE;
        }
        tell(prepare, candidate->name, TRAIN_BROKEN, problem->message);
        return TRUE;
    }
    ok = judge(prepare, &photo, candidate->name, error);
    train_photo_clear(&photo);
    return ok;
}

// What cannot be read there can have no duplicate.
static bool visit_unlike(void *user, const TrainCandidate *candidate, GError **error)
{
    Prepare *prepare = user;
    const TrainDecodeParams decode = {.short_side = prepare->params->side};
    Taken other = {.name = g_string_chunk_insert(prepare->names, candidate->name)};
    g_autoptr(GError) problem = NULL;
    TrainPhoto photo;
    bool ok;

    if (candidate->problem)
        return TRUE;
    if (!train_decode_memory(&photo, candidate->bytes, candidate->n_bytes, candidate->name, &decode,
                             &problem)) {
        if (!g_error_matches(problem, CZ_ERROR, CZ_ERROR_MEMORY))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    const TrainPicture picture = {photo.width, photo.height, 0, other.name, photo.rgb};
    ok = train_look_make(&other.look, &picture, error);
    if (ok)
        g_array_append_val(prepare->unlike, other);
    train_photo_clear(&photo);
    return ok;
}

// ---- near-duplicates ----------------------------------------------------------------------------

// twin: its number among the looks.
static void tell_near(Prepare *prepare, const Taken *taken, const TrainTwin *twin)
{
    TrainVerdict verdict = prepare->params->keep_near ? TRAIN_NEAR_TAKEN : TRAIN_NEAR;
    guint n_unlike = prepare->unlike->len;
    bool here = twin->index >= n_unlike;
    const Taken *other = here ? &g_array_index(prepare->taken, Taken, twin->index - n_unlike)
                              : &g_array_index(prepare->unlike, Taken, twin->index);
    g_autofree char *detail =
        g_strdup_printf("looks like '%s', which is %s: %d of 64 bits differ", other->name,
                        here ? "held back" : "not to be trained on", twin->n_bits);

    prepare->counts->n[TRAIN_TAKEN]--;
    prepare->counts->n[verdict]++;
    if (verdict == TRAIN_NEAR)
        prepare->counts->n_bytes -= taken->n_bytes;
    if (prepare->params->report)
        prepare->params->report(prepare->params->user, taken->number, taken->name, verdict, detail);
}

// twins: of the pictures taken.
static void judge_twins(Prepare *prepare, const TrainTwin *twins, bool *keep)
{
    const Taken *taken = (const Taken *)prepare->taken->data;

    for (guint i = 0; i < prepare->taken->len; i++) {
        const TrainPicture picture = {.hash = taken[i].look.hash};

        keep[i] = twins[i].index == TRAIN_NO_TWIN || prepare->params->keep_near;
        if (twins[i].index != TRAIN_NO_TWIN)
            tell_near(prepare, &taken[i], &twins[i]);
        prepare->counts->n_held_back +=
            keep[i] && train_picture_held_back(&picture, prepare->params->held_back);
    }
}

static void list_looks(const Prepare *prepare, TrainLook *looks)
{
    for (guint i = 0; i < prepare->unlike->len; i++)
        *looks++ = g_array_index(prepare->unlike, Taken, i).look;
    for (guint i = 0; i < prepare->taken->len; i++)
        *looks++ = g_array_index(prepare->taken, Taken, i).look;
}

// Of pictures on both sides of the split that look alike, one goes again.
static bool part_twins(Prepare *prepare, GError **error)
{
    const TrainPrepareParams *params = prepare->params;
    size_t n_unlike = prepare->unlike->len, n = n_unlike + prepare->taken->len;
    TrainLook *looks = cz_memory_alloc(n * sizeof *looks, "looks of pictures", error);
    TrainTwin *twins =
        looks ? cz_memory_alloc(n * sizeof *twins, "pictures that look alike", error) : NULL;
    g_autofree bool *keep = g_new(bool, prepare->taken->len);
    bool ok = twins != NULL;

    if (ok) {
        list_looks(prepare, looks);
        ok = train_look_twins(looks, n, n_unlike, params->held_back, params->near_bits, twins,
                              error);
    }
    if (ok) {
        judge_twins(prepare, twins + n_unlike, keep);
        ok = prepare->counts->n[TRAIN_NEAR] == 0 ||
             train_set_writer_keep(prepare->writer, keep, error);
    }
    cz_memory_free(looks);
    cz_memory_free(twins);
    return ok;
}

static bool fill(Prepare *prepare, const char *const *paths, size_t n_paths, GError **error)
{
    const TrainPrepareParams *params = prepare->params;

    if (!train_list_visit(params->unlike, params->n_unlike, visit_unlike, prepare, error) ||
        !train_list_visit(paths, n_paths, visit, prepare, error))
        return FALSE;
    if (prepare->taken->len == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "no picture in colour was found; '%s' is not written", params->out);
        return FALSE;
    }
    return part_twins(prepare, error) && train_set_writer_finish(prepare->writer, error);
}

bool train_prepare_set(const TrainPrepareParams *params, const char *const *paths, size_t n_paths,
                       TrainPrepareCounts *counts, GError **error)
{
    Prepare prepare = {.params = params, .counts = counts};
    bool ok;

    *counts = (TrainPrepareCounts){0};
    if (!train_vips_start(error))
        return FALSE;
    if (g_file_test(params->out, G_FILE_TEST_IS_REGULAR) && !train_set_is(params->out)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "%s is there already and is no set: it is left as it is", params->out);
        return FALSE;
    }
    prepare.writer = train_set_writer_new(params->out, error);
    if (!prepare.writer)
        return FALSE;
    prepare.hashes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    prepare.taken = g_array_new(FALSE, FALSE, sizeof(Taken));
    prepare.unlike = g_array_new(FALSE, FALSE, sizeof(Taken));
    prepare.names = g_string_chunk_new(1 << 14);
    ok = fill(&prepare, paths, n_paths, error);
    train_set_writer_free(prepare.writer);
    g_hash_table_unref(prepare.hashes);
    g_array_unref(prepare.taken);
    g_array_unref(prepare.unlike);
    g_string_chunk_free(prepare.names);
    return ok;
}

// ---- the subcommand -----------------------------------------------------------------------------

typedef struct {
    char *out, *report, *near, **unlike;
    int side, near_bits;
    double held_back;
    gboolean verbose;
} Arguments;

typedef struct {
    TrainReport *report;
    bool verbose, terminal;
    size_t n;
} Teller;

static void report(void *user, size_t number, const char *name, TrainVerdict verdict,
                   const char *detail)
{
    Teller *self = user;

    self->n++;
    train_report_add(self->report, number, name, verdict, detail);
    if (self->verbose && detail)
        printf("%s: %s (%s)\n", name, train_verdict_text(verdict), detail);
    else if (self->verbose)
        printf("%s: %s\n", name, train_verdict_text(verdict));
    else if (verdict == TRAIN_PASSED_OVER)
        printf("%s\n", detail);
    else if (self->terminal && self->n % 100 == 0)
        fprintf(stderr, "\r%zu pictures", self->n);
}

static void print_counts(const TrainPrepareCounts *counts)
{
    size_t taken = 0, left_out = 0;

    for (int i = 0; i < TRAIN_VERDICTS; i++)
        if (train_verdict_is_taken(i))
            taken += counts->n[i];
        else if (i != TRAIN_PASSED_OVER)
            left_out += counts->n[i];
    printf("%zu pictures taken, %zu left out\n", taken, left_out);
    for (int i = TRAIN_TAKEN + 1; i < TRAIN_VERDICTS; i++)
        if (counts->n[i] > 0)
            printf("%8zu %s\n", counts->n[i], train_verdict_text(i));
}

static int run(const Arguments *arguments, char **paths, size_t n_paths)
{
    g_autoptr(TrainReport) rows = train_report_new();
    Teller teller = {rows, arguments->verbose, g_log_writer_supports_color(2), 0};
    const TrainPrepareParams params = {
        .out = arguments->out,
        .side = arguments->side,
        .report = report,
        .user = &teller,
        .near_bits = arguments->near_bits,
        .held_back = arguments->held_back,
        .keep_near = g_strcmp0(arguments->near, "keep") == 0,
        .unlike = (const char *const *)arguments->unlike,
        .n_unlike = arguments->unlike ? g_strv_length(arguments->unlike) : 0};
    GError *error = NULL;
    TrainPrepareCounts counts;
    bool ok = train_prepare_set(&params, (const char *const *)paths, n_paths, &counts, &error);

    if (teller.terminal && !teller.verbose && teller.n >= 100)
        fprintf(stderr, "\r%*s\r", 30, "");
    if (teller.n > 0)
        print_counts(&counts);
    // What was refused matters most when nothing was taken.
    if (arguments->report && teller.n > 0 &&
        !train_report_write(rows, arguments->report, arguments->out, &counts, ok ? &error : NULL))
        ok = FALSE;
    if (!ok)
        return train_cli_fail("prepare", &error);
    printf("%zu are held back for validation (data.validation=%g)\n", counts.n_held_back,
           arguments->held_back);
    printf("%s: %.1f MiB\n", arguments->out, (double)counts.n_bytes / (1 << 20));
    return TRAIN_OK;
}

static int check_and_run(const Arguments *a, char **paths, size_t n_paths)
{
    if (!a->out)
        return train_cli_tell("prepare", TRAIN_USAGE, "--out SET is missing");
    if (n_paths < 1)
        return train_cli_tell("prepare", TRAIN_USAGE, "give folders, pictures or archives");
    if (a->side < TRAIN_MIN_SIDE || a->side > 4096)
        return train_cli_tell("prepare", TRAIN_USAGE, "--side is %d, allowed is %d to 4096",
                              a->side, TRAIN_MIN_SIDE);
    if (a->near && !g_str_equal(a->near, "keep") && !g_str_equal(a->near, "drop"))
        return train_cli_tell("prepare", TRAIN_USAGE,
                              "--near-duplicates is '%s', allowed is keep or drop", a->near);
    if (a->near_bits < 0 || a->near_bits > TRAIN_LOOK_MAX_BITS)
        return train_cli_tell("prepare", TRAIN_USAGE, "--near-bits is %d, allowed is 0 to %d",
                              a->near_bits, TRAIN_LOOK_MAX_BITS);
    if (!(a->held_back >= 0 && a->held_back <= 0.5))
        return train_cli_tell("prepare", TRAIN_USAGE, "--validation is %g, allowed is 0 to 0.5",
                              a->held_back);
    return run(a, paths, n_paths);
}

static const char about[] =
    "Makes one file of the colour photographs in folders, archives (tar, also packed; zip) and\n"
    "files: a set to train with. JPEG, PNG, TIFF and WebP; shapes are kept. Leaves out grey, "
    "toned,\n"
    "broken and tiny ones, exact duplicates, and what looks like a picture that is held back for\n"
    "validation. Which ones are held back hangs on their content alone. Of folders color/ and "
    "gray/\n"
    "with the same names in them, the first is taken.";

int train_prepare(int argc, char **argv)
{
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    Arguments a = {.side = 256, .near_bits = 5, .held_back = recipe.validation};
    g_autofree char *share_help =
        g_strdup_printf("Share that the recipe will hold back, its data.validation, at most (%g)",
                        recipe.validation);
    const GOptionEntry entries[] = {
        {"out", 'o', 0, G_OPTION_ARG_FILENAME, &a.out, "The set to write", "SET"},
        {"side", 0, 0, G_OPTION_ARG_INT, &a.side,
         "Scale pictures down to this shorter side, never up (256)", "PX"},
        {"report", 0, 0, G_OPTION_ARG_FILENAME, &a.report,
         "Write what was left out and why: CSV, or JSON if FILE ends in .json", "FILE"},
        {"near-duplicates", 0, 0, G_OPTION_ARG_STRING, &a.near,
         "What to do with pictures that look like one held back: drop (default) or keep", "WHAT"},
        {"unlike", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.unlike,
         "Photographs to validate with that lie elsewhere: what looks like one of them goes, too "
         "(may be repeated)",
         "PATH"},
        {"near-bits", 0, 0, G_OPTION_ARG_INT, &a.near_bits,
         "Pictures look alike if so many of 64 bits differ at most (5)", "N"},
        {"validation", 0, 0, G_OPTION_ARG_DOUBLE, &a.held_back, share_help, "SHARE"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &a.verbose,
         "Name every picture and what became of it", NULL},
        {NULL},
    };
    int status = TRAIN_USAGE;

    if (train_cli_parse(&argc, &argv, entries, "PATH...", about))
        status = check_and_run(&a, argv + 1, (size_t)argc - 1);
    g_free(a.out);
    g_free(a.report);
    g_free(a.near);
    g_strfreev(a.unlike);
    return status;
}
