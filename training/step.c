// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph of a training step, and its run.
#include "step.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>

#include "gan.h"
#include "schedule.h"

enum { OUT_CHROMA, OUT_CHROMA_TRUE, OUT_SPREAD, OUT_SPREAD_TRUE, N_SCALARS };

struct TrainStep {
    const TrainRecipe *recipe;
    CzGraph *graph;
    CzStore *store;
    CzPlan *plan;
    CzValue lightness, chroma, sample, output;
    CzGeneratorOutput generator;
    CzValue scalars[N_SCALARS];
    TrainLosses losses;
    TrainOptimizer optimizer;
    size_t n_lightness, n_chroma;
    TrainAhead ahead; // NULL: nobody knows
    void *ahead_user;
    const float *sent_lightness, *sent_chroma; // with the device already, for the next run
};

// Biases are not decayed: they hold levels, not slopes.
static bool collect(void *user, const CzUnetTensor *tensor)
{
    TrainStep *step = user;
    const TrainRecipe *recipe = step->recipe;
    CzShape shape = tensor->shape;
    if (tensor->statistic)
        return true;
    bool bias = shape.n == 1 && shape.h == 1 && shape.w == 1;
    train_optimizer_add(&step->optimizer, tensor->name, shape,
                        tensor->encoder ? recipe->encoder_scale : 1, bias ? 0 : recipe->decay);
    return true;
}

static void build_update(TrainStep *step)
{
    train_optimizer_gradients(&step->optimizer, step->losses.total);
    train_optimizer_updates(&step->optimizer);
    cz_rank_means(step->graph, step->losses.values, (size_t)step->losses.n_terms);
    step->scalars[OUT_CHROMA] = step->losses.chroma;
    step->scalars[OUT_CHROMA_TRUE] = step->losses.chroma_true;
    step->scalars[OUT_SPREAD] = train_losses_spread(step->graph, step->output, 0);
    step->scalars[OUT_SPREAD_TRUE] = train_losses_spread(step->graph, step->chroma, 0);
    g_autoptr(GArray) report = g_array_new(FALSE, FALSE, sizeof(CzValue));
    g_array_append_vals(report, step->scalars, N_SCALARS);
    g_array_append_vals(report, step->losses.values, (guint)step->losses.n_terms);
    train_optimizer_report(&step->optimizer, (const CzValue *)(void *)report->data, report->len);
}

static CzPlan *plan_step(const TrainStep *step, CzEngineDevice *device, CzStore *store,
                         GError **error)
{
    g_autoptr(GArray) outputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    const GArray *effects = step->optimizer.effects;
    g_array_append_val(outputs, step->optimizer.report);
    g_array_append_vals(outputs, effects->data, effects->len);
    g_array_append_val(outputs, step->output);
    return cz_graph_check(step->graph, error) &&
                   train_optimizer_prepare(&step->optimizer, store, error)
               ? cz_plan_new(device, store, step->graph, (const CzValue *)(void *)outputs->data,
                             outputs->len, NULL, error)
               : NULL;
}

int32_t train_batch_here(const CzEngineDevice *device, const TrainRecipe *recipe)
{
    const CzRanks *ranks = cz_device_ranks(device);
    return ranks ? recipe->batch / ranks->n : recipe->batch;
}

// What batch normalisation keeps of this batch: with its own decay beside the weights, with the
// weights' beside their average.
static void keep_statistics(TrainStep *step)
{
    CzGraph *graph = step->graph;
    const CzGeneratorOutput *generator = &step->generator;
    CzValue decay = cz_constant(graph, cz_shape(1, 4, 1, 1), CZ_F32, CZ_STATISTICS_DECAY);
    for (int32_t i = 0; i < generator->n_averages; i++) {
        CzValue average = generator->averages[i], statistic = generator->statistics[i];
        const CzNode *node = cz_graph_of(graph, average);
        if (!node)
            return;
        g_autofree char *name = g_strconcat(TRAIN_EMA, node->name, NULL);
        CzValue gate = step->optimizer.gate;
        CzValue effects[] = {cz_ema(graph, average, statistic, decay, gate),
                             cz_ema(graph, cz_param(graph, name, node->shape), statistic,
                                    step->optimizer.rates, gate)};
        g_array_append_vals(step->optimizer.effects, effects, G_N_ELEMENTS(effects));
    }
}

