// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer apply: photographs from files to files in colour, without GIMP.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sys/resource.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/colorizer.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "decode.h"
#include "hint_file.h"
#include "photo_file.h"

typedef struct {
    char *out, *weights, *device, *strength, *warmth, *hints, *reach, *tile, *precision;
    char **photos;
    gboolean keep_tone, verbose;
    int threads;
} Arguments;

typedef struct {
    const Arguments *arguments;
    CzSettings settings;
    CzColorizer *colorizer;
    bool into_folder;
    GHashTable *targets; // paths written so far
} Job;

// ---- where results go ---------------------------------------------------------------------------

static bool same_file(const char *a, const char *b)
{
    GStatBuf one, other;
    return g_stat(a, &one) == 0 && g_stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

// A photograph's name up to its last dot, as PNG. The caller frees.
static char *target_path(const Job *job, const char *photo)
{
    if (!job->into_folder)
        return g_strdup(job->arguments->out);
    g_autofree char *base = g_path_get_basename(photo);
    char *dot = strrchr(base, '.');
    if (dot && dot != base)
        *dot = '\0';
    g_autofree char *name = g_strconcat(base, ".png", NULL);
    return g_build_filename(job->arguments->out, name, NULL);
}

// No result ever takes the place of a photograph, nor of another result of the same run.
static bool check_target(const Job *job, const char *photo, const char *target, GError **error)
{
    for (char **other = job->arguments->photos; *other; other++)
        if (same_file(*other, target)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "the result of '%s' would overwrite the photograph '%s'", photo, *other);
            return false;
        }
    if (g_hash_table_contains(job->targets, target)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "the result of '%s' would overwrite '%s', which is another photograph's", photo,
                    target);
        return false;
    }
    if (g_file_test(target, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write '%s': it is a folder", target);
        return false;
    }
    return true;
}

// Tells before any work is done what would fail after it.
static bool check_folder(const char *folder, GError **error)
{
    if (g_file_test(folder, G_FILE_TEST_IS_DIR) && g_access(folder, W_OK | X_OK) == 0)
        return true;
    int code = g_file_test(folder, G_FILE_TEST_IS_DIR) ? errno : ENOTDIR;
    if (!g_file_test(folder, G_FILE_TEST_EXISTS))
        code = ENOENT;
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write into '%s': %s", folder,
                g_strerror(code));
    return false;
}

// A folder is what is one, what ends in a slash, and what several photographs go to.
static bool find_place(Job *job, GError **error)
{
    const char *out = job->arguments->out;
    job->into_folder = g_file_test(out, G_FILE_TEST_IS_DIR) || g_str_has_suffix(out, "/") ||
                       job->arguments->photos[1];
    if (job->into_folder && !g_file_test(out, G_FILE_TEST_EXISTS) &&
        g_mkdir_with_parents(out, 0777) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot make the folder '%s': %s", out,
                    g_strerror(errno));
        return false;
    }
    g_autofree char *folder = job->into_folder ? g_strdup(out) : g_path_get_dirname(out);
    return check_folder(folder, error);
}

// ---- one photograph -----------------------------------------------------------------------------

static double seconds_since(gint64 *mark)
{
    gint64 now = g_get_monotonic_time();
    double seconds = (double)(now - *mark) * 1e-6;
    *mark = now;
    return seconds;
}

static bool add_hints(const Job *job, CzChroma *chroma, const CzPhoto *photo, GError **error)
{
    CzDab dabs[CZ_MAX_DABS];
    size_t n;
    const char *path = job->arguments->hints;
    if (!path)
        return true;
    return train_hint_file_gather(path, photo, dabs, &n, error) &&
           cz_chroma_hint(chroma, dabs, n, job->settings.reach, error);
}

static void tell_notice(const Job *job)
{
    g_autofree char *notice = cz_colorizer_notice(job->colorizer);
    if (notice)
        fprintf(stderr, "colorizer apply: %s\n", notice);
}

static bool colorize(const Job *job, const char *path, const char *target, GError **error)
{
    gint64 mark = g_get_monotonic_time();
    g_autoptr(TrainPhotoFile) file = train_photo_file_open(path, error);
    if (!file)
        return false;
    const CzPhoto *photo = train_photo_file_photo(file);
    double read = seconds_since(&mark);
    g_autoptr(CzChroma) chroma =
        cz_colorizer_predict(job->colorizer, photo, job->settings.tile_size, NULL, error);
    double network = seconds_since(&mark);
    tell_notice(job);
    if (!chroma || !add_hints(job, chroma, photo, error) ||
        !cz_chroma_apply(chroma, job->colorizer, &job->settings, photo, NULL, error)) {
        g_prefix_error(error, "cannot colorize '%s': ", path);
        return false;
    }
    double colour = seconds_since(&mark);
    if (!train_photo_file_save(file, target, error))
        return false;
    printf("%s: %dx%d, read %.2f s, network %.2f s, colour %.2f s, write %.2f s\n", target,
           photo->width, photo->height, read, network, colour, seconds_since(&mark));
    fflush(stdout);
    return true;
}

static bool colorize_to_place(const Job *job, const char *path, GError **error)
{
    g_autofree char *target = target_path(job, path);
    if (!check_target(job, path, target, error) || !colorize(job, path, target, error))
        return false;
    g_hash_table_add(job->targets, g_steal_pointer(&target));
    return true;
}

// ---- the command --------------------------------------------------------------------------------

// The CzDtype that --precision names; -1: none.
static int precision(const Arguments *a)
{
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++) {
        g_autofree char *name = g_ascii_strdown(cz_dtype_name(dtype), -1);
        if (g_strcmp0(a->precision, name) == 0)
            return (int)dtype;
    }
    return a->precision ? -1 : CZ_F32;
}

