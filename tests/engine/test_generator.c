// SPDX-License-Identifier: LGPL-3.0-or-later
// The generators: what they are made of, to the parameter, and that what is written is read.
#include <cz/generator.h>

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/threads.h>

#include "interpreter.h"

// ---- parameters ---------------------------------------------------------------------------------

static bool count(void *user, const CzUnetTensor *tensor)
{
    *(size_t *)user += tensor->statistic ? 0 : cz_shape_count(tensor->shape);
    return true;
}

static size_t n_parameters(const CzGeneratorParams *params)
{
    size_t n = 0;
    g_assert_true(cz_generator_each(params, count, &n));
    return n;
}

static CzGeneratorParams pix2pix(void)
{
    CzGeneratorParams params = cz_generator_default();
    params.architecture = CZ_GENERATOR_PIX2PIX;
    return params;
}

// As in "Image Colorization Tutorial" and in the student project that claims so many.
static void tutorials_unet_has_its_parameters(void)
{
    CzGeneratorParams params = pix2pix();
    g_assert_cmpuint(n_parameters(&params), ==, 54409858);
    g_assert_cmpint(cz_generator_multiple(&params), ==, 256);
    g_assert_cmpint(cz_generator_stride(&params), ==, 1);
}

// Bug 4: three layers were one object, 8.4 million parameters fewer than claimed.
static void seeds_shared_bottleneck_has_its_parameters(void)
{
    CzGeneratorParams params = pix2pix();
    params.pix2pix.shared = 1;
    params.pix2pix.unactivated = 5;
    g_assert_cmpuint(n_parameters(&params), ==, 46019202);
}

static void the_default_network_is_as_it_was(void)
{
    CzGeneratorParams params = cz_generator_default();
    size_t n = 0;
    g_assert_true(cz_unet_each(&cz_unet_default, count, &n));
    g_assert_cmpuint(n_parameters(&params), ==, n);
    g_assert_cmpint(cz_generator_multiple(&params), ==, 1);
    g_assert_cmpint(cz_generator_stride(&params), ==, 2);
}

// ---- the shared module --------------------------------------------------------------------------

// How often a PARAM is used, and how often a batch adds to its average.
static int uses_of(const CzGraph *graph, const char *name)
{
    int n = 0;
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        for (int32_t i = 0; i < node->n_src; i++)
            n += g_strcmp0(cz_graph_node(graph, node->src[i])->name, name) == 0;
    }
    return n;
}

static int kept_of(const CzGraph *graph, const CzGeneratorOutput *output, const char *name)
{
    int n = 0;
    for (int32_t i = 0; i < output->n_averages; i++)
        n += g_strcmp0(cz_graph_of(graph, output->averages[i])->name, name) == 0;
    return n;
}

static void inner_layers_are_shared_only_where_told(void)
{
    for (int32_t shared = 0; shared < 2; shared++) {
        CzGeneratorParams params = pix2pix();
        params.pix2pix.width = 1;
        params.pix2pix.shared = shared;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzGeneratorOutput output;
        const CzGeneratorUse use = {.train = true,
                                    .sample = cz_input(graph, "sample", cz_shape(2, 1, 1, 1))};
        cz_generator_build(graph, cz_input(graph, "x", cz_shape(2, 1, 256, 256)), &params, &use,
                           &output);
        g_assert_true(cz_graph_check(graph, NULL));
        g_assert_cmpint(uses_of(graph, "down.5.weight"), ==, shared ? 3 : 1);
        g_assert_cmpint(uses_of(graph, "down.6.weight"), ==, shared ? 0 : 1);
        g_assert_cmpint(uses_of(graph, "down.7.weight"), ==, shared ? 0 : 1);
        g_assert_cmpint(kept_of(graph, &output, "down.5.norm.running_mean"), ==, shared ? 3 : 1);
        g_assert_cmpint(kept_of(graph, &output, "down.7.norm.running_mean"), ==, shared ? 0 : 1);
        // The decoder's are their own in either case: 13 modules with statistics, two each.
        g_assert_cmpint(uses_of(graph, "up.6.weight"), ==, 1);
        g_assert_cmpint(output.n_averages, ==, 2 * 13);
        cz_generator_clear(&output);
    }
}

