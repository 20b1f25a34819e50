// SPDX-License-Identifier: LGPL-3.0-or-later
// Lifetimes, in-place reuse, and offsets in one arena: best fit, largest region first.
#include "plan/memory_plan.h"

#include <string.h>

#include <cz/error.h>

// Values that the host writes before a run or reads after it. An output is held during the whole
// run, so that the next inputs may be written before it is read.
static bool held_from_start(const CzMemoryRequest *request, int32_t id)
{
    return request->outputs[id] || request->nodes[id]->op == CZ_OP_INPUT;
}

// The last step that reads each value; its own step if none does. n_steps for outputs.
static int32_t *last_uses(const CzMemoryRequest *request)
{
    int32_t *last = g_new(int32_t, request->n_nodes + 1);
    for (size_t id = 0; id < request->n_nodes; id++)
        last[id] = -1;
    for (size_t step = 0; step < request->n_steps; step++) {
        const CzNode *node = request->nodes[request->steps[step]];
        last[node->id] = (int32_t)step;
        for (int32_t i = 0; i < node->n_src; i++)
            if (node->src[i] >= 0)
                last[node->src[i]] = (int32_t)step;
    }
    for (size_t id = 0; id < request->n_nodes; id++)
        if (request->outputs[id])
            last[id] = (int32_t)request->n_steps;
    return last;
}

// Whether op and backend allow dst in the place of source i wherever that value occurs among its
// sources: a convolution whose residual is also its src must not.
static bool op_allows(const CzMemoryRequest *request, const CzNode *node, int32_t i)
{
    if (request->in_place && !request->in_place(node, i))
        return false;
    for (int32_t k = 0; k < node->n_src; k++) {
        bool allowed = k < 32 && (node->op_class->in_place >> k & 1u);
        if (node->src[k] == node->src[i] && !allowed)
            return false;
    }
    return true;
}

// The source in whose place the step's output may be made, or -1. Never the store's memory, nor
// what the host has written; what it will read has a last use after all steps.
static int32_t source_to_reuse(const CzMemoryRequest *request, const CzNode *node, int32_t step,
                               const int32_t *last)
{
    for (int32_t i = 0; i < node->n_src; i++) {
        if (node->src[i] < 0 || !op_allows(request, node, i))
            continue;
        const CzNode *src = request->nodes[node->src[i]];
        bool own = src->op != CZ_OP_INPUT && src->op != CZ_OP_PARAM;
        if (own && last[src->id] == step && src->dtype == node->dtype &&
            cz_shape_equal(src->shape, node->shape))
            return src->id;
    }
    return -1;
}

static bool add_region(CzMemoryPlan *plan, const CzMemoryRequest *request, int32_t id,
                       int32_t first, int32_t last, GError **error)
{
    const CzNode *node = request->nodes[id];
    size_t n_bytes;
    if (!cz_shape_bytes(node->shape, node->dtype, &n_bytes, error))
        return false;
    // Cannot overflow: cz_shape_bytes() leaves half of the address space.
    n_bytes = (n_bytes + CZ_ARENA_ALIGNMENT - 1) / CZ_ARENA_ALIGNMENT * CZ_ARENA_ALIGNMENT;
    plan->region_of[id] = (int32_t)plan->n_regions;
    plan->regions[plan->n_regions++] = (CzRegion){
        .n_bytes = n_bytes,
        .first = held_from_start(request, id) ? -1 : first,
        .last = last,
    };
    return true;
}

