// SPDX-License-Identifier: LGPL-3.0-or-later
// The references, by which every backend is judged, against the formulas of ops.h written out once
// more, and against PyTorch's numbers where conventions differ between libraries.
#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/ops.h>
#include <cz/plan.h>

#include "interpreter.h"

static size_t place(CzShape s, int32_t n, int32_t c, int32_t h, int32_t w)
{
    return (((size_t)n * s.h + h) * s.w + w) * s.c + c;
}

// ---- convolution --------------------------------------------------------------------------------

typedef struct {
    CzShape src, filter;
    CzConvParams p;
    const float *src_data, *filter_data;
} Conv;

// Sum of the window of output (n, o, y, x); *size is the sum of magnitudes.
static double window(const Conv *conv, int32_t n, int32_t o, int32_t y, int32_t x, double *size)
{
    const CzConvParams *p = &conv->p;
    CzShape s = conv->src, f = conv->filter;
    double sum = 0;
    for (int32_t tap = 0; tap < f.c * f.h * f.w; tap++) {
        int32_t i = tap % f.c, kx = tap / f.c % f.w, ky = tap / f.c / f.w;
        int32_t sy = y * p->stride + ky * p->dilation - p->pad_top;
        int32_t sx = x * p->stride + kx * p->dilation - p->pad_left;
        if (sy < 0 || sx < 0 || sy >= s.h || sx >= s.w)
            continue;
        int32_t group = o / (f.n / p->groups);
        double term = (double)conv->src_data[place(s, n, group * f.c + i, sy, sx)] *
                      conv->filter_data[place(f, o, i, ky, kx)];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static double activate(double x, CzActivation activation)
{
    switch (activation) {
    case CZ_ACT_RELU:
        return fmax(x, 0);
    case CZ_ACT_RELU6:
        return fmin(fmax(x, 0), 6);
    case CZ_ACT_LEAKY:
        return fmax(x, 0.2 * x);
    case CZ_ACT_TANH:
        return tanh(x);
    case CZ_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x;
    }
}

// Every output of one convolution.
static void check_conv(const CzGraph *graph, CzValue dst)
{
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, &dst, 1);
    interpreter_fill(interpreter, 5);
    interpreter_run(interpreter);
    const CzNode *node = cz_graph_of(graph, dst);
    float *sources[4] = {NULL};
    for (int32_t i = 0; i < node->n_src; i++)
        sources[i] = interpreter_floats(interpreter, (CzValue){node->src[i]});
    Conv conv = {cz_graph_node(graph, node->src[0])->shape,
                 cz_graph_node(graph, node->src[1])->shape, node->params.conv, sources[0],
                 sources[1]};
    const float *bias = conv.p.has_bias ? sources[2] : NULL;
    const float *residual = conv.p.has_residual ? sources[node->n_src - 1] : NULL;
    g_autofree float *found = interpreter_floats(interpreter, dst);
    CzShape s = node->shape;
    for (size_t i = 0; i < cz_shape_count(s); i++) {
        int32_t c = (int32_t)(i % s.c), x = (int32_t)(i / s.c % s.w);
        int32_t y = (int32_t)(i / s.c / s.w % s.h), n = (int32_t)(i / s.c / s.w / s.h);
        double size = 8;
        double sum = window(&conv, n, c, y, x, &size);
        sum += (bias ? bias[c] : 0) + (residual ? residual[i] : 0);
        double wanted = activate(sum, conv.p.activation), bound = 4 * 6e-8 * size;
        if (!(fabs(found[i] - wanted) <= bound))
            g_test_message("%zu: expected %g, found %g, bound %g", i, wanted, found[i], bound);
        g_assert_true(fabs(found[i] - wanted) <= bound);
    }
    for (int32_t i = 0; i < 4; i++)
        g_free(sources[i]);
}

static void convolution_is_its_formula(void)
{
    unsigned n = 0;
    for (;; n++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue dst;
        if (!cz_op_class(CZ_OP_CONV2D)->example(n, CZ_F32, graph, &dst))
            break;
        g_assert_true(cz_graph_check(graph, NULL));
        check_conv(graph, dst);
    }
    g_assert_cmpuint(n, >=, 15);
}

// 1 + half is halfway between two numbers of the type and goes to the even one, 1: so must a
// filter, on the way there and back.
static void check_rounded_filter(CzDtype dtype, float half)
{
    const CzShape one = {1, 1, 1, 1};
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src = cz_input(graph, "src", one), filter = cz_input(graph, "filter", one);
    CzValue x = cz_cast(graph, src, dtype), dst[2];
    dst[0] = cz_conv2d(graph, x, filter, CZ_NONE, CZ_NONE, (CzConvParams){0});
    dst[1] = cz_conv2d_grad_src(graph, x, filter, one, (CzConvParams){0});
    for (int i = 0; i < 2; i++)
        dst[i] = cz_scale(graph, cz_cast(graph, dst[i], CZ_F32), 1 / half, -1 / half);
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, dst, 2);
    const float filters[] = {1 + half, 1 + 1.01f * half}, expected[] = {0, 2};
    for (int i = 0; i < 2; i++) {
        *(float *)interpreter_view(interpreter, src)->data = 1;
        *(float *)interpreter_view(interpreter, filter)->data = filters[i];
        interpreter_run(interpreter);
        for (int j = 0; j < 2; j++)
            g_assert_cmpfloat(*(float *)interpreter_view(interpreter, dst[j])->data, ==,
                              expected[i]);
    }
}