// Bug 5: the decoder's fifth level lacks its ReLU.
static void one_level_lacks_its_relu_where_told(void)
{
    int n[2] = {0};
    for (int32_t i = 0; i < 2; i++) {
        CzGeneratorParams params = pix2pix();
        params.pix2pix.width = 1;
        params.pix2pix.unactivated = 5 * i;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzGeneratorOutput output;
        const CzGeneratorUse use = {0};
        cz_generator_build(graph, cz_input(graph, "x", cz_shape(1, 1, 256, 256)), &params, &use,
                           &output);
        for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
            const CzNode *node = cz_graph_node(graph, id);
            n[i] += node->op == CZ_OP_ACTIVATION && node->params.activation == CZ_ACT_RELU;
        }
        cz_generator_clear(&output);
    }
    g_assert_cmpint(n[0], ==, 8);
    g_assert_cmpint(n[1], ==, 7);
}

// ---- sizes --------------------------------------------------------------------------------------

static void every_output_has_the_size_that_is_promised(void)
{
    for (int32_t a = 0; a < CZ_N_GENERATORS; a++) {
        CzGeneratorParams params = cz_generator_default();
        params.architecture = (CzArchitecture)a;
        params.pix2pix.levels = 5;
        params.pix2pix.width = 8;
        int32_t multiple = cz_generator_multiple(&params), stride = cz_generator_stride(&params);
        int32_t h = multiple > 1 ? 2 * multiple : 45, w = multiple > 1 ? multiple : 61;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzGeneratorOutput output;
        const CzGeneratorUse use = {0};
        cz_generator_build(graph, cz_input(graph, "x", cz_shape(1, 1, h, w)), &params, &use,
                           &output);
        CzShape chroma = cz_graph_shape(graph, output.chroma);
        CzShape features = cz_graph_shape(graph, output.features);
        g_assert_true(cz_graph_check(graph, NULL));
        g_assert_cmpint(chroma.c, ==, 2);
        g_assert_cmpint(chroma.h, ==, (h + stride - 1) / stride);
        g_assert_cmpint(chroma.w, ==, (w + stride - 1) / stride);
        g_assert_cmpint(features.c, ==, cz_generator_features(&params));
        g_assert_cmpint(features.h, ==, (h + 7) / 8);
        g_assert_cmpint(features.w, ==, (w + 7) / 8);
        g_assert_cmpint(cz_graph_shape(graph, output.decoded).c, >, 0);
        g_assert_cmpint(output.n_averages, ==, 0);
        cz_generator_clear(&output);
    }
}

static void sizes_between_are_refused_in_words(void)
{
    CzGeneratorParams params = pix2pix();
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    CzGeneratorOutput output;
    const CzGeneratorUse use = {0};
    cz_generator_build(graph, cz_input(graph, "x", cz_shape(1, 1, 128, 256)), &params, &use,
                       &output);
    cz_generator_clear(&output);
    g_assert_false(cz_graph_check(graph, &error));
    g_assert_nonnull(strstr(error->message, "multiples of 256 pixels, found 256 x 128"));
}

// ---- statistics ---------------------------------------------------------------------------------

typedef struct {
    CzGraph *graph;
    CzGeneratorOutput output;
    Interpreter *interpreter;
} Run;

