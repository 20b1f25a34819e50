// SPDX-License-Identifier: LGPL-3.0-or-later
// Every convolution that the backend asks cuDNN for, judged by the real cuDNN for every generation
// of GPUs: is there an engine that is exact, deterministic, compiled already, and content with the
// workspace?
//
// The driver is the double; behind the double of cuDNN is the real one, found in
// COLORIZE_CUDA_ROOT. Each generation has a process of its own: the library is known to crash on
// some. Nothing is run here, only compiled.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/colorizer.h>
#include <cz/generator.h>
#include <cz/ops.h>

#include "gan.h"
#include "step.h"

static const char *self;

// ---- in the child -------------------------------------------------------------------------------

typedef struct {
    CzEngineDevice *device;
    GHashTable *problems; // distinct, as text
    int n_own;            // convolutions without an engine
} Census;

// Looks through a plan's lines for what convolutions run on.
static void count(Census *census, const CzPlan *plan)
{
    g_autofree char *text = cz_plan_dump(plan);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        char *at = strstr(*line, "[cudnn "), *end = at ? strstr(at, ", engine ") : NULL;
        if (end)
            g_hash_table_add(census->problems, g_strndup(at + 7, (gsize)(end - at - 7)));
        if (strstr(*line, "[no engine")) {
            printf("no engine for %s\n", *line);
            census->n_own++;
        }
    }
}

static void take(Census *census, CzPlan *plan, GError *error, const char *what)
{
    if (!plan)
        printf("%s: %s\n", what, error->message);
    census->n_own += !plan;
    if (plan)
        count(census, plan);
    cz_plan_free(plan);
    g_clear_error(&error);
}

static bool add_params(CzStore *store, const CzGraph *graph)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op == CZ_OP_PARAM && !cz_store_add(store, node->name, node->shape, NULL, NULL))
            return false;
    }
    return true;
}

static bool has_bf16(const CzGraph *graph)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        if (cz_graph_node(graph, id)->dtype == CZ_BF16)
            return true;
    return false;
}

static void take_ops(Census *census, CzDtype dtype)
{
    for (int op = 0; op < CZ_N_OPS; op++)
        for (unsigned index = 0;; index++) {
            CzValue dst;
            GError *error = NULL;
            g_autoptr(CzGraph) graph = cz_graph_new();
            if (!cz_op_class((CzOp)op)->example(index, dtype, graph, &dst))
                break;
            // Casts have examples of all types.
            if (has_bf16(graph) && !cz_device_info(census->device)->bf16)
                continue;
            g_autoptr(CzStore) store = cz_store_new(census->device);
            CzPlan *plan = NULL;
            if (add_params(store, graph))
                plan = cz_plan_new(census->device, store, graph, &dst, 1, NULL, &error);
            take(census, plan, error, cz_op_class((CzOp)op)->name);
        }
}

// The bundled network as GIMP's plug-in and batches use it.
static void take_inference(Census *census, CzDtype dtype)
{
    static const int32_t sizes[][2] = {{160, 160}, {224, 224}, {224, 168}, {512, 512}, {1022, 767}};
    g_autoptr(GError) error = NULL;
    g_autofree char *path = cz_weights_bundled(&error);
    g_autoptr(CzModelFile) file = path ? cz_model_file_open(path, &error) : NULL;
    g_autoptr(CzStore) store = cz_store_new(census->device);
    CzGeneratorParams params;
    if (!file || !cz_generator_read(&params, file, &error) || !cz_store_load(store, file, &error)) {
        printf("%s\n", error->message);
        census->n_own++;
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue x = cz_input(graph, "lightness", cz_shape(1, 1, sizes[i][1], sizes[i][0]));
        CzGeneratorOutput output;
        GError *cause = NULL;
        cz_generator_build(graph, x, &params, &(CzGeneratorUse){.dtype = dtype}, &output);
        const CzValue outputs[] = {output.chroma, output.features};
        CzPlan *plan = cz_plan_new(census->device, store, graph, outputs, 2,
                                   &(CzPlanOptions){.frozen = true}, &cause);
        cz_generator_clear(&output);
        take(census, plan, cause, "inference");
    }
}

