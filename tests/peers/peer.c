// SPDX-License-Identifier: LGPL-3.0-or-later
// Our side of the comparison with PyTorch (pytorch.py): outputs, gradients, and single timed runs.
//
//   peer run WEIGHTS IN OUT DEVICE BF16      OUT: chroma, features, loss, grad/NAME   (safetensors)
//   peer step IN OUT SECTION.KEY=VALUE ...       a training step (peer_step.h)
//   peer time WEIGHTS infer|train SIZE BATCH BF16 THREADS   a line in: one run; a line out: its
//   milliseconds
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/plan.h>
#include <cz/threads.h>
#include <cz/unet.h>

#include "peer_step.h"
#include "recipe.h"
#include "step.h"

#define MAX_WEIGHTS 256

typedef struct {
    CzGraph *graph;
    CzValue lightness, target;
    CzValue outputs[3 + MAX_WEIGHTS]; // chroma, features, loss, gradients
    CzValue weights[MAX_WEIGHTS];
    char *names[3 + MAX_WEIGHTS];
    size_t n; // of outputs
} Job;

static bool add_weight(void *user, const CzUnetTensor *tensor)
{
    Job *job = user;
    job->weights[job->n - 3] = cz_param(job->graph, tensor->name, tensor->shape);
    job->names[job->n++] = g_strconcat("grad/", tensor->name, NULL);
    return job->n < G_N_ELEMENTS(job->outputs);
}

static void build(Job *job, const CzUnetParams *network, CzShape in, CzShape target, CzDtype dtype)
{
    job->graph = cz_graph_new();
    job->lightness = cz_input(job->graph, "lightness", in);
    job->target = cz_input(job->graph, "chroma", target);
    CzUnetOutput out = cz_unet_build(job->graph, job->lightness, network, dtype);
    CzValue difference = cz_sub(job->graph, out.chroma, job->target);
    job->outputs[0] = out.chroma;
    job->outputs[1] = out.features;
    job->outputs[2] =
        cz_mean(job->graph, cz_huber(job->graph, difference, 0.1f), cz_shape(1, 1, 1, 1));
    job->names[0] = g_strdup("chroma");
    job->names[1] = g_strdup("features");
    job->names[2] = g_strdup("loss");
    job->n = 3;
    cz_unet_each(network, add_weight, job);
    cz_graph_gradient(job->graph, job->outputs[2], job->weights, job->n - 3, job->outputs + 3);
}

static void clear(Job *job)
{
    for (size_t i = 0; i < job->n; i++)
        g_free(job->names[i]);
    cz_graph_free(job->graph);
}

// Inputs come and outputs go in file order (NCHW); a store turns them.
static bool feed(CzPlan *plan, CzStore *inputs, CzValue value, const char *name, GError **error)
{
    CzShape shape;
    if (!cz_store_has(inputs, name, &shape))
        return false;
    size_t n = cz_shape_count(shape);
    float *data = cz_memory_alloc(n * sizeof *data, name, error);
    bool done = data && cz_store_read(inputs, name, data, error) &&
                cz_plan_write(plan, value, data, n, error);
    cz_memory_free(data);
    return done;
}

static bool collect(CzPlan *plan, const Job *job, CzStore *results, GError **error)
{
    bool done = true;
    for (size_t i = 0; done && i < job->n; i++) {
        CzShape shape = cz_graph_shape(job->graph, job->outputs[i]);
        size_t n = cz_shape_count(shape);
        float *data = cz_memory_alloc(n * sizeof *data, job->names[i], error);
        done = data && cz_plan_read(plan, job->outputs[i], data, n, error) &&
               cz_store_add(results, job->names[i], shape, data, error);
        cz_memory_free(data);
    }
    return done;
}

static bool run(char **argv, GError **error)
{
    g_autoptr(CzModelFile) weights = cz_model_file_open(argv[2], error);
    g_autoptr(CzModelFile) in = weights ? cz_model_file_open(argv[3], error) : NULL;
    g_autoptr(CzEngineDevice) device = in ? cz_device_open(argv[5], error) : NULL;
    CzUnetParams network;
    if (!device || !cz_unet_read(&network, weights, error))
        return false;
    g_autoptr(CzStore) store = cz_store_new(device), inputs = cz_store_new(device),
                       results = cz_store_new(device);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    CzShape shape = {0}, target = {0};
    Job job = {0};
    if (!cz_store_load(store, weights, error) || !cz_store_load(inputs, in, error))
        return false;
    cz_store_has(inputs, "lightness", &shape);
    cz_store_has(inputs, "chroma", &target);
    build(&job, &network, shape, target, argv[6][0] == '1' ? CZ_BF16 : CZ_F32);
    g_autoptr(CzPlan) plan =
        cz_graph_check(job.graph, error)
            ? cz_plan_new(device, store, job.graph, job.outputs, job.n, NULL, error)
            : NULL;
    bool done = plan && feed(plan, inputs, job.lightness, "lightness", error) &&
                feed(plan, inputs, job.target, "chroma", error) && cz_plan_run(plan, NULL, error) &&
                collect(plan, &job, results, error) &&
                cz_store_save(results, writer, NULL, false, CZ_F32, error) &&
                cz_model_writer_commit(writer, argv[4], error);
    cz_plan_free(g_steal_pointer(&plan));
    clear(&job);
    return done;
}