static void run_clear(Run *run)
{
    if (!run->graph)
        return;
    interpreter_free(run->interpreter);
    cz_generator_clear(&run->output);
    cz_graph_free(run->graph);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

// A small network on the references; the same numbers under the same names every time.
static Run run_new(const CzGeneratorParams *params, bool train)
{
    Run run = {.graph = cz_graph_new()};
    const CzGeneratorUse use = {
        .train = train, .sample = cz_input(run.graph, "sample", cz_shape(2, 1, 1, 1)), .seed = 3};
    CzValue lightness = cz_input(run.graph, "lightness", cz_shape(2, 1, 32, 32));
    cz_generator_build(run.graph, lightness, params, &use, &run.output);
    int32_t n = run.output.n_averages;
    g_autofree CzValue *outputs = g_new(CzValue, n + 1);
    outputs[0] = run.output.chroma;
    if (n > 0)
        memcpy(outputs + 1, run.output.statistics, (size_t)n * sizeof *outputs);
    run.interpreter = interpreter_new(run.graph, outputs, 1 + (size_t)n);
    interpreter_fill(run.interpreter, 11);
    return run;
}

static CzGeneratorParams small_pix2pix(void)
{
    CzGeneratorParams params = pix2pix();
    params.pix2pix.width = 2;
    params.pix2pix.levels = 5;
    params.pix2pix.dropout = 0;
    return params;
}

static CzValue find_param(const CzGraph *graph, const char *name)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        if (g_strcmp0(cz_graph_node(graph, id)->name, name) == 0)
            return (CzValue){id};
    return (CzValue){-1};
}

// The statistics of the batch become what inference reads. What is kept of a variance is the
// estimate for all pictures, n / (n - 1) times that of the batch: its node says how much.
static void hand_over(const Run *from, Run *to)
{
    for (int32_t i = 0; i < from->output.n_averages; i++) {
        const char *name = cz_graph_of(from->graph, from->output.averages[i])->name;
        const CzNode *statistic = cz_graph_of(from->graph, from->output.statistics[i]);
        bool variance = g_str_has_suffix(name, ".running_var");
        float factor = variance ? 1 / statistic->params.linear.scale : 1;
        g_autofree float *values =
            interpreter_floats(from->interpreter, from->output.statistics[i]);
        CzView *average = interpreter_view(to->interpreter, find_param(to->graph, name));
        for (size_t k = 0; k < cz_shape_count(average->shape); k++)
            ((float *)average->data)[k] = factor * values[k];
    }
}

// Largest difference of two runs' colors.
static float difference(const Run *a, const Run *b)
{
    g_autofree float *x = interpreter_floats(a->interpreter, a->output.chroma);
    g_autofree float *y = interpreter_floats(b->interpreter, b->output.chroma);
    float most = 0;
    for (size_t i = 0; i < cz_shape_count(cz_graph_shape(a->graph, a->output.chroma)); i++)
        most = fabsf(x[i] - y[i]) > most ? fabsf(x[i] - y[i]) : most;
    return most;
}

static void training_and_use_agree_on_equal_statistics(void)
{
    CzGeneratorParams params = small_pix2pix();
    g_auto(Run) train = run_new(&params, true), infer = run_new(&params, false);
    g_assert_cmpint(train.output.n_averages, ==, 2 * 7);
    interpreter_run(train.interpreter);
    hand_over(&train, &infer);
    interpreter_run(infer.interpreter);
    // Ten layers of sums over up to 16 * 16 channels: 1e-7 sqrt(256) each, values of about 1.
    g_assert_cmpfloat(difference(&train, &infer), <, 10 * 16 * 1.2e-7f * 10);
}

static void dropout_is_of_training_alone(void)
{
    CzGeneratorParams params = small_pix2pix();
    params.pix2pix.levels = 6; // the smallest with an inner level
    params.pix2pix.dropout = 0.5f;
    for (int train = 0; train < 2; train++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        const CzGeneratorUse use = {.train = train,
                                    .sample = cz_input(graph, "sample", cz_shape(2, 1, 1, 1))};
        CzGeneratorOutput output;
        int n = 0;
        cz_generator_build(graph, cz_input(graph, "x", cz_shape(2, 1, 64, 64)), &params, &use,
                           &output);
        cz_generator_clear(&output);
        g_assert_true(cz_graph_check(graph, NULL));
        for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
            n += cz_graph_node(graph, id)->op == CZ_OP_DROPOUT_MASK;
        g_assert_cmpint(n, ==, train);
    }
}

