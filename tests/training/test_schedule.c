// SPDX-License-Identifier: LGPL-3.0-or-later
// Rates, phases and sizes: what a recipe says about the course of a training is what happens.
#include "schedule.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>

// 100 steps of 10 pictures.
static TrainRecipe long_recipe(void)
{
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    recipe.batch = 10;
    recipe.images = 1000;
    recipe.warmup = 0;
    recipe.rate = 8;
    return recipe;
}

static void choose(TrainRecipe *recipe, const char *assignment)
{
    g_autoptr(GError) error = NULL;
    train_recipe_set(recipe, assignment, &error);
    g_assert_no_error(error);
}

static void expect_rates(const TrainRecipe *recipe, const double expected[][2], size_t n)
{
    g_assert_true(train_recipe_check(recipe, NULL));
    for (size_t i = 0; i < n; i++) {
        double found = train_recipe_rate(recipe, (int64_t)expected[i][0]);
        g_test_message("step %g: %g, expected %g", expected[i][0], found, expected[i][1]);
        g_assert_cmpfloat_with_epsilon(found, expected[i][1], 1e-12);
    }
}
#define EXPECT_RATES(recipe, table) expect_rates(recipe, table, G_N_ELEMENTS(table))

static void linear_is_constant_then_a_line_to_nothing(void)
{
    static const double expected[][2] = {{0, 8}, {40, 8}, {41, 8 * 59 / 60.0}, {70, 4}, {100, 0}};
    TrainRecipe recipe = long_recipe();
    choose(&recipe, "optimizer.schedule=linear");
    choose(&recipe, "optimizer.hold=400");
    EXPECT_RATES(&recipe, expected);
    g_assert_cmpfloat(train_recipe_rate(&recipe, 99), >, 0);
}

static void step_halves_from_there_on(void)
{
    static const double expected[][2] = {{0, 8},  {39, 8}, {40, 4}, {59, 4},
                                         {60, 2}, {79, 2}, {80, 1}, {99, 1}};
    TrainRecipe recipe = long_recipe();
    choose(&recipe, "optimizer.schedule=step");
    choose(&recipe, "optimizer.hold=400");
    choose(&recipe, "optimizer.halve-every=200");
    EXPECT_RATES(&recipe, expected);
}

static void constant_is_as_it_is(void)
{
    static const double expected[][2] = {{0, 8}, {50, 8}, {99, 8}};
    TrainRecipe recipe = long_recipe();
    choose(&recipe, "optimizer.schedule=constant");
    EXPECT_RATES(&recipe, expected);
}

static void warm_up_comes_before_all_of_them(void)
{
    static const double expected[][2] = {{0, 1}, {3, 4}, {7, 8}, {8, 8}};
    static const char *const names[] = {"cosine", "linear", "step", "constant"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        TrainRecipe recipe = long_recipe();
        g_autofree char *assignment = g_strconcat("optimizer.schedule=", names[i], NULL);
        choose(&recipe, assignment);
        choose(&recipe, "optimizer.hold=90");
        recipe.warmup = 8;
        EXPECT_RATES(&recipe, expected);
    }
}

// What the only schedule was before there were others, to the last bit.
static void default_is_what_it_was(void)
{
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    int64_t steps = train_recipe_steps(&recipe);
    for (int64_t step = 0; step < steps; step += 7) {
        double done = ((double)step - recipe.warmup) / ((double)steps - recipe.warmup);
        double expected = step < recipe.warmup
                              ? recipe.rate * (double)(step + 1) / recipe.warmup
                              : recipe.rate * 0.5 * (1 + cos(G_PI * CLAMP(done, 0, 1)));
        g_assert_cmpfloat(train_recipe_rate(&recipe, step), ==, expected);
    }
}

static TrainRecipe duel_recipe(void)
{
    TrainRecipe recipe = long_recipe();
    recipe.gan = 1;
    recipe.gan_from = 400;
    recipe.gan_critic_images = 100;
    recipe.critic_rate = 4;
    return recipe;
}

