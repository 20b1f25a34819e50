// SPDX-License-Identifier: LGPL-3.0-or-later
// The adversarial half: its losses by value, the signs of its gradients, who learns when.
#include "steps.h"

#include <cz/ops.h>
#include <cz/threads.h>

#include "gan.h"

static const CzShape scalar = {1, 1, 1, 1};

// A critic small enough for these crops; no spectral normalisation, so that signs are plain.
static TrainRecipe gan_recipe(const char *loss)
{
    TrainRecipe recipe = small_recipe();
    recipe.gan = 1;
    recipe.huber = 0;
    recipe.critic_width = 8;
    recipe.critic_layers = 2;
    recipe.critic_spectral = 0;
    recipe.warmup = 0;
    recipe.images = 1000000;
    g_strlcpy(recipe.gan_loss, loss, sizeof recipe.gan_loss);
    return recipe;
}

// ---- the critic's network -----------------------------------------------------------------------

static bool count(void *user, const char *name, CzShape shape, bool trained)
{
    *(size_t *)user += trained ? cz_shape_count(shape) : 0;
    return true;
}

static void patchgan_70_has_its_parameters(void)
{
    const CzCriticParams patch = {
        .width = 64, .n_layers = 3, .n_scales = 1, .batch_norm = 1, .conditional = 1};
    CzCriticParams none = patch;
    size_t n = 0;
    g_assert_true(cz_critic_each(&patch, count, &n));
    g_assert_cmpuint(n, ==, 2765633);
    none.n_layers = 0;
    g_assert_false(cz_critic_each(&none, count, &n));
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzCriticOutput output = {0};
    cz_critic_build(graph, cz_input(graph, "l", cz_shape(2, 1, 256, 256)),
                    cz_input(graph, "ab", cz_shape(2, 2, 256, 256)), &patch, &output);
    CzShape shape = cz_graph_shape(graph, output.logits[0]);
    cz_critic_clear(&output);
    g_assert_true(shape.n == 2 && shape.c == 1 && shape.h == 30 && shape.w == 30);
}

// ---- losses -------------------------------------------------------------------------------------

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double critic_loss(TrainGan gan, double d, double g)
{
    switch (gan) {
    case TRAIN_GAN_LSGAN:
        return ((d - 1) * (d - 1) + g * g) / 2;
    case TRAIN_GAN_HINGE:
        return (fmax(0, 1 - d) + fmax(0, 1 + g)) / 2;
    default:
        return (softplus(-d) + softplus(g)) / 2;
    }
}

static double generator_loss(TrainGan gan, double g)
{
    return gan == TRAIN_GAN_LSGAN ? (g - 1) * (g - 1) : gan == TRAIN_GAN_HINGE ? -g : softplus(-g);
}

static void losses_are_those_of_the_papers(void)
{
    static const float logits[] = {0, 0.3f, -0.7f, 1.5f, -2.5f, 30, -30};
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", NULL);
    for (int gan = 0; gan < TRAIN_N_GANS; gan++)
        for (size_t i = 0; i < G_N_ELEMENTS(logits); i++)
            for (size_t j = 0; j < G_N_ELEMENTS(logits); j++) {
                g_autoptr(CzGraph) graph = cz_graph_new();
                CzValue d = cz_constant(graph, cz_shape(2, 1, 3, 3), CZ_F32, logits[i]);
                CzValue g = cz_constant(graph, cz_shape(2, 1, 3, 3), CZ_F32, logits[j]);
                const CzCriticOutput real = {.logits = {d, d}}, fake = {.logits = {g, g}};
                const CzValue outputs[] = {
                    train_gan_critic_loss(graph, &real, &fake, 2, (TrainGan)gan),
                    train_gan_generator_loss(graph, &fake, 2, (TrainGan)gan)};
                g_autoptr(GError) error = NULL;
                g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, outputs, 2, NULL, &error);
                g_assert_no_error(error);
                float found[2];
                cz_plan_run(plan, NULL, &error);
                for (int k = 0; k < 2; k++)
                    cz_plan_read(plan, outputs[k], &found[k], 1, &error);
                g_assert_no_error(error);
                const double expected[] = {critic_loss((TrainGan)gan, logits[i], logits[j]),
                                           generator_loss((TrainGan)gan, logits[j])};
                for (int k = 0; k < 2; k++)
                    if (!(fabs(found[k] - expected[k]) <= 2e-6 * (1 + fabs(expected[k])))) {
                        g_test_message("loss %d, %s, logits %g and %g: %.8g, expected %.8g", gan,
                                       k ? "generator" : "critic", (double)logits[i],
                                       (double)logits[j], (double)found[k], expected[k]);
                        g_test_fail();
                    }
            }
}