// ---- the affine head ----------------------------------------------------------------------------

// One channel of a map at twice its size, at (x, y): bilinear, half-pixel centres, edges repeated.
static double twice(const float *map, int32_t w, int32_t h, int32_t n_c, int32_t c, int32_t x,
                    int32_t y)
{
    double at_x = CLAMP((x + 0.5) / 2 - 0.5, 0, w - 1), at_y = CLAMP((y + 0.5) / 2 - 0.5, 0, h - 1);
    int32_t x0 = (int32_t)at_x, y0 = (int32_t)at_y;
    int32_t x1 = MIN(x0 + 1, w - 1), y1 = MIN(y0 + 1, h - 1);
    double u = at_x - x0, v = at_y - y0;
    return (1 - v) * ((1 - u) * (double)map[(y0 * w + x0) * n_c + c] +
                      u * (double)map[(y0 * w + x1) * n_c + c]) +
           v * ((1 - u) * (double)map[(y1 * w + x0) * n_c + c] +
                u * (double)map[(y1 * w + x1) * n_c + c]);
}

static void affine_chroma_follows_the_lightness(void)
{
    enum { W = 32, H = 32, W2 = W / 2, H2 = H / 2 };
    CzGeneratorParams params = cz_generator_default();
    params.unet.affine = 1;
    for (int i = 0; i < 4; i++)
        params.unet.widths[i] = 8;
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzGeneratorOutput output;
    const CzGeneratorUse use = {0};
    CzValue lightness = cz_input(graph, "lightness", cz_shape(1, 1, H, W));
    cz_generator_build(graph, lightness, &params, &use, &output);
    cz_generator_clear(&output);
    const CzValue outputs[] = {output.chroma, output.places, output.slopes};
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, outputs, 3);
    interpreter_fill(interpreter, 2);
    interpreter_run(interpreter);
    g_autofree float *full = interpreter_floats(interpreter, lightness);
    g_autofree float *chroma = interpreter_floats(interpreter, output.chroma);
    g_autofree float *places = interpreter_floats(interpreter, output.places);
    g_autofree float *slopes = interpreter_floats(interpreter, output.slopes);
    float l[W2 * H2];
    for (int i = 0; i < W2 * H2; i++) {
        const float *at = full + i / W2 * 2 * W + i % W2 * 2;
        l[i] = (at[0] + at[1] + at[W] + at[W + 1]) / 4;
    }
    for (int i = 0; i < W * H * 2; i++) {
        int32_t x = i / 2 % W, y = i / 2 / W, c = i % 2;
        double off = (double)full[i / 2] - twice(l, W2, H2, 1, 0, x, y);
        double slope = twice(slopes, W2, H2, 2, c, x, y);
        double expected = twice(places, W2, H2, 2, c, x, y) + slope * off;
        g_assert_cmpfloat_with_epsilon(chroma[i], expected,
                                       1e-5 * (1 + fabs(slope) + fabs(expected)));
    }
    g_assert_cmpint(cz_generator_stride(&params), ==, 1);
}

// ---- files --------------------------------------------------------------------------------------

static bool write_zeros(void *user, const CzUnetTensor *tensor)
{
    CzShape s = tensor->shape;
    bool flat = s.n == 1 && s.h == 1 && s.w == 1;
    const int32_t dims[4] = {flat ? s.c : s.n, s.c, s.h, s.w};
    g_autofree float *zeros = g_new0(float, cz_shape_count(s));
    return cz_model_writer_add(user, tensor->name, flat ? 1 : 4, dims, zeros, CZ_F16, NULL);
}

