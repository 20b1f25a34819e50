// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of losses: every term by value and by finite differences, its weight, its schedule.
#include "steps.h"

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/threads.h>

#include "checkpoint.h"
#include "folder.h"

enum { SIDE = STEP_CROP / 2, N_CHROMA = STEP_PIXELS / 2 };

static const char *const names[] = {"spread",        "huber", "l1",         "gradient", "gan",
                                    "colourfulness", "class", "perceptual", "log-mse"};

// smoke.conf with these losses alone: "l1=1 gradient=0.5".
static TrainRecipe recipe_of(const char *losses)
{
    TrainRecipe recipe = small_recipe();
    g_auto(GStrv) parts = g_strsplit(losses, " ", -1);
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                         "efficientnet-lite0-imagenet.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    recipe.huber = 0;
    recipe.warmup = 0;
    recipe.clip = 0;
    recipe.critic_width = 8;
    recipe.critic_spectral = 0;
    for (char **part = parts; *part; part++) {
        g_autofree char *assignment = g_strconcat("loss.", *part, NULL);
        train_recipe_set(&recipe, assignment, &error);
        g_assert_no_error(error);
    }
    g_strlcpy(recipe.perceptual_encoder, path, sizeof recipe.perceptual_encoder);
    return recipe;
}

static void start(Bench *bench, const TrainRecipe *recipe)
{
    g_autoptr(GError) error = NULL;
    bench_open(bench, recipe);
    train_step_start(bench->store, &bench->recipe, &error);
    g_assert_no_error(error);
    bench->step =
        train_step_new(bench->device, bench->store, &bench->recipe, recipe->gan > 0, &error);
    g_assert_no_error(error);
}

static float term(const TrainScalars *scalars, const char *name)
{
    for (int32_t i = 0; i < scalars->n_terms; i++)
        if (strcmp(scalars->terms[i].name, name) == 0)
            return scalars->terms[i].value;
    g_test_message("there is no term %s", name);
    g_test_fail();
    return NAN;
}

// ---- by value -----------------------------------------------------------------------------------

static double mean_chroma(const float *ab)
{
    double sum = 0;
    for (int i = 0; i < N_CHROMA; i += 2)
        sum += sqrt((double)ab[i] * ab[i] + (double)ab[i + 1] * ab[i + 1] + 1e-6);
    return sum / (N_CHROMA / 2.0);
}

static double spread(const float *ab)
{
    double mean[2] = {0}, sum = 0;
    for (int i = 0; i < N_CHROMA; i++)
        mean[i % 2] += ab[i] / (N_CHROMA / 2.0);
    for (int i = 0; i < N_CHROMA; i++)
        sum += (ab[i] - mean[i % 2]) * (ab[i] - mean[i % 2]);
    return sqrt(sum / (N_CHROMA / 2.0) + 1e-6);
}

static double huber(const float *o, const float *t, double beta)
{
    double sum = 0;
    for (int i = 0; i < N_CHROMA; i++) {
        double d = fabs((double)o[i] - t[i]);
        sum += d < beta ? d * d / (2 * beta) : d - beta / 2;
    }
    return sum / N_CHROMA;
}

static double l1(const float *o, const float *t)
{
    double sum = 0;
    for (int i = 0; i < N_CHROMA; i++)
        sum += fabs((double)o[i] - t[i]);
    return sum / N_CHROMA;
}

static double gradient(const float *o, const float *t)
{
    double sums[2] = {0};
    for (int n = 0; n < STEP_BATCH; n++)
        for (int i = 0; i < SIDE * SIDE * 2; i++) {
            int at = n * SIDE * SIDE * 2 + i, x = i / 2 % SIDE, y = i / 2 / SIDE;
            double here = (double)o[at] - t[at];
            if (x + 1 < SIDE)
                sums[0] += fabs((double)o[at + 2] - t[at + 2] - here);
            if (y + 1 < SIDE)
                sums[1] += fabs((double)o[at + 2 * SIDE] - t[at + 2 * SIDE] - here);
        }
    return (sums[0] + sums[1]) / (STEP_BATCH * SIDE * (SIDE - 1) * 2);
}

static double log_mse(const float *o, const float *t, double floor)
{
    double sum = 0;
    for (int n = 0; n < STEP_BATCH; n++) {
        double squares = 0;
        for (int i = n * N_CHROMA / STEP_BATCH; i < (n + 1) * N_CHROMA / STEP_BATCH; i++)
            squares += ((double)o[i] - t[i]) * ((double)o[i] - t[i]);
        sum += log(squares / (N_CHROMA / STEP_BATCH) + floor);
    }
    return sum / STEP_BATCH;
}

