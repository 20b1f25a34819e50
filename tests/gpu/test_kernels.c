// SPDX-License-Identifier: LGPL-3.0-or-later
// The cuDNN backend's own kernels, run on the host: every op, every example, every type against the
// reference; then awkward sizes. Needs no GPU and no CUDA.
#include <float.h>
#include <stdlib.h>

#include "graph/op.h"
#include "host_kernels.h"
#include "kernel_check.h"

static const CzDtype dtypes[] = {CZ_F32, CZ_BF16, CZ_F16};

// ---- every op -----------------------------------------------------------------------------------

static void check_op(const CzOpClass *op, CzDtype dtype)
{
    for (unsigned index = 0;; index++) {
        CzValue dst;
        g_autoptr(CzGraph) graph = cz_graph_new();
        if (!op->example(index, dtype == CZ_F16 ? CZ_BF16 : dtype, graph, &dst))
            return;
        g_autofree char *what = g_strdup_printf("example %u of %s", index, op->name);
        check_graph(graph, dtype, what);
    }
}

static void every_op_agrees_with_the_reference(void)
{
    for (size_t d = 0; d < G_N_ELEMENTS(dtypes); d++) {
        check_tally.n_nodes = 0;
        check_tally.worst = 0;
        for (int op = 0; op < CZ_N_OPS; op++)
            check_op(cz_op_class((CzOp)op), dtypes[d]);
        g_test_message("%s: %u nodes of examples, worst at %.2f of its bound",
                       cz_dtype_name(dtypes[d]), check_tally.n_nodes, check_tally.worst);
        g_assert_cmpuint(check_tally.n_nodes, >, 100);
    }
}

static void every_op_is_supported_but_dense_convolutions(void)
{
    const bool dense[CZ_N_OPS] = {
        [CZ_OP_CONV2D] = true, [CZ_OP_CONV2D_GRAD_SRC] = true, [CZ_OP_CONV2D_GRAD_FILTER] = true};
    for (int op = CZ_OP_CONSTANT; op < CZ_N_OPS; op++) {
        CzNode node = {.op = (CzOp)op, .params.conv.groups = 1};
        if (!dense[op])
            node.params = (CzParams){0};
        if (launch_supports(&node) == dense[op])
            g_test_fail_printf("%s: %s", cz_op_class((CzOp)op)->name,
                               dense[op] ? "dense ones are cuDNN's" : "no kernels");
    }
}

// ---- awkward sizes ------------------------------------------------------------------------------

// One, fewer than a vector, a vector's multiple, one more than a warp; nothing even.
static const int32_t channels[] = {1, 3, 8, 33};
static const CzShape maps[] = {{2, 0, 1, 1}, {1, 0, 5, 7}, {2, 0, 31, 23}};

typedef CzValue (*Build)(CzGraph *graph, CzValue x, CzShape shape);

static void for_awkward_sizes(const char *name, Build build)
{
    for (size_t d = 0; d < G_N_ELEMENTS(dtypes); d++)
        for (size_t c = 0; c < G_N_ELEMENTS(channels); c++)
            for (size_t m = 0; m < G_N_ELEMENTS(maps); m++) {
                CzShape shape = maps[m];
                shape.c = channels[c];
                g_autoptr(CzGraph) graph = cz_graph_new();
                g_autofree char *text = cz_shape_format(shape);
                g_autofree char *what = g_strdup_printf("%s of %s", name, text);
                CzDtype dtype = dtypes[d] == CZ_F32 ? CZ_F32 : CZ_BF16;
                build(graph, cz_op_example_source(graph, "x", shape, dtype), shape);
                check_graph(graph, dtypes[d], what);
            }
}

static CzValue build_depthwise(CzGraph *graph, CzValue x, CzShape shape)
{
    static const int32_t edges[] = {3, 5, 3};
    for (int32_t i = 0; i < 3; i++) {
        int32_t k = edges[i], outputs = shape.c * (i == 2 ? 2 : 1);
        // One channel is one group, and that is dense: two groups of it then.
        CzValue src = shape.c == 1 ? cz_concat(graph, (CzValue[]){x, x}, 2) : x;
        CzShape src_shape = cz_graph_shape(graph, src);
        outputs *= src_shape.c / shape.c;
        CzConvParams conv = {.stride = 1 + (i & 1),
                             .dilation = 1 + (i == 2),
                             .groups = src_shape.c,
                             .pad_top = k / 2,
                             .pad_left = k / 2,
                             .pad_bottom = k + 1,
                             .pad_right = k + 1};
        g_autofree char *name = g_strdup_printf("x filter %d", i);
        CzValue filter = cz_input(graph, name, cz_shape(outputs, 1, k, k));
        CzValue y = cz_conv2d(graph, src, filter, CZ_NONE, CZ_NONE, conv);
        cz_conv2d_grad_src(graph, y, filter, src_shape, conv);
        cz_conv2d_grad_filter(graph, src, y, cz_graph_shape(graph, filter), conv);
    }
    return x;
}

