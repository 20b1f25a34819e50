// SPDX-License-Identifier: LGPL-3.0-or-later
// The adversarial half of a training.
#include "gan.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "optimizer.h"
#include "schedule.h"
#include "step.h"

#define CRITIC_BETA2 0.999

static const CzShape scalar = {1, 1, 1, 1};

bool train_gan_of(const char *name, TrainGan *gan)
{
    static const char *const names[TRAIN_N_GANS] = {"bce", "lsgan", "hinge"};
    for (int i = 0; i < TRAIN_N_GANS; i++)
        if (strcmp(name, names[i]) == 0) {
            *gan = (TrainGan)i;
            return true;
        }
    return false;
}

CzCriticParams train_gan_critic(const TrainRecipe *recipe)
{
    return (CzCriticParams){.width = recipe->critic_width,
                            .n_layers = recipe->critic_layers,
                            .n_scales = recipe->critic_scales,
                            .batch_norm = recipe->critic_norm,
                            .spectral = recipe->critic_spectral,
                            .conditional = recipe->critic_conditional,
                            .plain_start = recipe->plain_start,
                            .leak = (float)recipe->critic_leak};
}

// ---- losses -------------------------------------------------------------------------------------

// log(1 + e^x) without overflow: max(x, 0) + log(1 + e^-|x|).
static CzValue softplus(CzGraph *graph, CzValue x)
{
    CzValue small =
        cz_math(graph, cz_scale(graph, cz_math(graph, x, CZ_MATH_ABS), -1, 0), CZ_MATH_EXP);
    return cz_add(graph, cz_activation(graph, x, CZ_ACT_RELU),
                  cz_math(graph, cz_scale(graph, small, 1, 1), CZ_MATH_LOG));
}

// What it costs a critic that logits of this sign are not far on their side.
static CzValue cost(CzGraph *graph, CzValue logits, TrainGan gan, bool real)
{
    switch (gan) {
    case TRAIN_GAN_LSGAN:
        return cz_math(graph, cz_scale(graph, logits, 1, real ? -1 : 0), CZ_MATH_SQUARE);
    case TRAIN_GAN_HINGE:
        return cz_activation(graph, cz_scale(graph, logits, real ? -1 : 1, 1), CZ_ACT_RELU);
    default:
        return softplus(graph, cz_scale(graph, logits, real ? -1 : 1, 0));
    }
}

CzValue train_gan_generator_loss(CzGraph *graph, const CzCriticOutput *fake, int32_t n_scales,
                                 TrainGan gan)
{
    CzValue sum = cz_constant(graph, scalar, CZ_F32, 0);
    for (int32_t s = 0; s < n_scales; s++) {
        CzValue each = gan == TRAIN_GAN_HINGE ? cz_scale(graph, fake->logits[s], -1, 0)
                                              : cost(graph, fake->logits[s], gan, true);
        sum = cz_add(graph, sum, cz_mean(graph, each, scalar));
    }
    return cz_scale(graph, sum, 1 / (float)n_scales, 0);
}

CzValue train_gan_critic_loss(CzGraph *graph, const CzCriticOutput *real,
                              const CzCriticOutput *fake, int32_t n_scales, TrainGan gan)
{
    CzValue sum = cz_constant(graph, scalar, CZ_F32, 0);
    for (int32_t s = 0; s < n_scales; s++) {
        sum = cz_add(graph, sum, cz_mean(graph, cost(graph, real->logits[s], gan, true), scalar));
        sum = cz_add(graph, sum, cz_mean(graph, cost(graph, fake->logits[s], gan, false), scalar));
    }
    return cz_scale(graph, sum, 0.5f / (float)n_scales, 0);
}

CzValue train_gan_lightness(CzGraph *graph, CzValue lightness, int32_t stride)
{
    return stride > 1 ? cz_pool(graph, lightness, stride) : lightness;
}

// ---- the critic's step --------------------------------------------------------------------------

enum { OUT_REAL, OUT_FAKE, OUT_RIGHT_REAL, OUT_RIGHT_FAKE, OUT_R1, N_SCALARS };

struct TrainCritic {
    const TrainRecipe *recipe;
    CzGraph *graph;
    CzStore *store;
    CzPlan *plan;
    CzValue lightness, chroma, fake, keep;
    CzValue scalars[N_SCALARS];
    TrainOptimizer optimizer;
    size_t n_lightness, n_chroma;
    TrainCritic *plain; // without R1, for the steps between two that pay it; NULL: each pays
    float r1;           // as it was last
};

static bool collect(void *user, const char *name, CzShape shape, bool trained)
{
    if (trained)
        train_optimizer_add(user, name, shape, 1, 0);
    return true;
}

// Mean over patches, pictures and scales of the logits, or of how many lie between low and high.
static CzValue mean_of(CzGraph *graph, const CzCriticOutput *output, int32_t n_scales, bool count,
                       float low, float high)
{
    CzValue sum = cz_constant(graph, scalar, CZ_F32, 0);
    for (int32_t s = 0; s < n_scales; s++) {
        CzValue logits = output->logits[s];
        CzValue each = count ? cz_in_range(graph, logits, low, high) : logits;
        sum = cz_add(graph, sum, cz_mean(graph, each, scalar));
    }
    return cz_scale(graph, sum, 1 / (float)n_scales, 0);
}

