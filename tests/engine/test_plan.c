// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans: pruning, lifetimes, reuse of memory, binding, errors, runs.
#include <cz/plan.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

#include "interpreter.h"
#include "plan/memory_plan.h"

static const CzShape scalar = {1, 1, 1, 1};

static CzEngineDevice *reference(void)
{
    g_autoptr(GError) error = NULL;
    CzEngineDevice *device = cz_device_open("reference", &error);
    g_assert_no_error(error);
    return device;
}

static CzPlan *plan_of(CzEngineDevice *device, CzStore *store, const CzGraph *graph, CzValue output)
{
    g_autoptr(GError) error = NULL;
    CzPlan *plan = cz_plan_new(device, store, graph, &output, 1, NULL, &error);
    g_assert_no_error(error);
    return plan;
}

static void run(CzPlan *plan)
{
    g_autoptr(GError) error = NULL;
    cz_plan_run(plan, NULL, &error);
    g_assert_no_error(error);
}

static float read_scalar(CzPlan *plan, CzValue value)
{
    g_autoptr(GError) error = NULL;
    float result = NAN;
    cz_plan_read(plan, value, &result, 1, &error);
    g_assert_no_error(error);
    return result;
}

// ---- memory -------------------------------------------------------------------------------------

static CzValue pick(CzRng *rng, const GArray *values)
{
    // Mostly recent ones, so that there are chains; sometimes old ones, so that some live long.
    uint32_t back = cz_rng_below(rng, cz_rng_below(rng, 4) ? 3 : values->len);
    return g_array_index(values, CzValue, values->len - 1 - MIN(back, values->len - 1));
}

static CzValue random_node(CzGraph *graph, CzRng *rng, const GArray *values)
{
    CzValue a = pick(rng, values), b = pick(rng, values);
    CzShape s = cz_graph_shape(graph, a);
    bool alike = cz_shape_equal(s, cz_graph_shape(graph, b)) &&
                 cz_graph_dtype(graph, a) == cz_graph_dtype(graph, b);
    switch (cz_rng_below(rng, 9)) {
    case 0:
        return alike ? cz_add(graph, a, b) : cz_scale(graph, a, 0.5f, 1);
    case 1:
        return alike ? cz_mul(graph, a, b) : cz_clamp(graph, a, -1, 1);
    case 2:
        return cz_activation(graph, a, CZ_ACT_LEAKY);
    case 3:
        return cz_scale(graph, a, 0.7f, -0.1f);
    case 4:
        return cz_cast(graph, a, cz_graph_dtype(graph, a) == CZ_F32 ? CZ_BF16 : CZ_F32);
    case 5:
        return cz_broadcast(graph, cz_sum(graph, a, cz_shape(s.n, s.c, 1, 1)), s, CZ_F32);
    case 6:
        return cz_slice(
            graph, cz_pad(graph, a, cz_shape(0, 0, 1, 1), cz_shape(s.n, s.c, s.h + 2, s.w + 2)),
            cz_shape(0, 0, 1, 0), s);
    case 7:
        return cz_resize(graph, a, s.h == 6 ? 4 : 6, 5);
    default:
        return cz_huber(graph, a, 0.5f);
    }
}

// A graph of about n ops over a few inputs and one parameter; outputs are three of its values.
static CzGraph *random_graph(CzRng *rng, int n, GArray *values, CzValue outputs[3])
{
    CzGraph *graph = cz_graph_new();
    CzValue leaves[] = {cz_input(graph, "x0", cz_shape(2, 3, 6, 5)),
                        cz_input(graph, "x1", cz_shape(2, 3, 6, 5)),
                        cz_param(graph, "x2", cz_shape(2, 3, 6, 5)),
                        cz_constant(graph, cz_shape(2, 3, 6, 5), CZ_F32, 0.25f)};
    g_array_append_vals(values, leaves, G_N_ELEMENTS(leaves));
    for (int i = 0; i < n; i++) {
        CzValue value = random_node(graph, rng, values);
        g_array_append_val(values, value);
    }
    outputs[0] = g_array_index(values, CzValue, values->len - 1);
    outputs[1] = pick(rng, values);
    outputs[2] = g_array_index(values, CzValue, cz_rng_below(rng, values->len));
    g_autoptr(GError) error = NULL;
    cz_graph_check(graph, &error);
    g_assert_no_error(error);
    return graph;
}