// A file with one key of the metadata changed (NULL: none), and what the reader says of it.
static bool read_written(const CzGeneratorParams *params, const char *key, const char *value,
                         CzGeneratorParams *found, GError **error)
{
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    cz_generator_write(params, writer);
    if (key)
        cz_model_writer_meta(writer, key, value);
    g_assert_true(cz_generator_each(params, write_zeros, writer));
    g_autofree char *folder = g_dir_make_tmp("colorize-generator-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "weights.safetensors", NULL);
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    bool good = cz_generator_read(found, file, error);
    g_unlink(path);
    g_rmdir(folder);
    return good;
}

static void what_is_written_is_read(void)
{
    CzGeneratorParams params[] = {small_pix2pix(), small_pix2pix(), cz_generator_default(),
                                  cz_generator_default()};
    const size_t n = G_N_ELEMENTS(params);
    CzUnetParams *unet = &params[3].unet;
    unet->stride = 4, unet->attention = 8, unet->depth = 4, unet->blocks = 3, unet->concat = 1,
    unet->affine = 1;
    unet->norm = CZ_NORM_BATCH;
    unet->dropout = 0.25f;
    params[1].pix2pix = (CzPix2pixParams){
        .n_inputs = 1, .width = 3, .levels = 7, .shared = 1, .unactivated = 5, .range = 128};
    for (size_t i = 0; i < n; i++) {
        CzGeneratorParams found = {0};
        g_autoptr(GError) error = NULL;
        bool good = read_written(&params[i], NULL, NULL, &found, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        g_assert_true(cz_generator_equal(&params[i], &found));
        g_assert_false(cz_generator_equal(&params[(i + 1) % n], &found));
    }
}

static void refuse_each(CzGeneratorParams params, const char *const cases[][2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        CzGeneratorParams found;
        g_autoptr(GError) error = NULL;
        g_assert_false(read_written(&params, cases[i][0], cases[i][1], &found, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
        g_assert_nonnull(strstr(error->message, cases[i][0]));
        g_assert_nonnull(strstr(error->message, "expected"));
    }
}

static void impossible_metadata_is_refused(void)
{
    static const char *const cases[][2] = {
        {"colorize.architecture", "pix2pox"},
        {"colorize.width", "0"},
        {"colorize.width", "513"},
        {"colorize.levels", "3"},
        {"colorize.levels", "10"},
        {"colorize.levels", "five"},
        {"colorize.shared", "2"},
        {"colorize.unactivated", "6"},
        {"colorize.dropout", "1"},
        {"colorize.dropout", "half"},
        {"colorize.range", "0"},
        {"colorize.range", "nan"},
        {"colorize.n_inputs", ""},
    };
    static const char *const unet_cases[][2] = {
        {"colorize.stride", "3"},     {"colorize.stride", "8"}, {"colorize.attention", "12"},
        {"colorize.attention", "64"}, {"colorize.depth", "3"},  {"colorize.blocks", "5"},
        {"colorize.norm", "batch"},   {"colorize.concat", "2"}, {"colorize.dropout", "-1"},
    };
    refuse_each(small_pix2pix(), cases, G_N_ELEMENTS(cases));
    refuse_each(cz_generator_default(), unet_cases, G_N_ELEMENTS(unet_cases));
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/engine/generator/" #name, name)
    ADD(tutorials_unet_has_its_parameters);
    ADD(seeds_shared_bottleneck_has_its_parameters);
    ADD(the_default_network_is_as_it_was);
    ADD(inner_layers_are_shared_only_where_told);
    ADD(one_level_lacks_its_relu_where_told);
    ADD(every_output_has_the_size_that_is_promised);
    ADD(sizes_between_are_refused_in_words);
    ADD(training_and_use_agree_on_equal_statistics);
    ADD(dropout_is_of_training_alone);
    ADD(affine_chroma_follows_the_lightness);
    ADD(what_is_written_is_read);
    ADD(impossible_metadata_is_refused);
    return g_test_run();
}
