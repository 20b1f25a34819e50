// SPDX-License-Identifier: LGPL-3.0-or-later
// Recipes: what is written in them is what is meant, and what cannot be meant is refused.
#include "folder.h"

#include <cz/error.h>

#include "recipe.h"

// Sets "section.key=text" and says whether it was taken; a refusal must be told.
static bool set(TrainRecipe *recipe, const TrainKey *key, const char *text)
{
    g_autofree char *assignment = g_strdup_printf("%s.%s=%s", key->section, key->key, text);
    g_autoptr(GError) error = NULL;
    bool taken = train_recipe_set(recipe, assignment, &error);

    if (!taken) {
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
        g_assert_nonnull(strstr(error->message, key->key));
    }
    return taken;
}

static double value_of(const TrainRecipe *recipe, const TrainKey *key)
{
    const char *at = (const char *)recipe + key->offset;

    if (key->type == TRAIN_KEY_INT)
        return *(const int32_t *)at;
    return key->type == TRAIN_KEY_INT64 ? (double)*(const int64_t *)at : *(const double *)at;
}

static void defaults_are_the_tables(void)
{
    TrainRecipe recipe;
    g_autoptr(GError) error = NULL;
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(&recipe);
    g_assert_cmpuint(n, >, 30);
    for (size_t i = 0; i < n; i++) {
        g_test_message("%s.%s", keys[i].section, keys[i].key);
        if (keys[i].type == TRAIN_KEY_TEXT)
            g_assert_cmpstr((char *)&recipe + keys[i].offset, ==, keys[i].initial_text);
        else
            g_assert_cmpfloat(value_of(&recipe, &keys[i]), ==, keys[i].initial);
    }
    g_assert_true(train_recipe_check(&recipe, &error));
    g_assert_no_error(error);
}

static void ends_of_ranges_are_taken_and_beyond_refused(void)
{
    TrainRecipe recipe;
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(&recipe);
    for (size_t i = 0; i < n; i++) {
        const TrainKey *key = &keys[i];
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        double beyond = key->type == TRAIN_KEY_FLOAT ? 1e-3 : 1;

        if (key->type == TRAIN_KEY_TEXT)
            continue;
        g_test_message("%s.%s", key->section, key->key);
        g_assert_true(set(&recipe, key, g_ascii_dtostr(text, sizeof text, key->min)));
        g_assert_cmpfloat(value_of(&recipe, key), ==, key->min);
        g_assert_true(set(&recipe, key, g_ascii_dtostr(text, sizeof text, key->max)));
        g_assert_cmpfloat(value_of(&recipe, key), ==, key->max);
        g_assert_false(set(&recipe, key, g_ascii_dtostr(text, sizeof text, key->min - beyond)));
        g_assert_false(set(&recipe, key, g_ascii_dtostr(text, sizeof text, key->max + beyond)));
        g_assert_cmpfloat(value_of(&recipe, key), ==, key->max);
        if (key->type != TRAIN_KEY_FLOAT)
            g_assert_false(set(&recipe, key, "1.5"));
    }
}

static void what_is_no_number_is_refused(void)
{
    static const char *const texts[] = {"", "x", "1x", "nan", "inf", "-inf", "1 2", "0,5", "--1"};
    TrainRecipe recipe;
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(&recipe);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; keys[i].type != TRAIN_KEY_TEXT && k < G_N_ELEMENTS(texts); k++)
            if (set(&recipe, &keys[i], texts[k])) {
                g_test_message("%s.%s takes '%s'", keys[i].section, keys[i].key, texts[k]);
                g_test_fail();
            }
}

static void long_text_is_refused(void)
{
    TrainRecipe recipe;
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(&recipe);
    for (size_t i = 0; i < n; i++) {
        bool path = keys[i].size == sizeof((TrainRecipe *)0)->encoder; // is made absolute
        g_autofree char *fits = g_strnfill(keys[i].size - 1, 'x');
        g_autofree char *longer = g_strnfill(keys[i].size, 'x');

        if (keys[i].type != TRAIN_KEY_TEXT)
            continue;
        fits[0] = longer[0] = path ? '/' : 'x';
        g_assert_true(set(&recipe, &keys[i], fits));
        g_assert_cmpstr((char *)&recipe + keys[i].offset, ==, fits);
        g_assert_false(set(&recipe, &keys[i], longer));
        g_assert_false(set(&recipe, &keys[i], "\xff\xfe"));
        g_assert_cmpstr((char *)&recipe + keys[i].offset, ==, fits);
    }
}

