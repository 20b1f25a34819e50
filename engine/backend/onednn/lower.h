// SPDX-License-Identifier: LGPL-3.0-or-later
// Inside the module: device, buffers, and a compiled program as a list of prepared steps.
#pragma once

#include <cz/backend.h>
#include <cz/error.h>

#include "kernels.h"
#include "onednn-compat.h"

struct CzDevice {
    const CzHost *host;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct CzBuffer {
    char *data;
    size_t n_bytes;
};

// A filter in the layout that a primitive wants. Steps that want the same layout share it.
typedef struct {
    int32_t filter; // node
    bool constant;  // never changes while the program lives
    float *rounded; // the filter with the precision of BF16 on the way to F32; NULL: as it is
    const float *plain;
    size_t n_elements;
    OnednnDesc desc;
    void *data;
    dnnl_memory_t from, to;
    dnnl_primitive_t reorder;
    size_t run; // number of the run that it was packed in; 0: stale
} Pack;

enum { MAX_ARGS = 6 };

// One convolution by the library.
typedef struct {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[MAX_ARGS]; // owned memories, but for a pack's
    int n_args;
    Pack *pack; // NULL: reads the filter where it lies
    dnnl_memory_t scratchpad;
    // Residual that must lie in dst before the convolution adds to it; bytes 0: none or there.
    size_t residual_bytes;
    // BF16 pictures that go through F32 copies in the scratch (wide.c).
    bool wide;
    size_t wide_src_offset, wide_dst_offset;
    // Gradient of a filter, from the library's layout to ours; NULL: written where it belongs.
    dnnl_primitive_t unpack;
    dnnl_memory_t packed, plain;
    size_t packed_offset; // in the scratch
} ConvStep;

typedef enum { STEP_REFERENCE, STEP_KERNEL, STEP_CONV } StepKind;

typedef struct {
    StepKind kind;
    const CzNode *node;
    CzView *src; // n_src of them
    CzView dst;
    CzKernel kernel;
    ConvStep conv;
    size_t scratch_bytes;
    char name[64];
    double time_us;
} Step;

struct CzProgram {
    CzDevice *device;
    const CzPlanView *plan;
    int n_threads; // that the primitives were made for
    Step *steps;
    size_t n_steps;
    GPtrArray *packs; // of Pack
    size_t pack_bytes;
    char *scratch;
    size_t scratch_bytes;
    size_t run; // number of the current run, from 1
};

// memory.c: the device's memory is the machine's.
bool onednn_alloc(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error);
void onednn_release(CzDevice *device, CzBuffer *buffer);
bool onednn_upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error);
bool onednn_download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error);
size_t onednn_free_bytes(void); // 0 = unknown

// lower.c
bool onednn_compile(CzDevice *device, const CzPlanView *plan, CzProgram **program, GError **error);
size_t onednn_program_bytes(const CzProgram *program);
bool onednn_run(CzProgram *program, const CzProgress *progress, GError **error);
const char *onednn_step_kernel(const CzProgram *program, size_t step, double *time_us);
void onednn_discard(CzProgram *program);

// lower_conv.c. prepare: TRUE with *served FALSE where the library has nothing for this node, or,
// where there is an own kernel for it, nothing faster.
bool conv_prepare(CzProgram *program, Step *step, bool own, bool *served, GError **error);
void conv_bind_scratch(CzProgram *program, Step *step);
bool conv_run(CzProgram *program, Step *step, GError **error);
void conv_clear(ConvStep *conv);

// matmul.c: a kernel for products of matrices in F32; FALSE for other nodes.
bool matmul_find(const CzNode *node, CzKernel *kernel);

// wide.c: BF16 to F32, F32 to BF16, and F32 to the nearest BF16 as F32.
void wide_load(float *dst, const uint16_t *src, size_t n);
void wide_store(uint16_t *dst, const float *src, size_t n);
void wide_round(float *dst, const float *src, size_t n);

// pack.c: a pack of this filter in this layout, new or shared. NULL with error.
typedef struct {
    const CzNode *filter;
    const float *data;
    const OnednnDesc *plain, *packed;
    bool round; // to BF16 on the way
} PackRequest;
Pack *pack_find(CzProgram *program, const PackRequest *request, GError **error);
bool pack_refresh(CzProgram *program, Pack *pack, GError **error);
void pack_forget(CzProgram *program, const CzNode *effect); // its sources have changed
void pack_free(CzProgram *program, Pack *pack);

// FALSE with CZ_ERROR_BACKEND or CZ_ERROR_MEMORY unless status is success.
bool onednn_check(const CzHost *host, dnnl_status_t status, const char *what, GError **error);
