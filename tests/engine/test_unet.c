// SPDX-License-Identifier: LGPL-3.0-or-later
// The network: its parameters, its shapes at any size, and files of weights that do not fit.
#include <cz/unet.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "interpreter.h"

// ---- the formula --------------------------------------------------------------------------------

typedef struct {
    size_t n_tensors, n_elements, n_encoder;
} Count;

static bool count(void *user, const CzUnetTensor *tensor)
{
    Count *sum = user;
    sum->n_tensors++;
    sum->n_elements += cz_shape_count(tensor->shape);
    sum->n_encoder += tensor->encoder;
    return true;
}

// design.md says 3.70 M; this is what PyTorch counts in the same network.
static void default_has_as_many_parameters_as_designed(void)
{
    Count sum = {0};
    g_assert_true(cz_unet_each(&cz_unet_default, count, &sum));
    g_assert_cmpuint(sum.n_elements, ==, 3702418);
    g_assert_cmpuint(sum.n_encoder, ==, 2 * (1 + 2 + 15 * 3));
    g_assert_cmpuint(sum.n_tensors, ==, sum.n_encoder + 2 * (1 + 4 * 4 + 1));
}

static bool stop_at_stem_bias(void *user, const CzUnetTensor *tensor)
{
    int *n_calls = user;
    ++*n_calls;
    return strcmp(tensor->name, "encoder.stem.bias") != 0;
}

static void each_stops_when_told(void)
{
    int n_calls = 0;
    g_assert_false(cz_unet_each(&cz_unet_default, stop_at_stem_bias, &n_calls));
    g_assert_cmpint(n_calls, ==, 2);
}

static void each_refuses_impossible_params(void)
{
    CzUnetParams params = cz_unet_default;
    params.widths[2] = 0;
    Count sum = {0};
    g_assert_false(cz_unet_each(&params, count, &sum));
    g_assert_cmpuint(sum.n_tensors, ==, 0);
}

static int32_t halved(int32_t size, int times)
{
    for (; times > 0; times--)
        size = (size + 1) / 2;
    return size;
}

static void any_size_gives_shapes_that_fit(void)
{
    static const int32_t sizes[][2] = {{97, 131}, {1, 1},     {33, 64},  {64, 33},
                                       {2, 3},    {192, 256}, {5, 1000}, {31, 32}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (CzDtype dtype = CZ_F32; dtype <= CZ_BF16; dtype++) {
            g_autoptr(CzGraph) graph = cz_graph_new();
            int32_t h = sizes[i][0], w = sizes[i][1];
            CzValue lightness = cz_input(graph, "lightness", cz_shape(2, 1, h, w));
            CzUnetOutput output = cz_unet_build(graph, lightness, &cz_unet_default, dtype);
            g_autoptr(GError) error = NULL;
            cz_graph_check(graph, &error);
            g_assert_no_error(error);
            g_autofree char *chroma = cz_shape_format(cz_graph_shape(graph, output.chroma));
            g_autofree char *features = cz_shape_format(cz_graph_shape(graph, output.features));
            g_autofree char *half = cz_shape_format(cz_shape(2, 2, halved(h, 1), halved(w, 1)));
            g_autofree char *eighth = cz_shape_format(cz_shape(2, 96, halved(h, 3), halved(w, 3)));
            g_assert_cmpstr(chroma, ==, half);
            g_assert_cmpstr(features, ==, eighth);
            g_assert_cmpint(cz_graph_dtype(graph, output.chroma), ==, CZ_F32);
            g_assert_cmpint(cz_graph_dtype(graph, output.features), ==, CZ_F32);
        }
    }
}

// "Same" as TensorFlow has it: of an odd number of rows to add, the smaller half goes first.
static void strided_convolutions_pad_the_smaller_half_first(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue lightness = cz_input(graph, "lightness", cz_shape(1, 1, 64, 33));
    cz_unet_build(graph, lightness, &cz_unet_default, CZ_F32);
    int n_strided = 0;
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op != CZ_OP_CONV2D || node->params.conv.stride != 2)
            continue;
        const CzConvParams *p = &node->params.conv;
        int32_t kernel = cz_graph_node(graph, node->src[1])->shape.h;
        g_assert_cmpint(p->pad_top, ==, kernel == 3 ? 0 : 1); // 64, 32, ... are even
        g_assert_cmpint(p->pad_bottom, ==, kernel == 3 ? 1 : 2);
        g_assert_cmpint(p->pad_left, ==, kernel / 2); // 33, 17, ... are odd
        g_assert_cmpint(p->pad_right, ==, kernel / 2);
        n_strided++;
    }
    g_assert_cmpint(n_strided, ==, 5);
}

