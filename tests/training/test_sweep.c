// SPDX-License-Identifier: LGPL-3.0-or-later
// Sweeps without trainings: what is tried, in which order, and what is made of scores.
#include "folder.h"

#include <math.h>

#include <cz/error.h>
#include <cz/model.h>

#include "sweep.h"

static TrainSweepPlan plan_of(const char *const *grids, const char *const *randoms, int64_t n_runs)
{
    TrainSweepPlan plan;
    GError *error = NULL;

    train_sweep_plan_init(&plan);
    plan.n_runs = n_runs;
    for (; grids && *grids; grids++)
        train_sweep_add_grid(&plan, *grids, &error);
    for (; randoms && *randoms; randoms++)
        train_sweep_add_random(&plan, *randoms, &error);
    train_sweep_plan_check(&plan, &error);
    g_assert_no_error(error);
    return plan;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_error(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("no '%s' in: %s", words, (*error)->message);
        g_test_fail();
    }
    g_clear_error(error);
}

static void expect_near(const char *what, double found, double expected, double bound)
{
    if (fabs(found - expected) <= bound)
        return;
    g_test_message("%s: expected %.9g, found %.9g, bound %g", what, expected, found, bound);
    g_test_fail();
}

// ---- what is tried ------------------------------------------------------------------------------

static void whole_grid_comes_in_order(void)
{
    TrainSweepPlan plan =
        plan_of(LIST("optimizer.rate=1e-4, 1e-3", "gan.loss=bce,hinge,lsgan"), NULL, 0);
    static const char *const expected[] = {"1e-4 bce", "1e-4 hinge", "1e-4 lsgan",
                                           "1e-3 bce", "1e-3 hinge", "1e-3 lsgan"};

    g_assert_cmpint(plan.n_runs, ==, 6);
    for (int i = 0; i < 6; i++) {
        g_auto(GStrv) values = train_sweep_values(&plan, i);
        g_autofree char *line = g_strjoinv(" ", values);

        g_assert_cmpstr(line, ==, expected[i]);
    }
    train_sweep_plan_clear(&plan);
}

static void part_of_a_grid_has_no_cell_twice(void)
{
    for (int64_t seed = 1; seed < 6; seed++)
        for (int64_t n = 1; n <= 12; n++) {
            TrainSweepPlan plan = plan_of(LIST("train.batch=1,2,4", "train.seed=1,2,3,4"), NULL, n);
            g_autoptr(GHashTable) seen =
                g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

            plan.seed = seed;
            for (int64_t i = 0; i < n; i++) {
                g_auto(GStrv) values = train_sweep_values(&plan, i);

                g_hash_table_add(seen, g_strjoinv(" ", values));
            }
            g_assert_cmpuint(g_hash_table_size(seen), ==, n);
            train_sweep_plan_clear(&plan);
        }
}

// Uniform in the logarithm: mean and quarters of 900 draws, five standard deviations.
static void logarithmic_draws_are_even_over_decades(void)
{
    enum { N = 900 };
    TrainSweepPlan plan = plan_of(NULL, LIST("optimizer.rate=log:1e-5:1e-1"), N);
    double sum = 0;
    int low = 0;

    for (int64_t i = 0; i < N; i++) {
        g_auto(GStrv) values = train_sweep_values(&plan, i);
        double value = g_ascii_strtod(values[0], NULL);

        g_assert_cmpfloat(value, >=, 1e-5);
        g_assert_cmpfloat(value, <=, 1e-1);
        sum += log10(value);
        low += value < 1e-4;
    }
    expect_near("mean", sum / N, -3, 5 * 4 / sqrt(12.0 * N));
    expect_near("lowest decade", low, N / 4.0, 5 * sqrt(N * 0.25 * 0.75));
    train_sweep_plan_clear(&plan);
}

