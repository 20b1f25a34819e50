// SPDX-License-Identifier: LGPL-3.0-or-later
#include "doubles_kit.h"

#include <dlfcn.h>
#include <string.h>

struct Cuda cuda;
struct Cudnn cudnn;
size_t (*kit_cudnn_version)(void);

static void resolve(void *library, const char *name, void *target)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        g_error("%s is missing", name);
    memcpy(target, &symbol, sizeof symbol);
}

static void *open_library(const char *name)
{
    g_autofree char *path = g_build_filename(g_getenv("COLORIZE_DOUBLE_DIR"), name, NULL);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        g_error("%s", dlerror());
    return library;
}

void kit_open(void)
{
    void *library = open_library("libcuda-double.so");
#define RESOLVE(name, parameters) resolve(library, #name, &cuda.name);
    KIT_CUDA(RESOLVE)
#undef RESOLVE
    library = open_library("libcudnn-double.so");
#define RESOLVE(name, parameters) resolve(library, #name, &cudnn.name);
    KIT_CUDNN(RESOLVE)
#undef RESOLVE
    resolve(library, "cudnnGetVersion", &kit_cudnn_version);
}

bool device_start(Device *device)
{
    memset(device, 0, sizeof *device);
    if (cuda.cuInit(0) == 0 && cuda.cuDevicePrimaryCtxRetain(&device->context, 0) == 0 &&
        cuda.cuCtxSetCurrent(device->context) == 0 &&
        cuda.cuStreamCreate(&device->stream, CU_STREAM_NON_BLOCKING) == 0 &&
        cudnn.cudnnCreate(&device->handle) == 0 &&
        cudnn.cudnnSetStream(device->handle, device->stream) == 0)
        return true;
    device_stop(device);
    return false;
}

void device_stop(Device *device)
{
    if (device->handle != NULL)
        cudnn.cudnnDestroy(device->handle);
    if (device->stream != NULL)
        cuda.cuStreamDestroy_v2(device->stream);
    if (device->context != NULL)
        cuda.cuDevicePrimaryCtxRelease_v2(0);
}

int64_t problem_out(const Problem *problem, int64_t size, int64_t taps)
{
    return (size + problem->before + problem->after - taps) / problem->stride + 1;
}

// The first failure sticks, and what follows does nothing.
static int status;

static void *make(Plan *plan, int type)
{
    void *made = NULL;
    if (status == 0)
        status = cudnn.cudnnBackendCreateDescriptor(type, &made);
    if (made != NULL) {
        g_assert_cmpint(plan->n_made, <, (int)G_N_ELEMENTS(plan->made));
        plan->made[plan->n_made++] = made;
    }
    return made;
}

static void set(void *made, int name, int type, int64_t n, const void *elements)
{
    if (status == 0)
        status = cudnn.cudnnBackendSetAttribute(made, name, type, n, elements);
}

static void set_child(void *made, int name, void *child)
{
    set(made, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &child);
}

static void get(void *made, int name, int type, int64_t max, int64_t *n, void *elements)
{
    if (status == 0)
        status = cudnn.cudnnBackendGetAttribute(made, name, type, max, n, elements);
}

static void finalize(void *made)
{
    if (status == 0)
        status = cudnn.cudnnBackendFinalize(made);
}

