// SPDX-License-Identifier: LGPL-3.0-or-later
// How fast a device is, by the clock on the wall, and how its training goes.
//
//   bench_gpu table    inference of the bundled weights and training steps, in every precision
//   bench_gpu serve    one of them: a line with N in, milliseconds of each of N runs out
//   bench_gpu losses   the losses of the first steps
//
// A run does not wait for a GPU: what is timed ends with a read. The last line of table and losses
// is JSON. hardware.py starts all three, pytorch.py the second.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/colorizer.h>
#include <cz/error.h>
#include <cz/generator.h>
#include <cz/memory.h>
#include <cz/threads.h>

#include "plan/plan_private.h"
#include "step.h"

static const char *device_id = "cuda", *kind = "infer", *precision = "F32", *right_id = "cpu";
static int size = 512, crop = 128, batch = 16, n_runs = 200, n_steps = 50, n_threads = 0;

static const GOptionEntry entries[] = {
    {"device", 'd', 0, G_OPTION_ARG_STRING, (gpointer)&device_id, "device (cuda)", "ID"},
    {"against", 'a', 0, G_OPTION_ARG_STRING, (gpointer)&right_id,
     "table: the device whose F32 is believed (cpu)", "ID"},
    {"size", 's', 0, G_OPTION_ARG_INT, &size, "edge of a picture to color (512)", "PX"},
    {"crop", 'c', 0, G_OPTION_ARG_INT, &crop, "edge of a picture to learn from (128)", "PX"},
    {"batch", 'n', 0, G_OPTION_ARG_INT, &batch, "pictures of a training step (16)", "N"},
    {"runs", 'r', 0, G_OPTION_ARG_INT, &n_runs, "table: runs to time (200)", "N"},
    {"steps", 0, 0, G_OPTION_ARG_INT, &n_steps, "losses: steps (50)", "N"},
    {"kind", 'k', 0, G_OPTION_ARG_STRING, (gpointer)&kind, "serve: infer or train", "KIND"},
    {"precision", 'p', 0, G_OPTION_ARG_STRING, (gpointer)&precision,
     "serve, losses: F32, TF32, BF16, F16", "TYPE"},
    {"threads", 't', 0, G_OPTION_ARG_INT, &n_threads, "of a CPU (free cores)", "N"},
    {NULL},
};

static const struct {
    const char *name;
    CzDtype dtype;
    bool tf32, trains;
} precisions[] = {
    {"F32", CZ_F32, false, true},
    {"TF32", CZ_F32, true, true},
    {"BF16", CZ_BF16, false, true},
    {"F16", CZ_F16, false, false},
};
enum { N_PRECISIONS = G_N_ELEMENTS(precisions), WARM_UP = 4, GROUPS = 10 };

// ---- one network on one device ------------------------------------------------------------------

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    CzModelFile *file;
    CzGraph *graph;
    CzPlan *plan; // inference
    CzValue input, output;
    TrainRecipe recipe;
    TrainStep *step;           // training
    float *lightness, *chroma; // chroma: what comes out of inference, or is to be learned
    size_t n_lightness, n_chroma;
    int64_t index;
    float loss; // of the last step
} Bench;