static void draws_repeat_and_mind_no_other_key(void)
{
    const char *rate = "optimizer.rate=log:1e-5:1e-1";
    TrainSweepPlan one = plan_of(NULL, LIST(rate), 20), same = plan_of(NULL, LIST(rate), 20);
    TrainSweepPlan more = plan_of(LIST("train.batch=2,4"), LIST("data.flip=lin:0:1", rate), 20);
    TrainSweepPlan other = plan_of(NULL, LIST(rate), 20);
    int equal = 0;

    other.seed = 2;
    for (int i = 0; i < 20; i++) {
        g_auto(GStrv) a = train_sweep_values(&one, i), b = train_sweep_values(&same, i);
        g_auto(GStrv) c = train_sweep_values(&more, i), d = train_sweep_values(&other, i);

        g_assert_cmpstr(a[0], ==, b[0]);
        g_assert_cmpstr(a[0], ==, c[2]);
        g_assert_cmpstr(c[0], ==, i % 2 ? "4" : "2"); // the grid in turn
        equal += strcmp(a[0], d[0]) == 0;
    }
    g_assert_cmpint(equal, <, 3);
    train_sweep_plan_clear(&one);
    train_sweep_plan_clear(&same);
    train_sweep_plan_clear(&more);
    train_sweep_plan_clear(&other);
}

static void whole_numbers_are_drawn_whole(void)
{
    TrainSweepPlan plan =
        plan_of(NULL, LIST("train.batch=log:2:9", "gan.loss=choice:bce,hinge"), 60);
    int batches[10] = {0}, hinges = 0;

    for (int i = 0; i < 60; i++) {
        g_auto(GStrv) values = train_sweep_values(&plan, i);
        TrainRecipe recipe;
        GError *error = NULL;

        train_sweep_recipe(&plan, values, &recipe, &error);
        g_assert_no_error(error);
        g_assert_cmpint(recipe.batch, >=, 2);
        g_assert_cmpint(recipe.batch, <=, 9);
        batches[recipe.batch]++;
        hinges += strcmp(recipe.gan_loss, "hinge") == 0;
    }
    g_assert_cmpint(batches[2], >, 0);
    g_assert_cmpint(batches[3], >, 0);
    g_assert_cmpint(hinges, >, 10);
    g_assert_cmpint(hinges, <, 50);
    train_sweep_plan_clear(&plan);
}