typedef struct {
    const CzNode **nodes;
    bool *needed, *outputs;
    int32_t *steps, *birth, *last; // birth and last step of each value, worked out anew
    size_t n, n_steps;
} Lives;

static Lives lives_of(const CzGraph *graph, const CzValue *outputs, size_t n_outputs)
{
    size_t n = (size_t)cz_graph_n_nodes(graph);
    Lives l = {g_new0(const CzNode *, n),
               g_new0(bool, n),
               g_new0(bool, n),
               g_new0(int32_t, n),
               g_new0(int32_t, n),
               g_new0(int32_t, n),
               n,
               0};
    for (size_t i = 0; i < n_outputs; i++)
        l.needed[outputs[i].id] = l.outputs[outputs[i].id] = true;
    for (size_t id = n; id-- > 0;) {
        l.nodes[id] = cz_graph_node(graph, (int32_t)id);
        for (int i = 0; l.needed[id] && i < l.nodes[id]->n_src; i++)
            l.needed[l.nodes[id]->src[i]] = true;
    }
    for (size_t id = 0; id < n; id++) {
        const CzNode *node = l.nodes[id];
        l.birth[id] = -1;
        if (!l.needed[id] || node->op == CZ_OP_PARAM || node->op == CZ_OP_INPUT)
            continue;
        l.birth[id] = (int32_t)l.n_steps;
        for (int i = 0; i < node->n_src; i++)
            l.last[node->src[i]] = (int32_t)l.n_steps;
        l.steps[l.n_steps++] = (int32_t)id;
    }
    for (size_t id = 0; id < n; id++)
        if (l.outputs[id])
            l.last[id] = (int32_t)l.n_steps;
    return l;
}

static void lives_clear(Lives *l)
{
    g_free(l->nodes);
    g_free(l->needed);
    g_free(l->outputs);
    g_free(l->steps);
    g_free(l->birth);
    g_free(l->last);
}

static bool is_source(const CzNode *node, size_t id)
{
    for (int i = 0; i < node->n_src; i++)
        if (node->src[i] == (int32_t)id)
            return true;
    return false;
}

// Whether values a < b may lie over one another: they never live at once, or b is made in place of
// a, at the very step at which a dies.
static bool may_overlap(const Lives *l, const CzMemoryPlan *memory, size_t a, size_t b)
{
    if (l->last[a] < l->birth[b] || l->last[b] < l->birth[a])
        return true;
    return memory->shared[b] && is_source(l->nodes[b], a) && l->last[a] == l->birth[b] &&
           memory->region_of[a] == memory->region_of[b];
}

static void check_no_overlap(const Lives *l, const CzMemoryPlan *memory, unsigned *n_shared)
{
    for (size_t b = 0; b < l->n; b++) {
        if (memory->region_of[b] < 0)
            continue;
        const CzRegion *rb = &memory->regions[memory->region_of[b]];
        size_t bytes = cz_shape_count(l->nodes[b]->shape) * cz_dtype_size(l->nodes[b]->dtype);
        *n_shared += memory->shared[b];
        g_assert_cmpuint(rb->offset % 64, ==, 0);
        g_assert_cmpuint(rb->n_bytes, >=, bytes);
        g_assert_cmpuint(rb->offset + rb->n_bytes, <=, memory->arena_bytes);
        for (size_t a = 0; a < b; a++) {
            if (memory->region_of[a] < 0 || may_overlap(l, memory, a, b))
                continue;
            const CzRegion *ra = &memory->regions[memory->region_of[a]];
            if (ra->offset < rb->offset + rb->n_bytes && rb->offset < ra->offset + ra->n_bytes)
                g_test_fail_printf("%%%zu (steps %d to %d) and %%%zu (%d to %d) overlap", a,
                                   l->birth[a], l->last[a], b, l->birth[b], l->last[b]);
        }
    }
}

