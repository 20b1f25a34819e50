// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph's list, its sticky error, its dump, and gradients against formulas.
#include <cz/graph.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "interpreter.h"

static const CzShape scalar = {1, 1, 1, 1};

// ---- the list -----------------------------------------------------------------------------------

static void first_error_sticks(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue a = cz_input(graph, "a", cz_shape(1, 2, 3, 4));
    CzValue b = cz_input(graph, "b", cz_shape(1, 2, 3, 5));
    g_assert_true(cz_graph_check(graph, NULL));
    CzValue bad = cz_add(graph, a, b);
    g_assert_cmpint(bad.id, ==, -1);
    g_assert_cmpint(cz_scale(graph, bad, 2.0f, 0.0f).id, ==, -1);
    g_assert_cmpint(cz_scale(graph, a, 2.0f, 0.0f).id, ==, -1);
    g_assert_cmpint(cz_mean(graph, bad, scalar).id, ==, -1);
    g_assert_cmpint(cz_graph_fail(graph, "another").id, ==, -1);
    g_assert_cmpint(cz_graph_n_nodes(graph), ==, 2);

    g_autoptr(GError) error = NULL;
    g_assert_false(cz_graph_check(graph, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
    g_assert_cmpstr(error->message, ==,
                    "add: source 1: expected 1x2x3x4 or 1 in its place, found 1x2x3x5");
    CzValue d_a;
    g_assert_false(cz_graph_gradient(graph, a, &a, 1, &d_a));
    g_assert_cmpint(d_a.id, ==, -1);
    g_assert_null(cz_graph_of(graph, bad));
    g_assert_cmpint(cz_graph_shape(graph, bad).n, ==, 0);
}

static void nodes_do_not_move(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", scalar);
    const CzNode *first = cz_graph_of(graph, x);
    for (int i = 0; i < 5000; i++)
        x = cz_scale(graph, x, 2.0f, 1.0f);
    g_assert_true(cz_graph_node(graph, 0) == first);
    g_assert_cmpstr(first->name, ==, "x");
    g_assert_cmpint(cz_graph_of(graph, x)->src[0], ==, 4999);
}

static void same_param_twice_is_same_value(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue a = cz_param(graph, "stem.bias", cz_shape(1, 32, 1, 1));
    CzValue b = cz_param(graph, "head.bias", cz_shape(1, 2, 1, 1));
    g_assert_cmpint(a.id, !=, b.id);
    g_assert_cmpint(cz_param(graph, "stem.bias", cz_shape(1, 32, 1, 1)).id, ==, a.id);
    g_assert_cmpint(cz_graph_n_nodes(graph), ==, 2);
    g_assert_cmpint(cz_param(graph, "stem.bias", cz_shape(1, 16, 1, 1)).id, ==, -1);
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_graph_check(graph, &error));
    g_assert_cmpstr(error->message, ==,
                    "param stem.bias: expected 1x32x1x1 as before, found 1x16x1x1");
}

static const CzAdamParams adam = {0.9f, 0.99f, 1e-8f, 0.0f, 1.0f};

// Each builds one thing that must not be.
static CzValue build_impossible(CzGraph *graph, int index)
{
    CzValue a = cz_input(graph, "a", cz_shape(2, 4, 4, 6));
    CzValue half = cz_cast(graph, a, CZ_BF16), one = cz_input(graph, "one", scalar);
    CzValue p = cz_param(graph, "p", cz_shape(1, 4, 1, 1));
    CzValue rates = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
    switch (index) {
    case 0:
        return cz_input(graph, "b", cz_shape(1, 0, 1, 1));
    case 1:
        return cz_input(graph, NULL, scalar);
    case 2:
        return cz_param(graph, NULL, scalar);
    case 3: // more bytes than an address can count
        return cz_constant(graph, cz_shape(INT32_MAX, INT32_MAX, 2, 2), CZ_F32, 0.0f);
    case 4: // no type
        return cz_constant(graph, scalar, (CzDtype)3, 0.0f);
    case 5: // the smaller one comes second
        return cz_mul(graph, one, a);
    case 6: // BF16 beside F32
        return cz_add(graph, a, half);
    case 7:
        return cz_activation(graph, a, (CzActivation)99);
    case 8:
        return cz_activation_grad(graph, a, one, CZ_ACT_RELU);
    case 9:
        return cz_math(graph, a, (CzMath)99);
    case 10:
        return cz_clamp(graph, a, 1.0f, 1.0f);
    case 11:
        return cz_in_range(graph, a, NAN, 1.0f);
    case 12:
        return cz_huber(graph, a, 0.0f);
    case 13:
        return cz_sum(graph, a, cz_shape(1, 2, 1, 1));
    case 14:
        return cz_broadcast(graph, a, cz_shape(2, 4, 4, 7), CZ_F32);
    case 15:
        return cz_dot(graph, a, half);
    case 16:
        return cz_dot(graph, a, one);
    case 17:
        return cz_step_gate(graph, a, 1.0f);
    case 18:
        return cz_step_gate(graph, one, -1.0f);
    case 19: // writes into what is no param
        return cz_ema(graph, rates, rates, rates, one);
    case 20:
        return cz_ema(graph, p, p, rates, rates);
    case 21:
        return cz_adamw(graph, p, one, p, p, CZ_NONE, rates, one, adam);
    case 22:
        return cz_adamw(graph, p, p, p, p, CZ_NONE, one, one, adam);
    case 23:
        return cz_adamw(graph, p, p, p, p, rates, rates, one, adam);
    case 24: // an optional source where none is
        return cz_scale(graph, CZ_NONE, 1.0f, 0.0f);
    default: // a value of another graph
        return cz_scale(graph, (CzValue){1000}, 1.0f, 0.0f);
    }
}

static void impossible_nodes_are_refused_with_a_sentence(void)
{
    for (int i = 0; i <= 25; i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue value = build_impossible(graph, i);
        g_autoptr(GError) error = NULL;
        bool sound = cz_graph_check(graph, &error);
        if (sound || value.id != -1)
            g_test_message("case %d was accepted", i);
        g_assert_false(sound);
        g_assert_cmpint(value.id, ==, -1);
        g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
        if (!strstr(error->message, "expected") && !strstr(error->message, "must"))
            g_test_message("case %d: %s", i, error->message);
        g_assert_true(strstr(error->message, "expected") || strstr(error->message, "must"));
    }
}

static void impossible_convolutions_are_refused(void)
{
    static const struct {
        CzShape src;
        CzConvParams conv;
    } cases[] = {
        {{1, 1, 4, 4}, {.activation = (CzActivation)99}},
        {{1, 1, 4, 4}, {.activation = (CzActivation)-1}},
        {{1, 1, 4, 4}, {.stride = -1}},
        {{1, 1, 4, 4}, {.pad_left = 65536}},
        // Few outputs, but positions in the padded source that leave 32 bits.
        {{1, 1, INT32_MAX, 1}, {.stride = 4, .pad_top = 9}},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue src = cz_input(graph, "src", cases[i].src);
        CzValue filter = cz_param(graph, "filter", scalar);
        g_assert_true(cz_graph_check(graph, NULL));
        CzValue value = cz_conv2d(graph, src, filter, CZ_NONE, CZ_NONE, cases[i].conv);
        g_autoptr(GError) error = NULL;
        if (cz_graph_check(graph, &error) || value.id != -1)
            g_test_fail_printf("case %zu was accepted", i);
        g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
    }
}

static void dump_has_one_line_a_node(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", cz_shape(1, 3, 8, 8));
    CzValue filter = cz_param(graph, "stem.weight", cz_shape(4, 3, 3, 3));
    CzValue y = cz_conv2d(
        graph, x, filter, CZ_NONE, CZ_NONE,
        (CzConvParams){.stride = 2, .pad_bottom = 1, .pad_right = 1, .activation = CZ_ACT_RELU6});
    cz_scale(graph, cz_activation(graph, y, CZ_ACT_TANH), 0.5f, -1.0f);
    cz_clamp(graph, x, 0.0f, 100.0f);
    cz_math(graph, x, CZ_MATH_SQRT);
    cz_cast(graph, x, CZ_BF16);
    g_autofree char *sound = cz_graph_dump(graph);
    g_assert_cmpstr(sound, ==,
                    "%0 input() 1x3x8x8 F32 'x'\n"
                    "%1 param() 4x3x3x3 F32 'stem.weight'\n"
                    "%2 conv2d(%0, %1) 1x4x4x4 F32 stride=2 pad=0,0,1,1 activation=relu6\n"
                    "%3 activation(%2) 1x4x4x4 F32 tanh\n"
                    "%4 scale(%3) 1x4x4x4 F32 scale=0.5 shift=-1\n"
                    "%5 clamp(%0) 1x3x8x8 F32 low=0 high=100\n"
                    "%6 math(%0) 1x3x8x8 F32 sqrt\n"
                    "%7 cast(%0) 1x3x8x8 BF16\n");
    cz_graph_fail(graph, "no such thing");
    g_autofree char *failed = cz_graph_dump(graph);
    g_assert_true(g_str_has_suffix(failed, "failed: no such thing\n"));
}

// ---- gradients ----------------------------------------------------------------------------------

// |found - expected| <= n_roundings * 2^-24 * scale, element by element.
static void compare(const float *found, const double *expected, size_t n, double scale,
                    double n_roundings)
{
    double bound = n_roundings * 0x1p-24 * scale, worst = 0.0;
    size_t worst_index = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)found[i] - expected[i]);
        if (!(difference <= worst)) {
            worst = difference;
            worst_index = i;
        }
    }
    g_test_message("worst at %zu: found %.9g, expected %.9g, bound %.3g", worst_index,
                   (double)found[worst_index], expected[worst_index], bound);
    g_assert_true(worst <= bound);
}

