// SPDX-License-Identifier: LGPL-3.0-or-later
// Checkpoints: a run that was cut off goes on bit for bit, whatever happens to a file.
#include "folder.h"
#include "steps.h"

#include <cz/error.h>
#include <cz/threads.h>

#include "checkpoint.h"

#define SET UINT64_C(0xfedcba9876543210)

static void save(const Folder *folder, Bench *bench, int64_t step)
{
    g_autoptr(GError) error = NULL;

    const TrainProgress progress = {.step = step};

    train_checkpoint_save(folder->path, bench->store, &bench->recipe, SET, &progress, &error);
    g_assert_no_error(error);
}

// Loads into a new store; -1: it failed with *error.
static int64_t load(const Folder *folder, Bench *bench, const TrainRecipe *recipe, char **note,
                    GError **error)
{
    g_autofree char *unheard = NULL;
    g_auto(TrainProgress) progress = {0};

    bench_open(bench, recipe);
    if (!train_checkpoint_load(folder->path, bench->store, &bench->recipe, SET, &progress,
                               note ? note : &unheard, error))
        return -1;
    return progress.step;
}

// The smallest store that a checkpoint can hold: failures need no network.
static void fill(Bench *bench, const TrainRecipe *recipe, float value)
{
    g_autoptr(GError) error = NULL;
    float data[6] = {value, 1, 2, 3, 4, 5};

    if (!bench->store)
        bench_open(bench, recipe);
    cz_store_add(bench->store, "w", cz_shape(1, 6, 1, 1), data, &error);
    g_assert_no_error(error);
}

static float first_value(Bench *bench)
{
    float data[6] = {0};

    g_assert_true(cz_store_read(bench->store, "w", data, NULL));
    return data[0];
}

static void resumed_run_is_the_uninterrupted_one(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) whole = {0}, half = {0}, rest = {0};
    g_autoptr(GError) error = NULL;
    Batch batch;

    recipe.images = 8 * STEP_BATCH;
    bench_start(&whole, &recipe);
    bench_start(&half, &recipe);
    for (int i = 0; i < 8; i++) {
        make_batch(&batch, (uint64_t)i);
        bench_run(&whole, &batch, i);
        if (i < 4)
            bench_run(&half, &batch, i);
    }
    save(&folder, &half, 4);
    int64_t step = load(&folder, &rest, &recipe, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(step, ==, 4);
    bench_build(&rest);
    for (int64_t i = step; i < 8; i++) {
        make_batch(&batch, (uint64_t)i);
        bench_run(&rest, &batch, i);
    }
    g_autofree char *expected = store_sum(whole.store, ""), *found = store_sum(rest.store, "");
    g_assert_cmpstr(expected, ==, found);
    g_autofree char *ema = store_sum(whole.store, TRAIN_EMA), *v = store_sum(whole.store, TRAIN_V);
    g_autofree char *ema2 = store_sum(rest.store, TRAIN_EMA), *v2 = store_sum(rest.store, TRAIN_V);
    g_assert_cmpstr(ema, ==, ema2);
    g_assert_cmpstr(v, ==, v2);
}

static void two_take_turns(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};

    for (int i = 1; i <= 5; i++) {
        g_auto(Bench) loaded = {0};

        fill(&bench, &recipe, (float)i);
        save(&folder, &bench, 10 * i);
        g_assert_cmpint(load(&folder, &loaded, &recipe, NULL, NULL), ==, 10 * i);
        g_assert_cmpfloat(first_value(&loaded), ==, (float)i);
        g_assert_cmpuint(folder_count(&folder), ==, (guint)MIN(i, 2));
    }
}

// Where the checkpoint of this step lies; the caller frees.
static char *slot_of(const Folder *folder, const char *step)
{
    for (int slot = 0; slot < 2; slot++) {
        g_autofree char *name = g_strdup_printf("checkpoint-%d.safetensors", slot);
        char *path = folder_file(folder, name);
        g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);

        if (file && g_strcmp0(cz_model_file_meta(file, "train.step"), step) == 0)
            return path;
        g_free(path);
    }
    g_assert_not_reached();
}

