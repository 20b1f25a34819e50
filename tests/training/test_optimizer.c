// SPDX-License-Identifier: LGPL-3.0-or-later
// The optimizer that generator and critic share: kinds, outliers, accumulation.
#include "steps.h"

#include <float.h>

#include <cz/threads.h>

#include "outliers.h"

enum { N_WEIGHTS = 5 };

// Four weights and their mean squared distance from an input.
typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    CzGraph *graph;
    CzPlan *plan;
    CzValue target;
    TrainOptimizer optimizer;
    double rate;
} Toy;

static const float toy_start[N_WEIGHTS] = {1, -2, 0.5f, 0, 3};

static void toy_open(Toy *toy, const TrainOptimizerParams *params)
{
    g_autoptr(GError) error = NULL;
    CzShape shape = {1, N_WEIGHTS, 1, 1};
    *toy = (Toy){.rate = 0.1};
    toy->device = cz_device_open("cpu", &error);
    g_assert_no_error(error);
    toy->store = cz_store_new(toy->device);
    g_assert_true(cz_store_add(toy->store, "w", shape, toy_start, NULL));
    g_assert_true(train_optimizer_start(toy->store, "w", shape, params->average, NULL));
    toy->graph = cz_graph_new();
    toy->target = cz_input(toy->graph, "target", shape);
    train_optimizer_init(&toy->optimizer, toy->graph, params);
    train_optimizer_add(&toy->optimizer, "w", shape, 1, 0.25);
    CzValue away = cz_sub(toy->graph, cz_param(toy->graph, "w", shape), toy->target);
    CzValue loss =
        cz_mean(toy->graph, cz_math(toy->graph, away, CZ_MATH_SQUARE), cz_shape(1, 1, 1, 1));
    train_optimizer_gradients(&toy->optimizer, loss);
    train_optimizer_updates(&toy->optimizer);
    g_assert_true(train_optimizer_prepare(&toy->optimizer, toy->store, NULL));
    train_optimizer_report(&toy->optimizer, NULL, 0);
    g_autoptr(GArray) outputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    g_array_append_val(outputs, toy->optimizer.report);
    g_array_append_vals(outputs, toy->optimizer.effects->data, toy->optimizer.effects->len);
    toy->plan = cz_plan_new(toy->device, toy->store, toy->graph, (const CzValue *)outputs->data,
                            outputs->len, NULL, &error);
    g_assert_no_error(error);
}

static void toy_close(Toy *toy)
{
    cz_plan_free(toy->plan);
    train_optimizer_clear(&toy->optimizer);
    cz_graph_free(toy->graph);
    cz_store_free(toy->store);
    cz_device_close(toy->device);
    memset(toy, 0, sizeof *toy);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Toy, toy_close)

// One run with the target `first`, `first` + 1, ...
static TrainUpdate toy_run_moment(Toy *toy, int64_t index, float first, bool fresh)
{
    g_autoptr(GError) error = NULL;
    const TrainMoment moment = {.rate = toy->rate, .ema = 0.9, .index = index, .fresh = fresh};
    TrainUpdate update = {0};
    float target[N_WEIGHTS];
    for (int i = 0; i < N_WEIGHTS; i++)
        target[i] = first + (float)i;
    bool done = cz_plan_write(toy->plan, toy->target, target, N_WEIGHTS, &error) &&
                train_optimizer_before(&toy->optimizer, toy->plan, toy->store, &moment, &error) &&
                cz_plan_run(toy->plan, NULL, &error) &&
                train_optimizer_after(&toy->optimizer, toy->plan, toy->store, &update, &error);
    g_assert_true(done);
    g_assert_no_error(error);
    return update;
}

static TrainUpdate toy_run(Toy *toy, int64_t index, float first)
{
    return toy_run_moment(toy, index, first, false);
}

static void toy_read(Toy *toy, const char *name, float data[N_WEIGHTS])
{
    g_autoptr(GError) error = NULL;
    cz_store_read(toy->store, name, data, &error);
    g_assert_no_error(error);
}

// ---- kinds --------------------------------------------------------------------------------------