// ---- who learns ---------------------------------------------------------------------------------

typedef struct {
    Bench bench;
    TrainCritic *critic;
    Batch batch;
    float fake[STEP_PIXELS / 2];
} Duel;

static void duel_start(Duel *duel, const TrainRecipe *recipe)
{
    g_autoptr(GError) error = NULL;
    make_batch(&duel->batch, 3);
    bench_open(&duel->bench, recipe);
    train_step_start(duel->bench.store, &duel->bench.recipe, &error);
    g_assert_no_error(error);
    duel->bench.step =
        train_step_new(duel->bench.device, duel->bench.store, &duel->bench.recipe, true, &error);
    g_assert_no_error(error);
    duel->critic =
        train_critic_new(duel->bench.device, duel->bench.store, &duel->bench.recipe, &error);
    g_assert_no_error(error);
}

static void duel_end(Duel *duel)
{
    train_critic_free(duel->critic);
    bench_close(&duel->bench);
}

static TrainScalars generator_turn(Duel *duel, int64_t index)
{
    g_autoptr(GError) error = NULL;
    TrainScalars scalars = bench_run(&duel->bench, &duel->batch, index);
    train_step_read_chroma(duel->bench.step, duel->fake, &error);
    g_assert_no_error(error);
    return scalars;
}

static TrainCriticScalars critic_turn(Duel *duel, int64_t index)
{
    g_autoptr(GError) error = NULL;
    TrainCriticScalars scalars = {0};
    train_critic_run(duel->critic, duel->batch.lightness, duel->batch.chroma, duel->fake, index,
                     &scalars, &error);
    g_assert_no_error(error);
    return scalars;
}

// How many of the generator's tensors have a first moment, and a sentence on each that is zero.
static int count_moved(const Duel *duel, const char *loss)
{
    int n_moments = 0;
    for (size_t i = 0; i < cz_store_n(duel->bench.store); i++) {
        const char *name = cz_store_name(duel->bench.store, i);
        size_t n, moved = 0;
        if (!g_str_has_prefix(name, TRAIN_M) || strstr(name, "critic."))
            continue;
        float *data = read_tensor(duel->bench.store, name, &n);
        for (size_t k = 0; k < n; k++)
            moved += data[k] != 0 && isfinite(data[k]);
        if (moved == 0) {
            g_test_message("%s: %s stays zero", loss, name);
            g_test_fail();
        }
        cz_memory_free(data);
        n_moments++;
    }
    return n_moments;
}

// The seed's first bug: the critic was shown a detached picture.
static void with_only_the_gan_loss_every_generator_weight_receives_gradient(void)
{
    static const char *const losses[] = {"bce", "lsgan", "hinge"};
    for (int l = 0; l < 3; l++) {
        TrainRecipe recipe = gan_recipe(losses[l]);
        Duel duel = {{0}};
        duel_start(&duel, &recipe);
        generator_turn(&duel, 0);
        g_assert_cmpint(count_moved(&duel, losses[l]), >, 100);
        duel_end(&duel);
    }
}