static void critic_has_rates_of_its_own(void)
{
    TrainRecipe recipe = duel_recipe();
    g_assert_cmpint(train_recipe_gan_step(&recipe), ==, 40);
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 39), ==, 0);
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 40), ==, 4);
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 99), ==, 4);
    choose(&recipe, "gan.schedule=cosine");
    choose(&recipe, "gan.warmup=4");
    g_assert_true(train_recipe_check(&recipe, NULL));
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 40), ==, 1);
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 44), ==, 4);
    g_assert_cmpfloat_with_epsilon(train_recipe_critic_rate(&recipe, 72), 2, 1e-12);
    g_assert_cmpfloat(train_recipe_critic_rate(&recipe, 99), <, 0.01);
}

// Pre-training ends before the critic comes; then a second training begins.
static void gan_may_have_a_schedule_of_its_own(void)
{
    TrainRecipe recipe = duel_recipe();
    static const double expected[][2] = {{0, 8},  {20, 4},        {39, 0.2}, {40, 0},
                                         {49, 0}, {50, 10 / 6.0}, {70, 1},   {99, 2 / 60.0}};
    choose(&recipe, "gan.generator-schedule=linear");
    choose(&recipe, "gan.rate-scale=0.25");
    choose(&recipe, "optimizer.schedule=linear");
    EXPECT_RATES(&recipe, expected);
}

static void cycles_repeat_critic_and_both(void)
{
    TrainRecipe recipe = duel_recipe(); // 60 steps of it, in two cycles of 30
    recipe.gan_cycles = 2;
    for (int64_t step = 0; step < 100; step++) {
        int64_t at = (step - 40) % 30;
        TrainPhase expected = step < 40 ? TRAIN_PHASE_GENERATOR
                              : at < 10 ? TRAIN_PHASE_CRITIC
                                        : TRAIN_PHASE_BOTH;
        g_test_message("step %d", (int)step);
        g_assert_cmpint(train_recipe_phase(&recipe, step), ==, expected);
    }
}

static void accumulation_makes_fewer_and_larger_steps(void)
{
    TrainRecipe recipe = duel_recipe();
    recipe.accumulate = 4;
    g_assert_cmpint(train_recipe_per_step(&recipe), ==, 40);
    g_assert_cmpint(train_recipe_steps(&recipe), ==, 25);
    g_assert_cmpint(train_recipe_gan_step(&recipe), ==, 10);
    g_assert_cmpint(train_recipe_phase(&recipe, 9), ==, TRAIN_PHASE_GENERATOR);
    g_assert_cmpint(train_recipe_phase(&recipe, 10), ==, TRAIN_PHASE_CRITIC);
    g_assert_cmpint(train_recipe_phase(&recipe, 13), ==, TRAIN_PHASE_BOTH);
}

static void expect_crops(const TrainRecipe *recipe, const int expected[][2], size_t n)
{
    g_assert_true(train_recipe_check(recipe, NULL));
    for (size_t i = 0; i < n; i++)
        g_assert_cmpint(train_recipe_crop(recipe, expected[i][0]), ==, expected[i][1]);
}

static void crops_grow_where_the_recipe_says(void)
{
    static const int none[][2] = {{0, 96}, {99, 96}};
    static const int thirds[][2] = {{0, 32}, {33, 32}, {34, 64}, {66, 64}, {67, 96}, {99, 96}};
    static const int shares[][2] = {{0, 32}, {9, 32}, {10, 64}, {74, 64}, {75, 96}, {99, 96}};
    TrainRecipe recipe = long_recipe();
    recipe.crop = 96;
    expect_crops(&recipe, none, G_N_ELEMENTS(none));
    choose(&recipe, "data.sizes=32, 64,96");
    expect_crops(&recipe, thirds, G_N_ELEMENTS(thirds));
    choose(&recipe, "data.grow-at=0.1,0.75");
    expect_crops(&recipe, shares, G_N_ELEMENTS(shares));
}

