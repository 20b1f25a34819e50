// SPDX-License-Identifier: LGPL-3.0-or-later
// Every network that a recipe can say: it learns, goes on where it stopped, and its weights colour
// a photograph.
#include <math.h>
#include <string.h>

#include <cz/colorizer.h>
#include <cz/error.h>
#include <cz/field.h>
#include <cz/threads.h>

#include "checkpoint.h"
#include "folder.h"
#include "steps.h"

enum { N_MORE = 12, N_STEPS = 20, SIDE = 64, SAMPLES = 2, PLACES = SAMPLES * SIDE * SIDE };

// Rows: what is set beside the smallest recipe.
static const struct {
    const char *name, *set[N_MORE];
    double falls; // the loss of the last step over the first's
} networks[] = {
    {"unet", {NULL}, 0.7},
    {"attention at 1/8", {"network.attention=8", "network.width8=16"}, 0.7},
    {"attention at the bottom, chroma at 1/4", {"network.attention=32", "network.chroma=4"}, 0.7},
    {"batch normalisation, concatenated skips",
     {"network.norm=batch", "network.concat=1", "network.dropout=0.2"},
     0.7},
    {"instance normalisation, two blocks, to 1/16",
     {"network.norm=instance", "network.blocks=2", "network.depth=4"},
     0.7},
    {"affine head", {"network.head=affine"}, 0.7},
    {"affine head at 1/4, in BF16", {"network.head=affine", "network.chroma=4", "run.bf16=1"}, 0.7},
    {"all in BF16",
     {"network.norm=batch", "network.concat=1", "network.dropout=0.2", "network.attention=16",
      "network.blocks=2", "network.chroma=4", "run.bf16=1"},
     0.7},
    {"pix2pix",
     {"network.architecture=pix2pix", "network.width=8", "network.levels=6", "network.dropout=0.5",
      "optimizer.rate=2e-3"},
     0.7},
    {"pix2pix in BF16",
     {"network.architecture=pix2pix", "network.width=8", "network.levels=6", "run.bf16=1",
      "optimizer.rate=2e-3"},
     0.7},
    {"seed",
     {"network.architecture=pix2pix", "network.width=4", "network.levels=6", "network.dropout=0.5",
      "network.shared=1", "network.unactivated=5", "network.plain-start=1", "network.range=128",
      "optimizer.rate=2e-3"},
     0.8},
};

static TrainRecipe recipe_of(size_t index)
{
    static const char *const small[] = {
        "data.crop=64",     "train.batch=2",       "optimizer.warmup=0", "network.encoder=",
        "loss.huber=1",     "train.images=100000", "optimizer.ema=0.5",  "network.width16=8",
        "network.width8=8", "network.width4=8",    "network.width2=8"};
    TrainRecipe recipe;
    g_autoptr(GError) error = NULL;
    train_recipe_init(&recipe);
    for (size_t i = 0; i < G_N_ELEMENTS(small); i++)
        g_assert_true(train_recipe_set(&recipe, small[i], NULL));
    for (size_t i = 0; i < N_MORE && networks[index].set[i]; i++) {
        train_recipe_set(&recipe, networks[index].set[i], &error);
        g_assert_no_error(error);
    }
    g_assert_true(train_recipe_check(&recipe, &error));
    g_assert_no_error(error);
    return recipe;
}

typedef struct {
    float lightness[PLACES], chroma[2 * PLACES];
} Pictures;

// Blobs of light, their colour a matter of how light they are; chroma at the recipe's size.
static void paint(Pictures *pictures, int32_t stride)
{
    int32_t side = SIDE / stride;
    for (int32_t i = 0; i < PLACES; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE % SIDE), n = (float)(i / SIDE / SIDE);
        pictures->lightness[i] = sinf(0.11f * x + n) * cosf(0.17f * y);
    }
    for (int32_t i = 0; i < SAMPLES * side * side; i++) {
        int32_t x = i % side * stride, y = i / side % side * stride, n = i / side / side;
        float light = pictures->lightness[(n * SIDE + y) * SIDE + x];
        pictures->chroma[2 * i] = 0.3f * light;
        pictures->chroma[2 * i + 1] = 0.1f - 0.2f * light;
    }
}

