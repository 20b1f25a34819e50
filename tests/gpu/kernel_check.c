// SPDX-License-Identifier: LGPL-3.0-or-later
// Runs nodes by the cuDNN backend's own kernels, on the host, and compares them with references.
#include "kernel_check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cz/rng.h>

#include "graph/op.h"
#include "host_kernels.h"

CheckTally check_tally;

// ---- memory -------------------------------------------------------------------------------------

// As plans align tensors, and what lies behind each: writes there are noticed.
enum { ALIGNMENT = 64, GUARD = 256, GUARD_BYTE = 0xa5, POISON = 0xff };

static size_t padded(size_t n_bytes)
{
    return (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GUARD;
}

static void *guarded_new(size_t n_bytes)
{
    void *memory = aligned_alloc(ALIGNMENT, padded(n_bytes));
    g_assert_true(memory != NULL);
    memset(memory, POISON, n_bytes);
    memset((char *)memory + n_bytes, GUARD_BYTE, padded(n_bytes) - n_bytes);
    return memory;
}

static bool guarded_is_whole(const void *memory, size_t n_bytes)
{
    const unsigned char *bytes = memory;
    for (size_t i = n_bytes; i < padded(n_bytes); i++)
        if (bytes[i] != GUARD_BYTE)
            return false;
    return true;
}

static size_t view_bytes(const CzView *view)
{
    return cz_shape_count(view->shape) * cz_dtype_size(view->dtype);
}

bool view_is_whole(const CzView *view)
{
    return guarded_is_whole(view->data, view_bytes(view));
}

CzView view_new(CzShape shape, CzDtype dtype)
{
    CzView view = {shape, dtype, NULL};
    view.data = guarded_new(view_bytes(&view));
    return view;
}

static CzView view_copy(const CzView *view)
{
    CzView copy = view_new(view->shape, view->dtype);
    memcpy(copy.data, view->data, view_bytes(view));
    return copy;
}

CzView view_cast(const CzView *view, CzDtype dtype)
{
    size_t n = cz_shape_count(view->shape);
    g_autofree float *numbers = g_new(float, n);
    CzView cast = view_new(view->shape, dtype);
    cz_view_to_f32(numbers, view);
    cz_view_from_f32(&cast, numbers);
    return cast;
}

// ---- bounds -------------------------------------------------------------------------------------

// How many products or addends go into one element of the output.
static double sum_length(const CzNode *const *nodes, const CzNode *node)
{
    double dst = (double)cz_shape_count(node->shape), most = 1;
    for (int32_t i = 0; i < node->n_src; i++)
        most = MAX(most, (double)cz_shape_count(nodes[node->src[i]]->shape) / dst);
    CzShape a = node->n_src > 0 ? nodes[node->src[0]]->shape : node->shape;
    CzShape b = node->n_src > 1 ? nodes[node->src[1]]->shape : node->shape;
    switch (node->op) {
    case CZ_OP_CONV2D:
        return (double)b.c * b.h * b.w + 2;
    case CZ_OP_CONV2D_GRAD_SRC:
        return (double)b.n / node->params.conv.groups * b.h * b.w;
    case CZ_OP_CONV2D_GRAD_FILTER:
        return (double)b.n * b.h * b.w;
    case CZ_OP_RESIZE:
    case CZ_OP_RESIZE_GRAD:
        return 4 * most;
    case CZ_OP_MATMUL:
        return node->params.matmul == CZ_MATMUL_TN ? (double)a.h * a.w : (double)a.c;
    case CZ_OP_DOT:
        return (double)cz_shape_count(a);
    default:
        return most;
    }
}

void compare(const Bound *bound, const CzView *expected, const CzView *found)
{
    size_t n = cz_shape_count(expected->shape), worst_at = 0;
    g_autofree float *right = g_new(float, n), *own = g_new(float, n);
    cz_view_to_f32(right, expected);
    cz_view_to_f32(own, found);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double allowed = bound->absolute + bound->relative * fabs((double)right[i]);
        double ratio = fabs((double)right[i] - (double)own[i]) / allowed;
        bool same = right[i] == own[i] || (isnan(right[i]) && isnan(own[i]));
        ratio = same ? 0 : isnan(ratio) ? INFINITY : ratio;
        if (ratio > worst) {
            worst = ratio;
            worst_at = i;
        }
    }
    check_tally.worst = MAX(check_tally.worst, worst);
    if (worst > 1)
        g_test_fail_printf("%s: [%zu]: reference %.9g, found %.9g, bound %.3g", bound->what,
                           worst_at, (double)right[worst_at], (double)own[worst_at],
                           bound->absolute + bound->relative * fabs((double)right[worst_at]));
}

