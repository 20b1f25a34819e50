// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures into a set: what is taken, what is left out and why.
#include "prepare.h"

#include <stdio.h>

#include <cz/error.h>

#include "cli.h"
#include "decode.h"
#include "set.h"
#include "tint.h"

typedef struct {
    const TrainPrepareParams *params;
    TrainPrepareCounts *counts;
    TrainSetWriter *writer;
    GHashTable *hashes; // of the pictures taken
} Prepare;

const char *train_verdict_text(TrainVerdict verdict)
{
    static const char *const texts[TRAIN_VERDICTS] = {
        [TRAIN_TAKEN] = "taken",        [TRAIN_BROKEN] = "cannot be read",
        [TRAIN_TINY] = "too small",     [TRAIN_GREY] = "grey",
        [TRAIN_TINTED] = "of one tint", [TRAIN_DUPLICATE] = "seen before",
    };

    return texts[verdict];
}

static void tell(const Prepare *prepare, const char *name, TrainVerdict verdict, const char *detail)
{
    prepare->counts->n[verdict]++;
    if (prepare->params->report)
        prepare->params->report(prepare->params->user, name, verdict, detail);
}

// Judges a decoded photo and writes it if it is good.
static bool judge(Prepare *prepare, const TrainPhoto *photo, const char *name, GError **error)
{
    g_autofree char *detail = NULL;
    TrainPicture picture = {photo->width, photo->height, 0, name, photo->rgb};
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
    if (g_hash_table_contains(prepare->hashes, &picture.hash)) {
        tell(prepare, name, TRAIN_DUPLICATE, NULL);
        return TRUE;
    }
    if (!train_set_writer_add(prepare->writer, &picture, error))
        return FALSE;
    g_hash_table_add(prepare->hashes, g_memdup2(&picture.hash, sizeof picture.hash));
    prepare->counts->n_bytes += (uint64_t)photo->width * (uint64_t)photo->height * 3;
    tell(prepare, name, TRAIN_TAKEN, NULL);
    return TRUE;
}

static bool visit(void *user, const TrainCandidate *candidate, GError **error)
{
    Prepare *prepare = user;
    const TrainDecodeParams decode = {prepare->params->side, TRAIN_MIN_SIDE};
    g_autoptr(GError) problem = NULL;
    TrainPhoto photo;
    bool ok;

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

bool train_prepare_set(const TrainPrepareParams *params, const char *const *paths, size_t n_paths,
                       TrainPrepareCounts *counts, GError **error)
{
    Prepare prepare = {.params = params, .counts = counts};
    bool ok;

    *counts = (TrainPrepareCounts){0};
    if (!train_vips_start(error))
        return FALSE;
    prepare.writer = train_set_writer_new(params->out, error);
    if (!prepare.writer)
        return FALSE;
    prepare.hashes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    ok = train_list_visit(paths, n_paths, visit, &prepare, error);
    if (ok && counts->n[TRAIN_TAKEN] == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "no picture in colour was found; '%s' is not written", params->out);
        ok = FALSE;
    }
    ok = ok && train_set_writer_finish(prepare.writer, error);
    train_set_writer_free(prepare.writer);
    g_hash_table_unref(prepare.hashes);
    return ok;
}

// ---- the subcommand -----------------------------------------------------------------------------

typedef struct {
    bool verbose, terminal;
    size_t n;
} Report;

static void report(void *user, const char *name, TrainVerdict verdict, const char *detail)
{
    Report *self = user;

    self->n++;
    if (self->verbose && detail)
        printf("%s: %s (%s)\n", name, train_verdict_text(verdict), detail);
    else if (self->verbose)
        printf("%s: %s\n", name, train_verdict_text(verdict));
    else if (self->terminal && self->n % 100 == 0)
        fprintf(stderr, "\r%zu pictures", self->n);
}

static void print_counts(const TrainPrepareCounts *counts)
{
    size_t left_out = 0;

    for (int i = TRAIN_TAKEN + 1; i < TRAIN_VERDICTS; i++)
        left_out += counts->n[i];
    printf("%zu pictures taken, %zu left out\n", counts->n[TRAIN_TAKEN], left_out);
    for (int i = TRAIN_TAKEN + 1; i < TRAIN_VERDICTS; i++)
        if (counts->n[i] > 0)
            printf("%8zu %s\n", counts->n[i], train_verdict_text(i));
}

static int run(const char *out, int side, bool verbose, char **paths, size_t n_paths)
{
    Report user = {.verbose = verbose, .terminal = g_log_writer_supports_color(2)};
    TrainPrepareParams params = {.out = out, .side = side, .report = report, .user = &user};
    g_autoptr(GError) error = NULL;
    TrainPrepareCounts counts;
    bool ok = train_prepare_set(&params, (const char *const *)paths, n_paths, &counts, &error);

    if (user.terminal && !verbose && user.n >= 100)
        fprintf(stderr, "\r%*s\r", 30, "");
    if (user.n > 0)
        print_counts(&counts);
    if (!ok)
        return train_cli_fail("prepare", &error);
    printf("%s: %.1f MiB\n", out, (double)counts.n_bytes / (1 << 20));
    return TRAIN_OK;
}

int train_prepare(int argc, char **argv)
{
    g_autofree char *out = NULL;
    int side = 256;
    gboolean verbose = FALSE;
    const GOptionEntry entries[] = {
        {"out", 'o', 0, G_OPTION_ARG_FILENAME, &out, "The set to write", "SET"},
        {"side", 0, 0, G_OPTION_ARG_INT, &side,
         "Scale pictures down to this shorter side, never up (256)", "PX"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "Name every picture and what became of it",
         NULL},
        {NULL},
    };

    if (!train_cli_parse(
            &argc, &argv, entries, "PATH...",
            "Makes one file of the colour photographs in folders, archives (tar) and "
            "files: a set to\ntrain with. Leaves out grey, toned, broken and tiny ones "
            "and exact duplicates."))
        return TRAIN_USAGE;
    if (!out)
        return train_cli_tell("prepare", TRAIN_USAGE, "--out SET is missing");
    if (argc < 2)
        return train_cli_tell("prepare", TRAIN_USAGE, "give folders, pictures or tar files");
    if (side < TRAIN_MIN_SIDE || side > 4096)
        return train_cli_tell("prepare", TRAIN_USAGE, "--side is %d, allowed is %d to 4096", side,
                              TRAIN_MIN_SIDE);
    return run(out, side, verbose, argv + 1, (size_t)argc - 1);
}