static void damaged_one_is_passed_over_and_told(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Bench) bench = {0};

    for (int damage = 0; damage < 3; damage++) {
        g_auto(Folder) folder = folder_new();
        g_auto(Bench) loaded = {0};
        g_autofree char *note = NULL, *bytes = NULL;
        gsize n;

        for (int i = 1; i <= 3; i++) {
            fill(&bench, &recipe, (float)i);
            save(&folder, &bench, i);
        }
        g_autofree char *path = slot_of(&folder, "3");
        g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
        if (damage == 2)
            bytes[8] ^= 1; // the header's first brace
        g_assert_true(g_file_set_contents(path, bytes,
                                          damage < 2 ? (gssize)(damage * n / 2) : (gssize)n, NULL));
        g_assert_cmpint(load(&folder, &loaded, &recipe, &note, NULL), ==, 2);
        g_assert_cmpfloat(first_value(&loaded), ==, 2);
        g_assert_nonnull(note);
        fill(&bench, &recipe, 9); // and the damaged one is the next to be replaced
        save(&folder, &bench, 4);
        g_autofree char *again = slot_of(&folder, "4");
        g_assert_cmpstr(again, ==, path);
    }
}

static void nothing_to_load_is_an_error(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(load(&folder, &bench, &recipe, NULL, &error), ==, -1);
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
}

static void other_recipes_are_refused(void)
{
    static const struct {
        const char *assignment;
        bool other;
    } cases[] = {{"train.batch=7", true},
                 {"train.seed=99", true},
                 {"optimizer.rate=0.5", true},
                 {"network.width8=64", true},
                 {"loss.l1=1", true},
                 {"train.images=99999", true},
                 {"network.start=/a.st", true},
                 {"run.log-every=77", false},
                 {"run.bf16=1", false},
                 {"run.checkpoint-minutes=9", false},
                 {"model.title=another", false},
                 {"model.working-sizes=96", false}};
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};

    fill(&bench, &recipe, 1);
    save(&folder, &bench, 5);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Bench) loaded = {0};
        g_autoptr(GError) error = NULL;
        TrainRecipe changed = recipe;

        g_test_message("%s", cases[i].assignment);
        g_assert_true(train_recipe_set(&changed, cases[i].assignment, NULL));
        g_assert_cmpint(load(&folder, &loaded, &changed, NULL, &error), ==,
                        cases[i].other ? -1 : 5);
        if (cases[i].other)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    }
}

// The seed read the last digit of a file's name, and went wrong after ten (bug 10).
static void the_eleventh_checkpoint_follows_the_tenth(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};

    for (int64_t step = 1; step <= 1000000000000; step = step < 20 ? step + 1 : step * 10) {
        g_auto(Bench) loaded = {0};

        fill(&bench, &recipe, (float)step);
        save(&folder, &bench, step);
        g_assert_cmpint(load(&folder, &loaded, &recipe, NULL, NULL), ==, step);
        g_assert_cmpfloat(first_value(&loaded), ==, (float)step);
    }
}

// A run that was rolled back: what was written last counts, not the highest step.
static void the_last_written_is_taken_not_the_furthest(void)
{
    static const int64_t steps[] = {10, 20, 30, 10, 11, 12};
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};

    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_auto(Bench) loaded = {0};

        fill(&bench, &recipe, (float)i);
        save(&folder, &bench, steps[i]);
        g_assert_cmpint(load(&folder, &loaded, &recipe, NULL, NULL), ==, steps[i]);
        g_assert_cmpfloat(first_value(&loaded), ==, (float)i);
    }
}

static float first_good(const Folder *folder, Bench *bench, const TrainRecipe *recipe)
{
    g_auto(TrainProgress) progress = {0};
    g_autoptr(GError) error = NULL;

    bench_open(bench, recipe);
    train_checkpoint_load_good(folder->path, bench->store, &bench->recipe, SET, &progress, &error);
    g_assert_no_error(error);
    return first_value(bench);
}

