// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer hints: learns how hints spread with a generator's weights, and writes both to one file.
#include <stdio.h>

#include <cz/error.h>
#include <cz/hint_head.h>
#include <cz/memory.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "hint_fit.h"
#include "set.h"

typedef struct {
    char *data, *weights, *out, *device;
    double validation;
    int pictures, steps, width, seed, threads;
} Arguments;

// Everything of the old file but what it had learned of hints.
static bool copy_file(const CzModelFile *file, CzModelWriter *writer, GError **error)
{
    bool good = true;
    for (const char *const *key = cz_model_file_meta_keys(file); *key; key++)
        if (!cz_hint_head_is(*key))
            cz_model_writer_meta(writer, *key, cz_model_file_meta(file, *key));
    for (size_t i = 0; good && i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        if (cz_hint_head_is(tensor->name))
            continue;
        size_t n = MAX(tensor->n_elements, 1);
        float *data = cz_memory_alloc(n * sizeof *data, tensor->name, error);
        if (!data)
            return false;
        cz_tensor_to_f32(tensor, data);
        good = cz_model_writer_add(writer, tensor->name, tensor->rank, tensor->dims, data,
                                   tensor->dtype, error);
        cz_memory_free(data);
    }
    return good;
}

static bool write_weights(const Arguments *a, const CzHintHead *head, GError **error)
{
    g_autoptr(CzModelFile) file = cz_model_file_open(a->weights, error);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    return file && copy_file(file, writer, error) && cz_hint_head_write(head, writer, error) &&
           cz_model_writer_commit(writer, a->out, error);
}

// First on pictures the network was trained on, of which there are many, then on those held back:
// only there it errs as it will on a user's photograph.
static bool learn(const Arguments *a, TrainHintPoints points[2], GError **error)
{
    TrainHintFitOptions options = train_hint_fit_default;
    double losses[2];
    options.steps = a->steps;
    options.width = a->width;
    options.seed = (uint64_t)a->seed;
    g_autoptr(CzEngineDevice) device = cz_device_open(a->device, error);
    g_autoptr(TrainHintFit) fit =
        device ? train_hint_fit_new(device, &points[1], &options, error) : NULL;
    g_autoptr(CzHintHead) head = NULL;
    bool good = fit && train_hint_fit_run(fit, &points[0], &losses[0], error) &&
                train_hint_fit_run(fit, &points[1], &losses[1], error) &&
                (head = train_hint_fit_head(fit, &points[1], error)) &&
                write_weights(a, head, error);
    if (good)
        printf("loss %.4f on pictures trained on, %.4f on those held back\n", losses[0], losses[1]);
    g_clear_pointer(&fit, train_hint_fit_free); // before the device
    return good;
}

static bool collect(const Arguments *a, TrainHintPoints points[2], GError **error)
{
    const CzColorizerOptions options = {
        .weights = a->weights, .device = a->device, .threads = a->threads};
    g_autoptr(TrainSet) set = train_set_open(a->data, error);
    g_autoptr(CzColorizer) colorizer = set ? cz_colorizer_new(&options, error) : NULL;
    size_t most = (size_t)a->pictures;
    if (!colorizer)
        return false;
    cz_colorizer_forget_hints(colorizer);
    return train_hint_points_init(&points[0], colorizer, set, a->validation, false, most, error) &&
           train_hint_points_init(&points[1], colorizer, set, a->validation, true, most, error);
}

static int hints(const Arguments *a)
{
    GError *error = NULL;
    TrainHintPoints points[2] = {{0}, {0}};
    cz_threads_set(a->threads);
    bool good = collect(a, points, &error) && learn(a, points, &error);
    if (good)
        printf("from %zu and %zu pictures: %s\n", points[0].n_pictures, points[1].n_pictures,
               a->out);
    train_hint_points_clear(&points[0]);
    train_hint_points_clear(&points[1]);
    return good ? TRAIN_OK : train_cli_fail("hints", &error);
}

static bool check_numbers(const Arguments *a)
{
    return a->validation > 0 && a->validation <= 0.5 && a->pictures >= 1 && a->pictures <= 100000 &&
           a->steps >= 1 && a->steps <= 1000000 && a->width >= 1 && a->width <= 64 &&
           a->seed >= 0 && a->threads >= 0 && a->threads <= 1024;
}

int train_command_hints(int argc, char **argv)
{
    Arguments a = {.validation = 0.02,
                   .pictures = 400,
                   .steps = (int)train_hint_fit_default.steps,
                   .width = train_hint_fit_default.width,
                   .seed = (int)train_hint_fit_default.seed};
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &a.data, "The set that the weights were trained on",
         "SET"},
        {"weights", 0, 0, G_OPTION_ARG_FILENAME, &a.weights, "Weights of a generator", "FILE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &a.out, "The same with what was learned (may be FILE)",
         "FILE"},
        {"validation", 0, 0, G_OPTION_ARG_DOUBLE, &a.validation,
         "Share that was held back, as in data.validation of their recipe (0.02)", "S"},
        {"pictures", 0, 0, G_OPTION_ARG_INT, &a.pictures, "At most so many of either kind (400)",
         "N"},
        {"steps", 0, 0, G_OPTION_ARG_INT, &a.steps, "Steps on either kind (400)", "N"},
        {"width", 0, 0, G_OPTION_ARG_INT, &a.width, "Features that the head makes (32)", "N"},
        {"seed", 0, 0, G_OPTION_ARG_INT, &a.seed, "Of batches (1)", "N"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N, cuda:NAME", "D"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {NULL},
    };
    int status = TRAIN_USAGE;
    if (!train_cli_parse(
            &argc, &argv, entries, NULL,
            "Learns how hints spread: the network stays as it is; a head on its features, "
            "amplitudes and the kernel's widths are learned from simulated hints and "
            "written beside it. Minutes."))
        return TRAIN_USAGE;
    if (argc > 1 || !a.data || !a.weights || !a.out)
        train_cli_tell("hints", TRAIN_USAGE, "%s; see colorizer hints --help",
                       argc > 1 ? "too many arguments" : "--data, --weights and --out are needed");
    else if (!check_numbers(&a))
        train_cli_tell("hints", TRAIN_USAGE,
                       "a number is out of its range; see colorizer hints --help");
    else
        status = hints(&a);
    g_free(a.data);
    g_free(a.weights);
    g_free(a.out);
    g_free(a.device);
    return status;
}
