// SPDX-License-Identifier: LGPL-3.0-or-later
// Every op, every example: references run, and gradients agree with finite differences.
#include <cz/graph.h>

#include <math.h>
#include <string.h>

#include <cz/ops.h>
#include <cz/rng.h>
#include <cz/threads.h>

#include "interpreter.h"

// The index-th example of an op, in a graph of its own; NULL when there are no more.
static CzGraph *example(const CzOpClass *op, unsigned index, CzDtype dtype, CzValue *dst)
{
    CzGraph *graph = cz_graph_new();
    bool there = op->example(index, dtype, graph, dst);
    g_autoptr(GError) error = NULL;
    if (there && !cz_graph_check(graph, &error))
        g_test_message("%s, example %u: %s", op->name, index, error->message);
    if (there)
        g_assert_no_error(error);
    if (there && !error)
        return graph;
    cz_graph_free(graph);
    return NULL;
}

// ---- the table ----------------------------------------------------------------------------------

static void table_is_complete(void)
{
    static const char *const names[] = {
#define CZ_OP(NAME, name) #name,
#include <cz/ops.def>
#undef CZ_OP
    };
    for (int op = 0; op < CZ_N_OPS; op++) {
        const CzOpClass *op_class = cz_op_class((CzOp)op);
        g_assert_cmpint(op_class->op, ==, op);
        g_assert_cmpstr(op_class->name, ==, names[op]);
        g_assert_true(op_class->infer && op_class->example);
        g_assert_true(op_class->reference || op == CZ_OP_INPUT || op == CZ_OP_PARAM);
        g_assert_cmpint(op_class->min_src, <=, op_class->max_src);
        g_assert_false(op_class->effect && op_class->gradient);
        g_assert_true(op_class->effect == (op == CZ_OP_ADAMW || op == CZ_OP_EMA));
        CzValue dst;
        g_autoptr(CzGraph) graph = example(op_class, 0, CZ_F32, &dst);
        g_assert_nonnull(graph);
        if (graph)
            g_assert_cmpint(cz_graph_of(graph, dst)->op, ==, op);
    }
}

// ---- references ---------------------------------------------------------------------------------

typedef void (*ExampleTest)(const CzOpClass *op, unsigned index, CzDtype dtype);

static void for_every_example(ExampleTest test, CzDtype dtype)
{
    unsigned n_pairs = 0;
    for (int op = 0; op < CZ_N_OPS; op++) {
        const CzOpClass *op_class = cz_op_class((CzOp)op);
        for (unsigned index = 0;; index++) {
            CzValue dst;
            g_autoptr(CzGraph) graph = example(op_class, index, dtype, &dst);
            if (!graph)
                break;
            test(op_class, index, dtype);
            n_pairs++;
        }
    }
    g_test_message("%u pairs of op and example in %s", n_pairs, cz_dtype_name(dtype));
    g_assert_cmpuint(n_pairs, >, CZ_N_OPS / 2);
}

static size_t view_bytes(const CzView *view)
{
    return cz_shape_count(view->shape) * cz_dtype_size(view->dtype);
}

// Finite everywhere (the interpreter starts with NaN), and the sources are as they were.
static void check_reference(const CzOpClass *op, unsigned index, CzDtype dtype)
{
    CzValue dst;
    g_autoptr(CzGraph) graph = example(op, index, dtype, &dst);
    g_autoptr(Interpreter) it = interpreter_new(graph, &dst, 1);
    interpreter_fill(it, 7);
    interpreter_run(it);
    const CzNode *node = cz_graph_of(graph, dst);
    g_autofree float *first = interpreter_floats(it, dst);
    for (size_t i = 0; i < cz_shape_count(node->shape); i++) {
        if (isfinite(first[i]))
            continue;
        g_test_message("%s, example %u, %s: element %zu is %g", op->name, index,
                       cz_dtype_name(dtype), i, (double)first[i]);
        g_test_fail();
        return;
    }
    if (op->effect || !op->reference)
        return;
    g_autofree CzView *src = g_new0(CzView, node->n_src + 1);
    g_autofree char **before = g_new0(char *, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++) {
        src[i] = *interpreter_view(it, (CzValue){node->src[i]});
        before[i] = g_memdup2(src[i].data, view_bytes(&src[i]));
    }
    op->reference(node, src, interpreter_view(it, dst));
    for (int32_t i = 0; i < node->n_src; i++) {
        g_assert_cmpmem(src[i].data, view_bytes(&src[i]), before[i], view_bytes(&src[i]));
        g_free(before[i]);
    }
}

