// SPDX-License-Identifier: LGPL-3.0-or-later
// Critics: what each is made of, to the parameter, how they start and where their leak is.
#include <cz/critic.h>

#include <math.h>
#include <string.h>

#include <cz/ops.h>
#include <cz/threads.h>

#include "interpreter.h"

typedef struct {
    size_t trained, kept;
} Count;

static bool count(void *user, const char *name, CzShape shape, bool trained)
{
    Count *sum = user;
    *(trained ? &sum->trained : &sum->kept) += cz_shape_count(shape);
    return true;
}

static void each_has_its_parameters(void)
{
    // Of filters of 4 x 4 and what stands beside each channel; the first is pix2pix's 70 x 70.
    static const struct {
        CzCriticParams params;
        size_t trained, kept;
    } cases[] = {
        {{64, 3, 1, .batch_norm = 1, .conditional = 1}, 2765633, 0},
        {{64, 3, 1, .batch_norm = 1}, 2765633 - 64 * 16, 0},
        // Without normalisation one bias a channel in place of scale and shift.
        {{64, 3, 1, .conditional = 1}, 2765633 - (128 + 256 + 512), 0},
        {{64, 3, 3, .batch_norm = 1, .conditional = 1}, 3 * 2765633, 0},
        // The lite one: 3 -> 48 -> 96 -> 192 -> 1.
        {{48, 2, 1, .conditional = 1}, 2304 + 48 + 73728 + 96 + 294912 + 192 + 3072 + 1, 0},
        // One singular vector a filter, which nothing trains.
        {{48, 2, 1, .spectral = 1, .conditional = 1}, 374353, 48 + 96 + 192 + 1},
        {{48, 2, 2, .spectral = 1, .conditional = 1}, 2 * 374353, 2 * 337},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Count sum = {0};
        g_assert_true(cz_critic_each(&cases[i].params, count, &sum));
        g_assert_cmpuint(sum.trained, ==, cases[i].trained);
        g_assert_cmpuint(sum.kept, ==, cases[i].kept);
    }
}

// The logits of one critic on the same numbers under the same names.
static float *logits(const CzCriticParams *params, size_t *n)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzCriticOutput output = {0};
    cz_critic_build(graph, cz_input(graph, "lightness", cz_shape(1, 1, 32, 32)),
                    cz_input(graph, "chroma", cz_shape(1, 2, 32, 32)), params, &output);
    CzValue value = output.logits[0];
    cz_critic_clear(&output);
    g_autoptr(Interpreter) interpreter = interpreter_new(graph, &value, 1);
    interpreter_fill(interpreter, 6);
    interpreter_run(interpreter);
    *n = cz_shape_count(cz_graph_shape(graph, value));
    return interpreter_floats(interpreter, value);
}

static float distance(float leak_a, float leak_b)
{
    CzCriticParams a = {4, 2, 1, .conditional = 1, .leak = leak_a}, b = a;
    size_t n, m;
    b.leak = leak_b;
    g_autofree float *x = logits(&a, &n), *y = logits(&b, &m);
    float most = 0, size = 0;
    g_assert_cmpuint(n, ==, m);
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(x[i] - y[i]));
        size = fmaxf(size, fabsf(x[i]));
    }
    return most / size;
}

// Bug 5: the seed's critic leaks a tenth of what pix2pix's does.
static void the_leak_is_what_is_told(void)
{
    g_assert_cmpfloat(distance(0, CZ_LEAKY_SLOPE), ==, 0);
    g_assert_cmpfloat(distance(0, 0.02f), >, 0.01);
    // A hair beside the op's own slope the composition gives what the op gives: two roundings in
    // each of three layers, of sums over up to 16 * 16 numbers.
    g_assert_cmpfloat(distance(CZ_LEAKY_SLOPE, nextafterf(CZ_LEAKY_SLOPE, 1)), <, 3 * 16 * 1.2e-7);
}

static void a_plain_start_is_even_and_bounded(void)
{
    const CzCriticParams params = {16, 2, 1, .batch_norm = 1, .conditional = 1, .plain_start = 1};
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_assert_true(cz_critic_start(store, &params, 1, NULL));
    float filter[32 * 16 * 16], scale[32];
    double square = 0;
    const float bound = 1 / 16.0f; // of 16 * 4 * 4 inputs
    g_assert_true(cz_store_read(store, "critic.0.1.weight", filter, NULL));
    g_assert_true(cz_store_read(store, "critic.0.1.scale", scale, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(filter); i++) {
        g_assert_cmpfloat(fabsf(filter[i]), <=, bound);
        square += (double)(filter[i] * filter[i]);
    }
    // Variance bound^2 / 3 of even numbers; its own deviation over 8192 of them is a hundredth.
    g_assert_cmpfloat_with_epsilon(square / G_N_ELEMENTS(filter) * 3 / (double)(bound * bound), 1,
                                   0.05);
    for (int i = 0; i < 32; i++)
        g_assert_cmpfloat(scale[i], ==, 1);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/engine/critic/" #name, name)
    ADD(each_has_its_parameters);
    ADD(the_leak_is_what_is_told);
    ADD(a_plain_start_is_even_and_bounded);
    return g_test_run();
}
