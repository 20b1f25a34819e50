// SPDX-License-Identifier: LGPL-3.0-or-later
// Which of cuDNN's engines will do for a graph.
#include "conv_private.h"

#include <cz/error.h>

enum { MAX_CONFIGS = 64, MAX_NOTES = 32 };

#define BIT(note) (1u << (note))

// Notes of engines that are left out.
typedef struct {
    unsigned numerical, behavior;
} Refused;

static Refused refused_by(const CzDevice *device, CzDtype dtype)
{
    const CzDeviceOptions *options = &device->options;
    Refused refused = {.behavior = BIT(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) |
                                   BIT(CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER) |
                                   BIT(CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER)};
    refused.numerical =
        BIT(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) | BIT(CUDNN_NUMERICAL_NOTE_FFT) |
        BIT(CUDNN_NUMERICAL_NOTE_WINOGRAD) | BIT(CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4) |
        BIT(CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6) | BIT(CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13);
    // Tensor cores multiply 16 bits exactly, but round F32 to TF32.
    if (dtype == CZ_F32 && !options->tf32)
        refused.numerical |=
            BIT(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) | BIT(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
    if (options->deterministic)
        refused.numerical |= BIT(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
    return refused;
}

static unsigned notes_of(Descriptors *all, cudnnBackendDescriptor_t engine,
                         cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type)
{
    int notes[MAX_NOTES] = {0};
    int64_t n = 0;
    unsigned bits = 0;
    descriptor_get(all, engine, name, type, MAX_NOTES, &n, notes);
    for (int64_t i = 0; i < MIN(n, MAX_NOTES); i++)
        if (notes[i] >= 0 && notes[i] < 32)
            bits |= BIT(notes[i]);
    return bits;
}

static bool is_out_of_memory(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
           status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

typedef struct {
    const CzDevice *device;
    Refused refused;
    size_t workspace_limit;
    ConvCandidate *candidates;
    int n;
    Descriptors failed; // the first that failed otherwise than by not being there
} Search;

// Not for this graph, this GPU, or these types: nothing is wrong. (Arguments that an engine does
// not like count in, as cuDNN is not strict about which of the two it says.)
static bool is_refusal(cudnnStatus_t status)
{
    return (int)status >= 2000 && (int)status < 4000;
}

static void note_failure(Search *search, const Descriptors *all)
{
    if (all->status == CUDNN_STATUS_SUCCESS || is_refusal(all->status) ||
        search->failed.status != CUDNN_STATUS_SUCCESS)
        return;
    search->failed.status = all->status;
    g_strlcpy(search->failed.words, all->words, sizeof search->failed.words);
}

static bool is_known(const Search *search, int64_t engine, size_t workspace_bytes)
{
    // FALLBACK repeats engines of the first list; other knobs of an engine show in its workspace
    // often enough, and else cost a place in the list.
    for (int i = 0; i < search->n; i++)
        if (search->candidates[i].engine == engine &&
            search->candidates[i].workspace_bytes == workspace_bytes)
            return true;
    return false;
}

static void consider(Search *search, cudnnBackendDescriptor_t config, bool fallback)
{
    ConvCandidate found = {0};
    Descriptors *all = &found.descriptors;
    int64_t bytes = 0;
    descriptors_init(all, search->device);
    cudnnBackendDescriptor_t engine = descriptor_make(all, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    descriptor_get(all, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, NULL,
                   &engine);
    unsigned numerical =
        notes_of(all, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
    unsigned behavior =
        notes_of(all, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE);
    descriptor_get(all, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, NULL,
                   &found.engine);
    bool good = all->status == CUDNN_STATUS_SUCCESS && !(numerical & search->refused.numerical) &&
                !(behavior & search->refused.behavior);
    if (good) {
        found.plan = descriptor_make(all, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        descriptor_set(all, found.plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                       &search->device->cudnn);
        descriptor_set_child(all, found.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
        descriptor_finalize(all, found.plan);
        descriptor_get(all, found.plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                       1, NULL, &bytes);
        found.workspace_bytes = (size_t)MAX(bytes, 0);
        good = all->status == CUDNN_STATUS_SUCCESS &&
               found.workspace_bytes <= search->workspace_limit &&
               !(fallback && is_known(search, found.engine, found.workspace_bytes));
    }
    note_failure(search, all);
    if (good)
        search->candidates[search->n++] = found;
    else
        descriptors_clear(all);
}

// Asks the heuristics in one mode. A mode that knows nothing of the graph adds nothing.
static void ask(Search *search, cudnnBackendDescriptor_t graph, int mode)
{
    g_auto(Descriptors) all = {0};
    cudnnBackendDescriptor_t configs[MAX_CONFIGS];
    int64_t n = 0;
    descriptors_init(&all, search->device);
    cudnnBackendDescriptor_t made = descriptor_make(&all, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    descriptor_set_child(&all, made, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    descriptor_set_enum(&all, made, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    descriptor_finalize(&all, made);
    descriptor_get(&all, made, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n,
                   NULL);
    n = MIN(n, MAX_CONFIGS);
    for (int64_t i = 0; i < n; i++)
        configs[i] = descriptor_make(&all, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (n > 0)
        descriptor_get(&all, made, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n,
                       &n, configs);
    note_failure(search, &all);
    for (int64_t i = 0; all.status == CUDNN_STATUS_SUCCESS && i < n; i++)
        if (search->n < CONV_MAX_CANDIDATES)
            consider(search, configs[i], mode == CUDNN_HEUR_MODE_FALLBACK);
}

bool conv_candidates(const CzDevice *device, cudnnBackendDescriptor_t graph,
                     const ConvProblem *problem, size_t workspace_limit, ConvCandidate *candidates,
                     int *n, GError **error)
{
    Search search = {.device = device,
                     .refused = refused_by(device, problem->dtype),
                     .workspace_limit = workspace_limit,
                     .candidates = candidates};
    ask(&search, graph, CUDNN_HEUR_MODE_A);
    // The second list has what always works: it matters where the first leaves little.
    if (search.n < CONV_MAX_CANDIDATES)
        ask(&search, graph, CUDNN_HEUR_MODE_FALLBACK);
    *n = search.n;
    cudnnStatus_t status = search.failed.status;
    bool fatal = status != CUDNN_STATUS_SUCCESS &&
                 (is_out_of_memory(status) || device->options.deterministic || *n == 0);
    if (!fatal)
        return true;
    while (*n > 0)
        descriptors_clear(&candidates[--*n].descriptors);
    return descriptors_check(&search.failed, device, "looking for an engine", error);
}