static void references_write_all_of_dst_and_nothing_else(void)
{
    for_every_example(check_reference, CZ_F32);
    for_every_example(check_reference, CZ_BF16);
    for_every_example(check_reference, CZ_F16);
}

// dst in the memory of source i gives the same, wherever the class says that it may lie there.
static void check_in_place(const CzOpClass *op, unsigned index, CzDtype dtype)
{
    CzValue dst;
    g_autoptr(CzGraph) graph = example(op, index, dtype, &dst);
    const CzNode *node = cz_graph_of(graph, dst);
    g_autoptr(Interpreter) it = interpreter_new(graph, &dst, 1);
    interpreter_fill(it, 8);
    interpreter_run(it);
    CzView *expected = interpreter_view(it, dst);
    g_autofree CzView *src = g_new0(CzView, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++)
        src[i] = *interpreter_view(it, (CzValue){node->src[i]});
    for (int32_t i = 0; i < node->n_src; i++) {
        bool same = src[i].dtype == node->dtype && cz_shape_equal(src[i].shape, node->shape);
        if (!(op->in_place >> i & 1) || !same)
            continue;
        g_autofree void *memory = g_memdup2(src[i].data, view_bytes(&src[i]));
        void *kept = src[i].data;
        src[i].data = memory;
        CzView shared = src[i];
        op->reference(node, src, &shared);
        g_assert_cmpmem(memory, view_bytes(&shared), expected->data, view_bytes(expected));
        src[i].data = kept;
    }
}

static void references_work_in_place_where_they_say(void)
{
    for_every_example(check_in_place, CZ_F32);
    for_every_example(check_in_place, CZ_BF16);
    for_every_example(check_in_place, CZ_F16);
}

// What one rounding changes at most, as a share: BF16 has 8 significant bits, F16 has 11.
static double rounding(CzDtype dtype)
{
    return dtype == CZ_BF16 ? 0x1p-8 : dtype == CZ_F16 ? 0x1p-11 : 0;
}

// On the grid every input is exact in BF16 and F16, so they differ from F32 by the one rounding at
// the output, and by what F32 itself rounds on the way.
static void check_rounds_once(const CzOpClass *op, unsigned index, CzDtype dtype)
{
    CzValue wide, narrow;
    g_autoptr(CzGraph) wide_graph = example(op, index, CZ_F32, &wide);
    g_autoptr(CzGraph) narrow_graph = example(op, index, dtype, &narrow);
    if (!wide_graph || !narrow_graph)
        return;
    g_autoptr(Interpreter) wide_it = interpreter_new(wide_graph, &wide, 1);
    g_autoptr(Interpreter) narrow_it = interpreter_new(narrow_graph, &narrow, 1);
    interpreter_fill_grid(wide_it, 9);
    interpreter_fill_grid(narrow_it, 9);
    interpreter_run(wide_it);
    interpreter_run(narrow_it);
    g_autofree float *expected = interpreter_floats(wide_it, wide);
    g_autofree float *found = interpreter_floats(narrow_it, narrow);
    double unit = rounding(cz_graph_dtype(narrow_graph, narrow));
    size_t n = cz_shape_count(cz_graph_shape(wide_graph, wide));
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++) {
        double bound = unit * fabs((double)expected[i]) + 8.0 * 0x1p-24 * largest;
        if (fabs((double)found[i] - (double)expected[i]) <= bound)
            continue;
        g_test_message("%s, example %u, element %zu: %s %.9g, F32 %.9g, bound %.3g", op->name,
                       index, i, cz_dtype_name(dtype), (double)found[i], (double)expected[i],
                       bound);
        g_test_fail();
        return;
    }
}

