// SPDX-License-Identifier: LGPL-3.0-or-later
// A plan from inside, for plan.c and plan_text.c.
#pragma once

#include <cz/plan.h>

#include "plan/memory_plan.h"

struct CzPlan {
    const CzEngineDevice *device;
    CzPlanOptions options;
    size_t n_nodes;
    const CzNode **nodes; // by id, all of the graph; the graph's
    bool *needed;         // by id
    bool *outputs;        // by id
    bool *written;        // by id: INPUTs that hold data for the next run
    int32_t *steps;
    size_t n_steps;
    CzSlot *slots; // by id
    CzMemoryPlan memory;
    CzBuffer *arena;
    char *staging; // for outputs that are not F32, and NaNs to poison with; may be NULL
    bool has_run;

    // One program for all steps; with poison one for each, so that memory can be spoilt in between.
    CzProgram **programs;
    CzPlanView *views;
    size_t n_programs;
};