static void live_values_never_overlap(void)
{
    unsigned n_shared = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        CzRng rng = cz_rng(seed, 1);
        g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(CzValue));
        CzValue outputs[3];
        g_autoptr(CzGraph) graph = random_graph(&rng, 10 + (int)seed * 3, values, outputs);
        Lives l = lives_of(graph, outputs, 3);
        CzMemoryPlan memory;
        g_autoptr(GError) error = NULL;
        const CzMemoryRequest request = {l.nodes, l.n, l.steps, l.n_steps, l.needed, l.outputs};
        g_assert_true(cz_memory_plan_init(&memory, &request, &error));
        check_no_overlap(&l, &memory, &n_shared);
        cz_memory_plan_clear(&memory);
        lives_clear(&l);
    }
    g_test_message("%u values in place", n_shared);
    g_assert_cmpuint(n_shared, >, 100);
}

// Against an interpreter that gives every value memory of its own.
static void poisoned_runs_equal_unshared_ones(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    for (uint64_t seed = 0; seed < 40; seed++) {
        CzRng rng = cz_rng(seed, 2);
        g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(CzValue));
        CzValue outputs[3];
        g_autoptr(CzGraph) graph = random_graph(&rng, 10 + (int)seed * 2, values, outputs);
        g_autoptr(Interpreter) unshared = interpreter_new(graph, outputs, 3);
        g_autoptr(GError) error = NULL;
        interpreter_fill(unshared, seed);
        g_autoptr(CzStore) store = cz_store_new(device);
        CzView *param = interpreter_view(unshared, (CzValue){2});
        cz_store_add(store, "x2", cz_shape(2, 3, 6, 5), param ? param->data : NULL, &error);
        CzPlanOptions options = {.poison = seed % 2};
        g_autoptr(CzPlan) plan = cz_plan_new(device, store, graph, outputs, 3, &options, &error);
        g_assert_no_error(error);
        for (int round = 0; round < 2; round++) { // the second finds the memory that the first left
            for (int32_t id = 0; id < 2; id++) {
                CzView *input = interpreter_view(unshared, (CzValue){id});
                if (input)
                    cz_plan_write(plan, (CzValue){id}, input->data, 180, &error);
            }
            cz_plan_run(plan, NULL, &error);
            g_assert_no_error(error);
        }
        interpreter_run(unshared);
        for (int i = 0; i < 3; i++) {
            size_t n = cz_shape_count(cz_graph_shape(graph, outputs[i]));
            g_autofree float *expected = interpreter_floats(unshared, outputs[i]);
            g_autofree float *found = g_new(float, n);
            cz_plan_read(plan, outputs[i], found, n, &error);
            g_assert_no_error(error);
            for (size_t k = 0; k < n; k++)
                if (!(expected[k] == found[k]))
                    g_test_fail_printf("seed %d output %d [%zu]: expected %g, found %g", (int)seed,
                                       i, k, (double)expected[k], (double)found[k]);
        }
    }
}

// Twenty convolutions in a row need the memory of two.
static void arena_is_much_smaller_than_the_sum(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzShape s = {1, 4, 16, 16};
    CzValue x = cz_input(graph, "x", s);
    CzValue filter = cz_param(graph, "filter", cz_shape(4, 4, 3, 3));
    cz_store_add(store, "filter", cz_shape(4, 4, 3, 3), NULL, NULL);
    CzConvParams conv = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    for (int i = 0; i < 20; i++)
        x = cz_activation(graph, cz_conv2d(graph, x, filter, CZ_NONE, CZ_NONE, conv), CZ_ACT_RELU);
    CzValue loss = cz_mean(graph, x, scalar);
    g_autoptr(CzPlan) plan = plan_of(device, store, graph, loss);
    size_t one = cz_shape_count(s) * sizeof(float);
    g_test_message("arena %zu bytes, one value %zu, their sum %zu", cz_plan_arena_bytes(plan), one,
                   41 * one);
    g_assert_cmpuint(cz_plan_arena_bytes(plan), <=, 2 * one + 256);
    g_assert_cmpuint(cz_plan_total_bytes(plan), >=, cz_plan_arena_bytes(plan));
}

