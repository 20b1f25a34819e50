// SPDX-License-Identifier: LGPL-3.0-or-later
// On paper: how long the plans of a GPU would take at its peaks, kernel by kernel.
//
//   ninja -C build gpu-estimate    tables: inference at 512x512, training steps of
//   recipes/photo.conf estimate --tap                 the counts against counts by hand, as a test
//
// Plans are compiled for the doubles and not run; what is counted is the program's own list of
// actions, so that fusion, casts of filters and kernels around a convolution are as they would be.
// Nothing is measured here, and no kernel reaches these peaks.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/colorizer.h>
#include <cz/generator.h>

#include "plan/plan_private.h"

#include "cost.h"
#include "lower_private.h"
#include "step.h"

// What a kernel in a CUDA graph costs beside its work: that of the one before must end, its own
// blocks must start and fill the pipelines. An assumption: 1.5 to 2.5 us are usual.
#define LAUNCH_US 2.0

typedef struct {
    const char *name;
    double bandwidth;     // bytes a second
    double peak[N_UNITS]; // operations a second
    double l2_bytes;
    int multiprocessors;
} Gpu;

// H100 SXM: NVIDIA's data sheet "H100 Tensor Core GPU" (3.35 TB/s; 67 TFLOPS in F32; tensor cores
// 989 in TF32 and 1979 in 16 bits, both with sparsity, so half of it is dense) and the white paper
// "H100 Tensor Core GPU Architecture" (132 multiprocessors, 50 MB L2).
// RTX 3060 with 12 GB: NVIDIA's table of GeForce cards (3584 cores, boost 1.78 GHz, 192 bits of
// GDDR6 at 15 Gb/s) and, for what a multiprocessor does in a cycle, the white paper "Ampere GA102
// GPU Architecture" (dense tensor cores of a GeForce, sums in F32: 512 operations in 16 bits, 256
// in TF32; 256 in F32 without; 512 KiB L2 for every 32 bits of the bus): products of these.
static const Gpu gpus[] = {
    {"H100 SXM", 3.35e12, {66.9e12, 494.7e12, 989.4e12}, 50e6, 132},
    {"RTX 3060", 360e9, {12.7e12, 12.7e12, 25.5e12}, 3.1e6, 28},
};
enum { N_GPUS = G_N_ELEMENTS(gpus) };

// ---- what a plan does ---------------------------------------------------------------------------

typedef struct {
    const CzNode *node;
    const char *kernel;
    size_t step;
    Cost cost;
} Item;

typedef struct {
    GArray *items;
    double compulsory; // bytes: weights, inputs and outputs, once
    size_t n_steps, arena_bytes;
} Work;