static void depthwise_convolutions_of_awkward_sizes(void)
{
    for_awkward_sizes("depthwise", build_depthwise);
}

static CzValue build_resizes(CzGraph *graph, CzValue x, CzShape shape)
{
    const int32_t sizes[][2] = {{2 * shape.h, 2 * shape.w},
                                {2 * shape.h - 1, 3 * shape.w + 2},
                                {MAX(1, shape.h / 2), MAX(1, shape.w / 3)},
                                {1, 1}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        cz_resize_grad(graph, cz_resize(graph, x, sizes[i][0], sizes[i][1]), shape.h, shape.w);
    cz_pool(graph, cz_pool_grad(graph, x, 3), 3);
    return x;
}

static void resizes_of_awkward_sizes(void)
{
    for_awkward_sizes("resize", build_resizes);
}

// Every set of dimensions, summed and repeated.
static CzValue build_sums(CzGraph *graph, CzValue x, CzShape shape)
{
    for (int set = 0; set < 16; set++) {
        CzShape kept = {set & 1 ? 1 : shape.n, set & 2 ? 1 : shape.c, set & 4 ? 1 : shape.h,
                        set & 8 ? 1 : shape.w};
        CzValue sum = cz_sum(graph, x, kept);
        cz_broadcast(graph, sum, shape, cz_graph_dtype(graph, x));
        cz_mul(graph, x, sum);
    }
    cz_dot(graph, x, x);
    return cz_log_softmax(graph, x);
}

static void sums_of_awkward_sizes(void)
{
    for_awkward_sizes("sum", build_sums);
}

static CzValue build_moves(CzGraph *graph, CzValue x, CzShape shape)
{
    CzShape grown = {shape.n + 1, shape.c + 3, shape.h + 2, shape.w + 1};
    CzValue y = cz_pad(graph, x, cz_shape(1, 2, 1, 0), grown);
    cz_slice(graph, y, cz_shape(1, 2, 1, 0), shape);
    cz_slice(graph, y, cz_shape(0, 0, 0, 0), cz_shape(1, shape.c + 3, 2, 1));
    cz_concat(graph, (CzValue[]){x, cz_slice(graph, y, (CzShape){0}, shape), x}, 3);
    return cz_transpose(graph, x);
}

static void moves_of_awkward_sizes(void)
{
    for_awkward_sizes("move", build_moves);
}

// More sources than one launch takes.
static void pack_takes_many_sources(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue src[3 * PACK_SOURCES + 1];
    for (int32_t i = 0; i < (int32_t)G_N_ELEMENTS(src); i++) {
        g_autofree char *name = g_strdup_printf("x%d", i);
        src[i] = cz_input(graph, name, cz_shape(1 + i % 3, 1 + i, 1, 2));
    }
    cz_pack(graph, src, G_N_ELEMENTS(src));
    check_graph(graph, CZ_F32, "pack of many");
}

// More than a tile each way, and a sum of more than one.
static void matmul_of_many_tiles(void)
{
    for (size_t d = 0; d < G_N_ELEMENTS(dtypes); d++) {
        CzDtype dtype = dtypes[d] == CZ_F32 ? CZ_F32 : CZ_BF16;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue a = cz_op_example_source(graph, "x_a", cz_shape(2, 37, 9, 8), dtype);
        CzValue b = cz_op_example_source(graph, "x_b", cz_shape(2, 37, 5, 7), dtype);
        CzValue share = cz_matmul(graph, a, b, CZ_MATMUL_NT, 0, 0);
        cz_matmul(graph, share, b, CZ_MATMUL_NN, 0, 0);
        cz_matmul(graph, share, a, CZ_MATMUL_TN, 5, 7);
        check_graph(graph, dtypes[d], "matmul");
    }
}

// ---- what no op is ------------------------------------------------------------------------------

static CzView random_view(const char *name, CzShape shape, CzDtype dtype)
{
    CzView numbers = view_new(shape, CZ_F32);
    fill(name, &numbers, false);
    CzView view = view_cast(&numbers, dtype);
    free(numbers.data);
    return view;
}

static void check_post_conv(CzDtype dtype, CzShape shape, CzActivation act)
{
    CzNode node = {.op = CZ_OP_CONV2D, .shape = shape, .dtype = dtype};
    node.params.conv = (CzConvParams){.groups = 1, .activation = act};
    CzView src = random_view("x src", shape, dtype), dst = view_new(shape, dtype);
    CzView bias = random_view("x bias", cz_shape(1, shape.c, 1, 1), CZ_F32);
    CzView residual = random_view("x residual", shape, dtype), right = view_new(shape, dtype);
    for (int set = 0; set < 4; set++) {
        size_t n = cz_shape_count(shape);
        g_autofree float *x = g_new(float, n), *y = g_new(float, n);
        cz_view_to_f32(x, &src);
        cz_view_to_f32(y, &residual);
        for (size_t i = 0; i < n; i++) {
            float sum = x[i] + (set & 1 ? ((const float *)bias.data)[i % (size_t)shape.c] : 0);
            x[i] = cz_op_activate(act, sum + (set & 2 ? y[i] : 0));
        }
        cz_view_from_f32(&right, x);
        g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
        const PostConv post = {address(src.data), set & 1 ? address(bias.data) : 0,
                               set & 2 ? address(residual.data) : 0, address(dst.data)};
        launch_append_post_conv(launches, &node, &post);
        run_launches(launches, "after a convolution");
        const Bound bound = {"after a convolution", 8 * (double)FLT_EPSILON, 0};
        compare(&bound, &right, &dst);
        g_assert_true(view_is_whole(&dst));
    }
    const CzView *views[] = {&src, &dst, &bias, &residual, &right};
    for (size_t i = 0; i < G_N_ELEMENTS(views); i++)
        free(views[i]->data);
}

static void what_follows_a_convolution_agrees(void)
{
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++)
        for (size_t c = 0; c < G_N_ELEMENTS(channels); c++)
            for (int act = CZ_ACT_NONE; act <= CZ_ACT_SIGMOID; act++)
                check_post_conv(dtype, cz_shape(2, channels[c], 3, 5), (CzActivation)act);
}

