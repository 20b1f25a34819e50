// SPDX-License-Identifier: LGPL-3.0-or-later
// A run with several stages, cut off after every step, is the uninterrupted one.
#include "folder.h"
#include "steps.h"

#include <cz/threads.h>

#include "checkpoint.h"
#include "run.h"
#include "schedule.h"

static TrainRecipe staged_recipe(void)
{
    TrainRecipe recipe = small_recipe();
    recipe.images = 6;
    recipe.crop = 48;
    recipe.validation = 0;
    recipe.validate_every = recipe.log_every = 1000;
    recipe.sheet_pictures = 0;
    g_strlcpy(recipe.sizes, "32,48", sizeof recipe.sizes);
    g_strlcpy(recipe.grow_at, "0.5", sizeof recipe.grow_at);
    return recipe;
}

// Runs until it ends; interrupted: a new process for every step, as far as files can tell.
static void run_to_the_end(const Folder *folder, const TrainSet *set, const TrainRecipe *recipe,
                           bool interrupted)
{
    volatile sig_atomic_t stop = interrupted;
    bool stopped = true;
    for (int i = 0; stopped; i++) {
        g_autoptr(GError) error = NULL;
        const TrainRunOptions options = {.recipe = recipe,
                                         .set = set,
                                         .folder = folder->path,
                                         .device = "cpu",
                                         .n_loaders = 1,
                                         .resume = i > 0,
                                         .stop = &stop};
        stopped = false;
        train_run(&options, &stopped, &error);
        g_assert_no_error(error);
    }
}

// All of the last checkpoint's tensors in one line; the caller frees.
static char *sum_of(const Folder *folder, const TrainSet *set, const TrainRecipe *recipe)
{
    g_auto(Bench) bench = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *note = NULL;
    g_auto(TrainProgress) progress = {0};
    bench_open(&bench, recipe);
    train_checkpoint_load(folder->path, bench.store, recipe, train_set_hash(set), &progress, &note,
                          &error);
    g_assert_no_error(error);
    g_assert_cmpint(progress.step, ==, train_recipe_steps(recipe));
    return store_sum(bench.store, NULL);
}

static void expect_the_same(const TrainRecipe *recipe)
{
    g_auto(Folder) whole = folder_new(), parts = folder_new(), sets = folder_new();
    g_autofree char *path = folder_file(&sets, "pictures.set");
    g_autoptr(GError) error = NULL;
    make_set(path, 7, 60, 60, 3);
    g_autoptr(TrainSet) set = train_set_open(path, &error);
    g_assert_no_error(error);
    g_assert_true(train_recipe_check(recipe, &error));
    g_assert_no_error(error);
    run_to_the_end(&whole, set, recipe, false);
    run_to_the_end(&parts, set, recipe, true);
    g_autofree char *expected = sum_of(&whole, set, recipe), *found = sum_of(&parts, set, recipe);
    g_assert_cmpstr(expected, ==, found);
}

static void growing_crops_resume_exactly(void)
{
    TrainRecipe recipe = staged_recipe();
    expect_the_same(&recipe);
}

// Everything at once: two cycles with a critic, crops that grow amidst them, two runs a step, a
// window of losses.
static void all_stages_resume_exactly(void)
{
    TrainRecipe recipe = staged_recipe();
    recipe.images = 12;
    recipe.batch = 1;
    recipe.accumulate = 2;
    recipe.skip_z = 3;
    recipe.gan = 0.1;
    recipe.gan_from = 2;
    recipe.gan_critic_images = 2;
    recipe.gan_cycles = 2;
    recipe.critic_width = 8;
    g_strlcpy(recipe.optimizer, "adabelief", sizeof recipe.optimizer);
    g_strlcpy(recipe.critic_schedule, "cosine", sizeof recipe.critic_schedule);
    expect_the_same(&recipe);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(name) g_test_add_func("/training/stages/" #name, name)
    ADD(growing_crops_resume_exactly);
    ADD(all_stages_resume_exactly);
    return g_test_run();
}