static void *make_tensor(Plan *plan, int64_t uid, int type, const int64_t *dims)
{
    void *tensor = make(plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    bool is_virtual = uid >= UID_V1;
    int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    set(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &(int64_t){16});
    if (is_virtual)
        set(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finalize(tensor);
    return tensor;
}

static void *make_conv(Plan *plan, const Problem *problem)
{
    void *conv = make(plan, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    int type = CUDNN_DATA_FLOAT, mode = CUDNN_CROSS_CORRELATION;
    int64_t stride[] = {problem->stride, problem->stride}, ones[] = {1, 1};
    int64_t before[] = {problem->before, problem->before};
    int64_t after[] = {problem->after, problem->after};
    set(conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &(int64_t){2});
    set(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    set(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    set(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    finalize(conv);
    return conv;
}

static void *make_pointwise(Plan *plan, int mode, void *x, void *b, void *y)
{
    void *map = make(plan, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    int type = CUDNN_DATA_FLOAT;
    set(map, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(map, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finalize(map);
    void *operation = make(plan, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_child(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, map);
    set_child(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL)
        set_child(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_child(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finalize(operation);
    return operation;
}

static void *make_conv_operation(Plan *plan, const Problem *problem, void *x, void *w, void *y)
{
    void *operation = make(plan, problem->kind);
    void *conv = make_conv(plan, problem);
    // The three kinds count their attributes differently: alpha, beta, conv, then the tensors.
    bool forward = problem->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool data = problem->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    int base = forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA
               : data  ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA
                       : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA;
    set(operation, base, CUDNN_TYPE_FLOAT, 1, &(float){1});
    set(operation, base + 1, CUDNN_TYPE_FLOAT, 1, &problem->beta);
    set_child(operation, base + 2, conv);
    set_child(operation, base + 3, w);
    set_child(operation, base + 4, x);
    set_child(operation, base + 5, y);
    finalize(operation);
    return operation;
}

static void make_graph(Plan *plan, const Problem *p)
{
    int64_t filter_c = p->filter_c > 0 ? p->filter_c : p->c;
    int64_t x_dims[] = {p->n, p->c, p->h, p->w}, w_dims[] = {p->k, filter_c, p->r, p->s};
    int64_t y_dims[] = {p->n, p->k, problem_out(p, p->h, p->r), problem_out(p, p->w, p->s)};
    int64_t bias_dims[] = {1, p->k, 1, 1};
    void *x = make_tensor(plan, UID_X, p->type, x_dims);
    void *w = make_tensor(plan, UID_W, p->type, w_dims);
    void *y = make_tensor(plan, UID_Y, p->type, y_dims);
    void *operations[3] = {0};
    int n = 1;
    if (p->bias_relu) {
        void *bias = make_tensor(plan, UID_BIAS, CUDNN_DATA_FLOAT, bias_dims);
        void *v1 = make_tensor(plan, UID_V1, CUDNN_DATA_FLOAT, y_dims);
        void *v2 = make_tensor(plan, UID_V2, CUDNN_DATA_FLOAT, y_dims);
        operations[0] = make_conv_operation(plan, p, x, w, v1);
        operations[1] = make_pointwise(plan, CUDNN_POINTWISE_ADD, v1, bias, v2);
        operations[2] = make_pointwise(plan, CUDNN_POINTWISE_RELU_FWD, v2, NULL, y);
        n = 3;
    } else {
        operations[0] = make_conv_operation(plan, p, x, w, y);
    }
    plan->graph = make(plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(plan->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operations);
    finalize(plan->graph);
}

static bool has_note(void *engine, int name, int type, int note)
{
    int notes[32] = {0};
    int64_t n = 0;
    get(engine, name, type, G_N_ELEMENTS(notes), &n, notes);
    for (int64_t i = 0; i < n; i++)
        if (notes[i] == note)
            return true;
    return false;
}

static bool is_wanted(Plan *plan, void *config)
{
    void *engine = make(plan, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, NULL, &engine);
    return !has_note(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                     CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) &&
           !has_note(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                     CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) &&
           !has_note(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                     CUDNN_NUMERICAL_NOTE_TENSOR_CORE) &&
           status == 0;
}

static void plan_config(Plan *plan, const Device *device, void *config)
{
    void *made = make(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(made, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &device->handle);
    set_child(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    finalize(made);
    get(made, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, NULL,
        &plan->workspace);
    plan->plan = status == 0 ? made : NULL;
}

int plan_make(const Device *device, const Problem *problem, Plan *plan)
{
    enum { MAX_CONFIGS = 48 };
    void *configs[MAX_CONFIGS];
    memset(plan, 0, sizeof *plan);
    status = 0;
    make_graph(plan, problem);
    void *heuristics = make(plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    int mode = CUDNN_HEUR_MODE_A;
    set_child(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, plan->graph);
    set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finalize(heuristics);
    int64_t n = 0;
    get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n, NULL);
    n = MIN(n, MAX_CONFIGS);
    for (int64_t i = 0; i < n; i++)
        configs[i] = make(plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, &n, configs);
    plan->n_engines = (int)n;
    for (int64_t i = 0; i < n && status == 0; i++) {
        if (!is_wanted(plan, configs[i]))
            continue;
        plan->n_left++;
        if (plan->plan == NULL)
            plan_config(plan, device, configs[i]);
    }
    if (status == 0 && plan->plan == NULL)
        status = CUDNN_STATUS_NOT_SUPPORTED;
    if (status != 0)
        plan_free(plan);
    return status;
}

void plan_free(Plan *plan)
{
    while (plan->n_made > 0)
        cudnn.cudnnBackendDestroyDescriptor(plan->made[--plan->n_made]);
}

int plan_pack(const int64_t *uids, void *const *pointers, int64_t n, void *workspace, void **pack)
{
    *pack = NULL;
    status = cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, pack);
    set(*pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
    set(*pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers);
    set(*pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finalize(*pack);
    if (status != 0 && *pack != NULL) {
        cudnn.cudnnBackendDestroyDescriptor(*pack);
        *pack = NULL;
    }
    return status;
}
