// SPDX-License-Identifier: LGPL-3.0-or-later
// The one place that knows how oneDNN 2.6 and 3.x differ.
//
// 2.x: memory descriptors are structs, a primitive descriptor is made from an operation
// descriptor. 3.x: both are opaque handles, and the operation descriptor is gone.
// What makes a library object asks host->fault() first, so that tests can fail each one.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#include <cz/backend.h>

#define ONEDNN_3 (DNNL_VERSION_MAJOR >= 3)

typedef struct {
    dnnl_memory_desc_t md;
    bool set;
} OnednnDesc;

#if ONEDNN_3
typedef const_dnnl_memory_desc_t OnednnDescRef;
#else
typedef const dnnl_memory_desc_t *OnednnDescRef;
#endif

static inline OnednnDescRef onednn_desc_ref(const OnednnDesc *desc)
{
#if ONEDNN_3
    return desc->set ? desc->md : NULL;
#else
    return desc->set ? &desc->md : NULL;
#endif
}

// strides NULL: the library chooses the layout.
static inline dnnl_status_t onednn_desc_init(const CzHost *host, OnednnDesc *desc, int n_dims,
                                             const dnnl_dims_t dims, dnnl_data_type_t type,
                                             const dnnl_dims_t strides)
{
    dnnl_status_t status = dnnl_out_of_memory;
    if (host->fault())
        return status;
#if ONEDNN_3
    status = strides ? dnnl_memory_desc_create_with_strides(&desc->md, n_dims, dims, type, strides)
                     : dnnl_memory_desc_create_with_tag(&desc->md, n_dims, dims, type,
                                                        dnnl_format_tag_any);
#else
    status = strides
                 ? dnnl_memory_desc_init_by_strides(&desc->md, n_dims, dims, type, strides)
                 : dnnl_memory_desc_init_by_tag(&desc->md, n_dims, dims, type, dnnl_format_tag_any);
#endif
    desc->set = status == dnnl_success;
    return status;
}

static inline void onednn_desc_clear(OnednnDesc *desc)
{
#if ONEDNN_3
    if (desc->set)
        dnnl_memory_desc_destroy(desc->md);
#endif
    desc->set = false;
}

static inline bool onednn_desc_equal(const OnednnDesc *a, const OnednnDesc *b)
{
    return dnnl_memory_desc_equal(onednn_desc_ref(a), onednn_desc_ref(b)) != 0;
}

static inline size_t onednn_desc_bytes(const OnednnDesc *desc)
{
    return desc->set ? dnnl_memory_desc_get_size(onednn_desc_ref(desc)) : 0;
}

static inline dnnl_status_t onednn_desc_copy(const CzHost *host, OnednnDesc *desc,
                                             const OnednnDesc *from)
{
    desc->set = false;
    if (host->fault())
        return dnnl_out_of_memory;
#if ONEDNN_3
    dnnl_status_t status = dnnl_memory_desc_clone(&desc->md, from->md);
#else
    dnnl_status_t status = dnnl_success;
    desc->md = from->md;
#endif
    desc->set = status == dnnl_success;
    return status;
}

// The layout that a primitive descriptor settled on; not set if it has no such memory.
static inline dnnl_status_t onednn_desc_query(const CzHost *host, OnednnDesc *desc,
                                              const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    desc->set = false;
    if (host->fault())
        return dnnl_out_of_memory;
    OnednnDescRef found = dnnl_primitive_desc_query_md(pd, what, 0);
    if (!found || dnnl_memory_desc_get_size(found) == 0)
        return dnnl_success;
#if ONEDNN_3
    dnnl_status_t status = dnnl_memory_desc_clone(&desc->md, found);
#else
    dnnl_status_t status = dnnl_success;
    desc->md = *found;
#endif
    desc->set = status == dnnl_success;
    return status;
}

// data may be DNNL_MEMORY_NONE and be set later.
static inline dnnl_status_t onednn_memory_new(const CzHost *host, dnnl_engine_t engine,
                                              const OnednnDesc *desc, void *data,
                                              dnnl_memory_t *memory)
{
    if (host->fault())
        return dnnl_out_of_memory;
    return dnnl_memory_create(memory, onednn_desc_ref(desc), engine, data);
}

static inline dnnl_status_t onednn_post_eltwise(dnnl_post_ops_t post_ops, dnnl_alg_kind_t kind,
                                                float alpha, float beta)
{
#if ONEDNN_3
    return dnnl_post_ops_append_eltwise(post_ops, kind, alpha, beta);
#else
    return dnnl_post_ops_append_eltwise(post_ops, 1.0f, kind, alpha, beta);
#endif
}

