// SPDX-License-Identifier: LGPL-3.0-or-later
// Training steps on two devices, side by side.
#include <math.h>

#include <cz/rng.h>

#include "gan.h"
#include "selftest_rows.h"
#include "step.h"

enum { N_STEPS = 10, BATCH = 2, CROP = 32, PIXELS = BATCH * CROP * CROP };

typedef struct {
    float loss[N_STEPS], critic[N_STEPS];
} Losses;

// The kinds of training, and how far losses may be apart, relative to the largest of the ten.
// Between oneDNN (with AVX-512 and BF16, and with AVX2) and the plain loops it is 1e-7 in F32 and
// 2e-3 in BF16. The bounds leave room for one number that lies at a ReLU's kink and is rounded to
// its other side, and for Adam, whose first steps are the gradient's sign whatever its size.
static const struct {
    const char *what;
    CzDtype dtype;
    bool critic;
    double bound;
} kinds[] = {
    {"training", CZ_F32, false, 1e-4},
    {"training", CZ_BF16, false, 0.02},
    {"training with a critic", CZ_F32, true, 1e-4},
};

// The smoke recipe's network.
static TrainRecipe small_recipe(CzDtype dtype, bool critic)
{
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    recipe.width16 = recipe.width8 = recipe.width4 = recipe.width2 = 16;
    recipe.crop = CROP;
    recipe.batch = BATCH;
    recipe.warmup = 5;
    recipe.ema = 0.9;
    recipe.bf16 = dtype == CZ_BF16;
    recipe.gan = critic ? 0.1 : 0;
    recipe.critic_width = 8;
    return recipe;
}

// Blobs of light whose colour hangs on how light they are: easy to learn.
static void make_batch(float *lightness, float *chroma)
{
    CzRng rng = cz_rng(1, 5);
    for (int n = 0; n < BATCH; n++) {
        float u = 1 + cz_rng_uniform(&rng), v = 1 + cz_rng_uniform(&rng);
        for (int i = 0; i < CROP * CROP; i++) {
            float x = (float)(i % CROP), y = (float)(i / CROP);
            float light = sinf(0.1f * u * x + (float)n) * cosf(0.15f * v * y);
            int at = (n * CROP / 2 + i / CROP / 2) * CROP / 2 + i % CROP / 2;
            lightness[n * CROP * CROP + i] = light;
            chroma[2 * at] = 0.3f * light;
            chroma[2 * at + 1] = 0.1f - 0.2f * light;
        }
    }
}

static bool run_steps(TrainStep *step, TrainCritic *critic, Losses *losses, GError **error)
{
    float lightness[PIXELS], chroma[PIXELS / 2], fake[PIXELS / 2];
    make_batch(lightness, chroma);
    for (int i = 0; i < N_STEPS; i++) {
        TrainScalars scalars = {0};
        TrainCriticScalars verdict = {0};
        if (!train_step_run(step, lightness, chroma, i, &scalars, error) ||
            (critic && (!train_step_read_chroma(step, fake, error) ||
                        !train_critic_run(critic, lightness, chroma, fake, i, &verdict, error))))
            return false;
        losses->loss[i] = scalars.loss;
        losses->critic[i] = verdict.loss;
    }
    return true;
}

static bool train(CzEngineDevice *device, const TrainRecipe *recipe, Losses *losses, GError **error)
{
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(TrainStep) step = NULL;
    bool against = recipe->gan > 0;
    TrainCritic *critic = NULL;
    bool done = train_step_start(store, recipe, error) &&
                (step = train_step_new(device, store, recipe, against, error)) != NULL &&
                (!against || (critic = train_critic_new(device, store, recipe, error)) != NULL) &&
                run_steps(step, critic, losses, error);
    train_critic_free(critic);
    if (!done)
        g_prefix_error(error, "device %s: ", cz_device_info(device)->id);
    return done;
}

// Relative to the largest of a's.
static double apart(const float *a, const float *b)
{
    double size = 0, worst = 0;
    for (int i = 0; i < N_STEPS; i++)
        size = MAX(size, fabs((double)a[i]));
    for (int i = 0; i < N_STEPS && size > 0; i++) {
        double d = fabs((double)a[i] - (double)b[i]) / size;
        worst = isnan(d) ? INFINITY : MAX(worst, d);
    }
    return worst;
}

static void add_losses(GString *text, const char *whose, const float *losses)
{
    g_string_append_printf(text, "%s%-10s", text->len ? "\n    " : "", whose);
    for (int i = 0; i < N_STEPS; i++)
        g_string_append_printf(text, " %8.6f", (double)losses[i]);
}

static void check_kind(Selftest *test, size_t k)
{
    SelftestRow row = {.what = kinds[k].what,
                       .type = cz_dtype_name(kinds[k].dtype),
                       .bound = kinds[k].bound,
                       .unit = "of the loss, 10 steps"};
    TrainRecipe recipe = small_recipe(kinds[k].dtype, kinds[k].critic);
    Losses right = {0}, found = {0};
    GError *error = NULL;
    if (!selftest_open(test, &row))
        return;
    if (!train(test->right, &recipe, &right, &error) ||
        !train(test->device, &recipe, &found, &error)) {
        selftest_break(test, &row, &error);
        return;
    }
    row.n = N_STEPS;
    row.value = MAX(apart(right.loss, found.loss), apart(right.critic, found.critic));
    GString *note = g_string_new(NULL);
    add_losses(note, test->device_id, found.loss);
    add_losses(note, test->right_id, right.loss);
    if (kinds[k].critic) {
        add_losses(note, test->device_id, found.critic);
        g_string_append(note, " (critic)");
        add_losses(note, test->right_id, right.critic);
        g_string_append(note, " (critic)");
    }
    row.note = g_string_free(note, FALSE);
    selftest_row(test, &row);
}

void selftest_training(Selftest *test)
{
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++)
        check_kind(test, k);
}