static void impossible_keys_are_refused(void)
{
    static const struct {
        const char *text, *words;
        bool random;
    } cases[] = {
        {"optimizer.rat=1,2", "there is no key optimizer.rat", false},
        {"optimizer.rate=1e-3,7", "'7', expected a number from 0 to 1", false},
        {"optimizer.rate=1e-3,,2", "''", false},
        {"train.batch=1.5", "whole number", false},
        {"train.batch=2,4,2", "'2' twice", false},
        {"train.batch", "expected section.key=values", false},
        {"optimizer.rate=log:0:1", "above 0", true},
        {"optimizer.rate=log:1e-2:1e-3", "LO below HI", true},
        {"optimizer.rate=log:1e-2", "log:LO:HI", true},
        {"optimizer.rate=lin:0:2", "from 0 to 1", true},
        {"optimizer.rate=normal:0:1", "choice:a,b", true},
        {"gan.loss=lin:0:1", "a text has no range", true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TrainSweepPlan plan;
        GError *error = NULL;

        train_sweep_plan_init(&plan);
        g_assert_false((cases[i].random ? train_sweep_add_random
                                        : train_sweep_add_grid)(&plan, cases[i].text, &error));
        expect_error(&error, cases[i].words);
        train_sweep_plan_clear(&plan);
    }
}

// Also what only two keys together make impossible, and before anything starts.
static void every_run_is_checked_before(void)
{
    TrainSweepPlan plan;
    GError *error = NULL;

    train_sweep_plan_init(&plan);
    g_assert_false(train_sweep_plan_check(&plan, &error));
    expect_error(&error, "nothing is swept");
    g_assert_true(train_sweep_add_grid(&plan, "data.crop=64,65", &error));
    g_assert_false(train_sweep_add_random(&plan, "data.crop=lin:64:128", &error));
    expect_error(&error, "swept twice");
    plan.n_runs = 0;
    g_assert_false(train_sweep_plan_check(&plan, &error));
    expect_error(&error, "run 1 (65): data.crop is odd");
    train_sweep_plan_clear(&plan);

    train_sweep_plan_init(&plan);
    g_assert_true(train_sweep_add_random(&plan, "data.flip=lin:0:1", &error));
    g_assert_false(train_sweep_plan_check(&plan, &error));
    expect_error(&error, "--runs");
    plan.n_runs = 9;
    plan.recipe.images = 32; // two steps, and the first rung would have 1/9 of them
    g_assert_false(train_sweep_plan_check(&plan, &error));
    expect_error(&error, "too few for 3 rungs");
    plan.recipe.images = 9 * 16;
    plan.recipe.validation = 0;
    g_assert_false(train_sweep_plan_check(&plan, &error));
    expect_error(&error, "data.validation");
    train_sweep_plan_clear(&plan);
}

static void sweep_file_is_read(void)
{
    Folder folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.sweep");
    const char *text = "[grid]\noptimizer.rate=1e-3,1e-2\n[random]\noptimizer.decay=log:1e-6:1e-2\n"
                       "[sweep]\nruns=8\nseed=5\neta=2\nscore=delta-e\n";
    TrainSweepPlan plan;
    GError *error = NULL;

    train_sweep_plan_init(&plan);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_true(train_sweep_load(&plan, path, &error));
    g_assert_true(train_sweep_plan_check(&plan, &error));
    g_assert_cmpint(plan.n_runs, ==, 8);
    g_assert_cmpint(plan.seed, ==, 5);
    g_assert_cmpint(plan.n_rungs, ==, 4); // 8, 4, 2, 1
    g_assert_false(plan.score->higher);
    train_sweep_plan_clear(&plan);
    train_sweep_plan_init(&plan);
    g_assert_true(g_file_set_contents(path, "[sweep]\nspeed=8\n", -1, NULL));
    g_assert_false(train_sweep_load(&plan, path, &error));
    expect_error(&error, "there is no key sweep.speed");
    train_sweep_plan_clear(&plan);
    for (int i = 0; i < 2; i++) {
        const char *broken[] = {"[grid]\noptimizer.rate=1e-3\\q\n", "[grid]\nmodel.title=\xff\n"};
        train_sweep_plan_init(&plan);
        g_assert_true(g_file_set_contents(path, broken[i], -1, NULL));
        g_assert_false(train_sweep_load(&plan, path, &error));
        expect_error(&error, "sweep file ");
        train_sweep_plan_clear(&plan);
    }
    folder_free(&folder);
}

static void rungs_keep_one_in_eta(void)
{
    TrainSweepPlan plan = plan_of(LIST("train.seed=1,2,3,4,5,6,7,8,9,10,11,12"), NULL, 0);
    static const int64_t widths[] = {12, 4, 1}, steps[] = {12, 34, 100};

    plan.recipe.images = 1600; // of 16: 100 steps; a ninth is 11.1, a third 33.3
    g_assert_cmpint(plan.n_rungs, ==, 3);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(train_sweep_width(&plan, i), ==, widths[i]);
        g_assert_cmpint(train_sweep_steps(&plan, &plan.recipe, i), ==, steps[i]);
    }
    train_sweep_plan_clear(&plan);
}

// ---- what is made of scores ---------------------------------------------------------------------

static void put_score(TrainSweep *sweep, int run, double score)
{
    TrainSweepRun *at = &sweep->runs[run];
    at->scores[at->rung] = score;
    at->n_scores = at->rung + 1;
    at->state = TRAIN_SWEEP_SCORED;
}

static void best_go_on_and_failed_ones_do_not(void)
{
    Folder folder = folder_new();
    TrainSweepPlan plan = plan_of(LIST("train.seed=1,2,3,4,5,6,7,8,9"), NULL, 0);
    GError *error = NULL;

    for (int low = 0; low < 2; low++) {
        plan.score = train_sweep_score(low ? "delta-e" : "gain");
        TrainSweep *sweep = train_sweep_open(&plan, folder.path, 1, &error);
        g_assert_no_error(error);
        for (int i = 0; i < 9; i++)
            put_score(sweep, i, low ? 10 - i : i);
        sweep->runs[8].state = TRAIN_SWEEP_FAILED; // it would have been the best
        sweep->runs[8].n_scores = 0;
        train_sweep_promote(sweep);
        for (int i = 0; i < 9; i++)
            g_assert_cmpint(sweep->runs[i].rung, ==, i >= 5 && i < 8);
        // One of the three overtakes, although it is worse than it was.
        put_score(sweep, 5, low ? 50 : -3);
        put_score(sweep, 6, low ? 51 : -4);
        put_score(sweep, 7, low ? 52 : -5);
        train_sweep_promote(sweep);
        put_score(sweep, 5, low ? 1 : 9);
        g_autofree int64_t *order = train_sweep_ranking(sweep);
        static const int64_t expected[] = {5, 6, 7, 4, 3, 2, 1, 0, 8};
        g_assert_cmpmem(order, 9 * sizeof *order, expected, sizeof expected);
        train_sweep_free(sweep);
    }
    train_sweep_plan_clear(&plan);
    folder_free(&folder);
}