// The seed's second bug: the generator's loss had the label "fake". Only the generator steps.
static void the_generator_learns_to_look_true(void)
{
    static const char *const losses[] = {"bce", "lsgan", "hinge"};
    for (int l = 0; l < 3; l++) {
        TrainRecipe recipe = gan_recipe(losses[l]);
        Duel duel = {{0}};
        recipe.critic_rate = 0; // it judges, and stays as it is
        duel_start(&duel, &recipe);
        float first = generator_turn(&duel, 0).loss, before = critic_turn(&duel, 0).fake;
        float lowest = first; // LSGAN's rises again beyond the label
        for (int i = 1; i < 25; i++)
            lowest = fminf(lowest, generator_turn(&duel, i).loss);
        float after = critic_turn(&duel, 1).fake;
        g_test_message("%s: D(fake) %g, then %g", losses[l], (double)before, (double)after);
        g_assert_cmpfloat(after, >, before);
        g_assert_cmpfloat(lowest, <, first - 0.2f);
        duel_end(&duel);
    }
}

static void the_critic_learns_to_tell(void)
{
    static const char *const losses[] = {"bce", "lsgan", "hinge"};
    for (int variant = 0; variant < 6; variant++) {
        TrainRecipe recipe = gan_recipe(losses[variant % 3]);
        Duel duel = {{0}};
        recipe.critic_spectral = variant < 3;
        recipe.critic_norm = variant >= 3;
        recipe.critic_scales = 1 + (variant == 1);
        recipe.critic_layers = 1 + (variant != 1);
        recipe.critic_rate = 2e-3;
        recipe.rate = 0;
        duel_start(&duel, &recipe);
        generator_turn(&duel, 0);
        TrainCriticScalars first = critic_turn(&duel, 0), last = first;
        for (int i = 1; i < 60; i++)
            last = critic_turn(&duel, i);
        g_test_message("%s: loss %g, then %g; right on %g and %g", losses[variant % 3],
                       (double)first.loss, (double)last.loss, (double)last.right_real,
                       (double)last.right_fake);
        g_assert_cmpfloat(last.loss, <, 0.7f * first.loss);
        g_assert_cmpfloat(last.real, >, last.fake);
        g_assert_cmpfloat(last.right_real + last.right_fake, >, 1.6f);
        duel_end(&duel);
    }
}

static char *sum_of(const Duel *duel, bool critic)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (size_t i = 0; i < cz_store_n(duel->bench.store); i++) {
        const char *name = cz_store_name(duel->bench.store, i);
        size_t n;
        if ((strstr(name, "critic.") != NULL) != critic)
            continue;
        float *data = read_tensor(duel->bench.store, name, &n);
        g_checksum_update(sum, (const guchar *)data, (gssize)(n * sizeof *data));
        cz_memory_free(data);
    }
    char *text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

static void each_step_changes_its_own_weights_alone(void)
{
    TrainRecipe recipe = gan_recipe("hinge");
    Duel duel = {{0}};
    recipe.critic_spectral = 1;
    duel_start(&duel, &recipe);
    g_autofree char *critic0 = sum_of(&duel, true), *generator0 = sum_of(&duel, false);
    generator_turn(&duel, 0);
    g_autofree char *critic1 = sum_of(&duel, true), *generator1 = sum_of(&duel, false);
    critic_turn(&duel, 0);
    g_autofree char *critic2 = sum_of(&duel, true), *generator2 = sum_of(&duel, false);
    g_assert_cmpstr(critic0, ==, critic1);
    g_assert_cmpstr(generator0, !=, generator1);
    g_assert_cmpstr(critic1, !=, critic2);
    g_assert_cmpstr(generator1, ==, generator2);
    duel_end(&duel);
}

static void below_its_floor_the_critic_waits(void)
{
    TrainRecipe recipe = gan_recipe("hinge");
    Duel duel = {{0}};
    recipe.critic_floor = 100;
    duel_start(&duel, &recipe);
    generator_turn(&duel, 0);
    g_autofree char *before = sum_of(&duel, true);
    TrainCriticScalars scalars = critic_turn(&duel, 0);
    g_autofree char *after = sum_of(&duel, true);
    g_assert_cmpfloat(scalars.gate, ==, 0);
    g_assert_cmpfloat(scalars.loss, >, 0);
    g_assert_cmpstr(before, ==, after);
    duel_end(&duel);
}

