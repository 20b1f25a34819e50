// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of cuDNN's backend: what a finalize checks, and the programs made of operation graphs.
#include "double_cudnn.h"

#include <math.h>
#include <string.h>

// Made up, with every reason to refuse one; workspaces are odd numbers, as the real ones are.
static const Engine engines[] = {
    {0, 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0, 1692587},
    {1, 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 0, 0},
    {2, 0, 1u << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION, 4097},
    {3, 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD, 0, 30011},
    {4, 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 0, 70001},
    {5, 0, 0, 40963},
    {6, 0, 0, 0},
};

enum { COMPILED_ENGINE = 2, FALLBACK_ENGINE = 6 };

// Of each kind of convolution: where its tensors stand. In the order x, w, y.
static const struct {
    int kind, conv, alpha, beta, tensors[3], out;
} convs[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
     2},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
     0},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
     1},
};

static int find_conv(int kind)
{
    int row = -1;
    for (int i = 0; i < (int)G_N_ELEMENTS(convs); i++)
        if (convs[i].kind == kind)
            row = i;
    return row;
}

// All of names must be there.
static cudnnStatus_t require(const Descriptor *descriptor, const int *names, int n)
{
    for (int i = 0; i < n; i++)
        if (descriptor_get(descriptor, names[i]) == NULL)
            return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d is missing", names[i]);
    return CUDNN_STATUS_SUCCESS;
}
#define REQUIRE(descriptor, ...)                    \
    require(descriptor, (const int[]){__VA_ARGS__}, \
            (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

static const int64_t *ints(const Descriptor *descriptor, int name)
{
    return descriptor_get(descriptor, name)->data;
}

static cudnnStatus_t judge_tensor(const Descriptor *d)
{
    cudnnStatus_t status = REQUIRE(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_ATTR_TENSOR_DATA_TYPE,
                                   CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_ATTR_TENSOR_STRIDES,
                                   CUDNN_ATTR_TENSOR_UNIQUE_ID);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const Attribute *dims = descriptor_get(d, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const Attribute *strides = descriptor_get(d, CUDNN_ATTR_TENSOR_STRIDES);
    if (dims->n != strides->n)
        return refuse(CUDNN_STATUS_BAD_PARAM, "%d dimensions, %d strides", (int)dims->n,
                      (int)strides->n);
    if (dims->n != N_DIMS)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "the double knows tensors of 4 dimensions only");
    for (int i = 0; i < N_DIMS; i++)
        if (((int64_t *)dims->data)[i] <= 0 || ((int64_t *)strides->data)[i] < 0)
            return refuse(CUDNN_STATUS_BAD_PARAM, "dimension %d is not positive", i);
    int64_t alignment = *ints(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    if (alignment <= 0 || (alignment & (alignment - 1)) != 0)
        return refuse(CUDNN_STATUS_BAD_PARAM, "an alignment of %d bytes", (int)alignment);
    int type = (int)descriptor_number(d, CUDNN_ATTR_TENSOR_DATA_TYPE, -1);
    if (type != CUDNN_DATA_FLOAT && type != CUDNN_DATA_HALF && type != CUDNN_DATA_BFLOAT16)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "the double does not know data type %d", type);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t judge_conv_descriptor(const Descriptor *d)
{
    static const int arrays[] = {
        CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
        CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS};
    cudnnStatus_t status =
        REQUIRE(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
                CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
    if (status == CUDNN_STATUS_SUCCESS)
        status = require(d, arrays, G_N_ELEMENTS(arrays));
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (*ints(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "the double knows two spatial dimensions only");
    for (size_t i = 0; i < G_N_ELEMENTS(arrays); i++)
        if (descriptor_get(d, arrays[i])->n != 2)
            return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d: not one for each dimension",
                          arrays[i]);
    return CUDNN_STATUS_SUCCESS;
}

static bool is_binary(int mode)
{
    return mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_MUL;
}

static cudnnStatus_t judge_pointwise_descriptor(const Descriptor *d)
{
    cudnnStatus_t status = REQUIRE(d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_ATTR_POINTWISE_MATH_PREC);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    int mode = (int)descriptor_number(d, CUDNN_ATTR_POINTWISE_MODE, -1);
    if (!is_binary(mode) && mode != CUDNN_POINTWISE_IDENTITY && mode != CUDNN_POINTWISE_RELU_FWD &&
        mode != CUDNN_POINTWISE_TANH_FWD && mode != CUDNN_POINTWISE_SIGMOID_FWD)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "the double does not know pointwise mode %d",
                      mode);
    return CUDNN_STATUS_SUCCESS;
}

static void read_tensor(const Descriptor *d, Tensor *tensor)
{
    tensor->uid = *ints(d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    tensor->alignment = *ints(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    tensor->type = (int)descriptor_number(d, CUDNN_ATTR_TENSOR_DATA_TYPE, -1);
    tensor->is_virtual = descriptor_number(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, 0) != 0;
    memcpy(tensor->dims, ints(d, CUDNN_ATTR_TENSOR_DIMENSIONS), sizeof tensor->dims);
    memcpy(tensor->strides, ints(d, CUDNN_ATTR_TENSOR_STRIDES), sizeof tensor->strides);
}

static void read_conv(const Descriptor *conv, Step *step)
{
    size_t bytes = sizeof step->stride;
    memcpy(step->stride, ints(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), bytes);
    memcpy(step->dilation, ints(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS), bytes);
    memcpy(step->before, ints(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), bytes);
    memcpy(step->after, ints(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS), bytes);
    step->flipped =
        descriptor_number(conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, 1) == CUDNN_CONVOLUTION;
}

static cudnnStatus_t judge_conv(const Descriptor *d, int row)
{
    const int *names = convs[row].tensors;
    cudnnStatus_t status = REQUIRE(d, convs[row].conv, names[0], names[1], names[2]);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    Tensor x, w, y;
    Step step;
    read_tensor(descriptor_child(d, names[0], 0), &x);
    read_tensor(descriptor_child(d, names[1], 0), &w);
    read_tensor(descriptor_child(d, names[2], 0), &y);
    read_conv(descriptor_child(d, convs[row].conv, 0), &step);
    int64_t groups = x.dims[1] / w.dims[1];
    if (x.dims[1] % w.dims[1] != 0 || w.dims[0] % MAX(groups, 1) != 0)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a filter for %d channels over %d", (int)w.dims[1],
                      (int)x.dims[1]);
    if (y.dims[0] != x.dims[0] || y.dims[1] != w.dims[0])
        return refuse(CUDNN_STATUS_BAD_PARAM, "a result of %d channels from %d filters",
                      (int)y.dims[1], (int)w.dims[0]);
    for (int i = 0; i < 2; i++) {
        int64_t room = x.dims[2 + i] + step.before[i] + step.after[i] -
                       step.dilation[i] * (w.dims[2 + i] - 1) - 1;
        if (step.stride[i] < 1 || step.dilation[i] < 1 || room < 0 ||
            room / step.stride[i] + 1 != y.dims[2 + i])
            return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution of %d gives no result of %d",
                          (int)x.dims[2 + i], (int)y.dims[2 + i]);
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t judge_pointwise(const Descriptor *d)
{
    cudnnStatus_t status =
        REQUIRE(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const Descriptor *map = descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    const Descriptor *b = descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
    if (is_binary((int)descriptor_number(map, CUDNN_ATTR_POINTWISE_MODE, -1)) != (b != NULL))
        return refuse(CUDNN_STATUS_BAD_PARAM, "a pointwise operation with a wrong number of "
                                              "operands");
    Tensor y, operand;
    read_tensor(descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0), &y);
    for (int side = 0; side < (b != NULL ? 2 : 1); side++) {
        read_tensor(side == 1 ? b : descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0),
                    &operand);
        for (int i = 0; i < N_DIMS; i++)
            if (operand.dims[i] != y.dims[i] && operand.dims[i] != 1)
                return refuse(CUDNN_STATUS_BAD_PARAM, "an operand of %d over a result of %d",
                              (int)operand.dims[i], (int)y.dims[i]);
    }
    return CUDNN_STATUS_SUCCESS;
}

static void program_clear(void *data)
{
    Program *program = data;
    g_free(program->tensors);
    g_free(program->steps);
}

void program_unref(void *program)
{
    g_atomic_rc_box_release_full(program, program_clear);
}

// The tensor's place in the program; -1 where another has its number but not its looks.
static int add_tensor(Program *program, const Descriptor *descriptor)
{
    Tensor tensor;
    memset(&tensor, 0, sizeof tensor);
    read_tensor(descriptor, &tensor);
    for (int i = 0; i < program->n_tensors; i++)
        if (program->tensors[i].uid == tensor.uid)
            return memcmp(&program->tensors[i], &tensor, sizeof tensor) == 0 ? i : -1;
    program->tensors[program->n_tensors] = tensor;
    return program->n_tensors++;
}

static bool add_conv(Program *program, const Descriptor *operation, int row, Step *step)
{
    int places[3];
    for (int i = 0; i < 3; i++)
        places[i] = add_tensor(program, descriptor_child(operation, convs[row].tensors[i], 0));
    int out = convs[row].out;
    // What remains, y before w: forward has x and w, the data's gradient dy and w.
    step->in[0] = out == 0 ? places[2] : places[0];
    step->in[1] = out == 1 ? places[2] : places[1];
    step->out = places[out];
    step->alpha = descriptor_number(operation, convs[row].alpha, 1);
    step->beta = descriptor_number(operation, convs[row].beta, 0);
    read_conv(descriptor_child(operation, convs[row].conv, 0), step);
    return places[0] >= 0 && places[1] >= 0 && places[2] >= 0;
}

static bool add_pointwise(Program *program, const Descriptor *d, Step *step)
{
    const Descriptor *map = descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    const Descriptor *b = descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
    step->in[0] = add_tensor(program, descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0));
    step->in[1] = b != NULL ? add_tensor(program, b) : -1;
    step->out = add_tensor(program, descriptor_child(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0));
    step->alpha = descriptor_number(d, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1);
    step->beta = descriptor_number(d, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1);
    step->mode = (int)descriptor_number(map, CUDNN_ATTR_POINTWISE_MODE, -1);
    step->lower = descriptor_number(map, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0);
    step->upper = descriptor_number(map, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, INFINITY);
    step->slope = descriptor_number(map, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0);
    return step->in[0] >= 0 && step->out >= 0 && (b == NULL || step->in[1] >= 0);
}

// Whether what step reads is in memory or was computed before it.
static bool is_fed(const Program *program, int step)
{
    for (int side = 0; side < 2; side++) {
        int tensor = program->steps[step].in[side];
        bool fed = tensor < 0 || !program->tensors[tensor].is_virtual;
        for (int i = 0; i < step; i++)
            fed |= program->steps[i].out == tensor;
        if (!fed)
            return false;
    }
    return true;
}

static cudnnStatus_t judge_graph(Descriptor *d)
{
    const Attribute *ops = descriptor_get(d, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (ops == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a graph without operations");
    Program *program = d->program = g_atomic_rc_box_new0(Program);
    program->tensors = g_new0(Tensor, 3 * ops->n);
    program->steps = g_new0(Step, ops->n);
    for (int i = 0; i < (int)ops->n; i++) {
        const Descriptor *operation = descriptor_child(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        Step *step = &program->steps[i];
        step->kind = operation->type;
        int row = find_conv(operation->type);
        if (!(row >= 0 ? add_conv(program, operation, row, step)
                       : add_pointwise(program, operation, step)))
            return refuse(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES,
                          "two tensors of one number in a graph");
        program->n_steps++;
        if (!is_fed(program, i))
            return refuse(CUDNN_STATUS_BAD_PARAM, "operation %d reads what nothing computed", i);
        if (step->beta != 0 && row >= 0 && program->tensors[step->out].is_virtual)
            return refuse(CUDNN_STATUS_BAD_PARAM, "adds to a virtual tensor");
    }
    return CUDNN_STATUS_SUCCESS;
}

bool engine_find(int64_t index, Engine *engine)
{
    if (index < 0 || index >= (int64_t)G_N_ELEMENTS(engines))
        return false;
    *engine = engines[index];
    return true;
}

// What the real library was seen to have no engine for.
static bool is_supported(const Program *program)
{
    for (int i = 0; i < program->n_steps; i++) {
        const Step *step = &program->steps[i];
        if (step->kind == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
            continue;
        int first = program->tensors[step->in[0]].type, out = program->tensors[step->out].type;
        if (first != program->tensors[step->in[1]].type)
            return false;
        if (out != first && step->kind != CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
            return false;
        if (first == CUDNN_DATA_BFLOAT16 && double_get_sm() < 80)
            return false;
    }
    return true;
}

// Activations other than relu, and pointwise operations alone, are compiled at run time.
static bool needs_compiler(const Program *program)
{
    bool compiles = program->steps[0].kind == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
    for (int i = 0; i < program->n_steps; i++) {
        const Step *step = &program->steps[i];
        compiles |= step->kind == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR &&
                    !is_binary(step->mode) && step->mode != CUDNN_POINTWISE_RELU_FWD &&
                    step->mode != CUDNN_POINTWISE_IDENTITY;
    }
    return compiles;
}

int graph_engines(const Program *program, int mode, Engine *found)
{
    int n = 0;
    if (program == NULL || !is_supported(program))
        return 0;
    for (int i = 0; i < (int)G_N_ELEMENTS(engines); i++) {
        bool wanted = needs_compiler(program)
                          ? i == COMPILED_ENGINE && mode != CUDNN_HEUR_MODE_FALLBACK
                          : (i == FALLBACK_ENGINE) == (mode == CUDNN_HEUR_MODE_FALLBACK);
        if (wanted)
            found[n++] = engines[i];
    }
    return n;
}

static void take_program(Descriptor *descriptor, const Descriptor *from)
{
    descriptor->program = g_atomic_rc_box_acquire(from->program);
    descriptor->engine = from->engine;
}

static cudnnStatus_t judge_engine(Descriptor *d)
{
    Engine engine;
    cudnnStatus_t status =
        REQUIRE(d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    take_program(d, descriptor_child(d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, 0));
    d->engine = *ints(d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    if (d->real == NULL && !engine_find(d->engine, &engine))
        return refuse(CUDNN_STATUS_BAD_PARAM, "there is no engine %d", (int)d->engine);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t judge_plan(Descriptor *d)
{
    cudnnStatus_t status = REQUIRE(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const Attribute *handle = descriptor_get(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
    bool known = true;
    if (handle != NULL)
        handle_stream(*(cudnnHandle_t *)handle->data, &known);
    if (!known ||
        (handle == NULL && descriptor_get(d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP) == NULL))
        return refuse(CUDNN_STATUS_BAD_PARAM, "a plan needs a handle");
    take_program(d, descriptor_child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0));
    if (d->real != NULL)
        return real_get(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, NULL,
                        &d->workspace);
    Engine engine = {0};
    engine_find(d->engine, &engine);
    d->workspace = engine.workspace;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t judge_pack(const Descriptor *d)
{
    cudnnStatus_t status =
        REQUIRE(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (descriptor_get(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)->n !=
        descriptor_get(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)->n)
        return refuse(CUDNN_STATUS_BAD_PARAM, "as many pointers as numbers are needed");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t judge_heuristics(Descriptor *d)
{
    Engine found[8];
    cudnnStatus_t status =
        REQUIRE(d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    take_program(d, descriptor_child(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0));
    int mode = (int)descriptor_number(d, CUDNN_ATTR_ENGINEHEUR_MODE, 0);
    if (d->real == NULL && graph_engines(d->program, mode, found) == 0)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "no engine supports this graph");
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t descriptor_judge(Descriptor *d)
{
    int conv = find_conv(d->type);
    if (conv >= 0)
        return judge_conv(d, conv);
    switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return judge_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return judge_conv_descriptor(d);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return judge_pointwise_descriptor(d);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return judge_pointwise(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return judge_graph(d);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return judge_heuristics(d);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
        return judge_engine(d);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: {
        cudnnStatus_t status = REQUIRE(d, CUDNN_ATTR_ENGINECFG_ENGINE);
        if (status == CUDNN_STATUS_SUCCESS)
            take_program(d, descriptor_child(d, CUDNN_ATTR_ENGINECFG_ENGINE, 0));
        return status;
    }
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return judge_plan(d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return judge_pack(d);
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
        return REQUIRE(d, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        return CUDNN_STATUS_SUCCESS;
    default:
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "descriptors of type %d are not finalized",
                      d->type);
    }
}