// On the second round input and parameter are read no more after the step.
static void what_the_host_or_store_holds_is_never_overwritten(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    CzShape s = {1, 2, 1, 1};
    CzValue x = cz_input(graph, "x", s), p = cz_param(graph, "p", s);
    CzValue a = cz_scale(graph, p, 2, 0), b = cz_scale(graph, x, 3, 0);
    CzValue c = cz_scale(graph, b, 10, 0); // b is an output
    CzValue outputs[] = {a, b, c, x, p};
    const float expected[5][2] = {{2, 4}, {15, 18}, {150, 180}, {5, 6}, {1, 2}};
    cz_store_add(store, "p", s, (float[]){1, 2}, &error);
    for (size_t n_outputs = 5; n_outputs >= 3; n_outputs -= 2) {
        g_autoptr(CzPlan) plan =
            cz_plan_new(device, store, graph, outputs, n_outputs, NULL, &error);
        g_assert_no_error(error);
        cz_plan_write(plan, x, (float[]){5, 6}, 2, &error);
        run(plan);
        for (size_t i = 0; i < n_outputs; i++) {
            float found[2] = {NAN, NAN};
            cz_plan_read(plan, outputs[i], found, 2, &error);
            g_assert_no_error(error);
            g_assert_cmpfloat(found[0], ==, expected[i][0]);
            g_assert_cmpfloat(found[1], ==, expected[i][1]);
        }
        g_autofree char *dump = cz_plan_dump(plan);
        g_assert_null(strstr(dump, "in place"));
    }
    float p_now[2];
    cz_store_read(store, "p", p_now, &error);
    g_assert_cmpfloat(p_now[1], ==, 2);
}

// The residual of a convolution may be overwritten, but not when it is what is convolved.
static void a_value_used_twice_is_reused_only_where_both_uses_allow_it(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    CzShape s = {1, 2, 4, 4};
    cz_store_add(store, "f", cz_shape(2, 2, 1, 1), (float[]){1, 0, 0, 1}, NULL);
    cz_store_add(store, "b", cz_shape(1, 2, 1, 1), (float[]){0, 0}, NULL);
    for (int twice = 0; twice < 2; twice++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue x = cz_scale(graph, cz_input(graph, "x", s), 2, 0);
        CzValue y = cz_clamp(graph, cz_input(graph, "y", s), -1, 1);
        CzValue f = cz_param(graph, "f", cz_shape(2, 2, 1, 1));
        CzValue b = cz_param(graph, "b", cz_shape(1, 2, 1, 1));
        CzValue z = cz_conv2d(graph, x, f, b, twice ? x : y, (CzConvParams){0});
        g_autoptr(CzPlan) plan = plan_of(device, store, graph, z);
        g_autofree char *dump = cz_plan_dump(plan);
        g_assert_true((strstr(dump, "in place") != NULL) == !twice);
    }
}

// ---- what runs, and on what ---------------------------------------------------------------------

static void only_what_outputs_need_is_run(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    CzValue x = cz_input(graph, "x", scalar), unused = cz_input(graph, "unused", scalar);
    cz_mul(graph, cz_param(graph, "missing", scalar), unused);
    CzValue y = cz_scale(graph, x, 2, 1);
    g_autoptr(CzPlan) plan = plan_of(device, NULL, graph, y);
    g_assert_true(cz_plan_write(plan, unused, (float[]){1}, 1, &error));
    g_assert_true(cz_plan_write(plan, x, (float[]){20}, 1, &error));
    run(plan);
    g_assert_cmpfloat(read_scalar(plan, y), ==, 41);
    g_autofree char *dump = cz_plan_dump(plan);
    g_assert_nonnull(strstr(dump, ": 1 steps"));
    g_autofree char *profile = cz_plan_profile(plan);
    g_assert_nonnull(strstr(profile, "scale"));
}

// A reads the parameter before the update, B after it; a second plan sees the update.
static void effects_keep_their_place_and_plans_share_a_store(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(GError) error = NULL;
    cz_store_add(store, "w", scalar, (float[]){10}, &error);
    g_autoptr(CzGraph) train = cz_graph_new();
    CzValue w = cz_param(train, "w", scalar), target = cz_input(train, "target", scalar);
    CzValue rates = cz_input(train, "rates", cz_shape(1, 4, 1, 1));
    CzValue before = cz_scale(train, w, 1, 0);
    CzValue one = cz_constant(train, scalar, CZ_F32, 1);
    CzValue effect = cz_ema(train, w, target, rates, one);
    CzValue after = cz_scale(train, w, 1, 0);
    CzValue outputs[] = {after, effect, before};
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, train, outputs, 3, NULL, &error);
    g_assert_no_error(error);

    g_autoptr(CzGraph) use = cz_graph_new();
    CzValue out = cz_scale(use, cz_param(use, "w", scalar), 100, 0);
    g_autoptr(CzPlan) other = plan_of(device, store, use, out);
    for (int round = 0; round < 2; round++) {
        cz_plan_write(plan, target, (float[]){20}, 1, &error);
        cz_plan_write(plan, rates, (float[]){0, 0, 0, 0.5f}, 4, &error);
        run(plan);
        run(other);
        g_assert_cmpfloat(read_scalar(plan, before), ==, round ? 15 : 10);
        g_assert_cmpfloat(read_scalar(plan, after), ==, round ? 17.5f : 15);
        g_assert_cmpfloat(read_scalar(other, out), ==, round ? 1750 : 1500);
    }
    float w_now = 0;
    cz_store_read(store, "w", &w_now, &error);
    g_assert_cmpfloat(w_now, ==, 17.5f);

    CzPlanOptions frozen = {.frozen = true};
    g_assert_null(cz_plan_new(device, store, train, outputs, 3, &frozen, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "ema"));
}