static void wrong_channels_are_an_error(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue a = cz_input(graph, "a", cz_shape(1, 1, 8, 8));
    cz_unet_build(graph, a, &cz_unet_default, CZ_F32);
    CzValue b = cz_input(graph, "b", cz_shape(1, 3, 8, 8));
    cz_unet_build(graph, b, &cz_unet_default, CZ_F32);
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_graph_check(graph, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
}

// N(0, 1) filters explode; scaled by deviation sqrt(2 / inputs), activations stay near 1.
static void tame(const CzGraph *graph, Interpreter *interpreter)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op != CZ_OP_PARAM)
            continue;
        CzShape s = node->shape;
        float scale = s.n == 1 ? 0.1f : sqrtf(2 / ((float)s.c * (float)s.h * (float)s.w));
        float *data = interpreter_view(interpreter, (CzValue){id})->data;
        for (size_t i = 0; i < cz_shape_count(s); i++)
            data[i] *= scale;
    }
}

// Largest |x| of both outputs; not a number if one of theirs is.
static float largest(Interpreter *interpreter, CzValue value, size_t n)
{
    g_autofree float *data = interpreter_floats(interpreter, value);
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = isfinite(data[i]) ? MAX(most, fabsf(data[i])) : NAN;
    return most;
}

static void check_run(CzDtype dtype)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue lightness = cz_input(graph, "x lightness", cz_shape(1, 1, 64, 64));
    CzUnetOutput output = cz_unet_build(graph, lightness, &cz_unet_default, dtype);
    g_assert_true(cz_graph_check(graph, NULL));
    const CzValue values[] = {output.chroma, output.features};
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, values, G_N_ELEMENTS(values));
    interpreter_fill(interpreter, 1);
    tame(graph, interpreter);
    interpreter_run(interpreter);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        size_t n = cz_shape_count(cz_graph_shape(graph, values[i]));
        float most = largest(interpreter, values[i], n);
        g_assert_true(isfinite(most));
        g_assert_cmpfloat(most, >, 1e-3);
        g_assert_cmpfloat(most, <, 1e3);
    }
}

static void run_is_finite_in_f32(void)
{
    check_run(CZ_F32);
}

static void run_is_finite_in_bf16(void)
{
    check_run(CZ_BF16);
}

// ---- weights ------------------------------------------------------------------------------------

typedef struct {
    CzModelWriter *writer;
    const char *leave_out, *break_one; // names, or NULL
} Writing;

static bool write_zeros(void *user, const CzUnetTensor *tensor)
{
    const Writing *writing = user;
    if (g_strcmp0(tensor->name, writing->leave_out) == 0)
        return true;
    CzShape s = tensor->shape;
    bool is_bias = g_str_has_suffix(tensor->name, ".bias");
    int32_t dims[4] = {s.n, s.c, s.h, s.w};
    if (is_bias)
        dims[0] = s.c;
    if (g_strcmp0(tensor->name, writing->break_one) == 0)
        dims[0]++;
    g_autofree float *zeros = g_new0(float, cz_shape_count(s) * 2 + 1);
    return cz_model_writer_add(writing->writer, tensor->name, is_bias ? 1 : 4, dims, zeros, CZ_F16,
                               NULL);
}