static void gradient_of_what_loss_does_not_reach_is_zero(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzShape shape = {1, 2, 1, 1};
    CzValue a = cz_input(graph, "a", shape), b = cz_input(graph, "b", shape);
    CzValue loss = cz_sum(graph, a, scalar);
    CzValue later = cz_scale(graph, loss, 2.0f, 0.0f);
    CzValue wrt[] = {b, later, a, loss}, grads[4];
    g_assert_true(cz_graph_gradient(graph, loss, wrt, 4, grads));
    for (int i = 0; i < 2; i++) {
        const CzNode *node = cz_graph_of(graph, grads[i]);
        g_assert_cmpint(node->op, ==, CZ_OP_CONSTANT);
        g_assert_cmpfloat(node->params.constant, ==, 0.0f);
        g_assert_true(cz_shape_equal(node->shape, cz_graph_shape(graph, wrt[i])));
    }
    g_autoptr(Interpreter) it = interpreter_new(graph, grads, 4);
    interpreter_run(it);
    g_autofree float *d_a = interpreter_floats(it, grads[2]);
    g_autofree float *d_loss = interpreter_floats(it, grads[3]);
    g_assert_cmpfloat(d_a[0], ==, 1.0f);
    g_assert_cmpfloat(d_a[1], ==, 1.0f);
    g_assert_cmpfloat(d_loss[0], ==, 1.0f);
}