static void work_clear(Work *work)
{
    g_clear_pointer(&work->items, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static const char *conv_name(const ConvProblem *problem)
{
    static const char *const names[] = {"cudnn forward", "cudnn data gradient",
                                        "cudnn weight gradient"};
    return names[problem->kind];
}

// Without the types that it ends in.
static const char *launch_name(const Launch *launch)
{
    g_autofree char *name = g_strdup(kernel_name(launch->kernel));
    for (char *tail; (tail = strrchr(name, '_')) != NULL; *tail = '\0')
        if (!strstr("_f32_bf16_f16_b32_b16", tail))
            break;
    return g_intern_string(name);
}

static size_t param_bytes(const CzProgram *program, const CzNode *node)
{
    CzDtype dtype = node->dtype;
    for (guint i = 0; program->plan->frozen && i < program->packs->len; i++) {
        const Pack *pack = &g_array_index(program->packs, Pack, i);
        dtype = pack->id == node->id ? pack->dtype : dtype;
    }
    return cz_shape_count(node->shape) * cz_dtype_size(dtype);
}

// Effects write all of their parameters back but EMA its value.
static double compulsory_bytes(const CzPlan *plan)
{
    double bytes = 0;
    for (size_t id = 0; id < plan->n_nodes; id++) {
        const CzNode *node = plan->nodes[id];
        if (!plan->needed[id])
            continue;
        if (node->op == CZ_OP_PARAM)
            bytes += (double)param_bytes(plan->programs[0], node);
        else if (node->op == CZ_OP_INPUT || plan->outputs[id])
            bytes += (double)(cz_shape_count(node->shape) * cz_dtype_size(node->dtype));
        for (int32_t i = 0; node->op_class->effect && i < node->n_src; i++) {
            const CzNode *src = node->src[i] < 0 ? NULL : plan->nodes[node->src[i]];
            if (src && src->op == CZ_OP_PARAM && (node->op != CZ_OP_EMA || i == 0))
                bytes += 4.0 * (double)cz_shape_count(src->shape);
        }
    }
    return bytes;
}

static Work work_of(const CzPlan *plan, bool tf32)
{
    const CzProgram *program = plan->programs[0];
    Work work = {.items = g_array_new(FALSE, FALSE, sizeof(Item)),
                 .compulsory = compulsory_bytes(plan),
                 .n_steps = plan->n_steps,
                 .arena_bytes = cz_plan_arena_bytes(plan)};
    for (size_t step = 0; step < plan->n_steps; step++)
        for (guint i = program->steps[step].first; i < program->steps[step].end; i++) {
            const Action *action = &g_array_index(program->actions, Action, i);
            bool conv = action->kind == ACTION_CONV;
            const Item item = {.node = plan->nodes[plan->steps[step]],
                               .kernel = conv ? conv_name(&action->conv.problem)
                                              : launch_name(&action->launch),
                               .step = step,
                               .cost = conv ? cost_of_conv(&action->conv.problem, tf32)
                                            : cost_of_launch(&action->launch)};
            g_array_append_val(work.items, item);
        }
    return work;
}

// ---- time ---------------------------------------------------------------------------------------

// Microseconds.
static double memory_time(const Gpu *gpu, const Cost *cost)
{
    return 1e6 * cost->bytes / gpu->bandwidth;
}

static double unit_time(const Gpu *gpu, const Cost *cost)
{
    return 1e6 * cost->flops / gpu->peak[cost->unit];
}

typedef enum { BY_MEMORY, BY_ARITHMETIC, BY_LAUNCHES, N_BOUNDS } Bound;

// Some kernels together. time: by what bounds each of them; launches: how many at LAUNCH_US.
typedef struct {
    const char *key;
    size_t n_steps, n_launches, last_step;
    double bytes, flops, time[N_GPUS][N_BOUNDS], memory[N_GPUS], arithmetic[N_GPUS];
    size_t n_short[N_GPUS]; // launches whose work takes less than the launch
} Sum;

static void sum_add(Sum *sum, const Item *item)
{
    sum->n_steps += sum->n_launches == 0 || sum->last_step != item->step;
    sum->last_step = item->step;
    sum->n_launches++;
    sum->bytes += item->cost.bytes;
    sum->flops += item->cost.flops;
    for (int g = 0; g < N_GPUS; g++) {
        double memory = memory_time(&gpus[g], &item->cost);
        double arithmetic = unit_time(&gpus[g], &item->cost);
        sum->time[g][memory >= arithmetic ? BY_MEMORY : BY_ARITHMETIC] += MAX(memory, arithmetic);
        sum->time[g][BY_LAUNCHES] += LAUNCH_US;
        sum->memory[g] += memory;
        sum->arithmetic[g] += arithmetic;
        sum->n_short[g] += MAX(memory, arithmetic) < LAUNCH_US;
    }
}

static double work_time(const Sum *sum, int g)
{
    return sum->time[g][BY_MEMORY] + sum->time[g][BY_ARITHMETIC];
}

static double all_time(const Sum *sum, int g)
{
    return work_time(sum, g) + sum->time[g][BY_LAUNCHES];
}

static const char *bound_name(const Sum *sum, int g)
{
    static const char *const names[] = {"memory", "arithmetic", "launches"};
    int most = 0;
    for (int b = 1; b < N_BOUNDS; b++)
        most = sum->time[g][b] > sum->time[g][most] ? b : most;
    return names[most];
}

// ---- tables -------------------------------------------------------------------------------------

static const char *op_key(const Item *item)
{
    return item->node->op_class->name;
}

static const char *kernel_key(const Item *item)
{
    g_autofree char *key = g_strdup_printf("%s: %s", item->node->op_class->name, item->kernel);
    return g_intern_string(key);
}

static const char *step_key(const Item *item)
{
    g_autofree char *key = g_strdup_printf("%zu", item->step);
    return g_intern_string(key);
}

static GArray *sums_by(const Work *work, const char *(*key)(const Item *item))
{
    GArray *sums = g_array_new(FALSE, TRUE, sizeof(Sum));
    for (guint i = 0; i < work->items->len; i++) {
        const Item *item = &g_array_index(work->items, Item, i);
        const char *name = key(item);
        guint at = 0;
        while (at < sums->len && !g_str_equal(g_array_index(sums, Sum, at).key, name))
            at++;
        if (at == sums->len)
            g_array_append_val(sums, (Sum){.key = name});
        sum_add(&g_array_index(sums, Sum, at), item);
    }
    return sums;
}

// user: the GPU's index.
static int slower(const void *a, const void *b, void *user)
{
    int g = GPOINTER_TO_INT(user);
    double first = all_time(a, g), second = all_time(b, g);
    return (first < second) - (first > second);
}

static void print_sum(const Sum *sum)
{
    printf("  %-42s %5zu %8zu %9.2f %7.3f", sum->key, sum->n_steps, sum->n_launches,
           sum->bytes / 1e6, sum->flops / 1e9);
    for (int g = 0; g < N_GPUS; g++)
        printf(" | %8.1f %8.0f  %-10s", work_time(sum, g), sum->time[g][BY_LAUNCHES],
               bound_name(sum, g));
    printf("\n");
}

static void print_table(const Work *work, const char *what, const char *(*key)(const Item *item))
{
    g_autoptr(GArray) sums = sums_by(work, key);
    g_array_sort_with_data(sums, slower, GINT_TO_POINTER(0));
    printf("\n  %-42s %5s %8s %9s %7s", what, "steps", "launches", "MB", "GFLOP");
    for (int g = 0; g < N_GPUS; g++)
        printf(" | %8s %8s  %-10s", gpus[g].name, "+launch", "bound by");
    printf("\n");
    for (guint i = 0; i < sums->len; i++)
        print_sum(&g_array_index(sums, Sum, i));
}

static char *describe_step(const Work *work, const char *key)
{
    size_t step = (size_t)g_ascii_strtoull(key, NULL, 10);
    for (guint i = 0; i < work->items->len; i++) {
        const CzNode *node = g_array_index(work->items, Item, i).node;
        g_autofree char *shape = cz_shape_format(node->shape);
        if (g_array_index(work->items, Item, i).step == step)
            return g_strdup_printf("%%%d %s to %s %s", node->id, node->op_class->name, shape,
                                   cz_dtype_name(node->dtype));
    }
    return g_strdup("-");
}

static void print_dearest(const Work *work)
{
    g_autoptr(GArray) sums = sums_by(work, step_key);
    for (int g = 0; g < N_GPUS; g++) {
        printf("\n  dearest steps on %s, launches included:\n", gpus[g].name);
        g_array_sort_with_data(sums, slower, GINT_TO_POINTER(g));
        for (guint i = 0; i < MIN(sums->len, 5u); i++) {
            const Sum *sum = &g_array_index(sums, Sum, i);
            g_autofree char *what = describe_step(work, sum->key);
            printf("    %8.1f us  %-55s %8.2f MB %8.3f GFLOP, %s\n", all_time(sum, g), what,
                   sum->bytes / 1e6, sum->flops / 1e9, bound_name(sum, g));
        }
    }
}

static Sum total_of(const Work *work)
{
    Sum total = {.key = "in all"};
    for (guint i = 0; i < work->items->len; i++)
        sum_add(&total, &g_array_index(work->items, Item, i));
    return total;
}

static void print_floors(const Work *work, const Sum *total, int pictures)
{
    for (int g = 0; g < N_GPUS; g++) {
        const Gpu *gpu = &gpus[g];
        double compulsory = 1e6 * work->compulsory / gpu->bandwidth;
        double larger = MAX(total->memory[g], total->arithmetic[g]);
        double window = 0;
        for (guint i = 0; i < work->items->len; i++)
            window += g_array_index(work->items, Item, i).cost.window > gpu->l2_bytes;
        printf("\n  %s (%d multiprocessors; activations %s its %.0f MB of L2), us:\n", gpu->name,
               gpu->multiprocessors,
               (double)work->arena_bytes < gpu->l2_bytes ? "would fit" : "exceed",
               gpu->l2_bytes / 1e6);
        printf("    floors: bandwidth %.1f, arithmetic %.1f; whatever is done: %.1f (%.2f MB of "
               "weights, inputs and outputs)\n",
               total->memory[g], total->arithmetic[g], MAX(compulsory, total->arithmetic[g]),
               work->compulsory / 1e6);
        printf("    kernel by kernel: %.1f, with %zu launches of %.1f us: %.1f, %.1f pictures/s\n",
               work_time(total, g), total->n_launches, LAUNCH_US, all_time(total, g),
               1e6 * pictures / all_time(total, g));
        printf("    of the larger floor: %.0f %% without launches, %.0f %% with; %zu launches take "
               "longer than their work\n",
               100 * larger / work_time(total, g), 100 * larger / all_time(total, g),
               total->n_short[g]);
        printf("    %.0f windows are over a source larger than L2\n", window);
    }
}

static void print_work(const char *title, const Work *work, int pictures)
{
    Sum total = total_of(work);
    total.n_steps = work->n_steps;
    printf("\n== %s: %zu steps, activations in %.1f MB\n", title, work->n_steps,
           (double)work->arena_bytes / 1e6);
    print_table(work, "op", op_key);
    print_sum(&total);
    print_table(work, "kernel", kernel_key);
    print_floors(work, &total, pictures);
    print_dearest(work);
    fflush(stdout);
}

// ---- plans --------------------------------------------------------------------------------------

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    CzModelFile *file;
    CzGraph *graph;
    TrainRecipe recipe;
    TrainStep *step;
    CzPlan *plan; // of inference
    Work work;
} Case;

static void case_clear(Case *c)
{
    work_clear(&c->work);
    cz_plan_free(c->plan);
    train_step_free(c->step);
    cz_graph_free(c->graph);
    cz_store_free(c->store);
    cz_model_file_free(c->file);
    cz_device_close(c->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Case, case_clear)

// Deterministic: the engines that come first are taken, and none is timed.
static bool case_open(Case *c, bool tf32, GError **error)
{
    const CzDeviceOptions options = {.deterministic = true, .tf32 = tf32};
    c->device = cz_device_open_with("cuda", &options, error);
    c->store = c->device ? cz_store_new(c->device) : NULL;
    return c->device != NULL;
}

static bool open_inference(Case *c, int size, CzDtype dtype, bool tf32, GError **error)
{
    CzGeneratorParams params;
    CzGeneratorOutput output;
    g_autofree char *path = cz_weights_bundled(error);
    c->file = path ? cz_model_file_open(path, error) : NULL;
    if (!c->file || !case_open(c, tf32, error) || !cz_generator_read(&params, c->file, error) ||
        !cz_store_load(c->store, c->file, error))
        return false;
    c->graph = cz_graph_new();
    CzValue x = cz_input(c->graph, "lightness", cz_shape(1, 1, size, size));
    cz_generator_build(c->graph, x, &params, &(CzGeneratorUse){.dtype = dtype}, &output);
    CzValue chroma = output.chroma;
    cz_generator_clear(&output);
    c->plan = cz_plan_new(c->device, c->store, c->graph, &chroma, 1,
                          &(CzPlanOptions){.frozen = true}, error);
    if (c->plan)
        c->work = work_of(c->plan, tf32);
    return c->plan != NULL;
}

static bool open_training(Case *c, bool bf16, bool critic, GError **error)
{
    g_autofree char *path = g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training",
                                             "recipes", "photo.conf", NULL);
    train_recipe_init(&c->recipe);
    if (!train_recipe_load(&c->recipe, path, error) || !case_open(c, false, error))
        return false;
    c->recipe.bf16 = bf16;
    if (!train_step_start(c->store, &c->recipe, error))
        return false;
    c->step = train_step_new(c->device, c->store, &c->recipe, critic, error);
    if (c->step)
        c->work = work_of(train_step_plan(c->step), false);
    return c->step != NULL;
}

static int print_all(void)
{
    static const struct {
        const char *title;
        CzDtype dtype;
        bool tf32, training, critic;
    } rows[] = {
        {"inference 512x512, F32", CZ_F32, false, false, false},
        {"inference 512x512, F32 by TF32", CZ_F32, true, false, false},
        {"inference 512x512, F16", CZ_F16, false, false, false},
        {"training step 16 x 128x128, F32, before the critic", CZ_F32, false, true, false},
        {"training step 16 x 128x128, BF16, before the critic", CZ_BF16, false, true, false},
        {"training step 16 x 128x128, BF16, against the critic", CZ_BF16, false, true, true},
    };
    printf("Convolutions are taken at the units' peak (efficiency 1), memory at its peak, and a\n"
           "launch in a CUDA graph at %.1f us, which is an assumption. What a later kernel finds\n"
           "in L2 is counted as if it came from memory. An execution of cuDNN counts as one\n"
           "launch; some of its engines are several. Uploads and downloads are left out.\n",
           LAUNCH_US);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Case) c = {0};
        g_autoptr(GError) error = NULL;
        bool made = rows[i].training
                        ? open_training(&c, rows[i].dtype == CZ_BF16, rows[i].critic, &error)
                        : open_inference(&c, 512, rows[i].dtype, rows[i].tf32, &error);
        if (!made) {
            fprintf(stderr, "estimate: %s: %s\n", rows[i].title, error->message);
            return 1;
        }
        print_work(rows[i].title, &c.work, rows[i].training ? c.recipe.batch : 1);
    }
    return 0;
}