static void take_training(Census *census, const char *name, int32_t bf16)
{
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "recipes", name, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzStore) store = cz_store_new(census->device);
    g_autoptr(TrainStep) step = NULL;
    TrainCritic *critic = NULL;
    TrainRecipe recipe;
    train_recipe_init(&recipe);
    bool done = train_recipe_load(&recipe, path, &error);
    recipe.bf16 = bf16;
    recipe.start[0] = recipe.encoder[0] = '\0'; // shapes are all that counts
    done = done && train_step_start(store, &recipe, &error);
    if (done)
        step = train_step_new(census->device, store, &recipe, recipe.gan > 0, &error);
    if (step && recipe.gan > 0)
        critic = train_critic_new(census->device, store, &recipe, &error);
    if (error) {
        printf("%s: %s\n", name, error->message);
        census->n_own++;
    }
    if (step)
        count(census, train_step_plan(step));
    if (critic)
        count(census, train_critic_plan(critic));
    train_critic_free(critic);
}

static int take_census(void)
{
    g_autoptr(GError) error = NULL;
    const CzDeviceOptions options = {.deterministic = true};
    Census census = {.problems = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    census.device = cz_device_open_with("cuda", &options, &error);
    if (!census.device) {
        printf("%s\n", error->message);
        return 1;
    }
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++) {
        if (dtype == CZ_BF16 && !cz_device_info(census.device)->bf16)
            continue;
        take_ops(&census, dtype);
        take_inference(&census, dtype);
        if (dtype == CZ_F16) // for inference alone
            continue;
        take_training(&census, "photo.conf", dtype == CZ_BF16);
        take_training(&census, "seed-as-meant.conf", dtype == CZ_BF16);
    }
    guint n = g_hash_table_size(census.problems);
    printf("%u problems, %d without an engine\n", n, census.n_own);
    g_hash_table_unref(census.problems);
    cz_device_close(census.device);
    return census.n_own > 0 || n < 50;
}

// ---- in the parent ------------------------------------------------------------------------------

static void generation(gconstpointer data)
{
    const char *sm = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    int status = 0;
    g_auto(GStrv) env = g_get_environ();
    env = g_environ_setenv(env, "COLORIZE_DOUBLE_SM", sm, TRUE);
    env = g_environ_setenv(env, "COLORIZE_DOUBLE_ROOT", g_getenv("COLORIZE_CUDA_ROOT"), TRUE);
    env = g_environ_setenv(env, "COLORIZE_CUDA_ROOT", g_getenv("COLORIZE_DOUBLE_DIR"), TRUE);
    char *argv[] = {(char *)self, (char *)"census", NULL};
    g_spawn_sync(NULL, argv, env, G_SPAWN_DEFAULT, NULL, NULL, &said, NULL, &status, &error);
    g_assert_no_error(error);
    g_test_message("sm_%s: %s", sm, g_strchomp(said));
    g_assert_true(g_spawn_check_wait_status(status, &error));
    g_assert_no_error(error);
}

int main(int argc, char **argv)
{
    static const char generations[][4] = {"75", "80", "86", "89", "90", "100", "120"};
    if (argc > 1 && g_str_equal(argv[1], "census"))
        return take_census();
    self = argv[0];
    const char *root = g_getenv("COLORIZE_CUDA_ROOT");
    if (!root || !*root) {
        printf(
            "1..0 # SKIP COLORIZE_CUDA_ROOT is not set: the real cuDNN judges this (HACKING.md)\n");
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(generations); i++) {
        g_autofree char *name = g_strdup_printf("/gpu/engines/sm_%s", generations[i]);
        g_test_add_data_func(name, (gconstpointer)generations[i], generation);
    }
    return g_test_run();
}