static void references_round_once(void)
{
    for_every_example(check_rounds_once, CZ_BF16);
    for_every_example(check_rounds_once, CZ_F16);
}

// ---- finite differences -------------------------------------------------------------------------

// One functional sum_k <w_k, out_k> of some values of a graph, and its gradient by inputs.
typedef struct {
    const char *what; // for messages
    CzGraph *graph;
    GArray *outs, *weights, *inputs, *grads; // CzValue
    double step;
    size_t n_judged; // elements of inputs compared so far
} Functional;

static CzValue value_at(const GArray *values, guint index)
{
    return g_array_index(values, CzValue, index);
}

static void add_value(GArray *values, CzValue value)
{
    g_array_append_val(values, value);
}

// step: about the cube root of the unit roundoff, 2^-8; where fewer bits lie on the way 2^-6, whose
// double is still exact in BF16 and F16 for numbers on the grid. Kinks are at least 2^-4 away.
static double choose_step(const CzGraph *graph)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        if (cz_graph_node(graph, id)->dtype != CZ_F32)
            return 0x1p-6;
    return 0x1p-8;
}

// Makes weights (as INPUTs), the loss, and its gradient by every INPUT that was there before.
static bool functional_init(Functional *f, CzGraph *graph, const GArray *outs, const char *what)
{
    f->what = what;
    f->graph = graph;
    f->outs = g_array_copy((GArray *)outs);
    f->weights = g_array_new(FALSE, FALSE, sizeof(CzValue));
    f->inputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    f->grads = g_array_new(FALSE, FALSE, sizeof(CzValue));
    f->step = choose_step(graph);
    f->n_judged = 0;
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        if (cz_graph_node(graph, id)->op <= CZ_OP_PARAM)
            add_value(f->inputs, (CzValue){id});
    CzValue loss = {-1};
    for (guint k = 0; k < outs->len; k++) {
        CzValue out = value_at(outs, k);
        g_autofree char *name = g_strdup_printf("weights %d", cz_graph_n_nodes(graph));
        CzValue weights = cz_input(graph, name, cz_graph_shape(graph, out));
        if (cz_graph_dtype(graph, out) != CZ_F32)
            out = cz_cast(graph, out, CZ_F32);
        CzValue term = cz_dot(graph, out, weights);
        loss = loss.id < 0 ? term : cz_add(graph, loss, term);
        add_value(f->weights, weights);
    }
    g_array_set_size(f->grads, f->inputs->len);
    cz_graph_gradient(graph, loss, (CzValue *)f->inputs->data, f->inputs->len,
                      (CzValue *)f->grads->data);
    g_autoptr(GError) error = NULL;
    if (cz_graph_check(graph, &error))
        return true;
    g_test_message("%s: %s", what, error->message);
    g_test_fail();
    return false;
}

static void functional_clear(Functional *f)
{
    g_array_unref(f->outs);
    g_array_unref(f->weights);
    g_array_unref(f->inputs);
    g_array_unref(f->grads);
}

// Which straight piece of its activation every output of a fused convolution is on. Such a kink
// may lie anywhere; a step across one has no derivative to compare with.
static uint64_t pieces(const Functional *f, Interpreter *it)
{
    uint64_t hash = 1469598103934665603u; // FNV-1a
    for (int32_t id = 0; id < cz_graph_n_nodes(f->graph); id++) {
        const CzNode *node = cz_graph_node(f->graph, id);
        const CzView *view = interpreter_view(it, (CzValue){id});
        if (node->op != CZ_OP_CONV2D || node->params.conv.activation == CZ_ACT_NONE || !view)
            continue;
        g_autofree float *numbers = interpreter_floats(it, (CzValue){id});
        size_t n = cz_shape_count(view->shape);
        for (size_t i = 0; i < n; i++)
            hash = (hash ^ (uint64_t)((numbers[i] > 0.0f) + (numbers[i] >= 6.0f))) * 1099511628211u;
    }
    return hash;
}

