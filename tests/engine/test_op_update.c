// SPDX-License-Identifier: LGPL-3.0-or-later
// The step gate and the effects behind it, against scalar formulas.
#include <cz/graph.h>

#include <math.h>
#include <string.h>

#include <cz/ops.h>

#include "interpreter.h"

static float gate_of(float norm_squared, float limit)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue input = cz_input(graph, "norm", cz_shape(1, 1, 1, 1));
    CzValue gate = cz_step_gate(graph, input, limit);
    g_autoptr(Interpreter) it = interpreter_new(graph, &gate, 1);
    *(float *)interpreter_view(it, input)->data = norm_squared;
    interpreter_run(it);
    return *(float *)interpreter_view(it, gate)->data;
}

static void gate_closes_on_what_is_not_finite(void)
{
    const float limits[] = {0.0f, 1.0f};
    for (int i = 0; i < 2; i++) {
        g_assert_cmpfloat(gate_of(NAN, limits[i]), ==, 0.0f);
        g_assert_cmpfloat(gate_of(-NAN, limits[i]), ==, 0.0f);
        g_assert_cmpfloat(gate_of(INFINITY, limits[i]), ==, 0.0f);
        g_assert_cmpfloat(gate_of(-1.0f, limits[i]), ==, 0.0f); // no square
        g_assert_cmpfloat(gate_of(0.0f, limits[i]), ==, 1.0f);
        g_assert_cmpfloat(gate_of(0.25f, limits[i]), ==, 1.0f);
    }
    g_assert_cmpfloat(gate_of(1e30f, 0.0f), ==, 1.0f);
    g_assert_cmpfloat(gate_of(16.0f, 1.0f), ==, 0.25f);
    g_assert_cmpfloat(gate_of(16.0f, 4.0f), ==, 1.0f);
    g_assert_cmpfloat(gate_of(16.0f, 3.0f), ==, 0.75f);
}

// A NaN in any gradient reaches the gate through activations and clamps, too.
static void nan_gets_through_to_the_gate(void)
{
    for (int act = CZ_ACT_RELU; act <= CZ_ACT_SIGMOID; act++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue x = cz_input(graph, "x", cz_shape(1, 3, 1, 1));
        CzValue y = cz_clamp(graph, cz_activation(graph, x, (CzActivation)act), -1.0f, 1.0f);
        CzValue gate = cz_step_gate(graph, cz_dot(graph, y, y), 1.0f);
        g_autoptr(Interpreter) it = interpreter_new(graph, &gate, 1);
        interpreter_fill(it, 11);
        ((float *)interpreter_view(it, x)->data)[1] = NAN;
        interpreter_run(it);
        g_assert_cmpfloat(*(float *)interpreter_view(it, gate)->data, ==, 0.0f);
    }
}

enum { PARAM, GRAD, M, V, EMA, RATES, GATE, N_UPDATE, N_NUMBERS = 6 };

typedef struct {
    CzGraph *graph;
    CzValue src[N_UPDATE], dst;
    Interpreter *it;
    float *at[N_UPDATE]; // in the interpreter
} Update;

static void update_init(Update *u, bool with_ema, CzAdamParams adam)
{
    static const char *const names[N_UPDATE] = {"param", "grad",  "m",   "p_v",
                                                "ema",   "rates", "gate"};
    u->graph = cz_graph_new();
    for (int i = 0; i < N_UPDATE; i++) {
        CzShape shape = i == RATES  ? cz_shape(1, 4, 1, 1)
                        : i == GATE ? cz_shape(1, 1, 1, 1)
                                    : cz_shape(3, 2, 1, 1);
        bool stored = i == PARAM || i == M || i == V || i == EMA;
        u->src[i] =
            stored ? cz_param(u->graph, names[i], shape) : cz_input(u->graph, names[i], shape);
    }
    u->dst = cz_adamw(u->graph, u->src[PARAM], u->src[GRAD], u->src[M], u->src[V],
                      with_ema ? u->src[EMA] : CZ_NONE, u->src[RATES], u->src[GATE], adam);
    CzValue outputs[] = {u->dst, u->src[EMA]};
    g_assert_true(cz_graph_check(u->graph, NULL));
    u->it = interpreter_new(u->graph, outputs, 2);
    interpreter_fill(u->it, 12);
    for (int i = 0; i < N_UPDATE; i++)
        u->at[i] = interpreter_view(u->it, u->src[i])->data;
}