// Those that are functions of color alone; class, perceptual and gan have tests of their own.
static void terms_are_their_formulas(void)
{
    TrainRecipe recipe = recipe_of("huber=1 l1=2 gradient=3 colourfulness=4 spread=5 log-mse=0.5");
    g_auto(Bench) bench = {0};
    Batch batch;
    float o[N_CHROMA];
    make_batch(&batch, 1);
    const float *t = batch.chroma;
    start(&bench, &recipe);
    TrainScalars scalars = bench_run(&bench, &batch, 0);
    train_step_read_chroma(bench.step, o, NULL);
    const struct {
        const char *name;
        double value, weight;
    } expected[] = {{"huber", huber(o, t, recipe.huber_beta), 1},
                    {"l1", l1(o, t), 2},
                    {"gradient", gradient(o, t), 3},
                    {"colourfulness", fabs(mean_chroma(o) - mean_chroma(t)), 4},
                    {"spread", fabs(spread(o) - spread(t)), 5},
                    {"log-mse", log_mse(o, t, recipe.log_mse_floor), 0.5}};
    double sum = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        double found = term(&scalars, expected[i].name);
        g_test_message("%s: %.8g, expected %.8g", expected[i].name, found, expected[i].value);
        g_assert_cmpfloat(fabs(found - expected[i].value), <,
                          1e-6 + 1e-5 * fabs(expected[i].value));
        sum += expected[i].weight * found;
    }
    g_assert_cmpfloat_with_epsilon(scalars.loss, (float)sum, 1e-6f * fabsf(scalars.loss));
    g_assert_cmpint(scalars.n_terms, ==, 6);
}

// ---- by finite differences ----------------------------------------------------------------------

// One term alone, with inputs in the network's place.
typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    TrainRecipe recipe;
    CzGraph *graph;
    CzPlan *plan;
    TrainLosses losses;
    CzValue lightness, truth, inputs[2], gradients[2]; // output, features
    float output[N_CHROMA], *features;
    size_t n_features;
    Batch batch;
} Term;

static void term_init(Term *t, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *losses = g_strconcat(name, "=1", NULL);
    t->recipe = recipe_of(losses);
    t->device = cz_device_open("cpu", &error);
    t->store = cz_store_new(t->device);
    g_assert_true(train_step_start(t->store, &t->recipe, &error));
    CzGraph *graph = t->graph = cz_graph_new();
    CzShape features = {STEP_BATCH, t->recipe.width8, STEP_CROP / 8, STEP_CROP / 8};
    t->lightness = cz_input(graph, "l", cz_shape(STEP_BATCH, 1, STEP_CROP, STEP_CROP));
    t->truth = cz_input(graph, "t", cz_shape(STEP_BATCH, 2, SIDE, SIDE));
    t->inputs[0] = cz_input(graph, "o", cz_shape(STEP_BATCH, 2, SIDE, SIDE));
    t->inputs[1] = cz_input(graph, "f", features);
    const TrainLossSources src = {graph,
                                  &t->recipe,
                                  t->lightness,
                                  t->truth,
                                  {.chroma = t->inputs[0], .features = t->inputs[1]},
                                  true};
    g_assert_true(train_losses_build(&t->losses, &src, t->store, &error));
    cz_graph_gradient(graph, t->losses.total, t->inputs, 2, t->gradients);
    const CzValue outputs[] = {t->losses.total, t->gradients[0], t->gradients[1]};
    t->plan = cz_plan_new(t->device, t->store, graph, outputs, 3, NULL, &error);
    g_assert_no_error(error);
    make_batch(&t->batch, 1);
    t->n_features = cz_shape_count(features);
    t->features = g_new(float, t->n_features);
    CzRng rng = cz_rng(8, 8);
    for (int i = 0; i < N_CHROMA; i++) // no difference from the truth, or of two, near a corner
        t->output[i] = t->batch.chroma[i] + (i / 2 + i / 2 / SIDE) % 2 * 0.04f - 0.02f +
                       0.002f * cz_rng_uniform(&rng);
    for (size_t i = 0; i < t->n_features; i++)
        t->features[i] = cz_rng_normal(&rng);
}

