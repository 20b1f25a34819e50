// SPDX-License-Identifier: LGPL-3.0-or-later
// The bundled weights on two devices, and how fast the one under test is.
#include <math.h>
#include <string.h>

#include <cz/colorizer.h>
#include <cz/generator.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

#include "selftest_rows.h"
#include "step.h"

// ---- the network --------------------------------------------------------------------------------

typedef struct {
    CzModelFile *file;
    CzGeneratorParams params;
} Weights;

static void weights_clear(Weights *weights)
{
    g_clear_pointer(&weights->file, cz_model_file_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Weights, weights_clear)

static bool weights_open(Weights *weights, GError **error)
{
    g_autofree char *path = cz_weights_bundled(error);
    weights->file = path ? cz_model_file_open(path, error) : NULL;
    return weights->file && cz_generator_read(&weights->params, weights->file, error);
}

// The weights on a device, for pictures of one size.
typedef struct {
    CzStore *store;
    CzGraph *graph;
    CzPlan *plan;
    CzValue input, chroma;
    size_t n_in, n_out;
    float *lightness, *result; // ab/100
} Use;

static void use_clear(Use *use)
{
    cz_plan_free(use->plan);
    cz_graph_free(use->graph);
    cz_store_free(use->store);
    cz_memory_free(use->lightness);
    cz_memory_free(use->result);
    *use = (Use){0};
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Use, use_clear)

// A picture that no file is needed for: waves of light, an edge, and noise as film has it.
static void draw(float *lightness, int32_t w, int32_t h)
{
    CzRng rng = cz_rng(1, 7);
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            float u = (float)x / (float)w, v = (float)y / (float)h;
            float light = 0.5f * sinf(6 * u + 2 * v) * cosf(5 * v - u) + 0.4f * (u - v);
            light += v > 0.6f + 0.1f * sinf(20 * u) ? -0.3f : 0.2f;
            light += 0.05f * cz_rng_normal(&rng);
            lightness[(size_t)y * w + x] = CLAMP(light, -1, 1);
        }
}

static bool use_init(Use *use, CzEngineDevice *device, const Weights *weights, CzShape shape,
                     CzDtype dtype, GError **error)
{
    const CzGeneratorUse how = {.dtype = dtype};
    const CzPlanOptions options = {.frozen = true};
    CzGeneratorOutput output;
    use->graph = cz_graph_new();
    use->input = cz_input(use->graph, "lightness", shape);
    cz_generator_build(use->graph, use->input, &weights->params, &how, &output);
    use->chroma = output.chroma;
    cz_generator_clear(&output);
    use->store = cz_store_new(device);
    if (!cz_graph_check(use->graph, error) || !cz_store_load(use->store, weights->file, error))
        return false;
    use->plan = cz_plan_new(device, use->store, use->graph, &use->chroma, 1, &options, error);
    use->n_in = cz_shape_count(shape);
    use->n_out = cz_shape_count(cz_graph_shape(use->graph, use->chroma));
    if (!use->plan ||
        !(use->lightness = cz_memory_alloc(use->n_in * sizeof(float), "a test picture", error)) ||
        !(use->result = cz_memory_alloc(use->n_out * sizeof(float), "its color", error)))
        return false;
    draw(use->lightness, shape.w, shape.h);
    return true;
}

static bool use_run(Use *use, GError **error)
{
    return cz_plan_write(use->plan, use->input, use->lightness, use->n_in, error) &&
           cz_plan_run(use->plan, NULL, error) &&
           cz_plan_read(use->plan, use->chroma, use->result, use->n_out, error);
}

// ---- against the other device -------------------------------------------------------------------

// The largest difference in a*b* between results; infinite where one is not a number.
static double apart(const Use *a, const Use *b)
{
    double worst = 0;
    for (size_t i = 0; i < a->n_out; i++) {
        double d = 100 * fabs((double)a->result[i] - (double)b->result[i]);
        worst = isnan(d) ? INFINITY : MAX(worst, d);
    }
    return worst;
}

// In a*b*, rounding in F32 makes 1e-4 (oneDNN against the plain loops), in F16 0.2 (the GPU's code
// on its stand-ins), and nobody sees 0.5. BF16, with eight times F16's steps, makes up to 2.6 of a
// noisy picture: there a device may be off by twice what the other one is in the same type.
static bool compare(Selftest *test, const Weights *weights, CzShape shape, CzDtype dtype,
                    SelftestRow *row, GError **error)
{
    g_auto(Use) right = {0}, found = {0}, half = {0};
    if (!use_init(&right, test->right, weights, shape, CZ_F32, error) || !use_run(&right, error) ||
        !use_init(&found, test->device, weights, shape, dtype, error) || !use_run(&found, error))
        return false;
    row->value = apart(&right, &found);
    row->bound = dtype == CZ_F32 ? 0.01 : 0.5;
    if (dtype != CZ_BF16)
        return true;
    if (!use_init(&half, test->right, weights, shape, dtype, error) || !use_run(&half, error))
        return false;
    row->bound = MAX(row->bound, 2 * apart(&right, &half));
    return true;
}