static inline dnnl_status_t onednn_post_sum(dnnl_post_ops_t post_ops)
{
#if ONEDNN_3
    return dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef);
#else
    return dnnl_post_ops_append_sum(post_ops, 1.0f);
#endif
}

static inline dnnl_status_t onednn_post_add(dnnl_post_ops_t post_ops, const OnednnDesc *other)
{
    return dnnl_post_ops_append_binary(post_ops, dnnl_binary_add, onednn_desc_ref(other));
}

// src and dst stand for their gradients in the backward passes. Pairs are height, width.
typedef struct {
    dnnl_prop_kind_t kind; // forward_training, forward_inference, backward_data, backward_weights
    OnednnDesc src, filter, bias, dst; // bias not set: none
    dnnl_dims_t strides, dilates, pad_l, pad_r;
} OnednnConv;

static inline dnnl_status_t onednn_conv_pd(const CzHost *host, dnnl_engine_t engine,
                                           const OnednnConv *c, const_dnnl_primitive_attr_t attr,
                                           dnnl_primitive_desc_t *pd)
{
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    OnednnDescRef src = onednn_desc_ref(&c->src), filter = onednn_desc_ref(&c->filter);
    OnednnDescRef bias = onednn_desc_ref(&c->bias), dst = onednn_desc_ref(&c->dst);
    if (host->fault())
        return dnnl_out_of_memory;
#if ONEDNN_3
    if (c->kind == dnnl_backward_data)
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, direct, src, filter,
                                                                    dst, c->strides, c->dilates,
                                                                    c->pad_l, c->pad_r, NULL, attr);
    if (c->kind == dnnl_backward_weights)
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, direct, src, filter, bias, dst, c->strides, c->dilates, c->pad_l, c->pad_r,
            NULL, attr);
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, c->kind, direct, src, filter,
                                                          bias, dst, c->strides, c->dilates,
                                                          c->pad_l, c->pad_r, attr);
#else
    dnnl_convolution_desc_t op;
    dnnl_status_t status;
    if (c->kind == dnnl_backward_data)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &op, direct, src, filter, dst, c->strides, c->dilates, c->pad_l, c->pad_r);
    else if (c->kind == dnnl_backward_weights)
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &op, direct, src, filter, bias, dst, c->strides, c->dilates, c->pad_l, c->pad_r);
    else
        status =
            dnnl_dilated_convolution_forward_desc_init(&op, c->kind, direct, src, filter, bias, dst,
                                                       c->strides, c->dilates, c->pad_l, c->pad_r);
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &op, attr, engine, NULL)
                                  : status;
#endif
}

static inline dnnl_status_t onednn_reorder_new(const CzHost *host, dnnl_engine_t engine,
                                               const OnednnDesc *src, const OnednnDesc *dst,
                                               dnnl_primitive_t *reorder)
{
    dnnl_primitive_desc_t pd = NULL;
    if (host->fault())
        return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, onednn_desc_ref(src), engine,
                                                              onednn_desc_ref(dst), engine, NULL);
    if (status != dnnl_success)
        return status;
    status = host->fault() ? dnnl_out_of_memory : dnnl_primitive_create(reorder, pd);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

// Implementation name, borrowed from the library while pd lives.
static inline const char *onednn_impl_name(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "oneDNN";
}

static inline const char *onednn_status_name(dnnl_status_t status)
{
    switch (status) {
    case dnnl_success:
        return "success";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented";
    case dnnl_runtime_error:
        return "run-time error";
    default:
        return "unknown status";
    }
}

static inline bool onednn_isa_has(dnnl_cpu_isa_t wanted)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)wanted) == (unsigned)wanted;
}

// The best instructions that the library uses here, as people call them.
static inline const char *onednn_isa_name(void)
{
    if (onednn_isa_has(dnnl_cpu_isa_avx512_core_amx))
        return "AMX BF16";
    if (onednn_isa_has(dnnl_cpu_isa_avx512_core_bf16))
        return "AVX-512 BF16";
    if (onednn_isa_has(dnnl_cpu_isa_avx512_core))
        return "AVX-512";
    if (onednn_isa_has(dnnl_cpu_isa_avx2))
        return "AVX2";
    return onednn_isa_has(dnnl_cpu_isa_avx) ? "AVX" : "SSE4.1";
}