static float step(Bench *bench, const Pictures *pictures, int64_t index)
{
    TrainScalars scalars = {0};
    g_autoptr(GError) error = NULL;
    train_step_run(bench->step, pictures->lightness, pictures->chroma, index, &scalars, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(scalars.gate, >, 0);
    return scalars.loss;
}

static void each_learns_one_batch(void)
{
    g_autofree Pictures *pictures = g_new0(Pictures, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(networks); i++) {
        TrainRecipe recipe = recipe_of(i);
        g_auto(Bench) bench = {0};
        float first = 0, last = 0;
        paint(pictures, train_recipe_stride(&recipe));
        bench_start(&bench, &recipe);
        for (int k = 0; k < N_STEPS; k++) {
            last = step(&bench, pictures, k);
            first = k == 0 ? last : first;
        }
        g_test_message("%s: loss %g, then %g", networks[i].name, (double)first, (double)last);
        g_assert_cmpfloat(last, <, networks[i].falls * first);
    }
}

static void every_weight_of_each_learns(void)
{
    g_autofree Pictures *pictures = g_new0(Pictures, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(networks); i++) {
        TrainRecipe recipe = recipe_of(i);
        g_auto(Bench) bench = {0};
        paint(pictures, train_recipe_stride(&recipe));
        bench_start(&bench, &recipe);
        step(&bench, pictures, 0);
        step(&bench, pictures, 1);
        for (size_t t = 0; t < cz_store_n(bench.store); t++) {
            const char *name = cz_store_name(bench.store, t);
            size_t n, moved = 0;
            if (!is_of_family(name, TRAIN_M))
                continue;
            float *data = read_tensor(bench.store, name, &n);
            for (size_t k = 0; k < n; k++)
                moved += data[k] != 0 && isfinite(data[k]);
            cz_memory_free(data);
            if (moved == 0)
                g_test_fail_printf("%s: %s stays zero", networks[i].name, name);
        }
    }
}

// Dropout and running statistics included.
static void each_goes_on_to_the_bit(void)
{
    g_autofree Pictures *pictures = g_new0(Pictures, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(networks); i++) {
        TrainRecipe recipe = recipe_of(i);
        g_auto(Folder) folder = folder_new();
        g_auto(Bench) whole = {0}, part = {0}, rest = {0};
        g_autoptr(GError) error = NULL;
        g_autofree char *note = NULL;
        g_auto(TrainProgress) done = {0};
        paint(pictures, train_recipe_stride(&recipe));
        bench_start(&whole, &recipe);
        bench_start(&part, &recipe);
        for (int k = 0; k < 4; k++)
            step(&whole, pictures, k);
        for (int k = 0; k < 2; k++)
            step(&part, pictures, k);
        const TrainProgress half = {.step = 2};
        train_checkpoint_save(folder.path, part.store, &part.recipe, 1, &half, &error);
        g_assert_no_error(error);
        bench_open(&rest, &recipe);
        train_checkpoint_load(folder.path, rest.store, &rest.recipe, 1, &done, &note, &error);
        g_assert_no_error(error);
        bench_build(&rest);
        for (int64_t k = done.step; k < 4; k++)
            step(&rest, pictures, k);
        g_autofree char *a = store_sum(whole.store, NULL), *b = store_sum(rest.store, NULL);
        g_test_message("%s", networks[i].name);
        g_assert_cmpstr(a, ==, b);
    }
}

// ---- use ----------------------------------------------------------------------------------------

enum { PHOTO_WIDTH = 70, PHOTO_HEIGHT = 45 };

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    for (int32_t i = 0; i < n_rows * PHOTO_WIDTH; i++) {
        float x = (float)(i % PHOTO_WIDTH), row = (float)(y + i / PHOTO_WIDTH);
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] =
            0.5f + 0.4f * sinf(0.11f * x) * cosf(0.17f * row);
    }
    return true;
}

// Largest difference of the slopes to those of the ridge regression, inside the mended border.
static float own_slopes(const CzField *field)
{
    float most = 0;
    CzField ridge = {0};
    g_assert_true(cz_field_init(&ridge, field->width, field->height, NULL));
    cz_field_copy(&ridge, field);
    cz_field_slopes(&ridge, CZ_FIELD_EPSILON);
    for (size_t i = 0; i < 2 * (size_t)field->width * field->height; i++)
        most = fmaxf(most, fabsf(ridge.s[i] - field->s[i]));
    cz_field_clear(&ridge);
    return most;
}

