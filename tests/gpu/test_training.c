// SPDX-License-Identifier: LGPL-3.0-or-later
// Training on the double of a GPU: steps give what the reference gives, runs resume to the bit, and
// whatever the GPU does, a run ends with weights.
#include "folder.h"
#include "steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cz/error.h>

#include "gan.h"
#include "run.h"

#include "double.h"

int cuInit(unsigned flags); // of the driver's double

static void begin_again(void)
{
    double_cudnn_reset();
    double_reset();
    cuInit(0);
}

static void expect_clean(const char *what)
{
    if (double_complaints() > 0 || double_leaks() > 0 || double_cudnn_leaks() > 0) {
        g_autofree char *text = double_leak_text();
        g_test_fail_printf("%s: %s%u of cuDNN's left; %s", what, text, double_cudnn_leaks(),
                           double_complaint_text());
    }
    double_clear_complaints();
}

// ---- steps --------------------------------------------------------------------------------------

enum { N_STEPS = 10, N_CHROMA = STEP_PIXELS / 2 };

typedef struct {
    float loss[N_STEPS], critic[N_STEPS], chroma[N_CHROMA];
} Course;

static Course learn_on(const char *device, TrainRecipe recipe)
{
    g_autoptr(GError) error = NULL;
    Course course = {0};
    g_autoptr(CzEngineDevice) opened = cz_device_open(device, &error);
    g_assert_no_error(error);
    g_autoptr(CzStore) store = cz_store_new(opened);
    g_assert_true(train_step_start(store, &recipe, &error));
    g_autoptr(TrainStep) step = train_step_new(opened, store, &recipe, recipe.gan > 0, &error);
    g_assert_no_error(error);
    TrainCritic *critic = recipe.gan > 0 ? train_critic_new(opened, store, &recipe, &error) : NULL;
    g_assert_no_error(error);
    for (int i = 0; i < N_STEPS; i++) {
        Batch batch;
        TrainScalars scalars = {0};
        TrainCriticScalars verdict = {0};
        make_batch(&batch, (uint64_t)(i % 3));
        g_assert_true(train_step_run(step, batch.lightness, batch.chroma, i, &scalars, &error) &&
                      train_step_read_chroma(step, course.chroma, &error));
        if (critic)
            g_assert_true(train_critic_run(critic, batch.lightness, batch.chroma, course.chroma, i,
                                           &verdict, &error));
        course.loss[i] = scalars.loss;
        course.critic[i] = verdict.loss;
    }
    train_critic_free(critic);
    return course;
}

