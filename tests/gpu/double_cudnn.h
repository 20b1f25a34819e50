// SPDX-License-Identifier: LGPL-3.0-or-later
// What the files of cuDNN's double share.
#pragma once

#include <glib.h>

#include "double.h"
#include "double_api.h"

enum { N_DIMS = 4 };

typedef struct {
    int64_t uid, alignment;
    int64_t dims[N_DIMS], strides[N_DIMS]; // n, c, h, w; a filter's: k, c, r, s
    int type, is_virtual;                  // no padding: tensors are compared byte by byte
} Tensor;

typedef struct {
    int kind;     // the operation's descriptor type
    int in[2];    // tensors: x and w; dy and w; x and dy; x and b (or -1)
    int out;      // y, dx, dw
    bool flipped; // a true convolution
    int64_t stride[2], dilation[2], before[2], after[2];
    int mode; // of a pointwise operation
    double lower, upper, slope;
    double alpha, beta; // of a pointwise operation: the factors of x and b
} Step;

// A graph in the order of its operations, without descriptors. Counted (g_atomic_rc_box).
typedef struct {
    Tensor *tensors;
    Step *steps;
    int n_tensors, n_steps;
} Program;

typedef struct {
    int64_t index;
    unsigned numerical, behavior; // bits: 1 << note
    int64_t workspace;
} Engine;

// What a plan knows how to run, and the pretended rest of it.
typedef struct Descriptor Descriptor;
struct Descriptor {
    int type;
    bool finalized;
    unsigned refs;          // the user's, and one for each descriptor that it was given to
    GHashTable *attributes; // name -> Attribute *
    void *real;             // the real library's descriptor, or NULL
    Program *program;       // of operation graphs and what is made of them
    int64_t engine, workspace;
};

typedef struct {
    int type;
    int64_t n;
    void *data; // for descriptors: counted
} Attribute;

typedef struct {
    int owner, name, type; // type: TYPE_SCALAR for float or double
    int64_t min, max;
    bool gettable;
    int child; // the type of descriptors that are its elements, OPERATION_CHILD for any operation
} AttributeRow;

enum { TYPE_SCALAR = -1, NO_CHILD = -1, OPERATION_CHILD = -2 };

// double_cudnn_table.c
const AttributeRow *attribute_find(int owner, int name);
size_t attribute_size(int type);
bool is_operation(int type);

// In every function of the library: counts the call and strikes where a fault was asked for.
extern GRecMutex cudnn_lock;
cudnnStatus_t cudnn_enter(const char *name);
#define ENTER()                                                              \
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock); \
    cudnnStatus_t entered = cudnn_enter(__func__)
#define ENTER_OR_RETURN()                \
    ENTER();                             \
    if (entered != CUDNN_STATUS_SUCCESS) \
    return entered

// double_cudnn.c: sets the last error's text. In every function: 0 or a status.
cudnnStatus_t refuse(cudnnStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
cudnnStatus_t descriptor_check(const Descriptor *descriptor, int type, bool finalized);
// NULL and a complaint for what was never made or was destroyed.
Descriptor *descriptor_find(void *handle, const char *caller);
// The row of an attribute, or why it may not be read or written as that type.
cudnnStatus_t attribute_check(const Descriptor *descriptor, int name, int type,
                              const AttributeRow **row);
const Attribute *descriptor_get(const Descriptor *descriptor, int name);
// The first element as a number, or fallback where it is not set.
double descriptor_number(const Descriptor *descriptor, int name, double fallback);
Descriptor *descriptor_child(const Descriptor *descriptor, int name, int64_t i);
void *handle_stream(cudnnHandle_t handle, bool *known);
double engine_duration(int64_t engine);
void count_execution(void);

// double_cudnn_graph.c
cudnnStatus_t descriptor_judge(Descriptor *descriptor);
void program_unref(void *program);
// How many engines a graph has; engines: room for 8.
int graph_engines(const Program *program, int mode, Engine *engines);
bool engine_find(int64_t index, Engine *engine);
size_t type_size(int type);
size_t tensor_bytes(const Tensor *tensor);

// double_cudnn_run.c
typedef struct {
    Program *program;
    void **pointers; // one for each tensor, NULL: virtual
    uint8_t *workspace;
    size_t workspace_bytes;
    double duration;
} Run;
void run_execute(void *run);
void run_free(void *run);

// double_cudnn_real.c: the real library, where it was asked for; each NULL-safe.
bool real_wanted(void);
cudnnStatus_t real_create(int type, void **real);
void real_destroy(void *real);
cudnnStatus_t real_set(const Descriptor *descriptor, int name, int type, int64_t n,
                       const void *elements);
cudnnStatus_t real_get(const Descriptor *descriptor, int name, int type, int64_t max, int64_t *n,
                       void *elements);
cudnnStatus_t real_finalize(const Descriptor *descriptor);
size_t real_version(void);
size_t real_cudart_version(void);