static void nothing_is_learnt_from_what_is_not_finite(void)
{
    TrainRecipe recipe = gan_recipe("bce");
    Duel duel = {{0}};
    recipe.r1 = 1;
    duel_start(&duel, &recipe);
    generator_turn(&duel, 0);
    g_autofree char *before = sum_of(&duel, true);
    duel.fake[11] = NAN;
    TrainCriticScalars scalars = critic_turn(&duel, 0);
    g_autofree char *after = sum_of(&duel, true);
    g_assert_cmpfloat(scalars.gate, ==, 0);
    g_assert_cmpstr(before, ==, after);
    duel_end(&duel);
}

// ---- R1 -----------------------------------------------------------------------------------------

typedef struct {
    CzGraph *graph;
    CzValue chroma, penalty, gradient, sum;
    CzPlan *plan;
} Penalty;

enum { SIDE = 12, N_CHROMA = 2 * 2 * SIDE * SIDE };

static const CzCriticParams tiny = {.width = 4, .n_layers = 1, .n_scales = 1};

// Levels of +-1 and small filters: a finite difference never straddles the corner of the leaky
// ReLU.
static bool add_small(void *user, const char *name, CzShape shape, bool trained)
{
    CzRng rng = cz_rng(9, cz_store_n(user));
    g_autofree float *data = g_new(float, cz_shape_count(shape));
    for (size_t i = 0; i < cz_shape_count(shape); i++)
        data[i] = g_str_has_suffix(name, ".bias") || g_str_has_suffix(name, ".shift")
                      ? (i % 2 ? 1 : -1)
                      : 0.1f * cz_rng_normal(&rng);
    return cz_store_add(user, name, shape, data, NULL);
}

// Half the squared gradient of the sum of logits, and its own gradient by the last filter.
static void penalty_init(Penalty *penalty, CzEngineDevice *device, CzStore *store,
                         const CzCriticParams *params, const char *weight, CzShape shape)
{
    CzCriticOutput output = {0};
    CzGraph *graph = penalty->graph = cz_graph_new();
    penalty->chroma = cz_input(graph, "ab", cz_shape(2, 2, SIDE, SIDE));
    cz_critic_build(graph, CZ_NONE, penalty->chroma, params, &output);
    penalty->sum = cz_sum(graph, output.logits[0], scalar);
    cz_critic_clear(&output);
    CzValue slope, filter = cz_param(graph, weight, shape);
    cz_graph_gradient(graph, penalty->sum, &penalty->chroma, 1, &slope);
    penalty->penalty = cz_scale(graph, cz_dot(graph, slope, slope), 0.5f, 0);
    cz_graph_gradient(graph, penalty->penalty, &filter, 1, &penalty->gradient);
    const CzValue outputs[] = {penalty->penalty, penalty->gradient, penalty->sum};
    g_autoptr(GError) error = NULL;
    penalty->plan = cz_plan_new(device, store, graph, outputs, 3, NULL, &error);
    g_assert_no_error(error);
}

static double penalty_at(Penalty *penalty, const float *chroma, double *sum)
{
    float value, logits;
    g_autoptr(GError) error = NULL;
    cz_plan_write(penalty->plan, penalty->chroma, chroma, N_CHROMA, &error);
    cz_plan_run(penalty->plan, NULL, &error);
    cz_plan_read(penalty->plan, penalty->penalty, &value, 1, &error);
    cz_plan_read(penalty->plan, penalty->sum, &logits, 1, &error);
    g_assert_no_error(error);
    *sum = logits;
    return value;
}