// ---- the counts ---------------------------------------------------------------------------------

// Of convolutions, from the graph's shapes and nothing else.
static double flops_of_shapes(const CzPlan *plan)
{
    double flops = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const CzNode *node = plan->nodes[plan->steps[i]];
        bool forward = node->op == CZ_OP_CONV2D, grad_src = node->op == CZ_OP_CONV2D_GRAD_SRC;
        if (!forward && !grad_src && node->op != CZ_OP_CONV2D_GRAD_FILTER)
            continue;
        CzShape filter = forward || grad_src ? plan->nodes[node->src[1]]->shape : node->shape;
        CzShape dst = forward    ? node->shape
                      : grad_src ? plan->nodes[node->src[0]]->shape
                                 : plan->nodes[node->src[1]]->shape;
        flops += 2.0 * (double)cz_shape_count(dst) * filter.c * filter.h * filter.w;
    }
    return flops;
}

static double conv_flops(const Work *work)
{
    double flops = 0;
    for (guint i = 0; i < work->items->len; i++) {
        const Item *item = &g_array_index(work->items, Item, i);
        bool conv =
            g_str_has_prefix(item->kernel, "cudnn") || (g_str_has_prefix(item->kernel, "group_") &&
                                                        !g_str_equal(item->kernel, "group_filter"));
        flops += conv ? item->cost.flops : 0;
    }
    return flops;
}