static void update_clear(Update *u)
{
    interpreter_free(u->it);
    cz_graph_free(u->graph);
}

static void compare_update(const char *what, int i, float found, double expected, double scale)
{
    // 16 roundings at most, each of a number no larger than scale.
    double bound = 16.0 * 0x1p-24 * scale;
    if (fabs((double)found - expected) > bound)
        g_test_message("%s %d: found %.9g, expected %.9g, bound %.3g", what, i, (double)found,
                       expected, bound);
    g_assert_cmpfloat(fabs((double)found - expected), <=, bound);
}

// One number's state, and what a step makes of it, in double by the formula of ops.h.
typedef struct {
    double param, grad, m, v, ema;
} Number;

static Number stepped(Number old, const CzAdamParams *adam, const float rates[4], double gate)
{
    double b1 = (double)adam->beta1, b2 = (double)adam->beta2, decay = (double)adam->decay;
    double epsilon = (double)adam->epsilon, d = (double)rates[3];
    double rate = (double)rates[0] * (double)adam->rate_scale;
    Number new = old;
    double g = gate * old.grad;
    if (adam->kind == CZ_ADAM_ADAM)
        g += decay * old.param;
    new.m = b1 *old.m + (1.0 - b1) * g;
    if (adam->kind == CZ_ADAM_ADABELIEF)
        new.v = b2 *old.v + (1.0 - b2) * (g - new.m) * (g - new.m) + epsilon;
    else
        new.v = b2 *old.v + (1.0 - b2) * g *g;
    new.param -= rate *new.m / (double)rates[1] / (sqrt(new.v / (double)rates[2]) + epsilon);
    if (adam->kind != CZ_ADAM_ADAM)
        new.param -= rate *decay *old.param;
    new.ema = d *old.ema + (1.0 - d) * new.param;
    return new;
}

// At the second step of a training.
static void follow_the_formula(CzAdamKind kind, bool with_ema)
{
    // AdaBelief's epsilon is large enough here to be missed if it were left out of v.
    const float epsilon = kind == CZ_ADAM_ADABELIEF ? 1e-3f : 1e-8f;
    const CzAdamParams adam = {0.9f, 0.99f, epsilon, 1e-2f, 0.15f, kind};
    const float rates[4] = {1e-2f, 1.0f - 0.9f * 0.9f, 1.0f - 0.99f * 0.99f, 0.9f};
    Update u;
    update_init(&u, with_ema, adam);
    memcpy(u.at[RATES], rates, sizeof rates);
    u.at[GATE][0] = 0.5f;
    Number before[N_NUMBERS];
    for (int k = 0; k < N_NUMBERS; k++)
        before[k] = (Number){(double)u.at[PARAM][k], (double)u.at[GRAD][k], (double)u.at[M][k],
                             (double)u.at[V][k], (double)u.at[EMA][k]};
    interpreter_run(u.it);
    g_assert_cmpfloat(*(float *)interpreter_view(u.it, u.dst)->data, ==, 0.5f);

    for (int k = 0; k < N_NUMBERS; k++) {
        Number old = before[k], expected = stepped(old, &adam, rates, 0.5);
        double scale = 1.0 + fabs(old.grad) + old.grad * old.grad + fabs(old.m) + fabs(old.param) +
                       old.v + fabs(old.ema);
        compare_update("m", k, u.at[M][k], expected.m, scale);
        compare_update("v", k, u.at[V][k], expected.v, scale);
        compare_update("param", k, u.at[PARAM][k], expected.param, scale);
        compare_update("ema", k, u.at[EMA][k], with_ema ? expected.ema : old.ema, scale);
    }
    update_clear(&u);
}

