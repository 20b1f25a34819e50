// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer average: the mean of several weights of one network, and how strong its color is.
//
// Weights that were trained from one start with other losses lie in one valley: their mean errs
// less than each of them, at no cost in a run (Wortsman et al. 2022, "Model soups").
#include <stdio.h>
#include <string.h>

#include <cz/error.h>
#include <cz/hint_head.h>
#include <cz/memory.h>
#include <cz/model.h>

#include "cli.h"
#include "commands.h"

// What files of one network may differ in; all else says how it is built, what goes in and out.
static const char *const own_keys[] = {
    "colorize.title",       "colorize.date",    "colorize.images_seen",
    "colorize.recipe_hash", "colorize.average", "colorize.training_set",
    "colorize.licence",     "colorize.hints",   "colorize.working_sizes",
    "colorize.dropout",
};
// A mean owes something to all of its files: these are told of each.
static const char *const joined_keys[] = {"colorize.training_set", "colorize.licence"};

typedef struct {
    char **weights, *out, *title;
    double strength;
} Arguments;

typedef struct {
    const Arguments *a;
    GPtrArray *files; // CzModelFile *
} Average;

static const CzModelFile *file_at(const Average *average, guint i)
{
    return g_ptr_array_index(average->files, i);
}

static bool is_in(const char *key, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (g_str_equal(key, keys[i]))
            return true;
    return false;
}

// What the a-th file says of the network, the b-th must say too.
static bool is_same_network(const Average *average, guint a, guint b, GError **error)
{
    for (const char *const *key = cz_model_file_meta_keys(file_at(average, a)); *key; key++) {
        const char *expected = cz_model_file_meta(file_at(average, a), *key);
        const char *found = cz_model_file_meta(file_at(average, b), *key);
        if (is_in(*key, own_keys, G_N_ELEMENTS(own_keys)) || g_strcmp0(expected, found) == 0)
            continue;
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: %s: expected '%s' as in %s, found %s",
                    average->a->weights[b], *key, expected, average->a->weights[a],
                    found ? found : "none");
        return false;
    }
    return true;
}

static bool open_files(Average *average, GError **error)
{
    for (char **path = average->a->weights; *path; path++) {
        CzModelFile *file = cz_model_file_open(*path, error);
        if (!file)
            return false;
        g_ptr_array_add(average->files, file);
    }
    for (guint i = 1; i < average->files->len; i++)
        if (!is_same_network(average, 0, i, error) || !is_same_network(average, i, 0, error))
            return false;
    return true;
}

// Hints are learned for one network: the mean's are to be learned again.
static size_t n_averaged(const CzModelFile *file)
{
    size_t n = 0;
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++)
        n += !cz_hint_head_is(cz_model_file_tensor(file, i)->name);
    return n;
}

// The tensor of this name in the i-th file, if it is as the first file's.
static const CzTensor *find(const Average *average, guint i, const CzTensor *first, GError **error)
{
    const CzTensor *tensor = cz_model_file_find(file_at(average, i), first->name);
    if (tensor && tensor->rank == first->rank &&
        memcmp(tensor->dims, first->dims, (size_t)first->rank * sizeof *first->dims) == 0)
        return tensor;
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: tensor '%s': expected one as in %s, found %s",
                average->a->weights[i], first->name, average->a->weights[0],
                tensor ? "another shape" : "none");
    return NULL;
}

// The last convolution gives color: its factor is color's.
static double factor_of(const Average *average, const char *name)
{
    double n = average->files->len;
    return (g_str_has_prefix(name, "head.") ? average->a->strength : 1) / n;
}

static bool add_mean(const Average *average, const CzTensor *first, CzModelWriter *writer,
                     GError **error)
{
    size_t n = MAX(first->n_elements, 1);
    float *sum = cz_memory_alloc(2 * n * sizeof *sum, first->name, error);
    if (!sum)
        return false;
    float *addend = sum + n, factor = (float)factor_of(average, first->name);
    memset(sum, 0, n * sizeof *sum);
    bool good = true;
    for (guint i = 0; good && i < average->files->len; i++) {
        const CzTensor *tensor = find(average, i, first, error);
        good = tensor != NULL;
        if (!good)
            break;
        cz_tensor_to_f32(tensor, addend);
        for (size_t k = 0; k < tensor->n_elements; k++)
            sum[k] += factor * addend[k];
    }
    good = good && cz_model_writer_add(writer, first->name, first->rank, first->dims, sum,
                                       first->dtype, error);
    cz_memory_free(sum);
    return good;
}

