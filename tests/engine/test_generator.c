// SPDX-License-Identifier: LGPL-3.0-or-later
// The generators: what they are made of, to the parameter, and that what is written is read.
#include <cz/generator.h>

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/rng.h>
#include <cz/threads.h>

#include "interpreter.h"
#include "model/net.h"

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

// What is left out hangs on the sample's number: so a resumed run leaves out the same.
static void dropout_is_a_function_of_the_sample(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue sample = cz_input(graph, "sample", cz_shape(2, 1, 1, 1));
    CzValue mask = cz_dropout_mask(graph, sample, cz_shape(2, 16, 32, 32), CZ_F32, 0.25f, 9);
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, &mask, 1);
    float *numbers = interpreter_view(interpreter, sample)->data;
    size_t n = 16 * 32 * 32, n_zero = 0, n_equal = 0;
    numbers[0] = 7, numbers[1] = 16777215;
    interpreter_run(interpreter);
    g_autofree float *first = interpreter_floats(interpreter, mask);
    numbers[0] = 16777215, numbers[1] = 7;
    interpreter_run(interpreter);
    g_autofree float *second = interpreter_floats(interpreter, mask);
    // Wherever it stands in its batch, a sample has its own mask.
    g_assert_cmpmem(first, n * sizeof *first, second + n, n * sizeof *first);
    g_assert_cmpmem(first + n, n * sizeof *first, second, n * sizeof *first);
    for (size_t i = 0; i < n; i++) {
        g_assert_true(first[i] == 0 || first[i] == 1 / 0.75f);
        n_zero += first[i] == 0;
        n_equal += first[i] == first[n + i];
    }
    // Binomial, deviation sqrt(n p (1 - p)): 55 and 79; five of them.
    g_assert_cmpfloat(fabs((double)n_zero - 0.25 * n), <, 5 * sqrt(n * 0.25 * 0.75));
    g_assert_cmpfloat(fabs((double)n_equal - 0.625 * n), <, 5 * sqrt(n * 0.625 * 0.375));
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

// ---- gradients ----------------------------------------------------------------------------------

static double loss_at(Interpreter *interpreter, CzView *view, const float *start,
                      const float *direction, float step, CzValue loss)
{
    float *data = view->data;
    for (size_t i = 0; i < cz_shape_count(view->shape); i++)
        data[i] = start[i] + step * direction[i];
    interpreter_run(interpreter);
    g_autofree float *value = interpreter_floats(interpreter, loss);
    return (double)value[0];
}

// d loss / d wrt along a random direction, against central differences of F32 losses near 1: of the
// steps tried the best has to agree to a hundredth.
static void check_direction(Interpreter *interpreter, CzValue wrt, CzValue grad, CzValue loss,
                            const char *name)
{
    static const float steps[] = {3e-2f, 1e-2f, 3e-3f, 1e-3f};
    CzView *view = interpreter_view(interpreter, wrt);
    size_t n = cz_shape_count(view->shape);
    g_autofree float *start = g_memdup2(view->data, n * sizeof *start);
    g_autofree float *direction = g_new(float, n);
    CzRng rng = cz_rng(5, g_str_hash(name));
    double slope = 0, best = INFINITY;
    interpreter_run(interpreter);
    g_autofree float *gradient = interpreter_floats(interpreter, grad);
    for (size_t i = 0; i < n; i++) {
        direction[i] = cz_rng_normal(&rng) / sqrtf((float)n);
        slope += (double)gradient[i] * direction[i];
    }
    for (size_t k = 0; k < G_N_ELEMENTS(steps); k++) {
        double up = loss_at(interpreter, view, start, direction, steps[k], loss);
        double down = loss_at(interpreter, view, start, direction, -steps[k], loss);
        best = fmin(best, fabs((up - down) / (2 * (double)steps[k]) - slope));
    }
    memcpy(view->data, start, n * sizeof *start);
    g_test_message("%s: slope %g, off by %g", name, slope, best);
    if (!(best <= 0.01 * fabs(slope) + 1e-4))
        g_test_fail();
}

// Sum of r * y for random r: a loss that every output has a part in.
static void check_gradients(CzGraph *graph, CzValue y, const CzValue *wrt, size_t n_wrt)
{
    CzValue r = cz_input(graph, "r", cz_graph_shape(graph, y));
    CzShape shape = cz_graph_shape(graph, y);
    CzValue loss = cz_scale(graph, cz_dot(graph, y, r), 1 / sqrtf((float)cz_shape_count(shape)), 0);
    g_autofree CzValue *outputs = g_new(CzValue, n_wrt + 1);
    cz_graph_gradient(graph, loss, wrt, n_wrt, outputs);
    outputs[n_wrt] = loss;
    g_assert_true(cz_graph_check(graph, NULL));
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, outputs, n_wrt + 1);
    interpreter_fill(interpreter, 4);
    for (size_t i = 0; i < n_wrt; i++)
        check_direction(interpreter, wrt[i], outputs[i], loss, cz_graph_of(graph, wrt[i])->name);
}