static void gradient_is_refused(CzGraph *graph, CzValue loss, CzValue wrt, const char *sentence)
{
    CzValue grad;
    g_assert_false(cz_graph_gradient(graph, loss, &wrt, 1, &grad));
    g_assert_cmpint(grad.id, ==, -1);
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_graph_check(graph, &error));
    g_assert_cmpstr(error->message, ==, sentence);
}

static void gradient_needs_a_scalar_and_rules(void)
{
    g_autoptr(CzGraph) tensor = cz_graph_new();
    CzValue x = cz_input(tensor, "x", cz_shape(1, 2, 1, 1));
    gradient_is_refused(tensor, x, x, "gradient: loss: expected a scalar, found 1x2x1x1");
    g_autoptr(CzGraph) gate = cz_graph_new();
    x = cz_input(gate, "x", scalar);
    gradient_is_refused(gate, cz_step_gate(gate, x, 1.0f), x,
                        "gradient: op step_gate (%1) has none");
    // What has no rule but is not on the way to wrt does no harm.
    g_autoptr(CzGraph) aside = cz_graph_new();
    x = cz_input(aside, "x", scalar);
    CzValue other = cz_step_gate(aside, cz_input(aside, "y", scalar), 1.0f);
    CzValue grad;
    g_assert_true(cz_graph_gradient(aside, cz_mul(aside, x, other), &x, 1, &grad));
}

// Used twice, as two sources of one op and by two ops: gradients add up. x^2 + 3 x.
static void gradients_of_shared_values_add_up(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", cz_shape(1, 5, 1, 1));
    CzValue y = cz_add(graph, cz_mul(graph, x, x), cz_scale(graph, x, 3.0f, 0.0f));
    CzValue grad;
    g_assert_true(cz_graph_gradient(graph, cz_sum(graph, y, scalar), &x, 1, &grad));
    g_autoptr(Interpreter) it = interpreter_new(graph, &grad, 1);
    interpreter_fill(it, 1);
    interpreter_run(it);
    g_autofree float *numbers = interpreter_floats(it, x), *found = interpreter_floats(it, grad);
    double expected[5];
    for (int i = 0; i < 5; i++)
        expected[i] = 2.0 * (double)numbers[i] + 3.0;
    compare(found, expected, 5, 10.0, 4.0); // products, sums: 4 roundings of numbers below 10
}

// f = sum of x e^x: f' = (1 + x) e^x, f'' = (2 + x) e^x, f''' = (3 + x) e^x.
static void derivatives_of_any_order_follow_the_formula(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    enum { N = 7, ORDERS = 3 };
    CzValue x = cz_input(graph, "x", cz_shape(1, N, 1, 1)), d[ORDERS];
    CzValue f = cz_mul(graph, x, cz_math(graph, x, CZ_MATH_EXP));
    for (int order = 0; order < ORDERS; order++) {
        CzValue sum = cz_sum(graph, order ? d[order - 1] : f, scalar);
        g_assert_true(cz_graph_gradient(graph, sum, &x, 1, &d[order]));
    }
    g_autoptr(Interpreter) it = interpreter_new(graph, d, ORDERS);
    interpreter_fill(it, 2);
    interpreter_run(it);
    g_autofree float *numbers = interpreter_floats(it, x);
    for (int order = 0; order < ORDERS; order++) {
        g_autofree float *found = interpreter_floats(it, d[order]);
        double expected[N], scale = 1.0;
        for (int i = 0; i < N; i++) {
            expected[i] = (order + 1 + (double)numbers[i]) * exp((double)numbers[i]);
            scale = fmax(scale, (order + 1 + fabs((double)numbers[i])) * exp((double)numbers[i]));
        }
        compare(found, expected, N, scale, 8.0); // expf: 1, at most 2^order sums and products: 7
    }
}