static void build_scalars(TrainCritic *critic, const CzCriticOutput *real,
                          const CzCriticOutput *fake, TrainGan gan)
{
    CzGraph *graph = critic->graph;
    int32_t n = critic->recipe->critic_scales;
    float middle = gan == TRAIN_GAN_LSGAN ? 0.5f : 0;
    critic->scalars[OUT_REAL] = mean_of(graph, real, n, false, 0, 0);
    critic->scalars[OUT_FAKE] = mean_of(graph, fake, n, false, 0, 0);
    critic->scalars[OUT_RIGHT_REAL] = mean_of(graph, real, n, true, middle, INFINITY);
    critic->scalars[OUT_RIGHT_FAKE] = mean_of(graph, fake, n, true, -INFINITY, middle);
}

// The penalty as it is; what its weight makes of it is the loss's.
static CzValue build_r1(TrainCritic *critic, const CzCriticOutput *real, bool with_r1)
{
    CzGraph *graph = critic->graph;
    const TrainRecipe *recipe = critic->recipe;
    CzValue sum = cz_constant(graph, scalar, CZ_F32, 0), gradient;
    if (!with_r1)
        return sum;
    for (int32_t s = 0; s < recipe->critic_scales; s++)
        sum = cz_add(graph, sum, cz_sum(graph, real->logits[s], scalar));
    cz_graph_gradient(graph, sum, &critic->chroma, 1, &gradient);
    return cz_scale(graph, cz_dot(graph, gradient, gradient),
                    (float)(recipe->r1 / 2 / cz_graph_shape(graph, critic->chroma).n), 0);
}

static void build_updates(TrainCritic *critic, CzValue loss, const CzCriticOutput *real)
{
    CzGraph *graph = critic->graph;
    TrainOptimizer *optimizer = &critic->optimizer;
    train_optimizer_gradients(optimizer, loss);
    CzValue learns =
        cz_in_range(graph, optimizer->loss, (float)critic->recipe->critic_floor, INFINITY);
    optimizer->gate = cz_mul(graph, optimizer->gate, learns);
    train_optimizer_updates(optimizer);
    // An average with decay 0: the singular vectors themselves.
    for (int32_t i = 0; i < real->n_vectors; i++) {
        CzValue effect =
            cz_ema(graph, real->vectors[i], real->next_vectors[i], critic->keep, optimizer->gate);
        g_array_append_val(optimizer->effects, effect);
    }
}

static void build(TrainCritic *critic, int32_t n, bool with_r1)
{
    CzGraph *graph = critic->graph;
    const TrainRecipe *recipe = critic->recipe;
    CzCriticParams params = train_gan_critic(recipe);
    TrainOptimizerParams learning = {.name = "critic",
                                     .beta1 = recipe->critic_beta1,
                                     .beta2 = CRITIC_BETA2,
                                     .epsilon = recipe->epsilon,
                                     .clip = recipe->clip,
                                     .accumulate = recipe->accumulate};
    CzCriticOutput real = {0}, fake = {0};
    TrainGan gan = TRAIN_GAN_BCE;
    int32_t stride = train_recipe_stride(recipe);
    int32_t side = recipe->crop / stride;
    train_gan_of(recipe->gan_loss, &gan);
    train_optimizer_of(recipe->optimizer, &learning.kind);
    critic->lightness = cz_input(graph, "lightness", cz_shape(n, 1, recipe->crop, recipe->crop));
    critic->chroma = cz_input(graph, "chroma", cz_shape(n, 2, side, side));
    critic->fake = cz_input(graph, "fake", cz_shape(n, 2, side, side));
    train_optimizer_init(&critic->optimizer, graph, &learning);
    cz_critic_each(&params, collect, &critic->optimizer);
    critic->keep = cz_input(graph, "keep", cz_shape(1, 4, 1, 1));
    CzValue lightness = train_gan_lightness(graph, critic->lightness, stride);
    cz_critic_build(graph, lightness, critic->chroma, &params, &real);
    cz_critic_build(graph, lightness, critic->fake, &params, &fake);
    build_scalars(critic, &real, &fake, gan);
    critic->scalars[OUT_R1] = build_r1(critic, &real, with_r1);
    CzValue loss = train_gan_critic_loss(graph, &real, &fake, params.n_scales, gan);
    CzValue penalty = critic->scalars[OUT_R1];
    if (recipe->r1_every > 1)
        penalty = cz_scale(graph, penalty, (float)recipe->r1_every, 0);
    build_updates(critic, cz_add(graph, loss, penalty), &real);
    cz_rank_means(graph, critic->scalars, N_SCALARS);
    train_optimizer_report(&critic->optimizer, critic->scalars, N_SCALARS);
    cz_critic_clear(&real);
    cz_critic_clear(&fake);
}