static void convolution_rounds_its_filter_to_its_type(void)
{
    check_rounded_filter(CZ_BF16, 0x1p-8f);
    check_rounded_filter(CZ_F16, 0x1p-11f);
}

// 65504 is the largest number that F16 has; what rounds to more is infinite.
static void f16_ends_at_65504(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src = cz_input(graph, "src", cz_shape(1, 4, 1, 1));
    CzValue twice = cz_scale(graph, cz_cast(graph, src, CZ_F16), 2, 0);
    CzValue dst = cz_cast(graph, twice, CZ_F32), wide = cz_cast(graph, twice, CZ_BF16);
    const CzValue outputs[] = {dst, wide};
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, outputs, 2);
    memcpy(interpreter_view(interpreter, src)->data, (float[]){32752, -32752, 32768, 0x1p-24f}, 16);
    interpreter_run(interpreter);
    const float *found = interpreter_view(interpreter, dst)->data;
    const float expected[] = {65504, -65504, INFINITY, 0x1p-23f};
    for (int i = 0; i < 4; i++)
        g_assert_cmpfloat(found[i], ==, expected[i]);
    g_autofree float *coarse = interpreter_floats(interpreter, wide);
    g_assert_cmpfloat(coarse[0], ==, 65536); // BF16's next
    g_assert_cmpfloat(coarse[2], ==, INFINITY);
}

// ---- resize and pool ----------------------------------------------------------------------------

static const float picture[15] = {0, 1, 4, 9, 16, 1, -2, 3, -4, 5, 10, 20, -30, 40, -50};

static void check_picture(CzGraph *graph, CzValue src, CzValue dst, const float *wanted)
{
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, &dst, 1);
    size_t n = cz_shape_count(cz_graph_shape(graph, dst));
    memcpy(interpreter_view(interpreter, src)->data, picture, sizeof picture);
    interpreter_run(interpreter);
    const float *found = interpreter_view(interpreter, dst)->data;
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(found[i] - wanted[i]) <= 1e-5f))
            g_test_message("%zu: expected %g, found %g", i, wanted[i], found[i]);
        g_assert_true(fabsf(found[i] - wanted[i]) <= 1e-5f);
    }
}

