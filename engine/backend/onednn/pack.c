// SPDX-License-Identifier: LGPL-3.0-or-later
// Filters in the library's own layouts: made once, or once a run, and shared by steps.
//
// A frozen plan packs each parameter in its first run (the store may still be filled after
// compile) and never again. Otherwise a filter is packed in every run, right before the first step
// that needs it; a second step that wants the same layout takes the same pack, unless an effect
// node (optimizer) wrote the filter in between. BF16 steps get their filters rounded here.
#include "lower.h"

Pack *pack_find(CzProgram *program, const CzNode *filter, void *data, const OnednnDesc *plain,
                const OnednnDesc *packed, GError **error)
{
    const CzHost *host = program->device->host;
    for (guint i = 0; i < program->packs->len; i++) {
        Pack *pack = g_ptr_array_index(program->packs, i);
        if (pack->filter == filter->id && onednn_desc_equal(&pack->desc, packed))
            return pack;
    }
    Pack *pack = g_new0(Pack, 1);
    pack->filter = filter->id;
    pack->constant = program->plan->frozen && filter->op == CZ_OP_PARAM;
    g_ptr_array_add(program->packs, pack);

    dnnl_engine_t engine = program->device->engine;
    const size_t n_bytes = onednn_desc_bytes(packed);
    pack->data = host->memory_alloc(n_bytes, "a packed filter", error);
    if (!pack->data)
        return NULL;
    program->pack_bytes += n_bytes;
    dnnl_status_t status = onednn_desc_copy(host, &pack->desc, packed);
    if (status == dnnl_success)
        status = onednn_memory_new(host, engine, plain, data, &pack->from);
    if (status == dnnl_success)
        status = onednn_memory_new(host, engine, packed, pack->data, &pack->to);
    if (status == dnnl_success)
        status = onednn_reorder_new(host, engine, plain, packed, &pack->reorder);
    return onednn_check(host, status, "packing a filter", error) ? pack : NULL;
}

bool pack_refresh(CzProgram *program, Pack *pack, GError **error)
{
    if (pack->run == program->run || (pack->constant && pack->run > 0))
        return true;
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
    g_free(pack);
}