// Three steps in double by the papers' formulas (ops.h).
static void expect_kind(const char *name, double epsilon)
{
    TrainOptimizerParams params = {
        .name = "toy", .beta1 = 0.9, .beta2 = 0.99, .epsilon = epsilon, .average = true};
    g_auto(Toy) toy = {0};
    float w[N_WEIGHTS], ema[N_WEIGHTS];
    g_assert_true(train_optimizer_of(name, &params.kind));
    toy_open(&toy, &params);
    for (int i = 0; i < 3; i++)
        toy_run(&toy, i, (float)i);
    toy_read(&toy, "w", w);
    toy_read(&toy, "ema/w", ema);
    for (int i = 0; i < N_WEIGHTS; i++) {
        double x = (double)toy_start[i], m = 0, v = 0, average = x;
        for (int t = 1; t <= 3; t++) {
            double g = 2 * (x - (t - 1 + i)) / N_WEIGHTS, decay = 0.25;
            if (strcmp(name, "adam") == 0) {
                g += decay * x;
                decay = 0;
            }
            m += (1 - 0.9) * (g - m);
            double spread = strcmp(name, "adabelief") == 0 ? g - m : g;
            v += (1 - 0.99) * (spread * spread - v);
            v += strcmp(name, "adabelief") == 0 ? epsilon : 0;
            double step = m / (1 - pow(0.9, t)) / (sqrt(v / (1 - pow(0.99, t))) + epsilon);
            x -= 0.1 * (step + decay * x);
            average = 0.9 * average + 0.1 * x;
        }
        // Some 20 roundings a step; 1 - 0.99 in F32 alone is off by 100 half ulps.
        double bound = 400 * (double)FLT_EPSILON * (1 + fabs(x));
        g_test_message("%s, weight %d: %.9g, expected %.9g", name, i, (double)w[i], x);
        g_assert_cmpfloat(fabs((double)w[i] - x), <=, bound);
        g_assert_cmpfloat(fabs((double)ema[i] - average), <=, bound);
    }
}

static void each_kind_follows_its_paper(void)
{
    expect_kind("adamw", 1e-8);
    expect_kind("adam", 1e-8);
    expect_kind("adabelief", 1e-2); // large enough to be missed
}

static void recipe_chooses_the_kind(void)
{
    static const char *const kinds[] = {"adamw", "adam", "adabelief"};
    g_autofree char *sums[G_N_ELEMENTS(kinds)] = {NULL};
    Batch batch;
    make_batch(&batch, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        TrainRecipe recipe = small_recipe();
        g_auto(Bench) bench = {0};
        g_strlcpy(recipe.optimizer, kinds[i], sizeof recipe.optimizer);
        recipe.decay = 0.1;
        bench_start(&bench, &recipe);
        bench_run(&bench, &batch, 0);
        sums[i] = store_sum(bench.store, "");
        for (size_t k = 0; k < i; k++)
            g_assert_cmpstr(sums[i], !=, sums[k]);
    }
    for (size_t i = 1; i < G_N_ELEMENTS(kinds); i++)
        g_clear_pointer(&sums[i], g_free);
}

// ---- outliers -----------------------------------------------------------------------------------

static void limits_are_mean_and_deviations(void)
{
    TrainOutliers outliers = {0};
    float limits[2];
    for (int i = 0; i < TRAIN_OUTLIERS_WINDOW; i++) {
        train_outliers_limits(&outliers, 3, limits);
        g_assert_cmpfloat(limits[0], ==, FLT_MAX); // not before the window is full
        train_outliers_add(&outliers, i % 2 ? 1 : 3, 10);
    }
    train_outliers_limits(&outliers, 3, limits);
    g_assert_cmpfloat(limits[0], ==, 2 + 3 * 1);
    g_assert_cmpfloat(limits[1], ==, 10);
    train_outliers_add(&outliers, NAN, 10);
    train_outliers_add(&outliers, 2, INFINITY);
    train_outliers_limits(&outliers, 3, limits);
    g_assert_cmpfloat(limits[0], ==, 5);
    for (int i = 0; i < TRAIN_OUTLIERS_WINDOW; i++)
        train_outliers_add(&outliers, 7, 8); // and what is older than the window is forgotten
    train_outliers_limits(&outliers, 3, limits);
    g_assert_cmpfloat(limits[0], ==, 7);
    g_assert_cmpfloat(limits[1], ==, 8);
}

