// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans of convolutions: made once for each problem, the fastest found once for each machine.
#include "conv.h"

#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "conv_private.h"

#define RUNS 3 // timed, after one that loads what it needs

static const CacheFile choices_file = {"cuda-engines", "colorize cuda engines 1", 4096};

// A problem that was looked at.
typedef struct {
    ConvPlan plan; // descriptor NULL: no engine
    Descriptors graph;
    ConvCandidate chosen;
} Entry;

struct ConvPlans {
    GHashTable *entries; // by limit and text
    GHashTable *news;    // choices to be written: key, value
};

static void entry_free(void *data)
{
    Entry *entry = data;
    descriptors_clear(&entry->chosen.descriptors);
    descriptors_clear(&entry->graph);
    g_free(entry);
}

ConvPlans *conv_plans_new(void)
{
    ConvPlans *plans = g_new0(ConvPlans, 1);
    plans->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
    plans->news = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return plans;
}

void conv_plans_free(ConvPlans *plans)
{
    if (!plans)
        return;
    g_hash_table_unref(plans->entries);
    g_hash_table_unref(plans->news);
    g_free(plans);
}

// ---- the choice ---------------------------------------------------------------------------------

// what: the limit and the problem.
static char *choice_key(const CzDevice *device, const char *what)
{
    return g_strdup_printf("%s: %s", device->key, what);
}

// A choice is a place in the list, and the engine that was there: lists may change.
static bool recall(const CzDevice *device, const char *key, const ConvCandidate *candidates, int n,
                   int *choice)
{
    const char *news = g_hash_table_lookup(device->convs->news, key);
    g_autofree char *value = news ? g_strdup(news) : cache_find(&choices_file, key);
    int place;
    long long engine;
    if (!value || sscanf(value, "%d %lld", &place, &engine) != 2 || place < 0 || place >= n ||
        candidates[place].engine != engine)
        return false;
    *choice = place;
    return true;
}

// *choice: -1 if none of them runs.
static bool choose(CzDevice *device, const char *what, const ConvProblem *problem,
                   const ConvCandidate *candidates, int n, int *choice, GError **error)
{
    bool timed = false;
    *choice = 0;
    if (n < 2 || device->options.deterministic)
        return true;
    char *key = choice_key(device, what);
    bool done = recall(device, key, candidates, n, choice) ||
                conv_time(device, problem, candidates, n, choice, &timed, error);
    if (done && timed && *choice >= 0)
        g_hash_table_insert(
            device->convs->news, key,
            g_strdup_printf("%d %lld", *choice, (long long)candidates[*choice].engine));
    else
        g_free(key);
    return done;
}

void conv_keep_choices(CzDevice *device)
{
    GHashTable *news = device->convs->news;
    if (g_hash_table_size(news) == 0)
        return;
    cache_keep(&choices_file, news);
    g_hash_table_remove_all(news);
}

// What cuDNN says of graphs that it has nothing for.
static bool is_unsupported(cudnnStatus_t status)
{
    return (int)status >= 3000 && (int)status < 4000;
}

static bool fill(CzDevice *device, Entry *entry, const char *what, const ConvProblem *problem,
                 size_t workspace_limit, GError **error)
{
    ConvCandidate candidates[CONV_MAX_CANDIDATES];
    int n = 0, choice = -1;
    descriptors_init(&entry->graph, device);
    cudnnBackendDescriptor_t graph = conv_graph(&entry->graph, problem);
    descriptor_set(&entry->graph, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
                   &device->cudnn);
    descriptor_finalize(&entry->graph, graph);
    if (is_unsupported(entry->graph.status))
        return true;
    if (!descriptors_check(&entry->graph, device, "describing a convolution", error) ||
        !conv_candidates(device, graph, problem, workspace_limit, candidates, &n, error))
        return false;
    bool done = n == 0 || choose(device, what, problem, candidates, n, &choice, error);
    for (int i = 0; i < n; i++)
        if (!done || i != choice)
            descriptors_clear(&candidates[i].descriptors);
    if (!done || choice < 0)
        return done;
    entry->chosen = candidates[choice];
    entry->plan.descriptor = entry->chosen.plan;
    entry->plan.workspace_bytes = entry->chosen.workspace_bytes;
    g_autofree char *text = conv_text(problem);
    snprintf(entry->plan.name, sizeof entry->plan.name, "cudnn %s, engine %d", text,
             (int)entry->chosen.engine);
    return true;
}

bool conv_find(CzDevice *device, const ConvProblem *problem, size_t workspace_limit,
               const ConvPlan **plan, GError **error)
{
    g_autofree char *text = conv_text(problem);
    char *key = g_strdup_printf("%zu bytes at most: %s", workspace_limit, text);
    Entry *entry = g_hash_table_lookup(device->convs->entries, key);
    if (entry) {
        g_free(key);
    } else {
        entry = g_new0(Entry, 1);
        if (!fill(device, entry, key, problem, workspace_limit, error)) {
            g_prefix_error(error, "%s: ", text);
            g_free(key);
            entry_free(entry);
            return false;
        }
        g_hash_table_insert(device->convs->entries, key, entry);
    }
    *plan = entry->plan.descriptor ? &entry->plan : NULL;
    return true;
}