static void state_is_read_back_and_running_waits(void)
{
    Folder folder = folder_new();
    TrainSweepPlan plan = plan_of(LIST("train.seed=1,2,3,4"), NULL, 0);
    GError *error = NULL;
    TrainSweep *sweep = train_sweep_open(&plan, folder.path, 1, &error);

    g_assert_no_error(error);
    put_score(sweep, 0, 0.1 + 0.2); // no short decimal
    put_score(sweep, 1, -1);
    sweep->runs[2].state = TRAIN_SWEEP_RUNNING;
    sweep->runs[3].state = TRAIN_SWEEP_FAILED;
    sweep->runs[3].error = g_strdup("no, \"never\"");
    g_assert_true(train_sweep_save(sweep, &error));
    train_sweep_free(sweep);
    sweep = train_sweep_open(&plan, folder.path, 1, &error);
    g_assert_no_error(error);
    g_assert_true(sweep->runs[0].scores[0] == 0.1 + 0.2);
    g_assert_cmpint(sweep->runs[1].state, ==, TRAIN_SWEEP_SCORED);
    g_assert_cmpint(sweep->runs[2].state, ==, TRAIN_SWEEP_WAITING);
    g_assert_cmpint(sweep->runs[3].state, ==, TRAIN_SWEEP_FAILED);
    g_assert_cmpstr(sweep->runs[3].error, ==, "no, \"never\"");
    g_assert_true(train_sweep_write_csv(sweep, &error));
    train_sweep_free(sweep);

    g_autofree char *csv = folder_file(&folder, "ranking.csv"), *text = NULL;
    g_assert_true(g_file_get_contents(csv, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "4,\"no, \"\"never\"\"\"\n"));
    train_sweep_plan_clear(&plan);
    folder_free(&folder);
}

static void state_of_another_sweep_or_damaged_is_refused(void)
{
    Folder folder = folder_new();
    TrainSweepPlan plan = plan_of(LIST("train.seed=1,2,3,4"), NULL, 0);
    g_autofree char *path = folder_file(&folder, "sweep.json"), *text = NULL;
    GError *error = NULL;
    gsize n;
    TrainSweep *sweep = train_sweep_open(&plan, folder.path, 1, &error);

    g_assert_true(train_sweep_save(sweep, &error));
    train_sweep_free(sweep);
    g_assert_null(train_sweep_open(&plan, folder.path, 2, &error)); // other pictures
    expect_error(&error, "another sweep");
    plan.recipe.rate = 0.5;
    g_assert_null(train_sweep_open(&plan, folder.path, 1, &error));
    expect_error(&error, "another sweep");
    plan.recipe.rate = 1e-3;
    g_assert_true(g_file_get_contents(path, &text, &n, NULL));
    for (gsize cut = 0; cut < n - 2; cut += 7) {
        g_assert_true(g_file_set_contents(path, text, (gssize)cut, NULL));
        g_assert_null(train_sweep_open(&plan, folder.path, 1, &error));
        expect_error(&error, "sweep.json");
    }
    char *rung = strstr(text, "\"rung\": 0");
    rung[strlen("\"rung\": ")] = '9';
    g_assert_true(g_file_set_contents(path, text, (gssize)n, NULL));
    g_assert_null(train_sweep_open(&plan, folder.path, 1, &error));
    expect_error(&error, "not the state of a sweep");
    train_sweep_plan_clear(&plan);
    folder_free(&folder);
}

static void ranks_share_ties(void)
{
    static const double values[] = {3, 1, 3, 2, 3}, expected[] = {4, 1, 4, 2, 4};
    double ranks[5];

    train_sweep_ranks(values, 5, ranks);
    for (int i = 0; i < 5; i++)
        g_assert_cmpfloat(ranks[i], ==, expected[i]);
}