static const TrainOptimizerParams skipping = {
    .name = "toy", .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .skip_z = 4, .average = true};

// Losses that go up and down, around a target that stays.
static TrainUpdate toy_usual(Toy *toy, int64_t index)
{
    return toy_run(toy, index, index % 3 ? 0 : 0.5f);
}

static void outlier_leaves_no_trace_but_its_count(void)
{
    static const char *const names[] = {"w", "m/w", "v/w", "ema/w"};
    float before[G_N_ELEMENTS(names)][N_WEIGHTS], after[N_WEIGHTS];
    g_auto(Toy) toy = {0};
    int64_t index = 0;
    toy_open(&toy, &skipping);
    toy.rate = 1e-3;
    g_assert_cmpfloat(toy_run(&toy, index++, 100).gate, ==, 1); // too early to tell
    for (; index <= TRAIN_OUTLIERS_WINDOW + 5; index++)
        g_assert_cmpfloat(toy_usual(&toy, index).gate, ==, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        toy_read(&toy, names[i], before[i]);
    TrainUpdate update = toy_run(&toy, index++, 100);
    g_assert_true(update.outlier);
    g_assert_cmpint(update.n_outliers, ==, 1);
    g_assert_cmpfloat(update.gate, ==, 0);
    g_assert_true(isfinite(update.loss));
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        toy_read(&toy, names[i], after);
        g_assert_cmpmem(before[i], sizeof before[i], after, sizeof after);
    }
    update = toy_usual(&toy, index);
    g_assert_false(update.outlier);
    g_assert_cmpfloat(update.gate, ==, 1);
    g_assert_cmpint(update.n_outliers, ==, 1);
}

// A loss that has risen for good must not stop the training for ever.
static void new_level_is_soon_in_line(void)
{
    g_auto(Toy) toy = {0};
    int64_t index = 0, skipped = 0;
    toy_open(&toy, &skipping);
    toy.rate = 1e-3;
    while (index < TRAIN_OUTLIERS_WINDOW)
        toy_usual(&toy, index++);
    for (int i = 0; i < 40; i++)
        skipped += toy_run(&toy, index++, 100).outlier;
    // After k of them: mean A k/128, deviation A sqrt(k (128 - k)) / 128; in line from k = 8 on.
    g_test_message("%d left out", (int)skipped);
    g_assert_cmpint(skipped, >=, 1);
    g_assert_cmpint(skipped, <=, 8);
}

// Where losses or sizes change, the old ones say nothing.
static void fresh_window_judges_nobody(void)
{
    g_auto(Toy) toy = {0};
    int64_t index = 0;
    toy_open(&toy, &skipping);
    while (index < TRAIN_OUTLIERS_WINDOW)
        toy_usual(&toy, index++);
    g_assert_true(toy_run(&toy, index++, 100).outlier);
    TrainUpdate update = toy_run_moment(&toy, index++, 100, true);
    g_assert_false(update.outlier);
    g_assert_cmpfloat(update.gate, ==, 1);
    g_assert_cmpint(update.n_outliers, ==, 1);
    g_assert_false(toy_run(&toy, index, 1000).outlier);
}

// The window lies in the store, and so in a checkpoint.
static void window_goes_on_from_the_store(void)
{
    static const char *const names[] = {"w", "m/w", "v/w", "ema/w", TRAIN_OUTLIERS};
    g_auto(Toy) whole = {0}, half = {0}, rest = {0};
    TrainOutliers one, other;
    toy_open(&whole, &skipping);
    toy_open(&half, &skipping);
    toy_open(&rest, &skipping);
    for (int64_t i = 0; i < 140; i++) {
        toy_usual(&whole, i);
        toy_usual(&half, i);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        float data[sizeof(TrainOutliers) / sizeof(float)];
        g_assert_true(cz_store_read(half.store, names[i], data, NULL));
        g_assert_true(cz_store_write(rest.store, names[i], data, NULL));
    }
    for (int64_t i = 140; i < 150; i++) {
        TrainUpdate expected = toy_run(&whole, i, (float)(i % 4));
        TrainUpdate found = toy_run(&rest, i, (float)(i % 4));
        g_assert_cmpfloat(expected.gate, ==, found.gate);
        g_assert_cmpfloat(expected.loss, ==, found.loss);
    }
    g_assert_true(train_outliers_read(&one, whole.store, NULL));
    g_assert_true(train_outliers_read(&other, rest.store, NULL));
    g_assert_cmpmem(&one, sizeof one, &other, sizeof other);
    g_assert_cmpfloat(one.n_found, >, 0);
}