static void resize_is_pytorchs(void)
{
    // torch.nn.functional.interpolate(mode="bilinear", align_corners=False), PyTorch 1.13.
    static const struct {
        int32_t h, w;
        float wanted[35];
    } cases[] = {
        {6, 5, {0,     1,      4,       9,      16,      0.25f, 0.25f, 3.75f,  5.75f, 13.25f,
                0.75f, -1.25f, 3.25f,   -0.75f, 7.75f,   3.25f, 3.5f,  -5.25f, 7,     -8.75f,
                7.75f, 14.5f,  -21.75f, 29,     -36.25f, 10,    20,    -30,    40,    -50}},
        {5, 7, {0,         0.5714286f,  1.857143f,  4,         7.571429f,  12,          16,
                0.4f,      0.05714281f, 0.8857144f, 3.6f,      3.742857f,  7.142858f,   11.6f,
                1,         -0.7142848f, -0.571428f, 2.999998f, -1.999999f, -0.1428561f, 4.999997f,
                6.400001f, 9.142859f,   3.199999f,  -16.8f,    11.2f,      0.7999943f,  -28.00001f,
                10,        15.71429f,   5.714284f,  -30,       20,         1.428562f,   -50}},
        {2, 3, {0.25f, 3.75f, 10.75f, 10, -21.75f, -14.5f}},
        {1, 1, {3}},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue src = cz_input(graph, "src", cz_shape(1, 1, 3, 5));
        CzValue dst = cz_resize(graph, src, cases[i].h, cases[i].w);
        check_picture(graph, src, dst, cases[i].wanted);
    }
}

static void pool_is_the_mean_of_squares(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src = cz_input(graph, "src", cz_shape(1, 5, 3, 1));
    CzValue square = cz_pad(graph, src, cz_shape(0, 0, 0, 1), cz_shape(1, 5, 3, 3));
    CzValue dst = cz_pool(graph, square, 3);
    const float wanted[] = {11 / 9.0f, 19 / 9.0f, -23 / 9.0f, 45 / 9.0f, -29 / 9.0f};
    check_picture(graph, src, dst, wanted);
}

// ---- moves --------------------------------------------------------------------------------------

static void concat_puts_channels_side_by_side(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src = cz_input(graph, "src", cz_shape(1, 5, 3, 1));
    CzValue tail = cz_slice(graph, src, cz_shape(0, 3, 1, 0), cz_shape(1, 2, 2, 1));
    CzValue head = cz_slice(graph, src, cz_shape(0, 0, 0, 0), cz_shape(1, 1, 2, 1));
    const CzValue parts[] = {tail, head, tail};
    CzValue dst = cz_concat(graph, parts, 3);
    check_picture(graph, src, dst, (float[]){-4, 5, 0, -4, 5, 40, -50, 1, 40, -50});
}

static void pad_fills_with_zeros(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src = cz_input(graph, "src", cz_shape(1, 5, 3, 1));
    CzValue part = cz_slice(graph, src, cz_shape(0, 1, 2, 0), cz_shape(1, 2, 1, 1));
    CzValue dst = cz_pad(graph, part, cz_shape(0, 1, 1, 0), cz_shape(1, 3, 2, 2));
    check_picture(graph, src, dst, (float[]){0, 0, 0, 0, 0, 0, 0, 20, -30, 0, 0, 0});
}

// ---- what builders refuse -----------------------------------------------------------------------

static void refused(CzGraph *graph, CzValue value, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(value.id, <, 0);
    g_assert_false(cz_graph_check(graph, &error));
    if (!strstr(error->message, words))
        g_test_message("expected '%s' in '%s'", words, error->message);
    g_assert_nonnull(strstr(error->message, words));
}

// Logits whose exponentials overflow and underflow, one class far ahead, all alike, and a NaN.
static void log_softmax_is_safe_for_any_logits(void)
{
    static const char *const devices[] = {"reference", "cpu"};
    static const float logits[6][3] = {{1000, 999, -1000}, {-1000, -1001, -1000},
                                       {3e38f, -3e38f, 0}, {-80, -80, -80},
                                       {0.5f, 1.25f, -2},  {0, NAN, 1}};
    for (size_t d = 0; d < G_N_ELEMENTS(devices); d++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CzEngineDevice) device = cz_device_open(devices[d], &error);
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue x = cz_input(graph, "x", cz_shape(1, 3, 2, 3)), dst = cz_log_softmax(graph, x);
        g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &dst, 1, NULL, &error);
        g_assert_no_error(error);
        float found[6][3] = {{0}};
        g_assert_true(cz_plan_write(plan, x, &logits[0][0], 18, &error) &&
                      cz_plan_run(plan, NULL, &error) &&
                      cz_plan_read(plan, dst, &found[0][0], 18, &error));
        for (int i = 0; i < 6; i++) {
            const float *l = logits[i];
            double most = fmax(fmax(l[0], l[1]), l[2]), sum = 0;
            for (int c = 0; c < 3; c++)
                sum += exp(l[c] - most);
            for (int c = 0; c < 3; c++) {
                double expected = i == 5 ? NAN : l[c] - most - log(sum);
                double bound = 4 * FLT_EPSILON * (1 + fabs(expected));
                if (i == 5
                        ? isnan(found[i][c])
                        : found[i][c] == (float)expected || fabs(found[i][c] - expected) <= bound)
                    continue;
                g_test_message("%s: place %d, class %d: %.9g, expected %.9g", devices[d], i, c,
                               (double)found[i][c], expected);
                g_test_fail();
            }
        }
    }
}