static void wrong_assignments_are_refused(void)
{
    static const char *const texts[] = {
        "",         "train.batch",  "batch=3", "train.bach=3", "tain.batch=3",
        ".batch=3", "train=.batch", "=3"};
    TrainRecipe recipe;

    train_recipe_init(&recipe);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_test_message("%s", texts[i]);
        g_assert_false(train_recipe_set(&recipe, texts[i], &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    }
}

// A recipe with a value of its own for every key that ends inside the range.
static void fill(TrainRecipe *recipe)
{
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(recipe);
    for (size_t i = 0; i < n; i++) {
        const TrainKey *key = &keys[i];
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        double third = key->min + (key->max - key->min) / 3;

        if (key->type != TRAIN_KEY_FLOAT)
            third = (double)(int64_t)third;
        if (key->type != TRAIN_KEY_TEXT)
            g_assert_true(set(recipe, key, g_ascii_dtostr(text, sizeof text, third)));
        else if (key->size == sizeof recipe->encoder)
            g_assert_true(set(recipe, key, "/a folder/w=1;#[x].safetensors"));
        else
            g_assert_true(set(recipe, key, " 3,5; #a=b \\ [x]\té"));
    }
}

static bool load_text(TrainRecipe *recipe, const Folder *folder, const char *text, GError **error)
{
    g_autofree char *path = folder_file(folder, "a.conf");

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    train_recipe_init(recipe);
    return train_recipe_load(recipe, path, error);
}

static void text_reads_back_as_it_was(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    TrainRecipe recipe, again;

    fill(&recipe);
    g_autofree char *text = train_recipe_text(&recipe), *hash = train_recipe_hash(&recipe);
    g_assert_true(load_text(&again, &folder, text, &error));
    g_assert_no_error(error);
    g_autofree char *text2 = train_recipe_text(&again), *hash2 = train_recipe_hash(&again);
    g_assert_cmpstr(text, ==, text2);
    g_assert_cmpstr(hash, ==, hash2);
    g_assert_cmpuint(strlen(hash), ==, 16);
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);
    for (size_t i = 0; i < n; i++)
        if (keys[i].type != TRAIN_KEY_TEXT)
            g_assert_cmpfloat(value_of(&recipe, &keys[i]), ==, value_of(&again, &keys[i]));
}

static void hash_tells_every_key_but_folders(void)
{
    TrainRecipe recipe;
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    train_recipe_init(&recipe);
    g_autofree char *first = train_recipe_hash(&recipe);
    for (size_t i = 0; i < n; i++) {
        TrainRecipe other = recipe;
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        double value = keys[i].initial == keys[i].min ? keys[i].max : keys[i].min;

        if (keys[i].type == TRAIN_KEY_TEXT)
            g_assert_true(set(&other, &keys[i], "/x/y"));
        else
            g_assert_true(set(&other, &keys[i], g_ascii_dtostr(text, sizeof text, value)));
        g_autofree char *hash = train_recipe_hash(&other);
        g_test_message("%s.%s", keys[i].section, keys[i].key);
        g_assert_cmpstr(hash, !=, first);
    }
    TrainRecipe here = recipe, there = recipe;
    g_strlcpy(here.encoder, "/a/b/c.safetensors", sizeof here.encoder);
    g_strlcpy(there.encoder, "/d/c.safetensors", sizeof there.encoder);
    g_autofree char *a = train_recipe_hash(&here), *b = train_recipe_hash(&there);
    g_assert_cmpstr(a, ==, b);
}

static void paths_start_at_the_recipes_folder(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *expected = folder_file(&folder, "b.safetensors");
    TrainRecipe recipe;

    g_assert_true(load_text(&recipe, &folder, "[network]\nencoder=x/../b.safetensors\n", &error));
    g_assert_cmpstr(recipe.encoder, ==, expected);
    g_assert_cmpstr(recipe.start, ==, "");
    g_assert_true(load_text(&recipe, &folder, "[network]\nencoder=/c.safetensors\n", &error));
    g_assert_cmpstr(recipe.encoder, ==, "/c.safetensors");
}