// Good is what has stood one more checkpoint without an alarm, and what was not taken back.
static void a_good_one_has_stood_the_next(void)
{
    static const struct {
        int64_t step;
        bool clean;
        float good; // the value that was saved with it
    } saves[] = {{10, true, 0},  {20, true, 0}, {30, false, 0}, {40, true, 0},
                 {50, true, 3},  {40, true, 3}, {45, true, 5},  {50, false, 5},
                 {55, false, 5}, {60, true, 5}, {65, true, 9}};
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};

    for (size_t i = 0; i < G_N_ELEMENTS(saves); i++) {
        g_auto(Bench) loaded = {0};
        g_autoptr(GError) error = NULL;
        const TrainProgress progress = {.step = saves[i].step, .clean = saves[i].clean};

        fill(&bench, &recipe, (float)i);
        train_checkpoint_save(folder.path, bench.store, &bench.recipe, SET, &progress, &error);
        g_assert_no_error(error);
        for (int again = 0; again < 2; again++) // also after a resume
            g_assert_true(train_checkpoint_settle(folder.path, &error));
        g_assert_cmpfloat(first_good(&folder, &loaded, &recipe), ==, saves[i].good);
        g_assert_cmpuint(folder_count(&folder), ==, i == 0 ? 2 : 3);
    }
}

static void kept_ones_stay_as_they_are(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};
    g_autoptr(GError) error = NULL;

    for (int i = 1; i <= 6; i++) {
        fill(&bench, &recipe, (float)i);
        save(&folder, &bench, i);
        if (i % 2 == 0)
            g_assert_true(train_checkpoint_keep(folder.path, &error));
    }
    g_assert_no_error(error);
    g_assert_cmpuint(folder_count(&folder), ==, 5);
    for (int i = 2; i <= 6; i += 2) {
        g_autofree char *name = g_strdup_printf("step-%d.safetensors", i);
        g_autofree char *path = folder_file(&folder, name);
        g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
        float values[6];

        g_assert_no_error(error);
        cz_tensor_to_f32(cz_model_file_find(file, "w"), values);
        g_assert_cmpfloat(values[0], ==, (float)i);
    }
}

static void the_best_is_replaced_by_better_alone(void)
{
    static const struct {
        const char *metric;
        double score;
        bool taken;
    } cases[] = {{"gain", 1, true},      {"gain", 0.5, false}, {"gain", 1, false},
                 {"gain", 2, true},      {"gain", NAN, false}, {"delta-e", 9, true},
                 {"delta-e", 10, false}, {"delta-e", 8, true}, {"loss", 3, true},
                 {"loss", 2.999, true}};
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};
    g_autofree char *path = folder_file(&folder, "best.safetensors");

    bench_open(&bench, &recipe);
    cz_store_add(bench.store, TRAIN_EMA "w", cz_shape(1, 6, 1, 1), NULL, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_strlcpy(recipe.best, cases[i].metric, sizeof recipe.best);
        g_assert_true(train_weights_save_best(folder.path, bench.store, &recipe, (int64_t)i,
                                              cases[i].score, &error));
        g_assert_no_error(error);
        g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
        g_autofree char *images = g_strdup_printf("%d", (int)i * recipe.batch);
        g_test_message("%s %g", cases[i].metric, cases[i].score);
        g_assert_cmpint(g_strcmp0(cz_model_file_meta(file, "colorize.images_seen"), images) == 0,
                        ==, cases[i].taken);
    }
}