typedef struct {
    double slope; // of the functional, by central differences
    double bound; // what these differences and the rule's own rounding may be off by
    bool crosses; // a kink lies within reach
} Difference;

enum { STEPS = 4 };
static const double step_factors[STEPS] = {-2.0, -1.0, 1.0, 2.0};

// Adds one output's share: D(h) = f' + h^2 f'''/6 + ..., so |D(2h) - D(h)| is three times the error
// of D(h), and more. Rounding: outputs are off by at most 8 units of the largest (sums of up to 64
// terms), divided by h; the rule's nodes, 16 at most, by a unit of 1 + |slope| each.
static void add_output(Difference *d, float *const *out, const float *weights, size_t n, double h)
{
    double largest = 0.0;
    for (size_t j = 0; j < n; j++)
        largest = fmax(largest, fabs((double)out[1][j]));
    for (size_t j = 0; j < n; j++) {
        if (out[0][j] == out[1][j] && out[1][j] == out[2][j] && out[2][j] == out[3][j])
            continue;
        double near = ((double)out[2][j] - (double)out[1][j]) / (2.0 * h);
        double far = ((double)out[3][j] - (double)out[0][j]) / (4.0 * h);
        double weight = (double)weights[j];
        d->slope += weight * near;
        d->bound += fabs(weight) * (fabs(far - near) + 8.0 * 0x1p-24 * largest / h +
                                    16.0 * 0x1p-24 * (1.0 + fabs(near)));
    }
}

// The functional's slope by element i of an input.
static Difference differentiate(const Functional *f, Interpreter *it, float *element)
{
    Difference d = {0};
    g_autofree float **out = g_new0(float *, STEPS * f->outs->len);
    float centre = *element;
    uint64_t first = 0;
    for (int s = 0; s < STEPS; s++) {
        *element = (float)((double)centre + step_factors[s] * f->step);
        interpreter_run(it);
        uint64_t here = pieces(f, it);
        first = s ? first : here;
        d.crosses = d.crosses || here != first;
        for (guint k = 0; k < f->outs->len; k++)
            out[k * STEPS + s] = interpreter_floats(it, value_at(f->outs, k));
    }
    *element = centre;
    for (guint k = 0; k < f->outs->len; k++) {
        const CzView *weights = interpreter_view(it, value_at(f->weights, k));
        size_t n = cz_shape_count(weights->shape);
        add_output(&d, out + k * STEPS, weights->data, n, f->step);
    }
    for (guint i = 0; i < STEPS * f->outs->len; i++)
        g_free(out[i]);
    return d;
}

enum { MAX_ELEMENTS = 48 }; // per input, spread evenly; all that an example has if it has fewer

// Compares one input's gradient. FALSE at the first element that is out of bounds.
static bool check_input(Functional *f, Interpreter *it, CzValue input, const float *grad)
{
    CzView *view = interpreter_view(it, input);
    size_t n = view ? cz_shape_count(view->shape) : 0, n_judged = 0, n_tried = 0;
    size_t stride = n / MAX_ELEMENTS + 1;
    for (size_t i = 0; i < n; i += stride, n_tried++) {
        Difference d = differentiate(f, it, (float *)view->data + i);
        if (d.crosses)
            continue;
        n_judged++;
        if (fabs((double)grad[i] - d.slope) <= d.bound)
            continue;
        g_test_message("%s, by %s, element %zu: gradient %.9g, differences %.9g, bound %.3g",
                       f->what, cz_graph_of(f->graph, input)->name, i, (double)grad[i], d.slope,
                       d.bound);
        return false;
    }
    f->n_judged += n_judged;
    if (n_judged * 4 >= n_tried)
        return true;
    g_test_message("%s: kinks within reach of %zu of %zu elements: too few were judged", f->what,
                   n_tried - n_judged, n_tried);
    return false;
}