static void term_clear(Term *t)
{
    g_free(t->features);
    train_losses_clear(&t->losses);
    cz_plan_free(t->plan);
    cz_graph_free(t->graph);
    cz_store_free(t->store);
    cz_device_close(t->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Term, term_clear)

static double loss_at(Term *t, const float *output, const float *features)
{
    g_autoptr(GError) error = NULL;
    float loss = NAN;
    g_assert_true(cz_plan_write(t->plan, t->lightness, t->batch.lightness, STEP_PIXELS, &error) &&
                  cz_plan_write(t->plan, t->truth, t->batch.chroma, N_CHROMA, &error) &&
                  cz_plan_write(t->plan, t->inputs[0], output, N_CHROMA, &error) &&
                  cz_plan_write(t->plan, t->inputs[1], features, t->n_features, &error) &&
                  train_losses_write(&t->losses, t->plan, t->batch.chroma, 0, &error) &&
                  cz_plan_run(t->plan, NULL, &error) &&
                  cz_plan_read(t->plan, t->losses.total, &loss, 1, &error));
    return loss;
}

// The slope along a direction: of output (which 0) or features (1).
static double difference(Term *t, int which, const float *direction, size_t n, double h)
{
    g_autofree float *moved = g_new(float, n);
    const float *base = which ? t->features : t->output;
    double ends[2];
    for (int end = 0; end < 2; end++) {
        for (size_t i = 0; i < n; i++)
            moved[i] = base[i] + (float)(end ? h : -h) * direction[i];
        ends[end] = which ? loss_at(t, t->output, moved) : loss_at(t, moved, t->features);
    }
    return (ends[1] - ends[0]) / (2 * h);
}

// Along the gradient itself (turn 0) and directions in which its elements count unevenly.
static void check_slopes(Term *t, const char *name, int which)
{
    size_t n = which ? t->n_features : N_CHROMA;
    g_autofree float *gradient_data = g_new(float, n), *direction = g_new(float, n);
    CzRng rng = cz_rng(9, 9);
    // Small enough for the kinks of the encoder, which sees these pictures as 4 x 4 places.
    double norm = 0, h = which ? 0.05 : 0.0025;
    loss_at(t, t->output, t->features);
    cz_plan_read(t->plan, t->gradients[which], gradient_data, n, NULL);
    for (size_t i = 0; i < n; i++)
        norm += (double)gradient_data[i] * gradient_data[i];
    norm = sqrt(norm);
    g_assert_cmpfloat(norm, >, 1e-4);
    for (int turn = 0; turn < 4; turn++) {
        double slope = 0, length = 0;
        for (size_t i = 0; i < n; i++) {
            direction[i] = gradient_data[i] * (turn ? 3 * cz_rng_uniform(&rng) - 1 : 1);
            length += (double)direction[i] * direction[i];
        }
        for (size_t i = 0; i < n; i++) {
            direction[i] /= (float)sqrt(length);
            slope += (double)direction[i] * gradient_data[i];
        }
        double found = difference(t, which, direction, n, h);
        g_test_message("%s by %s: slope %g, by differences %g, norm %g", name,
                       which ? "features" : "output", slope, found, norm);
        // Rounding of the loss over 2 h, and a hundredth for curvature and kinks.
        g_assert_cmpfloat(fabs(slope - found), <,
                          0.01 * norm + 4 * 0x1p-24 * fabs(loss_at(t, t->output, t->features)) / h);
    }
}

static void gradients_agree_with_finite_differences(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(Term) t = {0};
        term_init(&t, names[i]);
        check_slopes(&t, names[i], strcmp(names[i], "class") == 0);
    }
}

// ---- weights ------------------------------------------------------------------------------------

static TrainScalars first_step(const char *losses)
{
    TrainRecipe recipe = recipe_of(losses);
    g_auto(Bench) bench = {0};
    Batch batch;
    make_batch(&batch, 7);
    start(&bench, &recipe);
    return bench_run(&bench, &batch, 0);
}

// The seed's third bug: its L1 had no weight.
static void l1_is_multiplied_by_its_weight(void)
{
    TrainScalars one = first_step("l1=1"), hundred = first_step("l1=100");
    g_assert_cmpfloat(one.loss, ==, term(&one, "l1"));
    g_assert_cmpfloat(term(&hundred, "l1"), ==, term(&one, "l1"));
    g_assert_cmpfloat_with_epsilon(hundred.loss, 100 * one.loss, 1e-5f * hundred.loss);
    g_assert_cmpfloat_with_epsilon(hundred.norm, 100 * one.norm, 1e-4f * hundred.norm);
}