static double furthest(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = MAX(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void ten_steps_agree(void)
{
    static const struct {
        const char *name;
        bool bf16, gan;
        double loss, ab; // how far apart: losses; a*b* of the last step
    } rows[] = {{"F32", false, false, 1e-6, 1e-3},
                {"F32 against a critic", false, true, 1e-6, 1e-3},
                {"BF16", true, false, 1e-3, 1},
                {"BF16 against a critic", true, true, 2e-3, 1}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        TrainRecipe recipe = small_recipe();
        recipe.bf16 = rows[i].bf16;
        recipe.gan = rows[i].gan ? 0.1 : 0;
        recipe.critic_width = 8;
        Course right = learn_on("reference", recipe), found = learn_on("cuda:0", recipe);
        double loss = furthest(right.loss, found.loss, N_STEPS);
        double critic = furthest(right.critic, found.critic, N_STEPS);
        double ab = 100 * furthest(right.chroma, found.chroma, N_CHROMA);
        g_test_message("%s: losses %.6f to %.6f; apart: loss %.2g, critic's %.2g, max |dab| %.2g",
                       rows[i].name, (double)right.loss[0], (double)right.loss[N_STEPS - 1], loss,
                       critic, ab);
        g_assert_cmpfloat(loss, <=, rows[i].loss);
        g_assert_cmpfloat(critic, <=, rows[i].loss * 10);
        g_assert_cmpfloat(ab, <=, rows[i].ab);
        g_assert_cmpfloat(right.loss[0], !=, right.loss[N_STEPS - 1]);
        expect_clean(rows[i].name);
    }
}

// ---- runs ---------------------------------------------------------------------------------------

static const volatile sig_atomic_t never = 0;

typedef struct {
    const char *device;
    bool resume;
    int64_t stop_after;
} How;

// What it prints goes into *said.
static bool run(const Folder *folder, const TrainSet *set, const TrainRecipe *recipe, How how,
                char **said, GError **error)
{
    bool stopped;
    const TrainRunOptions options = {.recipe = recipe,
                                     .set = set,
                                     .folder = folder->path,
                                     .device = how.device,
                                     .n_loaders = 1,
                                     .resume = how.resume,
                                     .stop_after = how.stop_after,
                                     .stop = &never};
    g_autofree char *path = folder_file(folder, "said.txt");
    fflush(stdout);
    fflush(stderr);
    int streams[] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    bool done = train_run(&options, &stopped, error);
    fflush(stdout);
    fflush(stderr);
    dup2(streams[0], STDOUT_FILENO);
    dup2(streams[1], STDERR_FILENO);
    close(streams[0]);
    close(streams[1]);
    close(file);
    g_file_get_contents(path, said, NULL, NULL);
    g_unlink(path);
    return done;
}

static TrainSet *folder_set(const Folder *folder, int n, int32_t width, int32_t height)
{
    g_autofree char *path = folder_file(folder, "a.set");
    g_autoptr(GError) error = NULL;
    make_set(path, n, width, height, 1);
    TrainSet *set = train_set_open(path, &error);
    g_assert_no_error(error);
    return set;
}

static TrainRecipe run_recipe(int64_t steps)
{
    TrainRecipe recipe = small_recipe();
    recipe.images = recipe.batch * steps;
    recipe.validation = 0;
    recipe.log_every = 2;
    recipe.checkpoint_minutes = 0;
    recipe.validate_every = 1000000;
    recipe.warmup = 0;
    return recipe;
}

static char *sum_of(const Folder *folder, const char *name)
{
    g_autofree char *path = folder_file(folder, name);
    char *bytes = NULL;
    gsize n = 0;
    if (!g_file_get_contents(path, &bytes, &n, NULL))
        return NULL;
    char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, n);
    g_free(bytes);
    return sum;
}

static void resumes_repeat_the_bits(void)
{
    TrainRecipe recipe = run_recipe(6);
    g_auto(Folder) whole = folder_new(), halves = folder_new();
    g_autoptr(TrainSet) set = folder_set(&whole, 6, 40, 40);
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL, *more = NULL, *rest = NULL;
    g_assert_true(run(&whole, set, &recipe, (How){"cuda", false, 0}, &said, &error));
    g_assert_no_error(error);
    g_assert_true(run(&halves, set, &recipe, (How){"cuda", false, 3}, &more, &error));
    g_assert_true(run(&halves, set, &recipe, (How){"cuda", true, 0}, &rest, &error));
    g_assert_no_error(error);
    g_autofree char *a = sum_of(&whole, "final.safetensors"),
                    *b = sum_of(&halves, "final.safetensors");
    g_assert_nonnull(a);
    g_assert_cmpstr(a, ==, b);
    g_assert_nonnull(strstr(said, "NVIDIA Double"));
    expect_clean("resume");
}

static void another_device_does_not_go_on_unasked(void)
{
    TrainRecipe recipe = run_recipe(6);
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = folder_set(&folder, 6, 40, 40);
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL, *more = NULL, *rest = NULL;
    g_assert_true(run(&folder, set, &recipe, (How){"reference", false, 3}, &said, &error));
    g_assert_false(run(&folder, set, &recipe, (How){"cuda", true, 0}, &more, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "run.deterministic=0"));
    g_clear_error(&error);
    recipe.deterministic = 0;
    g_assert_true(run(&folder, set, &recipe, (How){"cuda", true, 0}, &rest, &error));
    g_assert_no_error(error);
    expect_clean("another device");
}

static void less_memory_means_smaller_batches(void)
{
    TrainRecipe recipe = run_recipe(3);
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = folder_set(&folder, 6, 100, 100);
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL, *more = NULL;
    recipe.batch = 8;
    recipe.crop = 96;
    recipe.images = 16;
    g_assert_true(run(&folder, set, &recipe, (How){"cuda", false, 0}, &said, &error));
    g_assert_no_error(error);
    size_t peak = double_memory_peak();
    g_auto(Folder) other = folder_new();
    double_set_memory(peak - peak / 10); // what keeps means over runs is new, too
    g_assert_true(run(&other, set, &recipe, (How){"cuda", false, 0}, &more, &error));
    g_assert_no_error(error);
    g_test_message("%zu bytes, then fewer: %s", peak, more);
    g_assert_nonnull(strstr(more, "4 pictures at a time from here on, 2 times a step"));
    g_assert_null(strstr(more, "CPU"));
    expect_clean("memory");
    begin_again();
}

// Lost at some call, from the first of a run to beyond its last.
static void a_run_outlives_its_gpu(void)
{
    TrainRecipe recipe = run_recipe(6);
    unsigned n_left = 0, n_resumed = 0, step = g_getenv("COLORIZE_SLOW") ? 23 : 1001;
    for (unsigned n = 1;; n += step) {
        g_auto(Folder) folder = folder_new();
        g_autoptr(TrainSet) set = folder_set(&folder, 6, 40, 40);
        g_autoptr(GError) error = NULL;
        g_autofree char *said = NULL;
        double_lose_device(n, n % 2 ? 719 : 700);
        bool done = run(&folder, set, &recipe, (How){NULL, false, 0}, &said, &error);
        if (!done)
            g_test_fail_printf("lost at call %u: %s", n, error->message);
        g_autofree char *sum = sum_of(&folder, "final.safetensors");
        g_assert_nonnull(sum);
        bool left = strstr(said, "the CPU goes on from") != NULL;
        n_left += left;
        n_resumed += strstr(said, "from the last checkpoint") != NULL;
        if (double_complaints() > 0 || double_cudnn_leaks() > 0)
            g_test_fail_printf("lost at call %u: %s", n, double_complaint_text());
        begin_again();
        // The first calls open the device, where "auto" takes the next one without a word.
        if (!left && n > 100)
            break;
    }
    g_test_message("lost %u times in a run, %u times after a checkpoint", n_left, n_resumed);
    g_assert_cmpuint(n_left, >, 2);
    g_assert_cmpuint(n_resumed, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autofree char *folder = g_dir_make_tmp("colorize-gpu-training-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
#define CASE(name) g_test_add_func("/gpu/training/" #name, name)
    CASE(ten_steps_agree);
    CASE(resumes_repeat_the_bits);
    CASE(another_device_does_not_go_on_unasked);
    CASE(less_memory_means_smaller_batches);
    CASE(a_run_outlives_its_gpu);
    return g_test_run();
}