// The dense convolution whose filter has this name.
static const Item *layer(const Work *work, const CzPlan *plan, const char *filter)
{
    for (guint i = 0; i < work->items->len; i++) {
        const Item *item = &g_array_index(work->items, Item, i);
        if (item->node->op == CZ_OP_CONV2D && g_str_has_prefix(item->kernel, "cudnn") &&
            g_strcmp0(plan->nodes[item->node->src[1]]->name, filter) == 0)
            return item;
    }
    return NULL;
}

static void layers_are_as_counted_by_hand(void)
{
    g_auto(Case) c = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(open_inference(&c, 512, CZ_F32, false, &error));
    g_assert_no_error(error);
    const Item *stem = layer(&c.work, c.plan, "encoder.stem.weight");
    const Item *first = layer(&c.work, c.plan, "up.3.first.weight");
    const Item *second = layer(&c.work, c.plan, "up.3.second.weight");
    g_assert_true(stem && first && second);
    // 3x3 by steps of 2, 1 to 32 channels: each of 256x256 places makes 32 sums of 9 products.
    g_assert_cmpfloat(stem->cost.flops, ==, 2.0 * 256 * 256 * 32 * 9);
    g_assert_cmpfloat(stem->cost.bytes, ==, 4.0 * (512 * 512 + 32 * 9 + 32 + 256 * 256 * 32));
    // 3x3, 48 to 48 channels at 256x256, with bias and ReLU in one.
    g_assert_cmpfloat(first->cost.flops, ==, 2.0 * 256 * 256 * 48 * 48 * 9);
    g_assert_cmpfloat(first->cost.bytes, ==, 4.0 * (2 * 256 * 256 * 48 + 48 * 48 * 9 + 48));
    // The same with another map added to it.
    g_assert_cmpfloat(second->cost.bytes, ==, 4.0 * (3 * 256 * 256 * 48 + 48 * 48 * 9 + 48));
}

static void totals_are_those_of_the_shapes(void)
{
    static const CzDtype dtypes[] = {CZ_F32, CZ_F16, CZ_BF16};
    for (size_t i = 0; i < G_N_ELEMENTS(dtypes); i++) {
        g_auto(Case) c = {0};
        g_autoptr(GError) error = NULL;
        bool training = dtypes[i] != CZ_F16;
        g_assert_true(training ? open_training(&c, dtypes[i] == CZ_BF16, false, &error)
                               : open_inference(&c, 512, dtypes[i], false, &error));
        g_assert_no_error(error);
        const CzPlan *plan = training ? train_step_plan(c.step) : c.plan;
        g_test_message("%s: %.4f GFLOP in convolutions", cz_dtype_name(dtypes[i]),
                       conv_flops(&c.work) / 1e9);
        g_assert_cmpfloat(conv_flops(&c.work), ==, flops_of_shapes(plan));
    }
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return print_all();
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/gpu/estimate/layers_are_as_counted_by_hand", layers_are_as_counted_by_hand);
    g_test_add_func("/gpu/estimate/totals_are_those_of_the_shapes", totals_are_those_of_the_shapes);
    return g_test_run();
}
