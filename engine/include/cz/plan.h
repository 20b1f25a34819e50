// SPDX-License-Identifier: LGPL-3.0-or-later
// Devices, stores of named tensors, and plans: one graph, one device, fixed shapes, many runs.
//
// A plan knows the bytes it needs before anything is allocated, and allocates nothing in a run.
// One thread at a time per device and everything on it.
#pragma once

#include <cz/backend.h>
#include <cz/graph.h>
#include <cz/model.h>

G_BEGIN_DECLS

// ---- devices ----------------------------------------------------------------------------------

// All devices that open here: the CPU backend's "cpu" first, then others, "reference" last. The
// list is made once per process and borrowed. Backends that could not be loaded have a sentence in
// notes (NULL-terminated, borrowed). Modules come from the installed folder, or from those in
// COLORIZE_MODULE_DIR (absolute, with colons between) and nowhere else.
const CzDeviceInfo *cz_devices(size_t *n_devices, const char *const **notes);
// Each library that a backend found and did not take, in a sentence; NULL-terminated, borrowed.
const char *const *cz_device_details(void);

typedef struct CzEngineDevice CzEngineDevice;
// id: "auto" or NULL = the best that opens; "cpu" = oneDNN, or the reference backend where it is
// missing; "reference"; "cuda" = the first GPU that opens, "cuda:N", "cuda:TEXT" = the first with TEXT
// in its name, whatever the case.
// CZ_ERROR_BACKEND for an unknown or unusable one. options may be NULL.
CzEngineDevice *cz_device_open(const char *id, GError **error);
CzEngineDevice *cz_device_open_with(const char *id, const CzDeviceOptions *options, GError **error);
void cz_device_close(CzEngineDevice *device); // accepts NULL; stores and plans must be gone
const CzDeviceInfo *cz_device_info(const CzEngineDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzEngineDevice, cz_device_close)
// The ranks that train on this device and on others (cz_graph_set_ranks); NULL: it is alone. Kept
// here for those who build graphs for the device; borrowed. All ranks must call it at the same place
// of their order of sums: devices may have to find each other.
void cz_device_set_ranks(CzEngineDevice *device, const CzRanks *ranks);
const CzRanks *cz_device_ranks(const CzEngineDevice *device);

// ---- store --------------------------------------------------------------------------------------

// Named F32 tensors on a device, shared by plans: parameters, optimizer state, moving averages.
typedef struct CzStore CzStore;
CzStore *cz_store_new(CzEngineDevice *device);
void cz_store_free(CzStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzStore, cz_store_free)

// data: NHWC (for filters: out, kh, kw, in), or NULL for zeros. An existing name must have the
// same shape, and is overwritten. CZ_ERROR_MODEL (another shape), SHAPE (an impossible one), MEMORY,
// BACKEND; the store is then as before, but for data that an upload had begun to overwrite.
bool cz_store_add(CzStore *store, const char *name, CzShape shape, const float *data, GError **error);
bool cz_store_has(const CzStore *store, const char *name, CzShape *shape); // shape may be NULL
// data: the whole tensor, NHWC. CZ_ERROR_MODEL: no tensor has this name; BACKEND.
bool cz_store_read(CzStore *store, const char *name, float *data, GError **error);
bool cz_store_write(CzStore *store, const char *name, const float *data, GError **error);
size_t cz_store_n(const CzStore *store);
const char *cz_store_name(const CzStore *store, size_t index); // in order of adding; borrowed
// All tensors of a file, turned from OIHW: rank 4 = (n, c, h, w), 1 = (1, c, 1, 1), 0 = scalar.
// CZ_ERROR_MODEL, SHAPE: one of them does not fit, and none is loaded. MEMORY, BACKEND: some may be.
bool cz_store_load(CzStore *store, const CzModelFile *file, GError **error);
// Appends tensors whose names begin with prefix (NULL: all) to a writer, in file order (OIHW;
// shape (1, c, 1, 1) as rank 1). strip: cut the prefix off the name. CZ_ERROR_SHAPE (a name twice),
// MEMORY, BACKEND.
bool cz_store_save(CzStore *store, CzModelWriter *writer, const char *prefix, bool strip, CzDtype dtype, GError **error);

// ---- plan ---------------------------------------------------------------------------------------

typedef struct CzPlan CzPlan;

typedef struct {
    bool frozen;  // parameters do not change while the plan lives: filters are packed once
    bool timed;   // cz_plan_dump() and cz_plan_profile() are to tell times; the CPU's plans always do
    bool poison;  // tests: each step runs alone, memory is NaN before its first and after its last use
} CzPlanOptions;

// The nodes that the outputs need, on this device. Every PARAM must be in the store with the right
// shape (CZ_ERROR_MODEL). Nodes run in the order of appending: what reads a PARAM before an effect
// was appended sees it as it was. Effects run only if their scalar is among the outputs or leads to
// one. graph and store may be freed after the plan, not before. store may be NULL where there is
// no PARAM; options may be NULL.
CzPlan *cz_plan_new(CzEngineDevice *device, CzStore *store, const CzGraph *graph, const CzValue *outputs,
                    size_t n_outputs, const CzPlanOptions *options, GError **error);
void cz_plan_free(CzPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzPlan, cz_plan_free)

size_t cz_plan_arena_bytes(const CzPlan *plan); // activations, after sharing
size_t cz_plan_total_bytes(const CzPlan *plan); // with scratch and packed filters, without the store

// input: an INPUT of the graph (nothing happens if the outputs do not need it); output: one of
// outputs. n_elements must match (CZ_ERROR_SHAPE); BF16 and F16 come back as F32. An input keeps its data
// only until the end of the next run, so every input is due before every run (CZ_ERROR_ARGUMENT);
// outputs keep theirs until the next run starts, whatever is written meanwhile.
bool cz_plan_write(CzPlan *plan, CzValue input, const float *data, size_t n_elements, GError **error);
bool cz_plan_run(CzPlan *plan, const CzProgress *progress, GError **error);
bool cz_plan_read(CzPlan *plan, CzValue output, float *data, size_t n_elements, GError **error);

// Text: one line a step with kernel, shapes, offset, time of the last run; the caller frees.
char *cz_plan_dump(const CzPlan *plan);
// Sums the last run's time by op name: "conv2d 41.2 % ..." for benches; the caller frees.
char *cz_plan_profile(const CzPlan *plan);

G_END_DECLS
