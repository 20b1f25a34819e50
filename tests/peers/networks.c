// SPDX-License-Identifier: LGPL-3.0-or-later
// Our side of the comparison of networks with PyTorch (networks.py).
//
//   networks WEIGHTS IN OUT TRAIN     IN: lightness, chroma; OUT: chroma, features, loss,
//   grad/NAME, and in training statistic/NAME of running statistics  (safetensors)
#include <stdio.h>
#include <string.h>

#include <cz/generator.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/threads.h>

typedef struct {
    CzGraph *graph;
    CzStore *inputs, *results;
    CzPlan *plan;
    GArray *outputs;  // of CzValue
    GPtrArray *names; // of char *, as many
    GArray *weights;  // of CzValue, whose gradients are due
} Job;

static void add(Job *job, CzValue value, const char *prefix, const char *name)
{
    g_array_append_val(job->outputs, value);
    g_ptr_array_add(job->names, g_strconcat(prefix, name, NULL));
}

static bool add_weight(void *user, const CzUnetTensor *tensor)
{
    Job *job = user;
    CzValue weight = cz_param(job->graph, tensor->name, tensor->shape);
    if (!tensor->statistic)
        g_array_append_val(job->weights, weight);
    return true;
}

static CzValue input(Job *job, const char *name)
{
    CzShape shape = {1, 1, 1, 1};
    cz_store_has(job->inputs, name, &shape);
    return cz_input(job->graph, name, shape);
}

static void build(Job *job, const CzGeneratorParams *params, bool train, CzValue inputs[3])
{
    CzGeneratorOutput output;
    inputs[0] = input(job, "lightness");
    inputs[1] = input(job, "chroma");
    inputs[2] = input(job, "sample");
    const CzGeneratorUse use = {.train = train, .sample = inputs[2]};
    cz_generator_build(job->graph, inputs[0], params, &use, &output);
    CzValue difference =
        cz_math(job->graph, cz_sub(job->graph, output.chroma, inputs[1]), CZ_MATH_SQUARE);
    CzValue loss = cz_mean(job->graph, difference, cz_shape(1, 1, 1, 1));
    add(job, output.chroma, "", "chroma");
    add(job, output.features, "", "features");
    add(job, loss, "", "loss");
    for (int32_t i = 0; i < output.n_averages; i++)
        add(job, output.statistics[i], "statistic/",
            cz_graph_of(job->graph, output.averages[i])->name);
    cz_generator_clear(&output);
    cz_generator_each(params, add_weight, job);
    const CzValue *weights = (const CzValue *)(const void *)job->weights->data;
    g_autofree CzValue *grads = g_new(CzValue, job->weights->len);
    cz_graph_gradient(job->graph, loss, weights, job->weights->len, grads);
    for (guint i = 0; i < job->weights->len; i++)
        add(job, grads[i], "grad/", cz_graph_of(job->graph, weights[i])->name);
}

// Inputs come and outputs go in file order (NCHW); a store turns them. What is missing is zero.
static bool feed(Job *job, CzValue value, GError **error)
{
    const CzNode *node = cz_graph_of(job->graph, value);
    size_t n = cz_shape_count(node->shape);
    g_autofree float *data = g_new0(float, n);
    return (!cz_store_has(job->inputs, node->name, NULL) ||
            cz_store_read(job->inputs, node->name, data, error)) &&
           cz_plan_write(job->plan, value, data, n, error);
}

static bool collect(Job *job, GError **error)
{
    bool good = true;
    for (guint i = 0; good && i < job->outputs->len; i++) {
        CzValue value = g_array_index(job->outputs, CzValue, i);
        CzShape shape = cz_graph_shape(job->graph, value);
        size_t n = cz_shape_count(shape);
        g_autofree float *data = g_new0(float, n);
        good = cz_plan_read(job->plan, value, data, n, error) &&
               cz_store_add(job->results, job->names->pdata[i], shape, data, error);
    }
    return good;
}

static bool run(char **argv, GError **error)
{
    CzGeneratorParams params;
    g_autoptr(CzModelFile) weights = cz_model_file_open(argv[1], error);
    g_autoptr(CzModelFile) in = weights ? cz_model_file_open(argv[2], error) : NULL;
    g_autoptr(CzEngineDevice) device = in ? cz_device_open("cpu", error) : NULL;
    if (!device || !cz_generator_read(&params, weights, error))
        return false;
    g_autoptr(CzStore) store = cz_store_new(device), inputs = cz_store_new(device),
                       results = cz_store_new(device);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GArray) outputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    g_autoptr(GArray) wrt = g_array_new(FALSE, FALSE, sizeof(CzValue));
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    Job job = {graph, inputs, results, NULL, outputs, names, wrt};
    CzValue sources[3];
    if (!cz_store_load(store, weights, error) || !cz_store_load(inputs, in, error))
        return false;
    build(&job, &params, argv[4][0] == '1', sources);
    if (!cz_graph_check(graph, error))
        return false;
    g_autoptr(CzPlan) plan =
        cz_plan_new(device, store, graph, (const CzValue *)(const void *)outputs->data,
                    outputs->len, NULL, error);
    job.plan = plan;
    return plan && feed(&job, sources[0], error) && feed(&job, sources[1], error) &&
           feed(&job, sources[2], error) && cz_plan_run(plan, NULL, error) &&
           collect(&job, error) && cz_store_save(results, writer, NULL, false, CZ_F32, error) &&
           cz_model_writer_commit(writer, argv[3], error);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_autoptr(GError) error = NULL;
    if (argc == 5 && run(argv, &error))
        return 0;
    fprintf(stderr, "networks: %s\n", error ? error->message : "WEIGHTS IN OUT TRAIN");
    return 1;
}