// A small network's file of zeros with one key of metadata changed (NULL: none); what
// cz_unet_read() says of it.
static bool read_written(const char *key, const char *value, const Writing *how,
                         CzUnetParams *params, GError **error)
{
    static const CzUnetParams small = {.n_inputs = 2, .widths = {8, 7, 6, 5}, .context = 1};
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    Writing writing = {.writer = writer};
    if (how) {
        writing.leave_out = how->leave_out;
        writing.break_one = how->break_one;
    }
    cz_unet_write(&small, writer);
    if (key)
        cz_model_writer_meta(writer, key, value);
    g_assert_true(cz_unet_each(&small, write_zeros, &writing));

    g_autofree char *folder = g_dir_make_tmp("colorize-unet-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "weights.safetensors", NULL);
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    g_assert_nonnull(file);
    bool ok = cz_unet_read(params, file, error);
    g_unlink(path);
    g_rmdir(folder);
    return ok;
}

static void what_is_written_is_read(void)
{
    CzUnetParams params;
    g_autoptr(GError) error = NULL;
    bool ok = read_written(NULL, NULL, NULL, &params, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    g_assert_cmpint(params.n_inputs, ==, 2);
    g_assert_cmpint(params.context, ==, 1);
    for (int i = 0; i < 4; i++)
        g_assert_cmpint(params.widths[i], ==, 8 - i);
}

static void impossible_metadata_is_refused(void)
{
    static const struct {
        const char *key, *value;
    } cases[] = {
        {"colorize.architecture", "resnet"},
        {"colorize.architecture", ""},
        {"colorize.n_inputs", "0"},
        {"colorize.n_inputs", "17"},
        {"colorize.n_inputs", "one"},
        {"colorize.n_inputs", "99999999999999999999"},
        {"colorize.widths", "8,7,6"},
        {"colorize.widths", "8,7,6,5,4"},
        {"colorize.widths", "8,7,6,0"},
        {"colorize.widths", "8,7,6,-5"},
        {"colorize.widths", "8,7,6,4097"},
        {"colorize.widths", "8,7,6,5 "},
        {"colorize.widths", ""},
        {"colorize.context", "2"},
        {"colorize.context", "true"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CzUnetParams params = {.n_inputs = -7};
        g_autoptr(GError) error = NULL;
        g_assert_false(read_written(cases[i].key, cases[i].value, NULL, &params, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
        g_assert_nonnull(strstr(error->message, cases[i].key));
        g_assert_cmpint(params.n_inputs, ==, -7); // untouched
    }
}

static void no_metadata_is_refused(void)
{
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                         "efficientnet-lite0-imagenet.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    CzUnetParams params;
    g_assert_false(cz_unet_read(&params, file, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
    g_assert_nonnull(strstr(error->message, "colorize.architecture: expected 'unet', found none"));
}

static void check_refusal(const Writing *how, const char *sentence)
{
    CzUnetParams params;
    g_autoptr(GError) error = NULL;
    g_assert_false(read_written(NULL, NULL, how, &params, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
    if (!g_str_has_suffix(error->message, sentence))
        g_test_message("expected: %s, found: %s", sentence, error->message);
    g_assert_true(g_str_has_suffix(error->message, sentence));
}

static void first_wrong_tensor_is_named(void)
{
    check_refusal(&(Writing){.leave_out = "encoder.block.3.depthwise.weight"},
                  "tensor 'encoder.block.3.depthwise.weight': expected 144x1x5x5, found none");
    check_refusal(&(Writing){.break_one = "head.weight"},
                  "tensor 'head.weight': expected 2x5x3x3, found 3x5x3x3");
    check_refusal(&(Writing){.break_one = "up.0.reduce.bias", .leave_out = "head.bias"},
                  "tensor 'up.0.reduce.bias': expected 8, found 9");
}

static void widths_must_agree_with_the_tensors(void)
{
    CzUnetParams params;
    g_autoptr(GError) error = NULL;
    g_assert_false(read_written("colorize.widths", "8,7,6,9", NULL, &params, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
    g_assert_nonnull(strstr(error->message, "tensor 'up.3.reduce.weight': expected 9x6x1x1"));
}

static bool find_in_pretrained(void *user, const CzUnetTensor *tensor)
{
    if (!tensor->encoder || g_str_has_prefix(tensor->name, "encoder.stem."))
        return true;
    const CzTensor *found = cz_model_file_find(user, tensor->name + strlen("encoder."));
    g_assert_nonnull(found);
    CzShape s = tensor->shape;
    const int32_t filter[4] = {s.n, s.c, s.h, s.w}, bias[4] = {s.c};
    bool is_bias = g_str_has_suffix(tensor->name, ".bias");
    g_assert_cmpint(found->rank, ==, is_bias ? 1 : 4);
    for (int i = 0; i < found->rank; i++)
        g_assert_cmpint(found->dims[i], ==, is_bias ? bias[i] : filter[i]);
    return true;
}

static void pretrained_encoder_fits(void)
{
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                         "efficientnet-lite0-imagenet.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    g_assert_true(cz_unet_each(&cz_unet_default, find_in_pretrained, file));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/engine/unet/" #name, name)
    CASE(default_has_as_many_parameters_as_designed);
    CASE(each_stops_when_told);
    CASE(each_refuses_impossible_params);
    CASE(any_size_gives_shapes_that_fit);
    CASE(strided_convolutions_pad_the_smaller_half_first);
    CASE(wrong_channels_are_an_error);
    CASE(run_is_finite_in_f32);
    CASE(run_is_finite_in_bf16);
    CASE(what_is_written_is_read);
    CASE(impossible_metadata_is_refused);
    CASE(no_metadata_is_refused);
    CASE(first_wrong_tensor_is_named);
    CASE(widths_must_agree_with_the_tensors);
    CASE(pretrained_encoder_fits);
#undef CASE
    return g_test_run();
}