static void adamw_follows_the_formula_with_average(void)
{
    follow_the_formula(CZ_ADAM_ADAMW, true);
}

static void adamw_follows_the_formula_without_average(void)
{
    follow_the_formula(CZ_ADAM_ADAMW, false);
}

static void adam_follows_the_formula(void)
{
    follow_the_formula(CZ_ADAM_ADAM, true);
}

static void adabelief_follows_the_formula(void)
{
    follow_the_formula(CZ_ADAM_ADABELIEF, true);
}

// Even where gradient, rates and corrections are NaN.
static void closed_gate_touches_nothing(void)
{
    Update u;
    update_init(&u, true, (CzAdamParams){0.9f, 0.99f, 1e-8f, 1e-2f, 1.0f});
    u.at[GATE][0] = 0.0f;
    for (int k = 0; k < 4; k++)
        u.at[RATES][k] = NAN;
    u.at[GRAD][0] = NAN;
    u.at[GRAD][1] = INFINITY;
    float before[N_UPDATE][N_NUMBERS];
    for (int i = 0; i <= EMA; i++)
        memcpy(before[i], u.at[i], sizeof before[i]);
    interpreter_run(u.it);
    g_assert_cmpfloat(*(float *)interpreter_view(u.it, u.dst)->data, ==, 0.0f);
    for (int i = 0; i <= EMA; i++)
        g_assert_cmpmem(u.at[i], sizeof before[i], before[i], sizeof before[i]);
    update_clear(&u);
}

static void average_moves_unless_the_gate_is_closed(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzShape shape = {1, 3, 1, 1};
    CzValue ema = cz_param(graph, "ema", shape), value = cz_input(graph, "value", shape);
    CzValue rates = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
    CzValue gate = cz_input(graph, "gate", cz_shape(1, 1, 1, 1));
    CzValue dst = cz_ema(graph, ema, value, rates, gate);
    g_autoptr(Interpreter) it = interpreter_new(graph, &dst, 1);
    float *average = interpreter_view(it, ema)->data;
    for (int k = 0; k < 3; k++) {
        average[k] = 4.0f;
        ((float *)interpreter_view(it, value)->data)[k] = (float)k;
    }
    ((float *)interpreter_view(it, rates)->data)[3] = 0.75f;
    interpreter_run(it);
    for (int k = 0; k < 3; k++)
        g_assert_cmpfloat(average[k], ==, 4.0f);
    *(float *)interpreter_view(it, gate)->data = 0.125f; // how far it is open does not matter
    interpreter_run(it);
    for (int k = 0; k < 3; k++)
        g_assert_cmpfloat(average[k], ==, 3.0f + 0.25f * (float)k);
    g_assert_cmpfloat(*(float *)interpreter_view(it, dst)->data, ==, 0.125f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/graph/update/gate_closes_on_what_is_not_finite",
                    gate_closes_on_what_is_not_finite);
    g_test_add_func("/graph/update/nan_gets_through_to_the_gate", nan_gets_through_to_the_gate);
    g_test_add_func("/graph/update/adamw_follows_the_formula_with_average",
                    adamw_follows_the_formula_with_average);
    g_test_add_func("/graph/update/adamw_follows_the_formula_without_average",
                    adamw_follows_the_formula_without_average);
    g_test_add_func("/graph/update/adam_follows_the_formula", adam_follows_the_formula);
    g_test_add_func("/graph/update/adabelief_follows_the_formula", adabelief_follows_the_formula);
    g_test_add_func("/graph/update/closed_gate_touches_nothing", closed_gate_touches_nothing);
    g_test_add_func("/graph/update/average_moves_unless_the_gate_is_closed",
                    average_moves_unless_the_gate_is_closed);
    return g_test_run();
}