// The seed's twelfth bug: whatever loss was chosen, it was BCE.
static void each_choice_of_loss_gives_another_value(void)
{
    float values[G_N_ELEMENTS(names) + 2];
    size_t n = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *losses = g_strconcat(names[i], "=1", NULL);
        values[n++] = first_step(losses).loss;
    }
    for (int i = 0; i < 2; i++) {
        TrainRecipe recipe = recipe_of("gan=1");
        g_auto(Bench) bench = {0};
        Batch batch;
        g_strlcpy(recipe.gan_loss, i ? "lsgan" : "bce", sizeof recipe.gan_loss);
        make_batch(&batch, 7);
        start(&bench, &recipe);
        values[n++] = bench_run(&bench, &batch, 0).loss;
    }
    for (size_t i = 0; i < n; i++) {
        g_assert_true(isfinite(values[i]));
        for (size_t k = 0; k < i; k++) {
            g_test_message("%g and %g", (double)values[i], (double)values[k]);
            g_assert_cmpfloat(fabsf(values[i] - values[k]), >, 1e-5f);
        }
    }
}

static void every_term_is_reached_by_its_key(void)
{
    TrainRecipe recipe = recipe_of("huber=0");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *assignment = g_strdup_printf("loss.%s=%zu", names[i], i + 2);
        g_assert_true(train_recipe_set(&recipe, assignment, NULL));
        g_assert_cmpfloat(train_losses_weight(&recipe, names[i]), ==, (double)i + 2);
    }
    g_assert_cmpfloat(train_losses_weight(&recipe, "wgan"), ==, 0);
}

// ---- schedule -----------------------------------------------------------------------------------

static void weights_follow_their_schedule(void)
{
    TrainRecipe recipe = recipe_of("l1=2 huber=1 schedule=l1~0:0~8:1~16:0.5;huber~4:1~4.5:3");
    g_strdelimit(recipe.loss_schedule, "~", ' ');
    const double l1_factors[] = {0, 0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.5};
    g_auto(Bench) bench = {0};
    Batch batch;
    g_autoptr(GError) error = NULL;
    g_assert_true(train_recipe_check(&recipe, &error));
    g_assert_no_error(error);
    make_batch(&batch, 1);
    start(&bench, &recipe);
    for (int64_t step = 0; step < 10; step++) {
        TrainScalars scalars = bench_run(&bench, &batch, step); // two pictures a step
        double h = step > 2 ? 3 : 1,
               expected = 2 * l1_factors[step] * term(&scalars, "l1") + h * term(&scalars, "huber");
        g_assert_cmpfloat(train_losses_factor(&recipe, "l1", 2 * step), ==, l1_factors[step]);
        g_assert_cmpfloat_with_epsilon(scalars.loss, (float)expected, 1e-6f);
    }
    g_assert_cmpfloat(train_losses_factor(&recipe, "gan", 5), ==, 1);
}

static void senseless_schedules_are_refused(void)
{
    static const char *const wrong[] = {"l1",         "l1 5",    "l1 0:",      "l1 0:1 0:2",
                                        "l2 0:1",     "l1 5:-1", "l1 0:1,5:2", "; ",
                                        "l1 5:1 4:2", "l1 0:1x", "l1 :1",      "l1 0:1 huber"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TrainRecipe recipe = recipe_of("l1=1");
        g_autoptr(GError) error = NULL;
        g_strlcpy(recipe.loss_schedule, wrong[i], sizeof recipe.loss_schedule);
        g_test_message("'%s'", wrong[i]);
        g_assert_false(train_recipe_check(&recipe, &error));
        g_assert_true(error && strstr(error->message, "loss.schedule"));
    }
    TrainRecipe recipe = recipe_of("perceptual=1");
    recipe.perceptual_encoder[0] = '\0';
    g_autoptr(GError) error = NULL;
    g_assert_false(train_recipe_check(&recipe, &error));
    g_assert_true(error && strstr(error->message, "perceptual-encoder"));
}

// ---- the head of color classes ------------------------------------------------------------------

