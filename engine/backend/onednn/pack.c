// SPDX-License-Identifier: LGPL-3.0-or-later
// Filters in the library's own layouts: made once, or once a run, and shared by steps.
//
// A frozen plan packs each parameter in its first run (the store may still be filled after
// compile) and never again. Otherwise a filter is packed in every run, right before the first step
// that needs it; a second step that wants the same layout takes the same pack, unless an effect
// node (optimizer) wrote the filter in between. BF16 steps get their filters rounded here.
#include "lower.h"

static bool fill(CzProgram *program, Pack *pack, const PackRequest *request, GError **error)
{
    const CzHost *host = program->device->host;
    dnnl_engine_t engine = program->device->engine;
    const size_t n_bytes = onednn_desc_bytes(request->packed);
    const size_t n_plain = request->round ? onednn_desc_bytes(request->plain) : 0;
    float *from = (float *)request->data;
    pack->data = host->memory_alloc(n_bytes, "a packed filter", error);
    if (!pack->data)
        return false;
    if (request->round) {
        pack->rounded = from = host->memory_alloc(n_plain, "a rounded filter", error);
        if (!from)
            return false;
    }
    program->pack_bytes += n_bytes + n_plain;
    dnnl_status_t status = onednn_desc_copy(host, &pack->desc, request->packed);
    if (status == dnnl_success)
        status = onednn_memory_new(host, engine, request->plain, from, &pack->from);
    if (status == dnnl_success)
        status = onednn_memory_new(host, engine, request->packed, pack->data, &pack->to);
    if (status == dnnl_success)
        status = onednn_reorder_new(host, engine, request->plain, request->packed, &pack->reorder);
    return onednn_check(host, status, "packing a filter", error);
}

Pack *pack_find(CzProgram *program, const PackRequest *request, GError **error)
{
    for (guint i = 0; i < program->packs->len; i++) {
        Pack *pack = g_ptr_array_index(program->packs, i);
        if (pack->filter == request->filter->id && !pack->rounded == !request->round &&
            onednn_desc_equal(&pack->desc, request->packed))
            return pack;
    }
    Pack *pack = g_new0(Pack, 1);
    pack->filter = request->filter->id;
    pack->constant = program->plan->frozen && request->filter->op == CZ_OP_PARAM;
    pack->plain = request->data;
    pack->n_elements = cz_shape_count(request->filter->shape);
    g_ptr_array_add(program->packs, pack);
    return fill(program, pack, request, error) ? pack : NULL;
}

bool pack_refresh(CzProgram *program, Pack *pack, GError **error)
{
    if (pack->run == program->run || (pack->constant && pack->run > 0))
        return true;
    if (pack->rounded)
        wide_round(pack->rounded, pack->plain, pack->n_elements);
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, pack->from}, {DNNL_ARG_TO, pack->to}};
    dnnl_status_t status = dnnl_primitive_execute(pack->reorder, program->device->stream, 2, args);
    if (!onednn_check(program->device->host, status, "packing a filter", error))
        return false;
    pack->run = program->run;
    return true;
}

void pack_forget(CzProgram *program, const CzNode *effect)
{
    for (guint i = 0; i < program->packs->len; i++) {
        Pack *pack = g_ptr_array_index(program->packs, i);
        for (int32_t s = 0; s < effect->n_src; s++)
            if (effect->src[s] == pack->filter)
                pack->run = 0;
    }
}

void pack_free(CzProgram *program, Pack *pack)
{
    if (pack->reorder)
        dnnl_primitive_destroy(pack->reorder);
    if (pack->from)
        dnnl_memory_destroy(pack->from);
    if (pack->to)
        dnnl_memory_destroy(pack->to);
    onednn_desc_clear(&pack->desc);
    program->device->host->memory_free(pack->data);
    program->device->host->memory_free(pack->rounded);
    g_free(pack);
}