static bool build(TrainStep *step, int32_t n, bool against_critic, CzStore *store, GError **error)
{
    const TrainRecipe *recipe = step->recipe;
    CzGraph *graph = step->graph;
    CzGeneratorParams network = train_recipe_generator(recipe);
    TrainOptimizerParams params = {.name = "generator",
                                   .beta1 = recipe->beta1,
                                   .beta2 = recipe->beta2,
                                   .epsilon = recipe->epsilon,
                                   .clip = recipe->clip,
                                   .skip_z = recipe->skip_z,
                                   .average = true,
                                   .accumulate = recipe->accumulate};
    train_optimizer_of(recipe->optimizer, &params.kind);
    int32_t crop = recipe->crop, side = crop / cz_generator_stride(&network);
    step->lightness = cz_input(graph, "lightness", cz_shape(n, 1, crop, crop));
    step->chroma = cz_input(graph, "chroma", cz_shape(n, 2, side, side));
    step->sample = cz_input(graph, "sample", cz_shape(n, 1, 1, 1));
    train_optimizer_init(&step->optimizer, graph, &params);
    cz_generator_each(&network, collect, step);
    train_losses_each(recipe, collect, step);
    const CzGeneratorUse use = {.dtype = recipe->bf16 ? CZ_BF16 : CZ_F32,
                                .train = true,
                                .sample = step->sample,
                                .seed = (uint64_t)recipe->seed};
    cz_generator_build(graph, step->lightness, &network, &use, &step->generator);
    step->output = step->generator.chroma;
    const TrainLossSources src = {.graph = graph,
                                  .recipe = recipe,
                                  .lightness = step->lightness,
                                  .chroma = step->chroma,
                                  .output = step->generator,
                                  .against_critic = against_critic};
    if (!train_losses_build(&step->losses, &src, store, error))
        return false;
    build_update(step);
    keep_statistics(step);
    return true;
}

TrainStep *train_step_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                          bool against_critic, GError **error)
{
    TrainStep *step = g_new0(TrainStep, 1);
    size_t n = (size_t)train_batch_here(device, recipe), side = (size_t)recipe->crop;
    step->recipe = recipe;
    step->store = store;
    step->graph = cz_graph_new();
    cz_graph_set_ranks(step->graph, cz_device_ranks(device));
    step->n_lightness = n * side * side;
    side /= (size_t)train_recipe_stride(recipe);
    step->n_chroma = 2 * n * side * side;
    if (build(step, (int32_t)n, against_critic, store, error))
        step->plan = plan_step(step, device, store, error);
    if (!step->plan)
        g_clear_pointer(&step, train_step_free);
    return step;
}

void train_step_free(TrainStep *step)
{
    if (!step)
        return;
    cz_plan_free(step->plan);
    cz_graph_free(step->graph);
    train_optimizer_clear(&step->optimizer);
    train_losses_clear(&step->losses);
    cz_generator_clear(&step->generator);
    g_free(step);
}

bool train_step_read_chroma(TrainStep *step, float *chroma, GError **error)
{
    return cz_plan_read(step->plan, step->output, chroma, step->n_chroma, error);
}

CzPlan *train_step_plan(TrainStep *step)
{
    return step->plan;
}

// The number of each sample in the training: what dropout leaves out hangs on it.
static bool write_samples(TrainStep *step, int64_t index, GError **error)
{
    const CzRanks *ranks = cz_graph_ranks(step->graph);
    int32_t n = cz_graph_shape(step->graph, step->sample).n;
    g_autofree float *samples = g_new(float, n);
    int64_t run = index * step->recipe->accumulate + step->optimizer.run;
    int64_t first = run * step->recipe->batch + (ranks ? ranks->rank * n : 0);
    for (int32_t i = 0; i < n; i++)
        samples[i] = (float)((first + i) & 0xffffff);
    return cz_plan_write(step->plan, step->sample, samples, (size_t)n, error);
}

static bool read_scalars(TrainStep *step, TrainScalars *scalars, GError **error)
{
    float *const fields[N_SCALARS] = {&scalars->chroma, &scalars->chroma_true, &scalars->spread,
                                      &scalars->spread_true};
    TrainOptimizer *optimizer = &step->optimizer;
    const TrainLosses *losses = &step->losses;
    TrainUpdate update;
    if (!train_optimizer_after(optimizer, step->plan, step->store, &update, error))
        return false;
    for (size_t i = 0; i < N_SCALARS; i++)
        train_optimizer_read(optimizer, i, fields[i]);
    scalars->n_terms = losses->n_terms;
    scalars->gan = 0;
    for (int32_t i = 0; i < losses->n_terms; i++) {
        TrainTerm *term = &scalars->terms[i];
        term->name = train_losses_name(losses, i);
        train_optimizer_read(optimizer, N_SCALARS + (size_t)i, &term->value);
        if (strcmp(term->name, "gan") == 0)
            scalars->gan = term->value;
    }
    scalars->loss = update.loss;
    scalars->norm = update.norm;
    scalars->gate = update.gate;
    scalars->outlier = update.outlier;
    scalars->n_outliers = update.n_outliers;
    return true;
}