static void impossible_sizes_are_refused(void)
{
    static const char *const cases[][3] = {{"32,x,128", "", "data.sizes"},
                                           {"32,,128", "", "data.sizes"},
                                           {"33,128", "", "data.sizes"},
                                           {"16,128", "", "data.sizes"},
                                           {"32,96", "", "data.crop"},
                                           {"32,64,128", "0.5", "data.grow-at"},
                                           {"32,64,128", "0.5,0.5", "grow-at"},
                                           {"32,64,128", "0.5,0.2", "grow-at"},
                                           {"32,128", "0", "grow-at"},
                                           {"32,128", "1", "grow-at"},
                                           {"32,128", "nan", "grow-at"},
                                           {"", "0.5", "grow-at"},
                                           {"2,2,2,2,2,2,2,2,128", "", "data.sizes"}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TrainRecipe recipe = long_recipe();
        g_autoptr(GError) error = NULL;
        g_strlcpy(recipe.sizes, cases[i][0], sizeof recipe.sizes);
        g_strlcpy(recipe.grow_at, cases[i][1], sizeof recipe.grow_at);
        g_test_message("'%s' at '%s'", cases[i][0], cases[i][1]);
        g_assert_false(train_recipe_check(&recipe, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
        g_assert_nonnull(strstr(error->message, cases[i][2]));
    }
}

// The smallest crops have to hold the critic's patches, too.
static void critic_has_to_fit_all_sizes(void)
{
    TrainRecipe recipe = duel_recipe();
    g_autoptr(GError) error = NULL;
    recipe.critic_layers = 4;
    g_assert_true(train_recipe_check(&recipe, NULL));
    choose(&recipe, "data.sizes=64,128");
    g_assert_false(train_recipe_check(&recipe, &error));
    g_assert_nonnull(strstr(error->message, "gan.layers"));
}

static void network_has_to_take_all_sizes(void)
{
    TrainRecipe recipe = long_recipe();
    g_autoptr(GError) error = NULL;
    recipe.crop = 256;
    recipe.levels = 7;
    choose(&recipe, "network.architecture=pix2pix");
    choose(&recipe, "data.sizes=128,256");
    train_recipe_check(&recipe, &error);
    g_assert_no_error(error);
    choose(&recipe, "data.sizes=96,256"); // 2^7 does not divide it
    g_assert_false(train_recipe_check(&recipe, &error));
    g_assert_nonnull(strstr(error->message, "96"));
}

static void unknown_names_are_refused(void)
{
    static const char *const keys[] = {"optimizer.kind", "optimizer.schedule", "gan.schedule",
                                       "gan.generator-schedule"};
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        TrainRecipe recipe = long_recipe();
        g_autoptr(GError) error = NULL;
        g_autofree char *assignment = g_strconcat(keys[i], "=sgdr", NULL);
        choose(&recipe, assignment);
        g_assert_false(train_recipe_check(&recipe, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
        g_assert_nonnull(strstr(error->message, keys[i]));
    }
}

static void only_switches_break_the_course(void)
{
    TrainRecipe recipe = duel_recipe();
    recipe.crop = 64;
    choose(&recipe, "data.sizes=32,64");
    choose(&recipe, "data.grow-at=0.7");
    for (int64_t step = 0; step < 100; step++) {
        g_test_message("step %d", (int)step);
        g_assert_cmpint(train_recipe_goes_on(&recipe, step), ==,
                        step != 0 && step != 40 && step != 50 && step != 70);
    }
}

// A run trains with a copy of its recipe that has the crops of now.
static void a_middle_size_breaks_the_course_too(void)
{
    TrainRecipe recipe = duel_recipe(), stage;
    recipe.crop = 128;
    choose(&recipe, "data.sizes=32,64,128");
    choose(&recipe, "data.grow-at=0.3,0.7");
    stage = recipe;
    for (int64_t step = 0; step < 100; step++) {
        stage.crop = train_recipe_crop(&recipe, step);
        g_test_message("step %d, crops of %d", (int)step, (int)stage.crop);
        g_assert_cmpint(train_recipe_goes_on(&stage, step), ==,
                        step != 0 && step != 30 && step != 40 && step != 50 && step != 70);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/schedule/" #name, name)
    ADD(linear_is_constant_then_a_line_to_nothing);
    ADD(step_halves_from_there_on);
    ADD(constant_is_as_it_is);
    ADD(warm_up_comes_before_all_of_them);
    ADD(default_is_what_it_was);
    ADD(critic_has_rates_of_its_own);
    ADD(gan_may_have_a_schedule_of_its_own);
    ADD(cycles_repeat_critic_and_both);
    ADD(accumulation_makes_fewer_and_larger_steps);
    ADD(crops_grow_where_the_recipe_says);
    ADD(impossible_sizes_are_refused);
    ADD(critic_has_to_fit_all_sizes);
    ADD(network_has_to_take_all_sizes);
    ADD(unknown_names_are_refused);
    ADD(only_switches_break_the_course);
    ADD(a_middle_size_breaks_the_course_too);
    return g_test_run();
}