static void check_size(Selftest *test, CzShape shape, CzDtype dtype)
{
    g_autofree char *what = g_strdup_printf("bundled weights, %dx%d", shape.w, shape.h);
    SelftestRow row = {.what = what, .type = cz_dtype_name(dtype), .unit = "a*b* from F32"};
    g_auto(Weights) weights = {0};
    GError *error = NULL;
    if (!selftest_open(test, &row))
        return;
    if (!weights_open(&weights, &error) || !compare(test, &weights, shape, dtype, &row, &error)) {
        selftest_break(test, &row, &error);
        return;
    }
    row.n = 1;
    selftest_row(test, &row);
}

void selftest_weights(Selftest *test)
{
    static const CzShape sizes[] = {{1, 1, 120, 160}, {1, 1, 168, 224}};
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++)
        for (size_t i = 0; selftest_takes(test, dtype) && i < G_N_ELEMENTS(sizes); i++)
            check_size(test, sizes[i], dtype);
}

// ---- pace ---------------------------------------------------------------------------------------

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

// Runs for a second, and three times at least, after two that warm up; row gets pictures a second.
typedef bool (*Turn)(void *user, GError **error);

static bool measure(Turn turn, void *user, int n_pictures, SelftestRow *row, GError **error)
{
    enum { WARM_UP = 2, LEAST = 3, MOST = 10000 };
    double began = 0;
    for (int i = 0; i < MOST; i++) {
        if (i == WARM_UP)
            began = now();
        if (i >= WARM_UP + LEAST && now() - began > 1)
            break;
        if (!turn(user, error))
            return false;
        row->n = i < WARM_UP ? 0 : (unsigned)(i + 1 - WARM_UP);
    }
    row->value = row->n * n_pictures / (now() - began);
    return true;
}

static bool turn_use(void *user, GError **error)
{
    return use_run(user, error);
}

static bool pace_inference(Selftest *test, CzDtype dtype, SelftestRow *row, GError **error)
{
    g_auto(Weights) weights = {0};
    g_auto(Use) use = {0};
    return weights_open(&weights, error) &&
           use_init(&use, test->device, &weights, cz_shape(1, 1, 512, 512), dtype, error) &&
           measure(turn_use, &use, 1, row, error);
}

typedef struct {
    TrainStep *step;
    const float *lightness, *chroma;
    int64_t done;
} Training;

static bool turn_step(void *user, GError **error)
{
    Training *training = user;
    TrainScalars scalars = {0};
    return train_step_run(training->step, training->lightness, training->chroma, training->done++,
                          &scalars, error);
}

// The network of the bundled weights' size, from scratch.
static bool pace_step(Selftest *test, CzDtype dtype, SelftestRow *row, GError **error)
{
    enum { N = 16, CROP = 128 };
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    recipe.batch = N;
    recipe.crop = CROP;
    recipe.bf16 = dtype == CZ_BF16;
    g_autofree float *lightness = g_new(float, N *CROP *CROP);
    g_autofree float *chroma = g_new0(float, N *CROP *CROP / 2);
    draw(lightness, CROP, N * CROP);
    g_autoptr(CzStore) store = cz_store_new(test->device);
    g_autoptr(TrainStep) step = NULL;
    if (!train_step_start(store, &recipe, error) ||
        !(step = train_step_new(test->device, store, &recipe, false, error)))
        return false;
    Training training = {step, lightness, chroma, 0};
    return measure(turn_step, &training, N, row, error);
}

typedef bool (*Pace)(Selftest *test, CzDtype dtype, SelftestRow *row, GError **error);

static void show_pace(Selftest *test, const char *what, Pace pace, CzDtype dtype)
{
    SelftestRow row = {.what = what, .type = cz_dtype_name(dtype), .unit = "pictures/s"};
    GError *error = NULL;
    if (!selftest_open(test, &row))
        return;
    if (pace(test, dtype, &row, &error))
        selftest_row(test, &row);
    else
        selftest_break(test, &row, &error);
}

void selftest_pace(Selftest *test)
{
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++)
        if (selftest_takes(test, dtype))
            show_pace(test, "inference, 512x512", pace_inference, dtype);
    show_pace(test, "training step, 16 x 128x128", pace_step, CZ_F32);
    show_pace(test, "training step, 16 x 128x128", pace_step, CZ_BF16);
}