// Whatever multiple of pixels the network takes, the photograph is none.
static void check_field(const char *name, const char *path, bool affine)
{
    const CzColorizerOptions options = {.weights = path, .threads = 1};
    const CzPhoto photo = {PHOTO_WIDTH, PHOTO_HEIGHT, read_rows, NULL, NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, &error);
    g_assert_no_error(error);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(colorizer, &photo, 0, NULL, &error);
    g_assert_no_error(error);
    const CzField *field = chroma ? cz_chroma_field(chroma) : NULL;
    size_t n = field ? (size_t)field->width * field->height : 0, n_coloured = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        g_assert_true(isfinite(field->c[i]) && fabsf(field->c[i]) < 129);
        n_coloured += field->c[i] != 0;
    }
    g_test_message("%s: %zu of %zu values are colored", name, n_coloured, 2 * n);
    g_assert_cmpuint(n, >, 0);
    g_assert_cmpuint(n_coloured, >, n);
    g_assert_cmpint(field && own_slopes(field) > 0, ==, affine);
}

static void each_ones_weights_colour_a_photograph(void)
{
    g_autofree Pictures *pictures = g_new0(Pictures, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(networks); i++) {
        TrainRecipe recipe = recipe_of(i);
        g_auto(Folder) folder = folder_new();
        g_auto(Bench) bench = {0};
        g_autoptr(GError) error = NULL;
        g_autofree char *path = folder_file(&folder, "a.safetensors");
        g_strlcpy(recipe.working_sizes, "40,64", sizeof recipe.working_sizes);
        paint(pictures, train_recipe_stride(&recipe));
        bench_start(&bench, &recipe);
        step(&bench, pictures, 0);
        train_weights_save(path, bench.store, &bench.recipe, 1, &error);
        g_assert_no_error(error);
        check_field(networks[i].name, path, g_str_equal(recipe.head, "affine"));
        // And a training may start from them, if its recipe says the same network.
        g_auto(Bench) next = {0};
        bench_open(&next, &recipe);
        g_strlcpy(next.recipe.start, path, sizeof next.recipe.start);
        g_assert_true(train_step_start(next.store, &next.recipe, &error));
        g_assert_no_error(error);
        next.recipe.width8 += 8;
        next.recipe.width += 1;
        g_assert_false(train_step_start(next.store, &next.recipe, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
    }
}

// ---- what a recipe may not say ------------------------------------------------------------------

static void what_no_network_is_is_refused_in_words(void)
{
    static const char *const cases[][3] = {
        {"network.architecture=resnet", "train.batch=2", "network.architecture is 'resnet'"},
        {"network.head=bold", "train.batch=2", "network.head is 'bold'"},
        {"network.norm=layer", "train.batch=2", "network.norm is 'layer'"},
        {"network.attention=12", "train.batch=2", "network.attention: expected a power of two"},
        {"network.attention=32", "network.depth=4", "from 4 to 16, found 32"},
        {"network.chroma=3", "train.batch=2", "network.stride: expected 2 or 4, found 3"},
        {"network.chroma=4", "data.crop=130", "expected a multiple of network.chroma, 4"},
        {"network.architecture=pix2pix", "data.crop=128", "expected a multiple of 256"},
        {"network.architecture=pix2pix", "network.encoder=a", "network.encoder"},
        {"network.architecture=pix2pix", "network.unactivated=9", "network.unactivated"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TrainRecipe recipe;
        g_autoptr(GError) error = NULL;
        train_recipe_init(&recipe);
        g_assert_true(train_recipe_set(&recipe, cases[i][0], NULL));
        g_assert_true(train_recipe_set(&recipe, cases[i][1], NULL));
        g_assert_false(train_recipe_check(&recipe, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_RECIPE);
        if (!strstr(error->message, cases[i][2]))
            g_test_fail_printf("expected %s, found: %s", cases[i][2], error->message);
    }
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(name) g_test_add_func("/training/generators/" #name, name)
    ADD(each_learns_one_batch);
    ADD(every_weight_of_each_learns);
    ADD(each_goes_on_to_the_bit);
    ADD(each_ones_weights_colour_a_photograph);
    ADD(what_no_network_is_is_refused_in_words);
    return g_test_run();
}