// ---- timing -------------------------------------------------------------------------------------

// Memory of a problem's own, so that nobody else's is touched.
typedef struct {
    CUdeviceptr memory;
    ConvMemory at;
    CUevent start, end;
} Bench;

static uint64_t piece(uint64_t *total, int64_t n_elements, size_t size)
{
    uint64_t at = *total;
    *total += ((uint64_t)n_elements * size + 255) / 256 * 256;
    return at;
}

static CUresult bench_open(Bench *bench, CzDevice *device, const ConvProblem *p, size_t workspace)
{
    const CudaApi *cuda = &device->libs->cuda;
    size_t size = cz_dtype_size(p->dtype);
    uint64_t total = 0;
    *bench = (Bench){.at = {.src = piece(&total, p->n * p->c * p->h * p->w, size),
                            .filter = piece(&total, p->k * p->c * p->r * p->s, size),
                            .dst = piece(&total, p->n * p->k * p->p * p->q, size),
                            .bias = piece(&total, p->k, size),
                            .residual = piece(&total, p->n * p->k * p->p * p->q, size),
                            .workspace = piece(&total, (int64_t)workspace, 1)}};
    CUresult result = cuda->cuMemAlloc_v2(&bench->memory, total);
    if (result == CUDA_SUCCESS)
        result = cuda->cuMemsetD8Async(bench->memory, 0, total, device->stream);
    if (result == CUDA_SUCCESS)
        result = cuda->cuEventCreate(&bench->start, CU_EVENT_DEFAULT);
    if (result == CUDA_SUCCESS)
        result = cuda->cuEventCreate(&bench->end, CU_EVENT_DEFAULT);
    uint64_t *const addresses[] = {&bench->at.src,  &bench->at.filter,   &bench->at.dst,
                                   &bench->at.bias, &bench->at.residual, &bench->at.workspace};
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++)
        *addresses[i] += bench->memory;
    return result;
}

static void bench_close(Bench *bench, const CzDevice *device)
{
    const CudaApi *cuda = &device->libs->cuda;
    device_wait(device, NULL);
    if (bench->end)
        cuda->cuEventDestroy_v2(bench->end);
    if (bench->start)
        cuda->cuEventDestroy_v2(bench->start);
    if (bench->memory)
        cuda->cuMemFree_v2(bench->memory);
}

// *time_ms stays infinite for an engine that does not run. The driver's code tells a lost device.
static CUresult time_one(const Bench *bench, const CzDevice *device, const ConvProblem *problem,
                         const ConvCandidate *candidate, float *time_ms)
{
    const CudaApi *cuda = &device->libs->cuda;
    const CudnnApi *cudnn = &device->libs->cudnn;
    cudnnBackendDescriptor_t pack = NULL;
    CUresult result = CUDA_SUCCESS;
    bool runs = conv_bind(device, problem, &bench->at, &pack, NULL);
    for (int i = 0; runs && result == CUDA_SUCCESS && i <= RUNS; i++) {
        if (i == 1)
            result = cuda->cuEventRecord(bench->start, device->stream);
        runs = cudnn->cudnnBackendExecute(device->cudnn, candidate->plan, pack) ==
               CUDNN_STATUS_SUCCESS;
    }
    if (runs && result == CUDA_SUCCESS)
        result = cuda->cuEventRecord(bench->end, device->stream);
    // Also after a failure: what was queued still reads the pack's memory.
    CUresult waited = cuda->cuStreamSynchronize(device->stream);
    if (result == CUDA_SUCCESS)
        result = waited;
    if (runs && result == CUDA_SUCCESS)
        result = cuda->cuEventElapsedTime(time_ms, bench->start, bench->end);
    if (pack)
        cudnn->cudnnBackendDestroyDescriptor(pack);
    return result;
}

bool conv_time(CzDevice *device, const ConvProblem *problem, const ConvCandidate *candidates, int n,
               int *fastest, bool *timed, GError **error)
{
    Bench bench;
    size_t workspace = 0;
    float best = G_MAXFLOAT;
    *fastest = -1;
    for (int i = 0; i < n; i++)
        workspace = MAX(workspace, candidates[i].workspace_bytes);
    CUresult result = bench_open(&bench, device, problem, workspace);
    for (int i = 0; result == CUDA_SUCCESS && i < n; i++) {
        float time_ms = G_MAXFLOAT;
        result = time_one(&bench, device, problem, &candidates[i], &time_ms);
        if (time_ms < best) {
            best = time_ms;
            *fastest = i;
        }
    }
    bench_close(&bench, device);
    *timed = result == CUDA_SUCCESS;
    if (result != CUDA_ERROR_OUT_OF_MEMORY)
        return device_check(device, result, "timing engines", error);
    *fastest = 0;
    return true;
}