// As an earlier version left it: fewer keys in the recipe, so another hash; no serial number.
static void checkpoints_of_before_a_key_still_load(void)
{
    static const float data[6] = {7};
    TrainRecipe recipe = small_recipe();

    for (int i = 0; i < 3; i++) {
        g_auto(Folder) folder = folder_new();
        g_auto(Bench) loaded = {0};
        g_autofree char *path = folder_file(&folder, "checkpoint-0.safetensors");
        g_autofree char *text = train_recipe_text(&recipe);
        g_autoptr(CzModelWriter) writer = cz_model_writer_new();
        g_autoptr(GError) error = NULL;
        const int32_t dims[] = {6};
        char *key = strstr(text, "r1=0");

        memmove(key, key + 5, strlen(key + 5) + 1); // a line of the default
        if (i == 1)
            memcpy(strstr(text, "seed=7"), "seed=8", 6);
        cz_model_writer_meta(writer, "train.step", "40");
        cz_model_writer_meta(writer, "train.recipe-hash", "0123456789abcdef");
        cz_model_writer_meta(writer, "train.recipe", i == 2 ? "[no] recipe" : text);
        cz_model_writer_add(writer, "w", 1, dims, data, CZ_F32, &error);
        g_assert_true(cz_model_writer_commit(writer, path, &error));
        g_assert_cmpint(load(&folder, &loaded, &recipe, NULL, &error), ==, i == 0 ? 40 : -1);
        if (i > 0)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    }
}

// It changes every number from there on, so it is no matter of logging alone.
static void another_precision_is_told(void)
{
    TrainRecipe recipe = small_recipe(), other = recipe;
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0}, same = {0}, loaded = {0};
    g_autofree char *none = NULL, *note = NULL;

    other.bf16 = !recipe.bf16;
    fill(&bench, &recipe, 1);
    save(&folder, &bench, 5);
    g_assert_cmpint(load(&folder, &same, &recipe, &none, NULL), ==, 5);
    g_assert_null(none);
    g_assert_cmpint(load(&folder, &loaded, &other, &note, NULL), ==, 5);
    g_assert_nonnull(note);
    g_assert_nonnull(strstr(note, "run.bf16 was 0"));
}