static void bf16_outputs_are_read_as_floats(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    CzValue x = cz_input(graph, "x", cz_shape(1, 3, 1, 1));
    CzValue half = cz_cast(graph, x, CZ_BF16);
    g_autoptr(CzPlan) plan = plan_of(device, NULL, graph, half);
    float found[3];
    cz_plan_write(plan, x, (float[]){1, -0.5f, 1.00390625f}, 3, &error);
    run(plan);
    g_assert_true(cz_plan_read(plan, half, found, 3, &error));
    g_assert_cmpfloat(found[0], ==, 1);
    g_assert_cmpfloat(found[1], ==, -0.5f);
    g_assert_cmpfloat(found[2], ==, 1); // 1 + 2^-8 is a tie: to even
}

// ---- errors -------------------------------------------------------------------------------------

static void expect_error(GError **error, int code, const char *words)
{
    g_assert_error(*error, CZ_ERROR, code);
    if (!*error || !strstr((*error)->message, words))
        g_test_fail_printf("expected '%s' in '%s'", words, *error ? (*error)->message : "");
    g_clear_error(error);
}

static void wrong_and_missing_parameters_are_named(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzGraph) graph = cz_graph_new();
    GError *error = NULL;
    CzValue y = cz_scale(graph, cz_param(graph, "enc1.bias", cz_shape(1, 8, 1, 1)), 1, 0);
    g_assert_null(cz_plan_new(device, store, graph, &y, 1, NULL, &error));
    expect_error(&error, CZ_ERROR_MODEL,
                 "parameter 'enc1.bias': expected 1x8x1x1, found none in the store");
    cz_store_add(store, "enc1.bias", cz_shape(1, 4, 1, 1), NULL, NULL);
    g_assert_null(cz_plan_new(device, store, graph, &y, 1, NULL, &error));
    expect_error(&error, CZ_ERROR_MODEL, "parameter 'enc1.bias': expected 1x8x1x1, found 1x4x1x1");
}