// tests/engine/test_parity.c has the same for devices.
static Bound bound_for(const CzNode *const *nodes, const CzNode *node, const CzView *expected,
                       const char *what)
{
    size_t n = cz_shape_count(expected->shape);
    g_autofree float *right = g_new(float, n);
    cz_view_to_f32(right, expected);
    double k = sum_length(nodes, node), most = 0;
    for (size_t i = 0; i < n; i++)
        most = MAX(most, fabs((double)right[i]));
    bool sums = node->op == CZ_OP_SUM || node->op == CZ_OP_DOT || node->op == CZ_OP_MATMUL ||
                (node->op >= CZ_OP_CONV2D && node->op <= CZ_OP_CONV2D_GRAD_FILTER);
    double size = MAX(most, sums ? sqrt(k) : 0);
    bool rounded = expected->dtype != CZ_F32;
    return (Bound){what, 4 * (double)FLT_EPSILON * sqrt(k) * size + (double)FLT_MIN,
                   rounded ? 1.0 / 128 : 0};
}

// ---- launches -----------------------------------------------------------------------------------

void run_launches(const GArray *launches, const char *what)
{
    for (guint i = 0; i < launches->len; i++) {
        const Launch *launch = &g_array_index(launches, Launch, i);
        check_tally.ran[launch->kernel] = true;
        if (!host_kernel_run(kernel_name(launch->kernel), &launch->args, launch->grid,
                             launch->block, launch->shared_bytes))
            g_test_fail_printf("%s: %s: %s", what, kernel_name(launch->kernel),
                               host_kernel_error());
    }
}

static void run_node(const CzNode *const *nodes, const CzNode *node, const CzView *src,
                     const CzView *dst, const char *what)
{
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    g_autofree uint64_t *addresses = g_new(uint64_t, node->n_src + 1);
    size_t n_scratch = launch_scratch_bytes(node, nodes);
    void *scratch = guarded_new(n_scratch);
    for (int32_t i = 0; i < node->n_src; i++)
        addresses[i] = address(src[i].data);
    size_t n_turned =
        launch_wants_turned(node) ? cz_shape_count(src[1].shape) * cz_dtype_size(node->dtype) : 0;
    void *turned = guarded_new(n_turned);
    if (n_turned)
        launch_append_turn(launches, nodes[node->src[1]], address(turned), node->dtype,
                           addresses[1]);
    const LaunchMemory memory = {addresses, address(dst->data), address(scratch), address(turned)};
    launch_append(launches, node, nodes, &memory);
    run_launches(launches, what);
    if (!guarded_is_whole(turned, n_turned))
        g_test_fail_printf("%s: writes behind its filter", what);
    free(turned);
    if (!guarded_is_whole(scratch, n_scratch))
        g_test_fail_printf("%s: writes behind its scratch", what);
    free(scratch);
}

// ---- one node -----------------------------------------------------------------------------------

// A graph as nodes and views, its activations perhaps in another type than the graph has.
typedef struct {
    const CzNode **nodes;
    CzNode *copies;
    CzView *views; // by id
    int32_t n;
    bool half;
} Network;

// F16 is no type of the graph's: BF16 nodes are taken for F16 ones, and the reference is BF16's.
static Network network_new(const CzGraph *graph, bool half)
{
    Network net = {.n = cz_graph_n_nodes(graph), .half = half};
    net.nodes = g_new(const CzNode *, net.n);
    net.copies = g_new(CzNode, net.n);
    net.views = g_new0(CzView, net.n);
    for (int32_t id = 0; id < net.n; id++) {
        net.copies[id] = *cz_graph_node(graph, id);
        if (half && net.copies[id].dtype == CZ_BF16)
            net.copies[id].dtype = CZ_F16;
        net.nodes[id] = &net.copies[id];
    }
    return net;
}

