// SPDX-License-Identifier: LGPL-3.0-or-later
// Layers of the generators: normalisation, attention, dropout, and gradients through them.
#include "model/net.h"

#include <math.h>
#include <string.h>

#include <cz/ops.h>
#include <cz/rng.h>
#include <cz/threads.h>

#include "interpreter.h"

static CzValue find_param(const CzGraph *graph, const char *name)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        if (g_strcmp0(cz_graph_node(graph, id)->name, name) == 0)
            return (CzValue){id};
    return (CzValue){-1};
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

static void check_norm(CzValue (*norm)(CzNet *net, CzValue src, const char *name),
                       int32_t n_averages)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzNet net;
    CzGeneratorOutput output = {0};
    const CzGeneratorUse use = {.train = true};
    CzValue x = cz_input(graph, "x", cz_shape(3, 5, 4, 3));
    cz_net_init(&net, graph, &use);
    CzValue y = norm(&net, x, "a");
    cz_net_finish(&net, &output);
    g_assert_cmpint(output.n_averages, ==, n_averages);
    cz_generator_clear(&output);
    const CzValue wrt[] = {x, find_param(graph, "a.norm.scale"), find_param(graph, "a.norm.shift")};
    check_gradients(graph, y, wrt, G_N_ELEMENTS(wrt));
}

static void gradients_pass_through_batch_norm(void)
{
    check_norm(cz_net_batch_norm, 2);
}

static void gradients_pass_through_instance_norm(void)
{
    check_norm(cz_net_instance_norm, 0);
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

// ---- dropout ------------------------------------------------------------------------------------

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

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/engine/net/" #name, name)
    ADD(gradients_pass_through_batch_norm);
    ADD(gradients_pass_through_instance_norm);
    ADD(gradients_pass_through_attention);
    ADD(attention_is_the_papers);
    ADD(dropout_is_a_function_of_the_sample);
    return g_test_run();
}