static void classes_are_asked_of_any_generator(void)
{
    TrainRecipe recipe = recipe_of("huber=1 class=1");
    g_auto(Bench) bench = {0};
    Batch batch;
    TrainScalars scalars = {0};
    g_autoptr(GError) error = NULL;
    static float chroma[2 * STEP_PIXELS]; // pix2pix gives one for every pixel
    size_t n, n_moved = 0;
    g_strlcpy(recipe.architecture, "pix2pix", sizeof recipe.architecture);
    recipe.width = 8;
    recipe.levels = 5;
    make_batch(&batch, 2);
    for (size_t i = 0; i < G_N_ELEMENTS(chroma); i++)
        chroma[i] = 0.2f * batch.lightness[i / 2];
    start(&bench, &recipe);
    train_step_run(bench.step, batch.lightness, chroma, 0, &scalars, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(term(&scalars, "class"), >, 1);
    g_assert_true(isfinite(scalars.loss));
    float *m = read_tensor(bench.store, TRAIN_M "classes.weight", &n);
    for (size_t i = 0; i < n; i++)
        n_moved += m[i] != 0;
    g_assert_cmpuint(n_moved, >, n / 2);
    cz_memory_free(m);
}

// It is in the weights file, whoever reads that; a training that starts from there goes on with it.
static void the_head_goes_with_the_weights(void)
{
    TrainRecipe recipe = recipe_of("huber=1 class=1 perceptual=1");
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "weights.safetensors");
    g_auto(Bench) bench = {0}, next = {0};
    g_autoptr(GError) error = NULL;
    CzGeneratorParams params;
    Batch batch;
    size_t n;
    make_batch(&batch, 2);
    start(&bench, &recipe);
    bench_run(&bench, &batch, 0);
    g_assert_true(train_weights_save(path, bench.store, &recipe, 1, &error));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_true(cz_generator_read(&params, file, &error));
    g_assert_nonnull(cz_model_file_find(file, "classes.weight"));
    g_assert_null(cz_model_file_find(file, "classes.balance"));
    g_assert_null(cz_model_file_find(file, "perceptual.stem.weight"));
    g_strlcpy(recipe.start, path, sizeof recipe.start);
    start(&next, &recipe);
    float *kept = read_tensor(next.store, "classes.weight", &n);
    float *ema = read_tensor(bench.store, TRAIN_EMA "classes.weight", &n);
    for (size_t i = 0; i < n; i++) // the file holds F16
        g_assert_cmpfloat_with_epsilon(kept[i], ema[i], 1e-4f + fabsf(ema[i]) / 1024);
    cz_memory_free(kept);
    cz_memory_free(ema);
}

// ---- a fixed recipe -----------------------------------------------------------------------------

// smoke.conf, every term, a critic that stays as it is, the same batch ten times.
static void first_ten_losses_are_these(void)
{
    static const float expected[10] = {0.6990026f, 0.6442841f, 0.5995280f, 0.5604497f, 0.5402326f,
                                       0.5404515f, 0.5153135f, 0.4864927f, 0.4638616f, 0.4468033f};
    TrainRecipe recipe = recipe_of("huber=1 l1=0.5 gradient=0.25 gan=0.125 colourfulness=0.25 "
                                   "class=0.0625 perceptual=0.25");
    g_auto(Bench) bench = {0};
    Batch batch;
    recipe.epsilon = 1e-3; // no sign of what is only rounding
    make_batch(&batch, 11);
    start(&bench, &recipe);
    for (int i = 0; i < 10; i++) {
        float found = bench_run(&bench, &batch, i).loss;
        g_test_message("step %d: %.9g, expected %.9g", i, (double)found, (double)expected[i]);
        // Sums of some thousand numbers in another order: a few units of 2^-24, from step to step
        // more. Written to 7 digits.
        float bound = 16 * 0x1p-24f * (1 + (float)i) * expected[i];
        g_assert_cmpfloat(fabsf(found - expected[i]), <, bound);
    }
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(claim) g_test_add_func("/training/losses/" #claim, claim)
    ADD(terms_are_their_formulas);
    ADD(gradients_agree_with_finite_differences);
    ADD(l1_is_multiplied_by_its_weight);
    ADD(each_choice_of_loss_gives_another_value);
    ADD(every_term_is_reached_by_its_key);
    ADD(weights_follow_their_schedule);
    ADD(senseless_schedules_are_refused);
    ADD(classes_are_asked_of_any_generator);
    ADD(the_head_goes_with_the_weights);
    ADD(first_ten_losses_are_these);
    return g_test_run();
}