enum { N_UPDATES = ADAM_TENSORS + 3, MOST_NODES = 8 * N_UPDATES };

// Updates of tensors of odd sizes, and what the references make of the same numbers.
typedef struct {
    CzGraph *graph;
    int32_t n, updates[N_UPDATES];
    const CzNode *nodes[MOST_NODES];
    CzView views[MOST_NODES], copies[MOST_NODES];
} Updates;

static void make_updates(Updates *made)
{
    static const char *const kinds[] = {"w", "g", "m", "pv", "ema"};
    CzGraph *graph = made->graph = cz_graph_new();
    CzValue rates = cz_input(graph, "p rates", cz_shape(1, 4, 1, 1));
    CzValue gate = cz_input(graph, "p gate", cz_shape(1, 1, 1, 1)), t[G_N_ELEMENTS(kinds)];
    for (int i = 0; i < N_UPDATES; i++) {
        const CzAdamParams params = {0.9f, 0.99f, 1e-8f, 0.01f * (float)i, 1 + (float)i};
        for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
            g_autofree char *name = g_strdup_printf("%s%d", kinds[k], i);
            t[k] = cz_param(graph, name, cz_shape(1, 1 + 300 * i, 1, 1));
        }
        made->updates[i] =
            cz_adamw(graph, t[0], t[1], t[2], t[3], i % 3 ? t[4] : CZ_NONE, rates, gate, params).id;
    }
    made->n = cz_graph_n_nodes(graph);
    g_assert_cmpint(made->n, <=, MOST_NODES);
    for (int32_t id = 0; id < made->n; id++) {
        const CzNode *node = made->nodes[id] = cz_graph_node(graph, id);
        CzView *view = &made->views[id], *copy = &made->copies[id];
        *view = view_new(node->shape, CZ_F32);
        *copy = view_new(node->shape, CZ_F32);
        if (node->name)
            fill(node->name, view, false);
        memcpy(copy->data, view->data, cz_shape_count(node->shape) * sizeof(float));
    }
}

static Launch launch_update(Updates *made, int32_t id)
{
    const CzNode *node = made->nodes[id];
    uint64_t src[8];
    CzView copies[8];
    for (int32_t k = 0; k < node->n_src; k++) {
        src[k] = address(made->views[node->src[k]].data);
        copies[k] = made->copies[node->src[k]];
    }
    const LaunchMemory memory = {.src = src, .dst = address(made->views[id].data)};
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    launch_append(launches, node, made->nodes, &memory);
    node->op_class->reference(node, copies, &made->copies[id]);
    g_assert_cmpuint(launches->len, ==, 1);
    return g_array_index(launches, Launch, 0);
}