void train_step_look_ahead(TrainStep *step, TrainAhead ahead, void *user)
{
    step->ahead = ahead;
    step->ahead_user = user;
}

static bool send_pictures(TrainStep *step, const float *lightness, const float *chroma,
                          GError **error)
{
    bool sent = step->sent_lightness == lightness && step->sent_chroma == chroma;
    step->sent_lightness = step->sent_chroma = NULL;
    return sent ||
           (cz_plan_write(step->plan, step->lightness, lightness, step->n_lightness, error) &&
            cz_plan_write(step->plan, step->chroma, chroma, step->n_chroma, error));
}

// While the device works: plans keep their outputs whatever is written for the next run.
static bool send_ahead(TrainStep *step, GError **error)
{
    const float *lightness = NULL, *chroma = NULL;
    if (!step->ahead)
        return true;
    if (!step->ahead(step->ahead_user, &lightness, &chroma, error))
        return false;
    if (!lightness)
        return true;
    if (!send_pictures(step, lightness, chroma, error))
        return false;
    step->sent_lightness = lightness;
    step->sent_chroma = chroma;
    return true;
}

bool train_step_run(TrainStep *step, const float *lightness, const float *chroma, int64_t index,
                    TrainScalars *scalars, GError **error)
{
    const TrainRecipe *recipe = step->recipe;
    double t = (double)index + 1;
    // The average of the first steps would otherwise be the untrained weights for a long time.
    double ema = MIN(recipe->ema, (1 + t) / (10 + t));
    const TrainMoment moment = {.rate = train_recipe_rate(recipe, index),
                                .ema = ema,
                                .index = index,
                                .fresh = !train_recipe_goes_on(recipe, index)};
    bool done = send_pictures(step, lightness, chroma, error) &&
                write_samples(step, index, error) &&
                train_losses_write(&step->losses, step->plan, chroma, index, error) &&
                train_optimizer_before(&step->optimizer, step->plan, step->store, &moment, error) &&
                cz_plan_run(step->plan, NULL, error) && send_ahead(step, error);
    return done && read_scalars(step, scalars, error);
}

typedef struct {
    CzStore *store;
    GError **error;
} Starter;

// Running statistics have an average, and no moments.
static bool start_state(void *user, const CzUnetTensor *tensor)
{
    Starter *starter = user;
    if (!tensor->statistic)
        return train_optimizer_start(starter->store, tensor->name, tensor->shape, true,
                                     starter->error);
    g_autofree char *ema = g_strconcat(TRAIN_EMA, tensor->name, NULL);
    size_t n_bytes = cz_shape_count(tensor->shape) * sizeof(float);
    float *data = cz_memory_alloc(n_bytes, tensor->name, starter->error);
    bool done = data && cz_store_read(starter->store, tensor->name, data, starter->error) &&
                cz_store_add(starter->store, ema, tensor->shape, data, starter->error);
    cz_memory_free(data);
    return done;
}

bool train_step_start(CzStore *store, const TrainRecipe *recipe, GError **error)
{
    CzGeneratorParams network = train_recipe_generator(recipe), found;
    if (recipe->start[0]) {
        g_autoptr(CzModelFile) file = cz_model_file_open(recipe->start, error);
        if (!file || !cz_generator_read(&found, file, error) || !cz_store_load(store, file, error))
            return false;
        if (!cz_generator_equal(&found, &network)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                        "%s holds another network than the recipe describes", recipe->start);
            return false;
        }
    } else if (!cz_generator_start(store, &network, recipe->encoder[0] ? recipe->encoder : NULL,
                                   (uint64_t)recipe->seed, error)) {
        return false;
    }
    Starter starter = {store, error};
    return train_losses_start(store, recipe, error) &&
           cz_generator_each(&network, start_state, &starter) &&
           train_losses_each(recipe, start_state, &starter) &&
           (recipe->gan <= 0 || train_critic_start(store, recipe, error));
}