static bool check_functional(Functional *f)
{
    g_autoptr(GArray) forward = g_array_copy(f->outs);
    g_array_append_vals(forward, f->weights->data, f->weights->len);
    g_autoptr(Interpreter) it = interpreter_new(f->graph, (CzValue *)forward->data, forward->len);
    g_autoptr(Interpreter) back =
        interpreter_new(f->graph, (CzValue *)f->grads->data, f->grads->len);
    interpreter_fill_grid(it, 10);
    interpreter_fill_grid(back, 10);
    interpreter_run(back);
    bool sound = true;
    for (guint i = 0; i < f->inputs->len && sound; i++) {
        g_autofree float *grad = interpreter_floats(back, value_at(f->grads, i));
        sound = check_input(f, it, value_at(f->inputs, i), grad);
    }
    return sound;
}

typedef struct {
    unsigned n_pairs;
    size_t n_elements;
} Tally;

// Makes the functional of outs and checks it. The gradients that are not constant take outs' place.
static void check_order(const char *what, CzGraph *graph, GArray *outs, Tally *tally)
{
    Functional f;
    if (functional_init(&f, graph, outs, what) && check_functional(&f)) {
        tally->n_pairs++;
        tally->n_elements += f.n_judged;
    } else {
        g_test_fail();
    }
    g_array_set_size(outs, 0);
    for (guint i = 0; i < f.grads->len; i++) {
        const CzNode *node = cz_graph_of(graph, value_at(f.grads, i));
        if (node && node->op != CZ_OP_CONSTANT)
            add_value(outs, value_at(f.grads, i));
    }
    functional_clear(&f);
}

// First order: the op. Second order: the gradients that the first one gave, by every source and
// by the weights of the first functional.
static void check_gradients(const CzOpClass *op, unsigned index, CzDtype dtype, Tally *first,
                            Tally *second)
{
    CzValue dst;
    g_autoptr(CzGraph) graph = example(op, index, dtype, &dst);
    g_autofree char *what =
        g_strdup_printf("%s, example %u, %s", op->name, index, cz_dtype_name(dtype));
    g_autofree char *again = g_strdup_printf("%s, second order", what);
    g_autoptr(GArray) outs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    add_value(outs, dst);
    check_order(what, graph, outs, first);
    if (outs->len > 0)
        check_order(again, graph, outs, second);
}

// Every example of an op; how many there are.
static unsigned check_examples(const CzOpClass *op, CzDtype dtype, Tally *first, Tally *second)
{
    for (unsigned index = 0;; index++) {
        CzValue dst;
        g_autoptr(CzGraph) graph = example(op, index, dtype, &dst);
        if (!graph)
            return index;
        check_gradients(op, index, dtype, first, second);
    }
}

// In F32: rules know no types but those of their values, and fewer bits would only blur the
// differences. cast's rule is about types, and exact on the grid.
static void gradients_agree_with_finite_differences(void)
{
    Tally first = {0}, second = {0};
    unsigned n_ops = 0;
    for (int i = 0; i < CZ_N_OPS; i++) {
        const CzOpClass *op = cz_op_class((CzOp)i);
        if (!op->gradient)
            continue;
        unsigned n_examples = check_examples(op, CZ_F32, &first, &second);
        if (n_examples == 0)
            g_test_message("%s has a gradient and no example", op->name);
        g_assert_cmpuint(n_examples, >, 0);
        if (op->op == CZ_OP_CAST)
            n_examples += check_examples(op, CZ_F16, &first, &second);
        n_ops++;
    }
    g_test_message("%u ops with gradients; right: %u pairs of op and example (%zu elements) in the "
                   "first order, %u (%zu) in the second",
                   n_ops, first.n_pairs, first.n_elements, second.n_pairs, second.n_elements);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1); // examples are tiny: threads would only wait for each other
    g_test_add_func("/graph/ops/table_is_complete", table_is_complete);
    g_test_add_func("/graph/ops/references_write_all_of_dst_and_nothing_else",
                    references_write_all_of_dst_and_nothing_else);
    g_test_add_func("/graph/ops/references_work_in_place_where_they_say",
                    references_work_in_place_where_they_say);
    g_test_add_func("/graph/ops/references_round_once", references_round_once);
    g_test_add_func("/graph/ops/gradients_agree_with_finite_differences",
                    gradients_agree_with_finite_differences);
    return g_test_run();
}