// ---- accumulation -------------------------------------------------------------------------------

static const TrainOptimizerParams in_three = {.name = "toy",
                                              .beta1 = 0.9,
                                              .beta2 = 0.99,
                                              .epsilon = 1e-8,
                                              .clip = 1,
                                              .average = true,
                                              .accumulate = 3};

// (a + b + c) / 3 and its gradient: the first weight by hand.
static void step_of_several_runs_updates_once(void)
{
    g_auto(Toy) toy = {0};
    float w[N_WEIGHTS], m[N_WEIGHTS];
    toy_open(&toy, &in_three);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpfloat(toy_run(&toy, 0, (float)i).gate, ==, 0);
        toy_read(&toy, "w", w);
        g_assert_cmpmem(w, sizeof w, toy_start, sizeof toy_start);
    }
    TrainUpdate update = toy_run(&toy, 0, 5); // the targets' mean is 2
    double square = 0, loss = 0;
    for (int i = 0; i < N_WEIGHTS; i++) {
        double x = (double)toy_start[i] - i;
        square += pow(2 * (x - 2) / N_WEIGHTS, 2);
        loss += (x * x + (x - 1) * (x - 1) + (x - 5) * (x - 5)) / 3 / N_WEIGHTS;
    }
    g_assert_cmpfloat_with_epsilon((double)update.norm, sqrt(square), 1e-6 * sqrt(square));
    g_assert_cmpfloat_with_epsilon((double)update.loss, loss, 1e-6 * loss);
    g_assert_cmpfloat_with_epsilon((double)update.gate, 1 / sqrt(square), 1e-6);
    toy_read(&toy, "m/w", m);
    for (int i = 0; i < N_WEIGHTS; i++) {
        double g = 2 * ((double)toy_start[i] - i - 2) / N_WEIGHTS / sqrt(square);
        g_assert_cmpfloat_with_epsilon((double)m[i], 0.1 * g, 1e-6);
    }
}

static void run_that_is_not_finite_leaves_its_step_out(void)
{
    for (int bad = 0; bad < 3; bad++) {
        g_auto(Toy) toy = {0}, sound = {0};
        float w[N_WEIGHTS], expected[N_WEIGHTS];
        toy_open(&toy, &in_three);
        toy_open(&sound, &in_three);
        for (int i = 0; i < 3; i++) {
            TrainUpdate update = toy_run(&toy, 0, i == bad ? NAN : 1);
            g_assert_cmpfloat(update.gate, ==, 0);
            g_assert_true(i < 2 || (isnan(update.loss) && isnan(update.norm))); // alarms see it
        }
        toy_read(&toy, "w", w);
        g_assert_cmpmem(w, sizeof w, toy_start, sizeof toy_start);
        for (int i = 0; i < 3; i++) { // and the next one is as if it had not been
            toy_run(&toy, 0, (float)i);
            toy_run(&sound, 0, (float)i);
        }
        toy_read(&toy, "w", w);
        toy_read(&sound, "w", expected);
        g_assert_cmpmem(w, sizeof w, expected, sizeof expected);
    }
}