// Different values of all files, in their order, with "; " between; the caller frees.
static char *join_values(const Average *average, const char *key)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new();
    for (guint i = 0; i < average->files->len; i++) {
        const char *value = cz_model_file_meta(file_at(average, i), key);
        if (value && !g_ptr_array_find_with_equal_func(values, value, g_str_equal, NULL))
            g_ptr_array_add(values, (gpointer)value);
    }
    g_ptr_array_add(values, NULL);
    return g_strjoinv("; ", (char **)values->pdata);
}

static void add_metadata(const Average *average, CzModelWriter *writer)
{
    const CzModelFile *last = file_at(average, average->files->len - 1);
    g_autoptr(GString) made = g_string_new(NULL);
    for (const char *const *key = cz_model_file_meta_keys(last); *key; key++)
        if (!cz_hint_head_is(*key) && !g_str_equal(*key, "colorize.recipe_hash"))
            cz_model_writer_meta(writer, *key, cz_model_file_meta(last, *key));
    for (guint i = 0; i < average->files->len; i++) {
        const char *hash = cz_model_file_meta(file_at(average, i), "colorize.recipe_hash");
        const char *before = cz_model_file_meta(file_at(average, i), "colorize.average");
        g_string_append_printf(made, "%s%s", i ? ", " : "mean of ", before ? "(" : "");
        g_string_append_printf(made, "%s%s",
                               before ? before
                               : hash ? hash
                                      : "?",
                               before ? ")" : "");
    }
    g_string_append_printf(made, "; color times %g", average->a->strength);
    cz_model_writer_meta(writer, "colorize.average", made->str);
    for (size_t k = 0; k < G_N_ELEMENTS(joined_keys); k++) {
        g_autofree char *value = join_values(average, joined_keys[k]);
        if (*value)
            cz_model_writer_meta(writer, joined_keys[k], value);
    }
    if (average->a->title)
        cz_model_writer_meta(writer, "colorize.title", average->a->title);
}

static bool write_mean(const Average *average, GError **error)
{
    const CzModelFile *first = file_at(average, 0);
    const char *architecture = cz_model_file_meta(first, "colorize.architecture");
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    if (average->a->strength != 1 && g_strcmp0(architecture, "unet") != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "%s: --strength is for a unet, whose color ends in a convolution; found %s",
                    average->a->weights[0], architecture ? architecture : "no architecture");
        return false;
    }
    for (guint i = 1; i < average->files->len; i++) {
        if (n_averaged(file_at(average, i)) == n_averaged(first))
            continue;
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: expected %zu tensors as in %s, found %zu",
                    average->a->weights[i], n_averaged(first), average->a->weights[0],
                    n_averaged(file_at(average, i)));
        return false;
    }
    add_metadata(average, writer);
    for (size_t i = 0; i < cz_model_file_n_tensors(first); i++) {
        const CzTensor *tensor = cz_model_file_tensor(first, i);
        if (!cz_hint_head_is(tensor->name) && !add_mean(average, tensor, writer, error))
            return false;
    }
    return cz_model_writer_commit(writer, average->a->out, error);
}

static int average_files(const Arguments *a)
{
    GError *error = NULL;
    Average average = {a, g_ptr_array_new_with_free_func((GDestroyNotify)cz_model_file_free)};
    bool good = open_files(&average, &error) && write_mean(&average, &error);
    if (good)
        printf("mean of %u files, color times %g: %s\n", average.files->len, a->strength, a->out);
    g_ptr_array_unref(average.files);
    return good ? TRAIN_OK : train_cli_fail("average", &error);
}

int train_command_average(int argc, char **argv)
{
    Arguments a = {.strength = 1};
    const GOptionEntry entries[] = {
        {"weights", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.weights,
         "Weights of one network (repeated)", "FILE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &a.out, "Their mean", "FILE"},
        {"strength", 0, 0, G_OPTION_ARG_DOUBLE, &a.strength,
         "Factor on the color that the mean gives (1)", "S"},
        {"title", 0, 0, G_OPTION_ARG_STRING, &a.title, "Title (default: the last file's)", "TEXT"},
        {NULL},
    };
    int status = TRAIN_USAGE;
    if (!train_cli_parse(&argc, &argv, entries, NULL,
                         "Averages weights that were trained from one start, number by number: "
                         "often better than each of them. What they had learned of hints is left "
                         "out; see colorizer hints."))
        return TRAIN_USAGE;
    if (argc > 1 || !a.weights || !a.out)
        train_cli_tell("average", TRAIN_USAGE, "%s; see colorizer average --help",
                       argc > 1 ? "too many arguments" : "--weights and --out are needed");
    else if (!(a.strength >= 0.1 && a.strength <= 4))
        train_cli_tell("average", TRAIN_USAGE, "--strength: expected 0.1 to 4, found %g",
                       a.strength);
    else
        status = average_files(&a);
    g_strfreev(a.weights);
    g_free(a.out);
    g_free(a.title);
    return status;
}