// By hand. Two groups of three, 1 2 3 and 5 6 7: all squares 4 * 6 + 2 * 2 = 28, within 4, so the
// share is 1 - 4/28 * 5/4 = 0.8214. Ranks 1 to 6 against 2 2 2 5 5 5: 13.5 / sqrt(17.5 * 13.5).
static void effects_are_those_done_by_hand(void)
{
    Folder folder = folder_new();
    TrainSweepPlan plan = plan_of(LIST("optimizer.rate=1e-3,1e-1", "train.seed=1,2,3"), NULL, 0);
    static const double scores[] = {1, 2, 3, 5, 6, 7};
    GError *error = NULL;
    TrainSweep *sweep = train_sweep_open(&plan, folder.path, 1, &error);

    for (int i = 0; i < 6; i++)
        put_score(sweep, i, scores[i]);
    TrainSweepEffect rate = train_sweep_effect(sweep, 0), seed = train_sweep_effect(sweep, 1);
    expect_near("share of rate", rate.share, 1 - 4.0 / 28 * 5 / 4, 1e-12);
    expect_near("rank correlation of rate", rate.correlation, 13.5 / sqrt(17.5 * 13.5), 1e-12);
    // Means 3, 4, 5 around 4: 4 of 28 between, less than chance gives.
    expect_near("share of seed", seed.share, 0, 0);
    g_assert_cmpint(rate.n, ==, 6);
    train_sweep_free(sweep);
    train_sweep_plan_clear(&plan);
    folder_free(&folder);
}

static void scores_are_read_from_a_runs_tables(void)
{
    Folder folder = folder_new();
    g_autofree char *validation = folder_file(&folder, "validation.csv");
    g_autofree char *log = folder_file(&folder, "log.csv");
    const TrainSweepScore *gain = train_sweep_score("gain"), *loss = train_sweep_score("loss");
    GError *error = NULL;
    double value = 0;

    g_assert_false(train_sweep_read_score(gain, folder.path, 4, &value, &error));
    g_assert_no_error(error);
    // Killed after step 8 and resumed at 4; the line of 8 is told again. A last one is cut off.
    g_file_set_contents(validation, "step,gain_db,ssim\n4,1.5,0\n8,9,0\n8,2.5,0\n12,", -1, NULL);
    g_assert_true(train_sweep_read_score(gain, folder.path, 8, &value, &error));
    g_assert_cmpfloat(value, ==, 2.5);
    g_assert_false(train_sweep_read_score(gain, folder.path, 12, &value, &error));
    g_assert_no_error(error);
    g_assert_false(
        train_sweep_read_score(train_sweep_score("delta-e"), folder.path, 8, &value, &error));
    expect_error(&error, "no column 'delta_e_2000'");
    g_file_set_contents(validation, "step,gain_db\n8,nan\n", -1, NULL);
    g_assert_false(train_sweep_read_score(gain, folder.path, 8, &value, &error));
    expect_error(&error, "gain at step 8");
    // The last quarter of 8 is what is after 6.
    g_file_set_contents(log, "step,loss\n2,9\n4,9\n6,9\n5,9\n6,7\n7,5\n7,1\n8,2\n", -1, NULL);
    g_assert_true(train_sweep_read_score(loss, folder.path, 8, &value, &error));
    g_assert_cmpfloat(value, ==, 1.5);
    folder_free(&folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/sweep/" #name, name)
    ADD(whole_grid_comes_in_order);
    ADD(part_of_a_grid_has_no_cell_twice);
    ADD(logarithmic_draws_are_even_over_decades);
    ADD(draws_repeat_and_mind_no_other_key);
    ADD(whole_numbers_are_drawn_whole);
    ADD(impossible_keys_are_refused);
    ADD(every_run_is_checked_before);
    ADD(sweep_file_is_read);
    ADD(rungs_keep_one_in_eta);
    ADD(best_go_on_and_failed_ones_do_not);
    ADD(state_is_read_back_and_running_waits);
    ADD(state_of_another_sweep_or_damaged_is_refused);
    ADD(ranks_share_ties);
    ADD(effects_are_those_done_by_hand);
    ADD(scores_are_read_from_a_runs_tables);
    return g_test_run();
}