static void other_sets_are_refused(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0}, loaded = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *note = NULL;
    g_auto(TrainProgress) progress = {0};

    fill(&bench, &recipe, 1);
    save(&folder, &bench, 5);
    bench_open(&loaded, &recipe);
    g_assert_false(train_checkpoint_load(folder.path, loaded.store, &recipe, SET + 1, &progress,
                                         &note, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    g_assert_cmpuint(cz_store_n(loaded.store), ==, 0);
}

// Whatever call fails, what was there before can still be loaded, and nothing is left lying about.
static void failing_save_keeps_the_old_ones(gconstpointer kind)
{
    CzFault fault = (CzFault)GPOINTER_TO_INT(kind);
    TrainRecipe recipe = small_recipe();
    g_auto(Bench) bench = {0};
    bool saved = false;
    unsigned long n = 0;

    while (!saved && n < 1000) {
        g_auto(Folder) folder = folder_new();
        g_auto(Bench) loaded = {0};
        g_autoptr(GError) error = NULL;

        for (int i = 1; i <= 3; i++) {
            fill(&bench, &recipe, (float)i);
            save(&folder, &bench, i);
        }
        fill(&bench, &recipe, 4);
        const TrainProgress progress = {.step = 4};

        cz_fault_arm(fault, ++n);
        saved = train_checkpoint_save(folder.path, bench.store, &recipe, SET, &progress, &error);
        bool met = cz_fault_arm(fault, 0) >= n;
        g_assert_cmpint(saved, ==, error == NULL);
        int64_t expected = saved ? 4 : 3;
        g_assert_cmpint(load(&folder, &loaded, &recipe, NULL, NULL), ==, expected);
        g_assert_cmpfloat(first_value(&loaded), ==, (float)expected);
        g_assert_cmpuint(folder_count(&folder), ==, 2);
        saved = saved && !met; // a look at the old files may fail without harm
    }
    g_test_message("%lu calls", n - 1);
    g_assert_cmpuint(n, >, 1); // at least one call failed
    g_assert_cmpuint(n, <, 1000);
}

// A file that is there and cannot be read is told, too: an older one taken in silence costs hours.
static void failing_load_is_told(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_auto(Bench) bench = {0};
    bool met = true;

    for (int i = 1; i <= 3; i++) {
        fill(&bench, &recipe, (float)i);
        save(&folder, &bench, i);
    }
    for (unsigned long n = 1; met && n < 1000; n++) {
        g_auto(Bench) loaded = {0};
        g_autoptr(GError) error = NULL;
        g_autofree char *note = NULL;

        bench_open(&loaded, &recipe);
        cz_fault_arm(CZ_FAULT_FILE, n);
        g_auto(TrainProgress) progress = {0};
        bool done = train_checkpoint_load(folder.path, loaded.store, &recipe, SET, &progress, &note,
                                          &error);
        met = cz_fault_arm(CZ_FAULT_FILE, 0) >= n;
        g_assert_cmpint(done, ==, error == NULL);
        if (done && progress.step != 3)
            g_assert_nonnull(note);
        if (done && !met)
            g_assert_cmpint(progress.step, ==, 3);
    }
}

static void weights_are_the_averages(void)
{
    TrainRecipe recipe = small_recipe();
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "w.safetensors");
    g_auto(Bench) bench = {0};
    g_autoptr(GError) error = NULL;
    CzUnetParams network;
    Batch batch;

    make_batch(&batch, 1);
    bench_start(&bench, &recipe);
    bench_run(&bench, &batch, 0);
    g_assert_true(train_weights_save(path, bench.store, &recipe, 12, &error));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    g_assert_true(cz_unet_read(&network, file, &error));
    g_assert_no_error(error);
    g_assert_cmpint(network.widths[1], ==, recipe.width8);
    g_assert_cmpstr(cz_model_file_meta(file, "colorize.images_seen"), ==, "24");
    g_assert_cmpstr(cz_model_file_meta(file, "colorize.title"), ==, "smoke");
    g_assert_cmpstr(cz_model_file_meta(file, "colorize.white"), ==, "d50");
    g_assert_cmpuint(cz_model_file_n_tensors(file), ==, cz_store_n(bench.store) / 4);
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        g_autofree char *name = g_strconcat(TRAIN_EMA, tensor->name, NULL);
        size_t n;

        g_assert_cmpint(tensor->dtype, ==, CZ_F16);
        float *ema = read_tensor(bench.store, name, &n);
        g_assert_cmpuint(n, ==, tensor->n_elements);
        if (tensor->rank == 1 && n > 0) { // biases lie in the same order in both
            g_autofree uint16_t *half = g_new(uint16_t, n);
            cz_f32_to_f16(half, ema, n);
            g_assert_cmpmem(half, n * 2, tensor->data, n * 2);
        }
        cz_memory_free(ema);
    }
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(name) g_test_add_func("/training/checkpoint/" #name, name)
    ADD(resumed_run_is_the_uninterrupted_one);
    ADD(two_take_turns);
    ADD(damaged_one_is_passed_over_and_told);
    ADD(the_eleventh_checkpoint_follows_the_tenth);
    ADD(the_last_written_is_taken_not_the_furthest);
    ADD(checkpoints_of_before_a_key_still_load);
    ADD(a_good_one_has_stood_the_next);
    ADD(kept_ones_stay_as_they_are);
    ADD(the_best_is_replaced_by_better_alone);
    ADD(nothing_to_load_is_an_error);
    ADD(other_recipes_are_refused);
    ADD(another_precision_is_told);
    ADD(other_sets_are_refused);
    g_test_add_data_func("/training/checkpoint/failing_file_keeps_the_old_ones",
                         GINT_TO_POINTER(CZ_FAULT_FILE), failing_save_keeps_the_old_ones);
    g_test_add_data_func("/training/checkpoint/failing_memory_keeps_the_old_ones",
                         GINT_TO_POINTER(CZ_FAULT_MEMORY), failing_save_keeps_the_old_ones);
    ADD(failing_load_is_told);
    ADD(weights_are_the_averages);
    return g_test_run();
}