// Not the same tensor twice, nor what gives its gate back into another's gradient, nor other betas.
static void expect_refusals(Launch first)
{
    first.grid[1] = 1;
    Launch next = first;
    AdamArgs *args = &next.args.adam;
    g_assert_false(launch_join(&first, &next));
    args->tensors[0].param += 4096;
    args->tensors[0].dst = first.args.adam.tensors[0].grad + 4;
    g_assert_false(launch_join(&first, &next));
    args->tensors[0].dst = 64;
    args->beta1 += 0.01f;
    g_assert_false(launch_join(&first, &next));
    args->beta1 = first.args.adam.beta1;
    g_assert_true(launch_join(&first, &next));
}

// As many launches as they need, and each tensor is as if it had been updated alone.
static void updates_of_many_tensors_join(void)
{
    static Updates made;
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    make_updates(&made);
    for (int i = 0; i < N_UPDATES; i++) {
        const Launch launch = launch_update(&made, made.updates[i]);
        guint n = launches->len;
        if (n == 0 || !launch_join(&g_array_index(launches, Launch, n - 1), &launch))
            g_array_append_val(launches, launch);
    }
    g_assert_cmpuint(launches->len, ==, 2);
    expect_refusals(g_array_index(launches, Launch, 1));
    run_launches(launches, "updates");
    for (int32_t id = 0; id < made.n; id++) {
        const Bound bound = {"updates", 64 * (double)FLT_EPSILON, 8 * (double)FLT_EPSILON};
        compare(&bound, &made.copies[id], &made.views[id]);
        free(made.views[id].data);
        free(made.copies[id].data);
    }
    cz_graph_free(made.graph);
}

// All bits of the 16-bit types; of F32 what lies around every step between two of them.
static CzView all_numbers(CzDtype dtype)
{
    CzView halves = view_new(cz_shape(1, 65536, 1, 1), dtype == CZ_F32 ? CZ_F16 : dtype);
    for (int32_t i = 0; i < 65536; i++)
        ((uint16_t *)halves.data)[i] = (uint16_t)i;
    if (dtype != CZ_F32)
        return halves;
    CzView view = view_new(cz_shape(1, 65536 * 8, 1, 1), CZ_F32);
    for (int32_t i = 0; i < 65536 * 8; i++) {
        // Both halves of the bits: BF16's ties and their neighbours, F16's likewise.
        static const uint32_t offsets[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0x0fff, 0x1000, 0x1001};
        ((uint32_t *)view.data)[i] = ((uint32_t)(i / 8) << 16) + offsets[i % 8];
    }
    free(halves.data);
    return view;
}

static void casts_agree_bit_by_bit(void)
{
    for (size_t from = 0; from < G_N_ELEMENTS(dtypes); from++)
        for (size_t to = 0; to < G_N_ELEMENTS(dtypes); to++) {
            CzView src = all_numbers(dtypes[from]), right = view_cast(&src, dtypes[to]);
            CzView dst = view_new(src.shape, dtypes[to]);
            g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
            launch_append_cast(launches, address(dst.data), dtypes[to], address(src.data),
                               dtypes[from], cz_shape_count(src.shape));
            g_autofree char *what = g_strdup_printf(
                "cast from %s to %s", cz_dtype_name(dtypes[from]), cz_dtype_name(dtypes[to]));
            run_launches(launches, what);
            const Bound exact = {what, 0, 0};
            compare(&exact, &right, &dst);
            free(src.data);
            free(dst.data);
            free(right.data);
        }
}

// ---- the list
// --------------------------------------------------------------------------------------

static void kernels_are_known_by_name(void)
{
    for (int i = 0; i < N_KERNELS; i++)
        g_assert_cmpuint(host_kernel_args_bytes(kernel_name((KernelId)i)), ==,
                         kernel_args_bytes((KernelId)i));
}

// Last: all that ran before counts.
static void every_kernel_ran(void)
{
    for (int i = 0; i < N_KERNELS; i++)
        if (!check_tally.ran[i])
            g_test_fail_printf("%s never ran", kernel_name((KernelId)i));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/backend/cudnn/kernels/" #name, name)
    CASE(kernels_are_known_by_name);
    CASE(every_op_is_supported_but_dense_convolutions);
    CASE(every_op_agrees_with_the_reference);
    CASE(depthwise_convolutions_of_awkward_sizes);
    CASE(resizes_of_awkward_sizes);
    CASE(sums_of_awkward_sizes);
    CASE(moves_of_awkward_sizes);
    CASE(pack_takes_many_sources);
    CASE(matmul_of_many_tiles);
    CASE(what_follows_a_convolution_agrees);
    CASE(updates_of_many_tensors_join);
    CASE(casts_agree_bit_by_bit);
    CASE(every_kernel_ran);
    return g_test_run();
}