// The window judges whole steps.
static void outliers_are_steps_not_runs(void)
{
    TrainOptimizerParams params = skipping;
    TrainOutliers outliers;
    g_auto(Toy) toy = {0};
    params.accumulate = 3;
    toy_open(&toy, &params);
    for (int i = 0; i < 3 * TRAIN_OUTLIERS_WINDOW; i++) {
        g_assert_true(train_outliers_read(&outliers, toy.store, NULL));
        g_assert_cmpfloat(outliers.n, ==, (float)(i / 3));
        toy_usual(&toy, i / 3);
    }
    g_assert_false(toy_run(&toy, TRAIN_OUTLIERS_WINDOW, 300).outlier);
    g_assert_false(toy_run(&toy, TRAIN_OUTLIERS_WINDOW, 0).outlier);
    TrainUpdate update = toy_run(&toy, TRAIN_OUTLIERS_WINDOW, 0);
    g_assert_true(update.outlier);
    g_assert_cmpfloat(update.gate, ==, 0);
}

// Norm of the difference over the norm, per tensor.
static void compare_stores(CzStore *expected, CzStore *found, const char *family, double bound)
{
    double worst = 0;
    for (size_t i = 0; i < cz_store_n(expected); i++) {
        const char *name = cz_store_name(expected, i);
        double away = 0, size = 0;
        size_t n;
        if (!is_of_family(name, family))
            continue;
        float *a = read_tensor(expected, name, &n), *b = read_tensor(found, name, &n);
        for (size_t k = 0; k < n; k++) {
            away += pow((double)a[k] - (double)b[k], 2);
            size += pow((double)a[k], 2);
        }
        double ratio = sqrt(away / MAX(size, 1e-30));
        worst = MAX(worst, ratio);
        if (ratio > bound)
            g_test_message("%s: off by %.3g of its norm, bound %.3g", name, ratio, bound);
        g_assert_cmpfloat(ratio, <=, bound);
        cz_memory_free(a);
        cz_memory_free(b);
    }
    g_test_message("%s: worst %.3g, bound %.3g", family, worst, bound);
}

// Two pictures at once, or one after the other: the network's gradients are the same.
static void several_runs_equal_the_larger_batch(void)
{
    TrainRecipe recipe = small_recipe(), parts = recipe;
    g_auto(Bench) whole = {0}, halves = {0};
    g_autoptr(GError) error = NULL;
    TrainScalars scalars = {0};
    Batch batch;
    int32_t n = STEP_PIXELS / STEP_BATCH;
    parts.batch = 1;
    parts.accumulate = STEP_BATCH;
    make_batch(&batch, 8);
    bench_start(&whole, &recipe);
    bench_start(&halves, &parts);
    TrainScalars expected = bench_run(&whole, &batch, 0);
    for (int i = 0; i < STEP_BATCH; i++) {
        train_step_run(halves.step, batch.lightness + i * n, batch.chroma + i * n / 2, 0, &scalars,
                       &error);
        g_assert_no_error(error);
    }
    g_assert_cmpfloat_with_epsilon(scalars.loss, expected.loss, 1e-5f * expected.loss);
    g_assert_cmpfloat_with_epsilon(scalars.norm, expected.norm, 1e-4f * expected.norm);
    g_assert_cmpfloat_with_epsilon(scalars.chroma, expected.chroma, 1e-5f * expected.chroma);
    g_assert_cmpfloat(scalars.gate, >, 0);
    // A sum over 2 * 32 * 32 places, in another order: 4 eps sqrt(k), and as much for what comes
    // in.
    double bound = 8 * (double)FLT_EPSILON * sqrt(STEP_PIXELS);
    compare_stores(whole.store, halves.store, TRAIN_M, bound);
    compare_stores(whole.store, halves.store, TRAIN_V, 2 * bound);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(name) g_test_add_func("/training/optimizer/" #name, name)
    ADD(each_kind_follows_its_paper);
    ADD(recipe_chooses_the_kind);
    ADD(limits_are_mean_and_deviations);
    ADD(outlier_leaves_no_trace_but_its_count);
    ADD(new_level_is_soon_in_line);
    ADD(fresh_window_judges_nobody);
    ADD(window_goes_on_from_the_store);
    ADD(step_of_several_runs_updates_once);
    ADD(run_that_is_not_finite_leaves_its_step_out);
    ADD(outliers_are_steps_not_runs);
    ADD(several_runs_equal_the_larger_batch);
    return g_test_run();
}