// The R1 penalty in small: f = sum tanh(w x), t = tanh(w x), g = df/dx = w (1 - t^2), P = sum g^2,
// dP/dw = sum 2 g (1 - t^2) (1 - 2 w x t).
static void gradient_penalty_follows_the_formula(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    enum { N = 9 };
    CzValue x = cz_input(graph, "x", cz_shape(1, N, 1, 1)), w = cz_param(graph, "w", scalar), g, d;
    CzValue t = cz_activation(graph, cz_mul(graph, x, w), CZ_ACT_TANH);
    g_assert_true(cz_graph_gradient(graph, cz_sum(graph, t, scalar), &x, 1, &g));
    g_assert_true(cz_graph_gradient(graph, cz_dot(graph, g, g), &w, 1, &d));
    g_autoptr(Interpreter) it = interpreter_new(graph, &d, 1);
    interpreter_fill(it, 3);
    interpreter_run(it);
    g_autofree float *xs = interpreter_floats(it, x), *ws = interpreter_floats(it, w);
    g_autofree float *found = interpreter_floats(it, d);
    double expected = 0.0, scale = 0.0;
    for (int i = 0; i < N; i++) {
        double at = (double)ws[0] * (double)xs[i], y = tanh(at), slope = 1.0 - y * y;
        expected += 2.0 * (double)ws[0] * slope * slope * (1.0 - 2.0 * at * y);
        scale += 2.0 * fabs((double)ws[0]) * (1.0 + 2.0 * fabs(at));
    }
    compare(found, &expected, 1, scale, 16.0); // 16 nodes from x and w to the result
}

// The mean of a BF16 tensor has a BF16 gradient for the tensor and an F32 one for a scalar factor.
static void check_gradient_dtypes(CzDtype dtype)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_cast(graph, cz_input(graph, "x", cz_shape(1, 4, 3, 3)), dtype);
    CzValue context = cz_cast(graph, cz_input(graph, "c", cz_shape(1, 4, 1, 1)), dtype);
    CzValue factor = cz_param(graph, "factor", scalar);
    CzValue y = cz_mul(graph, cz_add(graph, x, context), factor);
    CzValue wrt[] = {x, context, factor}, grads[3];
    g_assert_true(cz_graph_gradient(graph, cz_mean(graph, y, scalar), wrt, 3, grads));
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(cz_graph_dtype(graph, grads[i]), ==, i < 2 ? dtype : CZ_F32);
}

static void gradients_have_the_dtype_of_their_values(void)
{
    check_gradient_dtypes(CZ_BF16);
    check_gradient_dtypes(CZ_F16);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/graph/graph/first_error_sticks", first_error_sticks);
    g_test_add_func("/graph/graph/nodes_do_not_move", nodes_do_not_move);
    g_test_add_func("/graph/graph/same_param_twice_is_same_value", same_param_twice_is_same_value);
    g_test_add_func("/graph/graph/impossible_nodes_are_refused_with_a_sentence",
                    impossible_nodes_are_refused_with_a_sentence);
    g_test_add_func("/graph/graph/impossible_convolutions_are_refused",
                    impossible_convolutions_are_refused);
    g_test_add_func("/graph/dump/has_one_line_a_node", dump_has_one_line_a_node);
    g_test_add_func("/graph/autodiff/gradient_of_what_loss_does_not_reach_is_zero",
                    gradient_of_what_loss_does_not_reach_is_zero);
    g_test_add_func("/graph/autodiff/needs_a_scalar_and_rules", gradient_needs_a_scalar_and_rules);
    g_test_add_func("/graph/autodiff/gradients_of_shared_values_add_up",
                    gradients_of_shared_values_add_up);
    g_test_add_func("/graph/autodiff/derivatives_of_any_order_follow_the_formula",
                    derivatives_of_any_order_follow_the_formula);
    g_test_add_func("/graph/autodiff/gradient_penalty_follows_the_formula",
                    gradient_penalty_follows_the_formula);
    g_test_add_func("/graph/autodiff/gradients_have_the_dtype_of_their_values",
                    gradients_have_the_dtype_of_their_values);
    return g_test_run();
}