// The value against finite differences by the color, its gradient against those by a filter.
static void r1_and_its_gradient_agree_with_finite_differences(void)
{
    static const CzShape shape = {4, 2, 4, 4};
    const char *weight = "critic.0.0.weight";
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    for (int norm = 0; norm < 2; norm++) {
        CzCriticParams params = tiny;
        params.batch_norm = norm;
        g_autoptr(CzStore) store = cz_store_new(device);
        g_assert_true(cz_critic_each(&params, add_small, store));
        Penalty penalty;
        penalty_init(&penalty, device, store, &params, weight, shape);
        float chroma[N_CHROMA], filter[128], gradient[128];
        CzRng rng = cz_rng(4, 4);
        for (int i = 0; i < N_CHROMA; i++)
            chroma[i] = 0.5f * cz_rng_normal(&rng);
        double sum, squares = 0, up, down;
        double value = penalty_at(&penalty, chroma, &sum);
        cz_plan_read(penalty.plan, penalty.gradient, gradient, 128, NULL);
        const float h = 2e-3f;
        for (int i = 0; i < N_CHROMA; i++) {
            float kept = chroma[i];
            chroma[i] = kept + h, penalty_at(&penalty, chroma, &up);
            chroma[i] = kept - h, penalty_at(&penalty, chroma, &down);
            chroma[i] = kept;
            squares += (up - down) * (up - down) / (4 * (double)h * h) / 2;
        }
        g_test_message("penalty %g, by finite differences %g", value, squares);
        g_assert_cmpfloat(fabs(value - squares), <, 0.005 * squares);
        cz_store_read(store, weight, filter, NULL);
        int agree = 0, n = 0;
        for (int i = 0; i < 128; i += 3, n++) {
            float kept = filter[i];
            filter[i] = kept + h, cz_store_write(store, weight, filter, NULL);
            up = penalty_at(&penalty, chroma, &sum);
            filter[i] = kept - h, cz_store_write(store, weight, filter, NULL);
            down = penalty_at(&penalty, chroma, &sum);
            filter[i] = kept, cz_store_write(store, weight, filter, NULL);
            double slope = (up - down) / (2 * (double)h);
            agree += fabs(slope - gradient[i]) <= 0.01 * (fabs(slope) + 0.02 * value);
        }
        g_test_message("its gradient: %d of %d slopes agree", agree, n);
        g_assert_cmpint(agree, ==, n);
        cz_plan_free(penalty.plan);
        cz_graph_free(penalty.graph);
    }
}

// Paid in every third step, three times: a step between has the loss alone, one that pays the sum.
static void r1_is_paid_now_and_then(void)
{
    TrainRecipe recipe = gan_recipe("bce");
    Duel duel = {{0}};
    float paid[2];
    recipe.r1 = 1e3;
    recipe.critic_rate = 0;
    for (int lazy = 0; lazy < 2; lazy++) {
        recipe.r1_every = lazy ? 3 : 1;
        duel_start(&duel, &recipe);
        generator_turn(&duel, 0);
        TrainCriticScalars pays = critic_turn(&duel, 3), between = critic_turn(&duel, 4);
        g_test_message("loss %g, between %g; penalty %g", (double)pays.loss, (double)between.loss,
                       (double)pays.r1);
        paid[lazy] = pays.r1;
        g_assert_cmpfloat(pays.r1, >, 0);
        g_assert_cmpfloat(between.r1, ==, pays.r1); // as it was last
        g_assert_cmpfloat(pays.paid, ==, (lazy ? 3 : 1) * pays.r1);
        g_assert_cmpfloat(between.paid, ==, lazy ? 0 : between.r1);
        g_assert_cmpfloat_with_epsilon(pays.loss - pays.paid, between.loss - between.paid,
                                       1e-6f + 1e-6f * pays.loss);
        duel_end(&duel);
    }
    g_assert_cmpfloat(paid[0], ==, paid[1]);
}

// ---- spectral normalisation ---------------------------------------------------------------------

static double largest_singular_value(const float *filter, int rows, int columns)
{
    g_autofree double *u = g_new0(double, rows), *v = g_new0(double, columns);
    double sigma = 0;
    for (int i = 0; i < rows; i++)
        u[i] = 1 + i % 3;
    for (int turn = 0; turn < 500; turn++) {
        double norm = 0;
        for (int j = 0; j < columns; j++) {
            v[j] = 0;
            for (int i = 0; i < rows; i++)
                v[j] += filter[i * columns + j] * u[i];
            norm += v[j] * v[j];
        }
        sigma = 0;
        for (int i = 0; i < rows; i++) {
            u[i] = 0;
            for (int j = 0; j < columns; j++)
                u[i] += filter[i * columns + j] * v[j] / sqrt(norm);
            sigma += u[i] * u[i];
        }
        sigma = sqrt(sigma);
        for (int i = 0; i < rows; i++)
            u[i] /= sigma;
    }
    return sigma;
}