static bool read_settings(const Arguments *a, CzSettings *settings, GError **error)
{
    const struct {
        const char *key, *text;
    } given[] = {
        {"strength", a->strength},
        {"warmth", a->warmth},
        {"reach", a->reach},
        {"tile-size", a->tile},
        {"device", a->device},
        {"weights", a->weights},
        {"keep-tone", a->keep_tone ? "1" : NULL},
    };
    cz_settings_init(settings);
    for (size_t i = 0; i < G_N_ELEMENTS(given); i++)
        if (given[i].text && !cz_settings_parse(settings, given[i].key, given[i].text, error))
            return false;
    return cz_settings_check(settings, error);
}

static bool start(Job *job, GError **error)
{
    const Arguments *a = job->arguments;
    const CzColorizerOptions options = {.weights = job->settings.weights,
                                        .device = job->settings.device,
                                        .precision = (CzDtype)precision(a),
                                        .threads = a->threads};
    if (!find_place(job, error) || !train_vips_start(error))
        return false;
    job->colorizer = cz_colorizer_new(&options, error);
    if (job->colorizer && a->verbose)
        printf("%s\n", cz_colorizer_device(job->colorizer)->name);
    return job->colorizer != NULL;
}

static void tell_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        printf("peak memory %.0f MB, of which the engine's %.0f MB\n",
               (double)usage.ru_maxrss * 1024e-6, (double)cz_memory_peak() * 1e-6);
}

static int apply(Job *job)
{
    GError *error = NULL;
    int status = TRAIN_OK;
    if (!start(job, &error))
        return train_cli_fail("apply", &error);
    for (char **photo = job->arguments->photos; *photo; photo++)
        if (!colorize_to_place(job, *photo, &error))
            status = train_cli_fail("apply", &error);
    if (job->arguments->verbose)
        tell_memory();
    return status;
}

static int run(const Arguments *arguments)
{
    Job job = {.arguments = arguments};
    g_autoptr(GError) error = NULL;
    if (!read_settings(arguments, &job.settings, &error))
        return train_cli_tell("apply", TRAIN_USAGE, "%s", error->message);
    cz_threads_set(arguments->threads);
    job.targets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    int status = apply(&job);
    cz_colorizer_free(job.colorizer);
    g_hash_table_unref(job.targets);
    return status;
}

static int check(const Arguments *a)
{
    if (!a->out)
        return train_cli_tell("apply", TRAIN_USAGE, "-o FILE|DIR is missing");
    if (!a->photos || !a->photos[0])
        return train_cli_tell("apply", TRAIN_USAGE, "give at least one photograph");
    if (a->threads < 0 || a->threads > 1024)
        return train_cli_tell("apply", TRAIN_USAGE, "--threads is %d, allowed is 0 to 1024",
                              a->threads);
    if (precision(a) < 0)
        return train_cli_tell("apply", TRAIN_USAGE, "--precision is %s, expected f32, bf16 or f16",
                              a->precision);
    bool folder = g_file_test(a->out, G_FILE_TEST_IS_DIR) || g_str_has_suffix(a->out, "/");
    if (!folder && !a->photos[1] && !train_photo_file_format(a->out))
        return train_cli_tell("apply", TRAIN_USAGE,
                              "-o is '%s', expected a folder, or a name that ends in .png, .jpg, "
                              ".tif or .webp",
                              a->out);
    return TRAIN_OK;
}

int train_command_apply(int argc, char **argv)
{
    Arguments a = {0};
    const GOptionEntry entries[] = {
        {"out", 'o', 0, G_OPTION_ARG_FILENAME, &a.out,
         "Result; several photographs go to a folder, as PNG", "FILE|DIR"},
        {"weights", 0, 0, G_OPTION_ARG_FILENAME, &a.weights, "Weights (default: bundled)", "FILE"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N, cuda:NAME", "D"},
        {"strength", 0, 0, G_OPTION_ARG_STRING, &a.strength,
         "How strong the colours are, 0 to 2 (default: 1)", "S"},
        {"warmth", 0, 0, G_OPTION_ARG_STRING, &a.warmth, "Cooler or warmer, -1 to 1 (default: 0)",
         "W"},
        {"hints", 0, 0, G_OPTION_ARG_FILENAME, &a.hints,
         "A picture of the photograph's size; what is not transparent is a color to be had there",
         "PNG"},
        {"reach", 0, 0, G_OPTION_ARG_STRING, &a.reach,
         "How far a hint reaches, 0 (this object) to 1 (all that looks like it; default: 0.3)",
         "R"},
        {"tile", 0, 0, G_OPTION_ARG_STRING, &a.tile,
         "Size of tiles, pixels; 0: automatic, -1: none (default: 0)", "N"},
        {"keep-tone", 0, 0, G_OPTION_ARG_NONE, &a.keep_tone,
         "Mix with the tint that the photograph has", NULL},
        {"precision", 0, 0, G_OPTION_ARG_STRING, &a.precision,
         "Of the network: f32, bf16, f16 (GPUs; default: f32)", "P"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &a.verbose, "Tell device and peak memory", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.photos, NULL, "PHOTO..."},
        {NULL},
    };
    if (!train_cli_parse(&argc, &argv, entries, NULL,
                         "Colorizes photographs (JPEG, PNG, TIFF, WebP). Lightness, size, depth, "
                         "transparency and\nEXIF stay. A photograph that fails does not stop the "
                         "others; the exit code is 1 then."))
        return TRAIN_USAGE;
    int status = check(&a);
    status = status == TRAIN_OK ? run(&a) : status;
    char *const texts[] = {a.out,   a.weights, a.device, a.strength, a.warmth,
                           a.hints, a.reach,   a.tile,   a.precision};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(a.photos);
    return status;
}