static void impossible_plans_are_refused(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzGraph) graph = cz_graph_new();
    GError *error = NULL;
    CzValue x = cz_input(graph, "x", scalar), far = {99};
    g_assert_null(cz_plan_new(device, NULL, graph, &x, 0, NULL, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "found none");
    g_assert_null(cz_plan_new(device, NULL, graph, &far, 1, NULL, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "found id 99");
    cz_graph_fail(graph, "broken");
    g_assert_null(cz_plan_new(device, NULL, graph, &x, 1, NULL, &error));
    expect_error(&error, CZ_ERROR_SHAPE, "broken");
}

static void writes_and_reads_are_checked(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzGraph) graph = cz_graph_new();
    GError *error = NULL;
    float data[64] = {0};
    CzValue x = cz_input(graph, "gray", cz_shape(1, 1, 3, 4));
    CzValue y = cz_scale(graph, x, 1, 0), z = cz_scale(graph, y, 1, 0);
    g_autoptr(CzPlan) plan = plan_of(device, NULL, graph, z);
    g_assert_false(cz_plan_write(plan, x, data, 11, &error));
    expect_error(&error, CZ_ERROR_SHAPE, "input 'gray': expected 12 numbers (1x1x3x4), found 11");
    g_assert_false(cz_plan_write(plan, y, data, 12, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "expected an input, found scale");
    g_assert_false(cz_plan_write(plan, (CzValue){-1}, data, 12, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "found id -1");
    g_assert_false(cz_plan_run(plan, NULL, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "input 'gray': expected data before the run");
    g_assert_true(cz_plan_write(plan, x, data, 12, &error));
    g_assert_false(cz_plan_read(plan, z, data, 12, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "no run has succeeded");
    run(plan);
    g_assert_false(cz_plan_read(plan, y, data, 12, &error));
    expect_error(&error, CZ_ERROR_ARGUMENT, "not one of the outputs");
    g_assert_false(cz_plan_read(plan, z, data, 13, &error));
    expect_error(&error, CZ_ERROR_SHAPE, "found 13");
    g_assert_true(cz_plan_read(plan, z, data, 12, &error));
}

typedef struct {
    int calls, stop_at;
    double last;
} Watch;

static bool watch(void *user, double fraction)
{
    Watch *w = user;
    g_assert_cmpfloat(fraction, >=, w->last);
    g_assert_cmpfloat(fraction, <=, 1);
    w->last = fraction;
    return ++w->calls != w->stop_at;
}

static void progress_rises_and_cancels(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzGraph) graph = cz_graph_new();
    GError *error = NULL;
    CzValue x = cz_input(graph, "x", scalar), y = x;
    for (int i = 0; i < 10; i++)
        y = cz_scale(graph, y, 2, 0);
    for (int poison = 0; poison < 2; poison++) {
        CzPlanOptions options = {.poison = poison};
        g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &y, 1, &options, &error);
        Watch w = {0, 4, 0};
        cz_plan_write(plan, x, (float[]){1}, 1, NULL);
        g_assert_false(cz_plan_run(plan, &(CzProgress){watch, &w}, &error));
        expect_error(&error, CZ_ERROR_CANCELLED, "cancelled");
        g_assert_cmpint(w.calls, ==, 4);
        w = (Watch){0, -1, 0};
        cz_plan_write(plan, x, (float[]){1}, 1, NULL);
        g_assert_true(cz_plan_run(plan, &(CzProgress){watch, &w}, &error));
        g_assert_cmpint(w.calls, >, 5);
        g_assert_cmpfloat(read_scalar(plan, y), ==, 1024);
    }
}

// A training step has about 1500 nodes; its plan must not be felt.
static void large_plans_are_made_fast(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    CzRng rng = cz_rng(3, 3);
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(CzValue));
    CzValue outputs[3];
    g_autoptr(CzGraph) graph = random_graph(&rng, 100, values, outputs);
    CzValue total = cz_sum(graph, outputs[0], scalar);
    for (int i = 0; i < 3000; i++) {
        CzValue value = random_node(graph, &rng, values);
        g_array_append_val(values, value);
        if (i % 3 == 0)
            total = cz_add(graph, total, cz_sum(graph, value, scalar));
    }
    cz_store_add(store, "x2", cz_shape(2, 3, 6, 5), NULL, NULL);
    double best = INFINITY;
    for (int round = 0; round < 3; round++) {
        gint64 start = g_get_monotonic_time();
        g_autoptr(CzPlan) plan = plan_of(device, store, graph, total);
        best = MIN(best, (double)(g_get_monotonic_time() - start) / 1e6);
        if (round == 0)
            g_test_message("%d nodes, arena %zu bytes", cz_graph_n_nodes(graph),
                           cz_plan_arena_bytes(plan));
    }
    g_test_message("plan made in %.4f s (bound 0.5 s)", best);
    g_assert_cmpfloat(best, <, 0.5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/plan/plan/" #name, name)
    CASE(live_values_never_overlap);
    CASE(poisoned_runs_equal_unshared_ones);
    CASE(arena_is_much_smaller_than_the_sum);
    CASE(what_the_host_or_store_holds_is_never_overwritten);
    CASE(a_value_used_twice_is_reused_only_where_both_uses_allow_it);
    CASE(only_what_outputs_need_is_run);
    CASE(effects_keep_their_place_and_plans_share_a_store);
    CASE(bf16_outputs_are_read_as_floats);
    CASE(wrong_and_missing_parameters_are_named);
    CASE(impossible_plans_are_refused);
    CASE(writes_and_reads_are_checked);
    CASE(progress_rises_and_cancels);
    CASE(large_plans_are_made_fast);
    return g_test_run();
}