// After some steps of rate 0 the kept vector is the singular one: u' W has the singular value's
// size.
static void singular_vectors_are_found(void)
{
    TrainRecipe recipe = gan_recipe("hinge");
    Duel duel = {{0}};
    recipe.critic_spectral = 1;
    recipe.critic_rate = recipe.rate = 0;
    duel_start(&duel, &recipe);
    generator_turn(&duel, 0);
    for (int i = 0; i < 200; i++)
        critic_turn(&duel, i);
    for (int layer = 0; layer < 4; layer++) {
        g_autofree char *name = g_strdup_printf("critic.0.%d.weight", layer);
        g_autofree char *vector = g_strdup_printf("critic.0.%d.u", layer);
        size_t n, rows;
        float *filter = read_tensor(duel.bench.store, name, &n);
        float *u = read_tensor(duel.bench.store, vector, &rows);
        double square = 0, expected = largest_singular_value(filter, (int)rows, (int)(n / rows));
        for (size_t j = 0; j < n / rows; j++) {
            double sum = 0;
            for (size_t i = 0; i < rows; i++)
                sum += filter[i * (n / rows) + j] * u[i];
            square += sum * sum;
        }
        g_test_message("layer %d: %g, expected %g", layer, sqrt(square), expected);
        g_assert_cmpfloat(fabs(sqrt(square) - expected), <, 0.01 * expected);
        cz_memory_free(filter);
        cz_memory_free(u);
    }
    duel_end(&duel);
}

// ---- phases -------------------------------------------------------------------------------------

static void phases_follow_one_another(void)
{
    TrainRecipe recipe = gan_recipe("hinge");
    recipe.batch = 4;
    recipe.gan_from = 40;
    recipe.gan_critic_images = 20;
    recipe.gan_rate_scale = 0.5;
    recipe.images = 400;
    const TrainPhase expected[] = {TRAIN_PHASE_GENERATOR, TRAIN_PHASE_CRITIC, TRAIN_PHASE_BOTH};
    const int64_t steps[] = {9, 10, 15};
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(train_recipe_phase(&recipe, steps[i]), ==, expected[i]);
    TrainRecipe alone = recipe;
    alone.gan = 0;
    g_assert_cmpfloat(train_recipe_rate(&recipe, 9), ==, train_recipe_rate(&alone, 9));
    g_assert_cmpfloat(train_recipe_rate(&recipe, 12), ==, 0);
    g_assert_cmpfloat(train_recipe_rate(&recipe, 15), ==, 0.5 * train_recipe_rate(&alone, 15));
    g_assert_cmpint(train_recipe_phase(&alone, 15), ==, TRAIN_PHASE_GENERATOR);
}

static void impossible_critics_are_refused(void)
{
    TrainRecipe recipe = gan_recipe("hinge");
    g_autoptr(GError) error = NULL, other = NULL;
    g_assert_true(train_recipe_check(&recipe, NULL));
    recipe.critic_layers = 5;
    g_assert_false(train_recipe_check(&recipe, &error));
    g_assert_nonnull(strstr(error->message, "gan.layers"));
    g_strlcpy(recipe.gan_loss, "wgan", sizeof recipe.gan_loss);
    g_assert_false(train_recipe_check(&recipe, &other));
    g_assert_nonnull(strstr(other->message, "gan.loss"));
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(claim) g_test_add_func("/training/gan/" #claim, claim)
    ADD(patchgan_70_has_its_parameters);
    ADD(losses_are_those_of_the_papers);
    ADD(with_only_the_gan_loss_every_generator_weight_receives_gradient);
    ADD(the_generator_learns_to_look_true);
    ADD(the_critic_learns_to_tell);
    ADD(each_step_changes_its_own_weights_alone);
    ADD(below_its_floor_the_critic_waits);
    ADD(nothing_is_learnt_from_what_is_not_finite);
    ADD(r1_and_its_gradient_agree_with_finite_differences);
    ADD(r1_is_paid_now_and_then);
    ADD(singular_vectors_are_found);
    ADD(phases_follow_one_another);
    ADD(impossible_critics_are_refused);
    return g_test_run();
}