static bool make_regions(CzMemoryPlan *plan, const CzMemoryRequest *request, GError **error)
{
    g_autofree int32_t *last = last_uses(request);
    for (size_t id = 0; id < request->n_nodes; id++)
        if (request->needed[id] && request->nodes[id]->op == CZ_OP_INPUT &&
            !add_region(plan, request, (int32_t)id, -1, last[id], error))
            return false;

    for (size_t step = 0; step < request->n_steps; step++) {
        const CzNode *node = request->nodes[request->steps[step]];
        int32_t reused = source_to_reuse(request, node, (int32_t)step, last);
        if (reused < 0) {
            if (!add_region(plan, request, node->id, (int32_t)step, last[node->id], error))
                return false;
            continue;
        }
        CzRegion *region = &plan->regions[plan->region_of[reused]];
        plan->region_of[node->id] = plan->region_of[reused];
        plan->shared[node->id] = true;
        region->last = last[node->id];
        if (request->outputs[node->id])
            region->first = -1;
    }
    return true;
}

// Largest first; of equals the earliest, so that the same graph always gives the same offsets.
static int compare_regions(gconstpointer a, gconstpointer b, gpointer user)
{
    const CzRegion *regions = user;
    int32_t ia = *(const int32_t *)a, ib = *(const int32_t *)b;
    const CzRegion *ra = &regions[ia], *rb = &regions[ib];
    if (ra->n_bytes != rb->n_bytes)
        return ra->n_bytes > rb->n_bytes ? -1 : 1;
    if (ra->first != rb->first)
        return ra->first < rb->first ? -1 : 1;
    return ia < ib ? -1 : 1;
}

// The start of the smallest gap between regions held at the same time, or the end of them all.
static size_t best_gap(const CzRegion *regions, const CzRegion *region, const int32_t *placed,
                       size_t n_placed)
{
    size_t end = 0, best = 0, best_bytes = SIZE_MAX;
    for (size_t i = 0; i < n_placed; i++) {
        const CzRegion *other = &regions[placed[i]];
        if (other->last < region->first || region->last < other->first)
            continue;
        if (other->offset > end) {
            size_t gap = other->offset - end;
            if (gap >= region->n_bytes && gap < best_bytes) {
                best = end;
                best_bytes = gap;
            }
        }
        end = MAX(end, other->offset + other->n_bytes);
    }
    return best_bytes < SIZE_MAX ? best : end;
}

static bool place_regions(CzMemoryPlan *plan, GError **error)
{
    g_autofree int32_t *order = g_new(int32_t, plan->n_regions + 1);
    g_autofree int32_t *placed = g_new(int32_t, plan->n_regions + 1); // by offset
    for (size_t i = 0; i < plan->n_regions; i++)
        order[i] = (int32_t)i;
    g_qsort_with_data(order, (gint)plan->n_regions, sizeof *order, compare_regions, plan->regions);

    for (size_t i = 0; i < plan->n_regions; i++) {
        CzRegion *region = &plan->regions[order[i]];
        gsize end;
        region->offset = best_gap(plan->regions, region, placed, i);
        if (!g_size_checked_add(&end, region->offset, region->n_bytes) || end > G_MAXSSIZE) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE,
                        "activations: expected to fit in memory, found more than %zu bytes",
                        region->offset);
            return false;
        }
        plan->arena_bytes = MAX(plan->arena_bytes, end);
        size_t at = i;
        while (at > 0 && plan->regions[placed[at - 1]].offset > region->offset)
            at--;
        memmove(&placed[at + 1], &placed[at], (i - at) * sizeof *placed);
        placed[at] = order[i];
    }
    return true;
}

bool cz_memory_plan_init(CzMemoryPlan *plan, const CzMemoryRequest *request, GError **error)
{
    *plan = (CzMemoryPlan){
        .regions = g_new0(CzRegion, request->n_nodes + 1),
        .region_of = g_new(int32_t, request->n_nodes + 1),
        .shared = g_new0(bool, request->n_nodes + 1),
    };
    for (size_t id = 0; id < request->n_nodes; id++)
        plan->region_of[id] = -1;
    if (make_regions(plan, request, error) && place_regions(plan, error))
        return true;
    cz_memory_plan_clear(plan);
    return false;
}

void cz_memory_plan_clear(CzMemoryPlan *plan)
{
    g_free(plan->regions);
    g_free(plan->region_of);
    g_free(plan->shared);
    *plan = (CzMemoryPlan){0};
}
