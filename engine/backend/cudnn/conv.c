// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans of convolutions: made once for each problem, the fastest found once for each machine.
#include "conv.h"

#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "conv_private.h"

// Workspace that a convolution may take: what most engines want at all (0 to 54 MiB for
// 4x64x128x128), with room for larger pictures.
#define WORKSPACE_LIMIT ((size_t)256 << 20)

#define RUNS 3 // timed, after one that loads what it needs

static const CacheFile choices_file = {"cuda-engines", "colorize cuda engines 1", 4096};

// A problem that was looked at.
typedef struct {
    ConvPlan plan; // descriptor NULL: no engine
    Descriptors graph;
    ConvCandidate chosen;
} Entry;

struct ConvPlans {
    GHashTable *entries; // by text
    GHashTable *news;    // choices to be written: key, value
    size_t limit;
};

static void entry_free(void *data)
{
    Entry *entry = data;
    descriptors_clear(&entry->chosen.descriptors);
    descriptors_clear(&entry->graph);
    g_free(entry);
}

ConvPlans *conv_plans_new(CzDevice *device)
{
    (void)device;
    ConvPlans *plans = g_new0(ConvPlans, 1);
    plans->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
    plans->news = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    plans->limit = WORKSPACE_LIMIT;
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

static gboolean needs_more(gpointer key, gpointer value, gpointer user)
{
    (void)key;
    const Entry *entry = value;
    return !entry->plan.descriptor || entry->plan.workspace_bytes > *(size_t *)user;
}

bool conv_lower_limit(CzDevice *device)
{
    ConvPlans *plans = device->convs;
    if (plans->limit == 0)
        return false;
    plans->limit = plans->limit > ((size_t)1 << 20) ? plans->limit / 8 : 0;
    g_hash_table_foreach_remove(plans->entries, needs_more, &plans->limit);
    return true;
}

// ---- the choice ---------------------------------------------------------------------------------

static char *choice_key(const CzDevice *device, const char *text)
{
    return g_strdup_printf("%s, %zu MiB: %s", device->key, device->convs->limit >> 20, text);
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

static bool choose(CzDevice *device, const char *text, const ConvProblem *problem,
                   const ConvCandidate *candidates, int n, int *choice, GError **error)
{
    *choice = 0;
    if (n < 2 || device->options.deterministic)
        return true;
    char *key = choice_key(device, text);
    if (recall(device, key, candidates, n, choice)) {
        g_free(key);
        return true;
    }
    if (!conv_time(device, problem, candidates, n, choice, error)) {
        g_free(key);
        return false;
    }
    g_hash_table_insert(device->convs->news, key,
                        g_strdup_printf("%d %lld", *choice, (long long)candidates[*choice].engine));
    return true;
}

void conv_keep_choices(CzDevice *device)
{
    GHashTable *news = device->convs->news;
    if (g_hash_table_size(news) == 0)
        return;
    cache_keep(&choices_file, news);
    g_hash_table_remove_all(news);
}

static bool fill(CzDevice *device, Entry *entry, const char *text, const ConvProblem *problem,
                 GError **error)
{
    ConvCandidate candidates[CONV_MAX_CANDIDATES];
    int n = 0, choice = 0;
    descriptors_init(&entry->graph, device);
    cudnnBackendDescriptor_t graph = conv_graph(&entry->graph, problem);
    descriptor_set(&entry->graph, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
                   &device->cudnn);
    descriptor_finalize(&entry->graph, graph);
    if (!descriptors_check(&entry->graph, device, "describing a convolution", error) ||
        !conv_candidates(device, graph, problem, device->convs->limit, candidates, &n, error))
        return false;
    bool done = n == 0 || choose(device, text, problem, candidates, n, &choice, error);
    for (int i = 0; i < n; i++)
        if (!done || i != choice)
            descriptors_clear(&candidates[i].descriptors);
    if (!done || n == 0)
        return done;
    entry->chosen = candidates[choice];
    entry->plan.descriptor = entry->chosen.plan;
    entry->plan.workspace_bytes = entry->chosen.workspace_bytes;
    snprintf(entry->plan.name, sizeof entry->plan.name, "cudnn %s, engine %d", text,
             (int)entry->chosen.engine);
    return true;
}

bool conv_find(CzDevice *device, const ConvProblem *problem, const ConvPlan **plan, GError **error)
{
    char *text = conv_text(problem);
    Entry *entry = g_hash_table_lookup(device->convs->entries, text);
    if (entry) {
        g_free(text);
    } else {
        entry = g_new0(Entry, 1);
        if (!fill(device, entry, text, problem, error)) {
            g_prefix_error(error, "%s: ", text);
            g_free(text);
            entry_free(entry);
            return false;
        }
        g_hash_table_insert(device->convs->entries, text, entry);
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
               int *fastest, GError **error)
{
    Bench bench;
    size_t workspace = 0;
    float best = G_MAXFLOAT;
    *fastest = 0;
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
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        *fastest = 0;
        return true;
    }
    return device_check(device, result, "timing engines", error);
}