static void convolution_refuses_what_does_not_fit(void)
{
    static const struct {
        CzShape filter, bias;
        CzConvParams p;
        const char *words;
    } cases[] = {
        {{8, 3, 3, 3}, {1, 8, 1, 1}, {0}, "filter: expected 4 channels in"},
        {{8, 4, 9, 3}, {1, 8, 1, 1}, {0}, "fits into 8x8"},
        {{8, 2, 3, 3}, {1, 8, 1, 1}, {.groups = 3}, "a multiple of 3 out"},
        {{8, 4, 3, 3}, {1, 4, 1, 1}, {0}, "source 2: expected 1x8x1x1, found 1x4x1x1"},
        {{8, 4, 3, 3}, {1, 8, 1, 1}, {.stride = -1}, "stride -1"},
        {{8, 4, 3, 3}, {1, 8, 1, 1}, {.pad_left = -1}, "padding 0, -1, 0, 0"},
        {{8, 4, 3, 3}, {1, 8, 1, 1}, {.dilation = 1 << 30}, "dilation 1073741824"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue src = cz_input(graph, "src", cz_shape(1, 4, 8, 8));
        CzValue filter = cz_input(graph, "filter", cases[i].filter);
        CzValue bias = cz_input(graph, "bias", cases[i].bias);
        refused(graph, cz_conv2d(graph, src, filter, bias, CZ_NONE, cases[i].p), cases[i].words);
    }
}

static void moves_refuse_what_lies_outside(void)
{
    const CzShape all = {1, 4, 8, 8};
    g_autoptr(CzGraph) a = cz_graph_new();
    CzValue src = cz_input(a, "src", all);
    refused(a, cz_slice(a, src, cz_shape(0, 1, 0, 0), all), "slice: expected a place within");
    g_autoptr(CzGraph) b = cz_graph_new();
    src = cz_input(b, "src", all);
    refused(b, cz_pad(b, src, cz_shape(0, 0, -1, 0), cz_shape(1, 4, 9, 9)), "pad: expected");
    g_autoptr(CzGraph) c = cz_graph_new();
    src = cz_input(c, "src", all);
    refused(c, cz_pool(c, src, 3), "pool: source 0: expected a size divisible by 3");
    g_autoptr(CzGraph) d = cz_graph_new();
    src = cz_input(d, "src", all);
    refused(d, cz_cast(d, src, (CzDtype)3), "cast: expected F32, BF16 or F16, found type 3");
    g_autoptr(CzGraph) e = cz_graph_new();
    src = cz_input(e, "src", all);
    refused(e, cz_resize(e, src, 0, 4), "resize: ");
    g_autoptr(CzGraph) f = cz_graph_new();
    src = cz_input(f, "src", all);
    const CzValue both[] = {cz_cast(f, src, CZ_BF16), cz_cast(f, src, CZ_F16)};
    refused(f, cz_concat(f, both, 2), "concat: source 1: expected BF16, found F16");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/engine/references/" #name, name)
    CASE(convolution_is_its_formula);
    CASE(convolution_rounds_its_filter_to_its_type);
    CASE(f16_ends_at_65504);
    CASE(resize_is_pytorchs);
    CASE(pool_is_the_mean_of_squares);
    CASE(concat_puts_channels_side_by_side);
    CASE(pad_fills_with_zeros);
    CASE(log_softmax_is_safe_for_any_logits);
    CASE(convolution_refuses_what_does_not_fit);
    CASE(moves_refuse_what_lies_outside);
#undef CASE
    return g_test_run();
}