static TrainCritic *critic_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                               bool with_r1, GError **error)
{
    TrainCritic *critic = g_new0(TrainCritic, 1);
    critic->recipe = recipe;
    critic->store = store;
    critic->graph = cz_graph_new();
    int32_t n_here = train_batch_here(device, recipe);
    cz_graph_set_ranks(critic->graph, cz_device_ranks(device));
    critic->n_lightness = (size_t)n_here * (size_t)recipe->crop * (size_t)recipe->crop;
    size_t side = (size_t)(recipe->crop / train_recipe_stride(recipe));
    critic->n_chroma = 2 * (size_t)n_here * side * side;
    build(critic, n_here, with_r1);
    const GArray *effects = critic->optimizer.effects;
    size_t n = 1 + effects->len;
    g_autofree CzValue *outputs = g_new(CzValue, n);
    outputs[0] = critic->optimizer.report;
    memcpy(outputs + 1, effects->data, effects->len * sizeof *outputs);
    if (cz_graph_check(critic->graph, error) &&
        train_optimizer_prepare(&critic->optimizer, store, error))
        critic->plan = cz_plan_new(device, store, critic->graph, outputs, n, NULL, error);
    if (!critic->plan)
        g_clear_pointer(&critic, train_critic_free);
    return critic;
}

TrainCritic *train_critic_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                              GError **error)
{
    TrainCritic *critic = critic_new(device, store, recipe, recipe->r1 > 0, error);
    if (!critic || recipe->r1 <= 0 || recipe->r1_every <= 1)
        return critic;
    critic->plain = critic_new(device, store, recipe, false, error);
    if (!critic->plain)
        g_clear_pointer(&critic, train_critic_free);
    return critic;
}

CzPlan *train_critic_plan(TrainCritic *critic)
{
    return critic->plan;
}

void train_critic_free(TrainCritic *critic)
{
    if (!critic)
        return;
    train_critic_free(critic->plain);
    cz_plan_free(critic->plan);
    cz_graph_free(critic->graph);
    train_optimizer_clear(&critic->optimizer);
    g_free(critic);
}

static bool run_once(TrainCritic *critic, const float *lightness, const float *chroma,
                     const float *fake, int64_t index, TrainCriticScalars *scalars, GError **error)
{
    static const float replace[4] = {0};
    int64_t step = index + train_recipe_gan_step(critic->recipe);
    const TrainMoment moment = {.rate = train_recipe_critic_rate(critic->recipe, step),
                                .index = index};
    TrainOptimizer *optimizer = &critic->optimizer;
    TrainUpdate update;
    const struct {
        CzValue input;
        const float *data;
        size_t n;
    } inputs[] = {{critic->lightness, lightness, critic->n_lightness},
                  {critic->chroma, chroma, critic->n_chroma},
                  {critic->fake, fake, critic->n_chroma},
                  {critic->keep, replace, 4}};
    float *const fields[N_SCALARS] = {&scalars->real, &scalars->fake, &scalars->right_real,
                                      &scalars->right_fake, &scalars->r1};
    bool good = true;
    for (size_t i = 0; good && i < G_N_ELEMENTS(inputs); i++)
        good = cz_plan_write(critic->plan, inputs[i].input, inputs[i].data, inputs[i].n, error);
    good = good && train_optimizer_before(optimizer, critic->plan, critic->store, &moment, error) &&
           cz_plan_run(critic->plan, NULL, error);
    if (!good || !train_optimizer_after(optimizer, critic->plan, critic->store, &update, error))
        return false;
    for (size_t i = 0; i < N_SCALARS; i++)
        train_optimizer_read(optimizer, i, fields[i]);
    scalars->loss = update.loss;
    scalars->norm = update.norm;
    scalars->gate = update.gate;
    return true;
}

bool train_critic_run(TrainCritic *critic, const float *lightness, const float *chroma,
                      const float *fake, int64_t index, TrainCriticScalars *scalars, GError **error)
{
    bool pays = !critic->plain || index % critic->recipe->r1_every == 0;
    if (!run_once(pays ? critic : critic->plain, lightness, chroma, fake, index, scalars, error))
        return false;
    if (pays)
        critic->r1 = scalars->r1;
    scalars->r1 = critic->r1;
    scalars->paid = pays ? (float)critic->recipe->r1_every * critic->r1 : 0;
    return true;
}

typedef struct {
    CzStore *store;
    GError **error;
} Starter;

static bool start_moments(void *user, const char *name, CzShape shape, bool trained)
{
    Starter *starter = user;
    return !trained || train_optimizer_start(starter->store, name, shape, false, starter->error);
}

bool train_critic_start(CzStore *store, const TrainRecipe *recipe, GError **error)
{
    CzCriticParams params = train_gan_critic(recipe);
    Starter starter = {store, error};
    return cz_critic_start(store, &params, (uint64_t)recipe->seed, error) &&
           cz_critic_each(&params, start_moments, &starter);
}