static void gradients_pass_through_batch_norm(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzNet net;
    CzGeneratorOutput output = {0};
    const CzGeneratorUse use = {.train = true};
    CzValue x = cz_input(graph, "x", cz_shape(3, 5, 4, 3));
    cz_net_init(&net, graph, &use);
    CzValue y = cz_net_batch_norm(&net, x, "a");
    cz_net_finish(&net, &output);
    g_assert_cmpint(output.n_averages, ==, 2);
    cz_generator_clear(&output);
    const CzValue wrt[] = {x, find_param(graph, "a.norm.scale"), find_param(graph, "a.norm.shift")};
    check_gradients(graph, y, wrt, G_N_ELEMENTS(wrt));
}

static void gradients_pass_through_instance_norm(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzNet net;
    CzGeneratorOutput output = {0};
    const CzGeneratorUse use = {.train = true};
    CzValue x = cz_input(graph, "x", cz_shape(3, 5, 4, 3));
    cz_net_init(&net, graph, &use);
    CzValue y = cz_net_instance_norm(&net, x, "a");
    cz_net_finish(&net, &output);
    g_assert_cmpint(output.n_averages, ==, 0);
    cz_generator_clear(&output);
    const CzValue wrt[] = {x, find_param(graph, "a.norm.scale"), find_param(graph, "a.norm.shift")};
    check_gradients(graph, y, wrt, G_N_ELEMENTS(wrt));
}

static void gradients_pass_through_attention(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzNet net;
    CzGeneratorOutput output = {0};
    const CzGeneratorUse use = {.train = true};
    CzValue x = cz_input(graph, "x", cz_shape(2, 16, 3, 4));
    cz_net_init(&net, graph, &use);
    CzValue y = cz_net_attention(&net, x);
    cz_net_finish(&net, &output);
    cz_generator_clear(&output);
    const CzValue wrt[] = {x,
                           find_param(graph, "attention.query.weight"),
                           find_param(graph, "attention.key.weight"),
                           find_param(graph, "attention.key.bias"),
                           find_param(graph, "attention.value.weight"),
                           find_param(graph, "attention.gain")};
    check_gradients(graph, y, wrt, G_N_ELEMENTS(wrt));
}

// Softmax over the places that are looked at, by a loop of its own.
static void attention_is_the_papers(void)
{
    enum { C = 8, PLACES = 6 };
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzNet net;
    CzGeneratorOutput output = {0};
    const CzGeneratorUse use = {0};
    CzValue x = cz_input(graph, "x", cz_shape(1, C, 2, 3));
    cz_net_init(&net, graph, &use);
    CzValue y = cz_net_attention(&net, x);
    cz_net_finish(&net, &output);
    cz_generator_clear(&output);
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, &y, 1);
    interpreter_fill(interpreter, 8);
    interpreter_run(interpreter);
    static const char *const tensors[] = {"attention.query.weight", "attention.query.bias",
                                          "attention.key.weight",   "attention.key.bias",
                                          "attention.value.weight", "attention.value.bias",
                                          "attention.gain"};
    float *t[7];
    for (int i = 0; i < 7; i++)
        t[i] = interpreter_floats(interpreter, find_param(graph, tensors[i]));
    g_autofree float *src = interpreter_floats(interpreter, x);
    g_autofree float *found = interpreter_floats(interpreter, y);
    double query[PLACES], key[PLACES], value[PLACES][C];
    for (int p = 0; p < PLACES; p++) {
        query[p] = (double)t[1][0], key[p] = (double)t[3][0];
        for (int i = 0; i < C; i++) {
            query[p] += (double)t[0][i] * src[p * C + i];
            key[p] += (double)t[2][i] * src[p * C + i];
        }
        for (int c = 0; c < C; c++) {
            value[p][c] = (double)t[5][c];
            for (int i = 0; i < C; i++)
                value[p][c] += (double)t[4][c * C + i] * src[p * C + i];
        }
    }
    for (int p = 0; p < PLACES; p++) {
        double sum = 0, seen[C] = {0};
        for (int q = 0; q < PLACES; q++) {
            double weight = exp(query[p] * key[q]);
            sum += weight;
            for (int c = 0; c < C; c++)
                seen[c] += weight * value[q][c];
        }
        for (int c = 0; c < C; c++) {
            double expected = src[p * C + c] + (double)t[6][0] * seen[c] / sum;
            g_assert_cmpfloat_with_epsilon(found[p * C + c], expected, 1e-4);
        }
    }
    for (int i = 0; i < 7; i++)
        g_free(t[i]);
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
    unet->stride = 4, unet->attention = 8, unet->depth = 4, unet->blocks = 3, unet->concat = 1;
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
    ADD(dropout_is_a_function_of_the_sample);
    ADD(dropout_is_of_training_alone);
    ADD(gradients_pass_through_batch_norm);
    ADD(gradients_pass_through_instance_norm);
    ADD(gradients_pass_through_attention);
    ADD(attention_is_the_papers);
    ADD(what_is_written_is_read);
    ADD(impossible_metadata_is_refused);
    return g_test_run();
}