// ---- one timed run for every line on stdin
// ----------------------------------------------------------

static void answer(bool (*once)(void *user), void *user)
{
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        gint64 began = g_get_monotonic_time();
        if (!once(user))
            return;
        printf("%.3f\n", (double)(g_get_monotonic_time() - began) / 1000);
        fflush(stdout);
    }
}

typedef struct {
    CzPlan *plan;
    TrainStep *step;
    CzValue input;
    float *lightness, *chroma;
    size_t n_lightness;
    int64_t index;
} Timed;

// Saw teeth: numbers of a sensible size; speed does not hang on them.
static void fill(float *data, size_t n, size_t period, float scale, float shift)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (float)(i % period) / scale - shift;
}

static bool infer_once(void *user)
{
    Timed *timed = user;
    return cz_plan_write(timed->plan, timed->input, timed->lightness, timed->n_lightness, NULL) &&
           cz_plan_run(timed->plan, NULL, NULL);
}

static bool train_once(void *user)
{
    Timed *timed = user;
    TrainScalars scalars;
    return train_step_run(timed->step, timed->lightness, timed->chroma, timed->index++, &scalars,
                          NULL);
}

static bool time_infer(CzEngineDevice *device, CzStore *store, const CzUnetParams *network,
                       int size, int batch, bool bf16, GError **error)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue lightness = cz_input(graph, "lightness", cz_shape(batch, 1, size, size));
    CzUnetOutput out = cz_unet_build(graph, lightness, network, bf16 ? CZ_BF16 : CZ_F32);
    const CzPlanOptions options = {.frozen = true};
    Timed timed = {.plan = cz_plan_new(device, store, graph, &out.chroma, 1, &options, error),
                   .input = lightness,
                   .n_lightness = (size_t)batch * (size_t)size * (size_t)size};
    timed.lightness = cz_memory_alloc(timed.n_lightness * sizeof(float), "a picture", error);
    if (!timed.plan || !timed.lightness) {
        cz_plan_free(timed.plan);
        return false;
    }
    fill(timed.lightness, timed.n_lightness, 97, 48, 1);
    answer(infer_once, &timed);
    cz_memory_free(timed.lightness);
    g_autofree char *profile = cz_plan_profile(timed.plan);
    fprintf(stderr, "%s", profile);
    cz_plan_free(timed.plan);
    return true;
}

static bool time_train(CzEngineDevice *device, CzStore *store, const CzUnetParams *network,
                       int size, int batch, bool bf16, GError **error)
{
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    recipe.crop = size;
    recipe.batch = batch;
    recipe.bf16 = bf16;
    if (!train_step_start(store, &recipe, error))
        return false;
    size_t n = (size_t)batch * (size_t)size * (size_t)size;
    Timed timed = {.step = train_step_new(device, store, &recipe, false, error)};
    timed.lightness = cz_memory_alloc(n * sizeof(float), "a batch", error);
    timed.chroma = cz_memory_alloc(n / 2 * sizeof(float), "a batch", error);
    bool done = timed.step && timed.lightness && timed.chroma;
    if (done) {
        fill(timed.lightness, n, 97, 48, 1);
        fill(timed.chroma, n / 2, 61, 100, 0.3f);
        answer(train_once, &timed);
    }
    g_autofree char *profile = done ? cz_plan_profile(train_step_plan(timed.step)) : NULL;
    fprintf(stderr, "%s", profile ? profile : "");
    train_step_free(timed.step);
    cz_memory_free(timed.lightness);
    cz_memory_free(timed.chroma);
    return done;
}

static bool time_runs(char **argv, GError **error)
{
    g_autoptr(CzModelFile) weights = cz_model_file_open(argv[2], error);
    CzUnetParams network;
    if (!weights || !cz_unet_read(&network, weights, error))
        return false;
    cz_threads_set(atoi(argv[7]));
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", error);
    if (!device)
        return false;
    g_autoptr(CzStore) store = cz_store_new(device);
    if (!cz_store_load(store, weights, error))
        return false;
    int size = atoi(argv[4]), batch = atoi(argv[5]);
    return (strcmp(argv[3], "train") == 0 ? time_train : time_infer)(
        device, store, &network, size, batch, argv[6][0] == '1', error);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    bool done = false;
    cz_threads_init(argv);
    if (argc == 7 && strcmp(argv[1], "run") == 0)
        done = run(argv, &error);
    else if (argc >= 4 && strcmp(argv[1], "step") == 0)
        done = peer_step(argv + 2, &error);
    else if (argc == 8 && strcmp(argv[1], "time") == 0)
        done = time_runs(argv, &error);
    if (!done)
        fprintf(stderr, "peer: %s\n", error ? error->message : "wrong arguments");
    return done ? 0 : 1;
}
