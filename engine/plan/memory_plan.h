// SPDX-License-Identifier: LGPL-3.0-or-later
// Where values lie: lifetimes, in-place reuse, offsets in one arena. Pure arithmetic, no device.
#pragma once

#include <cz/node.h>

#define CZ_ARENA_ALIGNMENT 64u

typedef struct {
    const CzNode *const *nodes; // by id
    size_t n_nodes;
    const int32_t *steps; // ids to run, in order; neither INPUT nor PARAM
    size_t n_steps;
    const bool *needed;  // by id
    const bool *outputs; // by id: what is read after the run
    bool (*in_place)(const CzNode *node, int32_t src); // of the backend (cz/backend.h); may be NULL
} CzMemoryRequest;

// A piece of the arena. Several values have it in turn where one was made in place of another.
// Steps first to last use it, both counted in; first -1: held from before the first step on, last
// n_steps: held after the last one too.
typedef struct {
    size_t n_bytes, offset; // multiples of CZ_ARENA_ALIGNMENT
    int32_t first, last;
} CzRegion;

typedef struct {
    CzRegion *regions;
    size_t n_regions;
    int32_t *region_of; // by node id; -1: not in the arena (PARAM, not needed)
    bool *shared;       // by node id: lies in the memory of one of its sources
    size_t arena_bytes;
} CzMemoryPlan;

// CZ_ERROR_SHAPE if the arena is larger than the address space.
bool cz_memory_plan_init(CzMemoryPlan *plan, const CzMemoryRequest *request, GError **error);
void cz_memory_plan_clear(CzMemoryPlan *plan); // accepts a zeroed plan