static void the_last_word_counts(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    TrainRecipe recipe;

    g_assert_true(load_text(&recipe, &folder, "[train]\nbatch=3\nimages=90\n", &error));
    g_assert_cmpint(recipe.batch, ==, 3);
    g_assert_true(train_recipe_set(&recipe, "train.batch=5", &error));
    g_assert_cmpint(recipe.batch, ==, 5);
    g_assert_cmpint(recipe.images, ==, 90);
}

static void broken_files_are_told_by_name(void)
{
    static const char *const texts[] = {
        "batch=3\n", "[train]\nbach=3\n", "[tain]\nbatch=3\n",     "[train]\nbatch=0\n",
        "[train\n",  "[train]\nbatch\n",  "[model]\ntitle=a\\q\n", "[model]\ntitle=caf\xe9\n"};
    g_auto(Folder) folder = folder_new();
    TrainRecipe recipe;

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_test_message("%s", texts[i]);
        g_assert_false(load_text(&recipe, &folder, texts[i], &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
        g_assert_nonnull(strstr(error->message, "a.conf"));
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(train_recipe_load(&recipe, "/nowhere/a.conf", &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
}

static void what_does_not_go_together_is_refused(void)
{
    static const char *const pairs[][2] = {
        {"loss.huber=0", "loss.l1=0"},
        {"data.crop=65", "data.flip=0"},
        {"data.scale-min=2", "data.scale-max=1.5"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GError) error = NULL;
        TrainRecipe recipe;

        train_recipe_init(&recipe);
        g_assert_true(train_recipe_set(&recipe, pairs[i][0], &error));
        g_assert_true(train_recipe_set(&recipe, pairs[i][1], &error));
        g_assert_false(train_recipe_check(&recipe, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    }
}

static void shipped_recipes_are_sound(void)
{
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "recipes", NULL);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;
    int n = 0;

    g_assert_nonnull(folder);
    for (; (name = g_dir_read_name(folder)); n++) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autoptr(GError) error = NULL;
        TrainRecipe recipe;

        train_recipe_init(&recipe);
        g_assert_true(train_recipe_load(&recipe, file, &error));
        g_assert_true(train_recipe_check(&recipe, &error));
        g_assert_true(!*recipe.encoder || g_file_test(recipe.encoder, G_FILE_TEST_EXISTS));
    }
    g_assert_cmpint(n, >, 1);
}

static void rate_warms_up_and_goes_to_nothing(void)
{
    TrainRecipe recipe;

    train_recipe_init(&recipe);
    recipe.batch = 10;
    recipe.images = 995; // 100 steps, the last one not full
    recipe.warmup = 20;
    recipe.rate = 2;
    g_assert_cmpint(train_recipe_steps(&recipe), ==, 100);
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 0), 0.1, 1e-12);
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 19), 2, 1e-12);
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 20), 2, 1e-12);
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 60), 1, 1e-12);
    g_assert_cmpfloat(train_recipe_rate(&recipe, 99), <, 0.002);
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 100), 0, 1e-12);
    for (int64_t step = 20; step < 120; step++)
        g_assert_cmpfloat(train_recipe_rate(&recipe, step), >=,
                          train_recipe_rate(&recipe, step + 1));
    recipe.warmup = 1000; // longer than the training
    g_assert_cmpfloat_with_epsilon(train_recipe_rate(&recipe, 99), 0.2, 1e-12);
}

static void help_names_every_key(void)
{
    g_autofree char *help = train_recipe_help();
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);

    for (size_t i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("%s.%s ", keys[i].section, keys[i].key);

        g_assert_nonnull(strstr(help, name));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/recipe/" #name, name)
    ADD(defaults_are_the_tables);
    ADD(ends_of_ranges_are_taken_and_beyond_refused);
    ADD(what_is_no_number_is_refused);
    ADD(long_text_is_refused);
    ADD(wrong_assignments_are_refused);
    ADD(text_reads_back_as_it_was);
    ADD(hash_tells_every_key_but_folders);
    ADD(paths_start_at_the_recipes_folder);
    ADD(the_last_word_counts);
    ADD(broken_files_are_told_by_name);
    ADD(what_does_not_go_together_is_refused);
    ADD(shipped_recipes_are_sound);
    ADD(rate_warms_up_and_goes_to_nothing);
    ADD(help_names_every_key);
    return g_test_run();
}