static void network_clear(Network *net)
{
    for (int32_t id = 0; id < net->n; id++)
        free(net->views[id].data);
    g_free(net->nodes);
    g_free(net->copies);
    g_free(net->views);
}

void fill(const char *name, CzView *view, bool coarse)
{
    CzRng rng = cz_rng(5, g_str_hash(name));
    float *data = view->data;
    for (size_t i = 0; i < cz_shape_count(view->shape); i++) {
        data[i] = name[0] == 'p' ? 0.5f + cz_rng_uniform(&rng) : cz_rng_normal(&rng);
        data[i] = coarse ? roundf(data[i] * 16) / 16 : data[i];
    }
}

static void compare_all(const Network *net, const CzNode *node, const CzView *src,
                        const CzView *dst, const char *what)
{
    Bound bound = bound_for(net->nodes, node, &net->views[node->id], what);
    compare(&bound, &net->views[node->id], dst);
    if (!view_is_whole(dst))
        g_test_fail_printf("%s: writes behind its output", what);
    for (int32_t i = 0; i < node->n_src; i++) {
        if (src[i].data == dst->data)
            continue;
        const CzView *right = &net->views[node->src[i]];
        if (node->op_class->effect)
            compare(&bound, right, &src[i]);
        // Only references of other types than the kernels' differ from them in their sources.
        else if (right->dtype == src[i].dtype &&
                 memcmp(right->data, src[i].data, view_bytes(right)) != 0)
            g_test_fail_printf("%s: writes into source %d", what, i);
        if (!view_is_whole(&src[i]))
            g_test_fail_printf("%s: writes behind source %d", what, i);
    }
}

// in_place: the source in whose memory the output lies, or -1.
static void run_and_compare(const Network *net, const CzNode *node, const CzView *before,
                            int32_t in_place, const char *what)
{
    g_autofree CzView *src = g_new(CzView, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++)
        src[i] = view_cast(&before[i], net->nodes[node->src[i]]->dtype);
    CzView dst = in_place < 0 ? view_new(node->shape, node->dtype) : src[in_place];
    run_node(net->nodes, node, src, &dst, what);
    compare_all(net, node, src, &dst, what);
    for (int32_t i = 0; i < node->n_src; i++)
        free(src[i].data);
    if (in_place < 0)
        free(dst.data);
}

static bool may_lie_in(const Network *net, const CzNode *node, int32_t index)
{
    const CzNode *src = net->nodes[node->src[index]];
    return index < 32 && node->op_class->in_place >> index & 1 &&
           cz_shape_equal(src->shape, node->shape) && src->dtype == node->dtype &&
           src->op != CZ_OP_PARAM;
}

// Runs the reference, and what own kernels there are beside it. reference_dtype: the graph's.
static void check_node(Network *net, const CzNode *node, CzDtype reference_dtype, const char *what)
{
    net->views[node->id] = view_new(node->shape, reference_dtype);
    if (node->name) {
        fill(node->name, &net->views[node->id], net->half);
        return;
    }
    g_autofree CzView *src = g_new(CzView, node->n_src + 1);
    g_autofree CzView *before = g_new(CzView, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++) {
        src[i] = net->views[node->src[i]];
        before[i] = view_copy(&src[i]);
    }
    node->op_class->reference(node, src, &net->views[node->id]);
    if (launch_supports(node)) {
        run_and_compare(net, node, before, -1, what);
        for (int32_t i = 0; i < node->n_src; i++)
            if (may_lie_in(net, node, i))
                run_and_compare(net, node, before, i, what);
        check_tally.n_nodes++;
    }
    for (int32_t i = 0; i < node->n_src; i++)
        free(before[i].data);
}

void check_graph(const CzGraph *graph, CzDtype dtype, const char *what)
{
    g_autoptr(GError) error = NULL;
    cz_graph_check(graph, &error);
    g_assert_no_error(error);
    if (error)
        return;
    Network net = network_new(graph, dtype == CZ_F16);
    for (int32_t id = 0; id < net.n; id++) {
        const CzNode *node = net.nodes[id];
        g_autofree char *text =
            g_strdup_printf("%s, %s (%s)", what, node->op_class->name, cz_dtype_name(node->dtype));
        check_node(&net, node, cz_graph_node(graph, id)->dtype, text);
    }
    network_clear(&net);
}