static void bench_clear(Bench *bench)
{
    train_step_free(bench->step);
    cz_plan_free(bench->plan);
    cz_graph_free(bench->graph);
    cz_store_free(bench->store);
    cz_model_file_free(bench->file);
    cz_memory_free(bench->lightness);
    cz_memory_free(bench->chroma);
    cz_device_close(bench->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_clear)

// Blobs of light, another picture each time, with colors that hang on it: something to learn.
static void draw(Bench *bench, int32_t n, int32_t edge, int32_t places)
{
    for (int32_t i = 0; i < n; i++) {
        float u = 1 + 0.37f * (float)((bench->index + i) % 5), v = 2 - 0.2f * (float)(i % 4);
        for (int32_t at = 0; at < edge * edge; at++) {
            float x = (float)(at % edge) / (float)edge, y = (float)(at / edge) / (float)edge;
            float light = 0.9f * sinf(6 * u * x + (float)i) * cosf(5 * v * y);
            bench->lightness[(size_t)i * edge * edge + at] = light;
            if (places == 0)
                continue;
            int32_t row = at / edge * places / edge, column = at % edge * places / edge;
            float *chroma = bench->chroma + 2 * (((size_t)i * places + row) * places + column);
            chroma[0] = 0.3f * light;
            chroma[1] = 0.1f - 0.2f * light;
        }
    }
}

static bool make_data(Bench *bench, size_t n_lightness, size_t n_chroma, GError **error)
{
    bench->n_lightness = n_lightness;
    bench->n_chroma = n_chroma;
    bench->lightness = cz_memory_alloc(n_lightness * sizeof(float), "pictures", error);
    if (bench->lightness)
        bench->chroma = cz_memory_alloc(n_chroma * sizeof(float), "their colors", error);
    return bench->chroma != NULL;
}

static bool open_inference(Bench *bench, CzDtype dtype, GError **error)
{
    CzGeneratorParams params;
    CzGeneratorOutput output;
    g_autofree char *path = cz_weights_bundled(error);
    bench->file = path ? cz_model_file_open(path, error) : NULL;
    if (!bench->file || !cz_generator_read(&params, bench->file, error) ||
        !cz_store_load(bench->store, bench->file, error))
        return false;
    bench->graph = cz_graph_new();
    bench->input = cz_input(bench->graph, "lightness", cz_shape(1, 1, size, size));
    cz_generator_build(bench->graph, bench->input, &params, &(CzGeneratorUse){.dtype = dtype},
                       &output);
    bench->output = output.chroma;
    cz_generator_clear(&output);
    bench->plan = cz_plan_new(bench->device, bench->store, bench->graph, &bench->output, 1,
                              &(CzPlanOptions){.frozen = true}, error);
    if (!bench->plan ||
        !make_data(bench, (size_t)size * (size_t)size,
                   cz_shape_count(cz_graph_shape(bench->graph, bench->output)), error))
        return false;
    draw(bench, 1, size, 0);
    return true;
}

// The network of the bundled weights' size, from scratch, and Huber's loss: as pytorch.py's.
static bool open_training(Bench *bench, CzDtype dtype, GError **error)
{
    size_t places = ((size_t)crop + 1) / 2;
    train_recipe_init(&bench->recipe);
    bench->recipe.crop = crop;
    bench->recipe.batch = batch;
    bench->recipe.bf16 = dtype == CZ_BF16;
    if (!train_step_start(bench->store, &bench->recipe, error))
        return false;
    bench->step = train_step_new(bench->device, bench->store, &bench->recipe, false, error);
    if (!bench->step || !make_data(bench, (size_t)batch * (size_t)crop * (size_t)crop,
                                   2 * (size_t)batch * places * places, error))
        return false;
    draw(bench, batch, crop, (int32_t)places);
    return true;
}

static bool bench_open(Bench *bench, const char *id, size_t p, bool training, GError **error)
{
    const CzDeviceOptions options = {.tf32 = precisions[p].tf32};
    bench->device = cz_device_open_with(id, &options, error);
    if (!bench->device)
        return false;
    bench->store = cz_store_new(bench->device);
    return (training ? open_training : open_inference)(bench, precisions[p].dtype, error);
}

static bool read_result(Bench *bench, GError **error)
{
    return cz_plan_read(bench->plan, bench->output, bench->chroma, bench->n_chroma, error);
}

// ---- runs ---------------------------------------------------------------------------------------

// What a timed run of inference does beside the run. ALONE: the input is what the run before left
// there. A GPU's speed does not hang on numbers, and a plan wants an input for each run, so this
// looks behind its curtain.
typedef enum { BOTH_WAYS, UPLOADS, ALONE, N_WAYS } Way;

static bool infer(Bench *bench, Way way, GError **error)
{
    if (way == ALONE)
        bench->plan->written[bench->input.id] = true;
    else if (!cz_plan_write(bench->plan, bench->input, bench->lightness, bench->n_lightness, error))
        return false;
    return cz_plan_run(bench->plan, NULL, error) && (way != BOTH_WAYS || read_result(bench, error));
}

static bool train(Bench *bench, GError **error)
{
    TrainScalars scalars = {0};
    if (!train_step_run(bench->step, bench->lightness, bench->chroma, bench->index, &scalars,
                        error))
        return false;
    bench->index++;
    bench->loss = scalars.loss;
    return true;
}

// Milliseconds a run, of n that follow each other; < 0: it failed.
static double time_runs(Bench *bench, int n, Way way, GError **error)
{
    gint64 began = g_get_monotonic_time();
    bool done = true;
    for (int i = 0; done && i < n; i++)
        done = bench->step ? train(bench, error) : infer(bench, way, error);
    if (done && bench->plan && way != BOTH_WAYS)
        done = read_result(bench, error);
    return done ? (double)(g_get_monotonic_time() - began) / 1000 / n : -1;
}

static int compare(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

// The median of all runs, or of groups of them where one read ends a group; < 0: it failed.
static double time_way(Bench *bench, Way way, GError **error)
{
    bool grouped = bench->plan && way != BOTH_WAYS;
    int n_groups = grouped ? MIN(GROUPS, n_runs) : n_runs, each = n_runs / n_groups;
    g_autofree double *times = g_new(double, n_groups);
    if (time_runs(bench, MIN(WARM_UP, n_runs), way, error) < 0)
        return -1;
    for (int i = 0; i < n_groups; i++)
        if ((times[i] = time_runs(bench, each, way, error)) < 0)
            return -1;
    return median(times, n_groups);
}

// ---- table --------------------------------------------------------------------------------------

static void add_row(GString *json, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void add_row(GString *json, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_string_append(json, json->len > 1 ? ", " : "");
    g_string_append_vprintf(json, format, arguments);
    va_end(arguments);
}

// What is believed: F32 of another device.
static bool right_colors(Bench *right, GError **error)
{
    return bench_open(right, right_id, 0, false, error) && infer(right, BOTH_WAYS, error);
}

static double apart(const Bench *a, const Bench *b)
{
    double worst = 0;
    for (size_t i = 0; i < a->n_chroma; i++) {
        double d = 100 * fabs((double)a->chroma[i] - (double)b->chroma[i]);
        worst = isnan(d) ? INFINITY : MAX(worst, d);
    }
    return worst;
}

static bool infer_row(size_t p, const Bench *right, GString *json, GError **error)
{
    g_auto(Bench) bench = {0};
    double ms[N_WAYS];
    if (!bench_open(&bench, device_id, p, false, error) || !infer(&bench, BOTH_WAYS, error))
        return false;
    double off = apart(right, &bench);
    for (int way = 0; way < N_WAYS; way++)
        if ((ms[way] = time_way(&bench, (Way)way, error)) < 0)
            return false;
    printf("inference %dx%d %-5s %9.3f ms up and down, %9.3f ms up, %9.3f ms alone; "
           "max |dab| %.3g\n",
           size, size, precisions[p].name, ms[BOTH_WAYS], ms[UPLOADS], ms[ALONE], off);
    add_row(json,
            "{\"what\": \"infer\", \"precision\": \"%s\", \"size\": %d, \"both_ways_ms\": %.4f, "
            "\"uploads_ms\": %.4f, \"alone_ms\": %.4f, \"max_dab\": %.6f}",
            precisions[p].name, size, ms[BOTH_WAYS], ms[UPLOADS], ms[ALONE], MIN(off, 1e6));
    return true;
}

static bool train_row(size_t p, GString *json, GError **error)
{
    g_auto(Bench) bench = {0};
    double ms;
    if (!bench_open(&bench, device_id, p, true, error) ||
        (ms = time_way(&bench, BOTH_WAYS, error)) < 0)
        return false;
    printf("training step %dx%dx%d %-5s %9.3f ms, %.1f pictures/s; loss %.6f\n", batch, crop, crop,
           precisions[p].name, ms, 1000 * batch / ms, (double)bench.loss);
    add_row(json,
            "{\"what\": \"train\", \"precision\": \"%s\", \"crop\": %d, \"batch\": %d, \"ms\": "
            "%.4f, \"images_per_s\": %.3f}",
            precisions[p].name, crop, batch, ms, 1000 * batch / ms);
    return true;
}

// A precision that a device does not know is told and left out.
static bool left_out(const char *what, size_t p, GString *json, GError *error)
{
    g_autofree char *message = g_strescape(error->message, NULL);
    printf("%s %s: %s\n", what, precisions[p].name, error->message);
    add_row(json, "{\"what\": \"%s\", \"precision\": \"%s\", \"error\": \"%s\"}", what,
            precisions[p].name, message);
    g_error_free(error);
    return precisions[p].dtype != CZ_F32;
}

static bool table(GError **error)
{
    g_auto(Bench) right = {0};
    g_autoptr(GString) json = g_string_new("[");
    if (!right_colors(&right, error))
        return false;
    bool good = true;
    for (size_t p = 0; p < N_PRECISIONS; p++) {
        GError *cause = NULL;
        if (!infer_row(p, &right, json, &cause))
            good = left_out("infer", p, json, cause) && good;
        fflush(stdout);
    }
    for (size_t p = 0; p < N_PRECISIONS; p++) {
        GError *cause = NULL;
        if (precisions[p].trains && !train_row(p, json, &cause))
            good = left_out("train", p, json, cause) && good;
        fflush(stdout);
    }
    printf("%s]\n", json->str);
    if (!good)
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_BACKEND, "a row in F32 did not run");
    return good;
}

// ---- serve, losses ------------------------------------------------------------------------------

static bool find_precision(size_t *p, GError **error)
{
    for (*p = 0; *p < N_PRECISIONS; ++*p)
        if (g_str_equal(precisions[*p].name, precision))
            return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                "--precision: expected F32, TF32, BF16 or F16, found %s", precision);
    return false;
}

static bool serve(GError **error)
{
    g_auto(Bench) bench = {0};
    size_t p;
    char line[32];
    if (!find_precision(&p, error) ||
        !bench_open(&bench, device_id, p, g_str_equal(kind, "train"), error))
        return false;
    while (fgets(line, sizeof line, stdin)) {
        double ms = time_runs(&bench, MAX(1, atoi(line)), UPLOADS, error);
        if (ms < 0)
            return false;
        printf("%.4f\n", ms);
        fflush(stdout);
    }
    return true;
}

static bool losses(GError **error)
{
    g_auto(Bench) bench = {0};
    g_autoptr(GString) json = g_string_new("[");
    size_t p;
    if (!find_precision(&p, error) || !bench_open(&bench, device_id, p, true, error))
        return false;
    for (int i = 0; i < n_steps; i++) {
        draw(&bench, batch, crop, (crop + 1) / 2);
        if (!train(&bench, error))
            return false;
        add_row(json, "%.9g", (double)bench.loss);
    }
    printf("%s]\n", json->str);
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(GError **error);
    } commands[] = {{"table", table}, {"serve", serve}, {"losses", losses}};
    cz_threads_init(argv);
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("table|serve|losses");
    g_option_context_add_main_entries(context, entries, NULL);
    bool parsed = g_option_context_parse(context, &argc, &argv, &error);
    if (parsed && (size < 1 || crop < 2 || batch < 1 || n_runs < 1 || n_steps < 1 || argc != 2)) {
        g_set_error_literal(&error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                            "expected table, serve or losses, and positive numbers");
        parsed = false;
    }
    cz_threads_set(n_threads);
    for (size_t i = 0; parsed && i < G_N_ELEMENTS(commands); i++)
        if (g_str_equal(argv[1], commands[i].name) && commands[i].run(&error))
            return 0;
    fprintf(stderr, "bench_gpu: %s\n", error ? error->message : "no such command");
    return 1;
}
