// SPDX-License-Identifier: LGPL-3.0-or-later
// Devices: what is listed, what opens, and modules that must not be loaded.
//
// The list is made once per process, so each case that needs another one runs in a process of its
// own: the test starts itself anew with "child" and the words that the answer must hold.
#include <cz/plan.h>

#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/ops.h>

// Of a table that is given as text.
#define TEXT(number) G_STRINGIFY(number)

static char *folder;
static char *self;

// ---- in the child -------------------------------------------------------------------------------

static bool runs(CzEngineDevice *device)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", cz_shape(1, 1, 1, 1)), y = cz_scale(graph, x, 2, 1);
    g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &y, 1, NULL, NULL);
    float result = 0;
    return plan && cz_plan_write(plan, x, (float[]){3}, 1, NULL) && cz_plan_run(plan, NULL, NULL) &&
           cz_plan_read(plan, y, &result, 1, NULL) && result == 7;
}

// Prints all that the registry says, for the parent to look at.
static int child(void)
{
    const char *const ids[] = {NULL, "auto", "cpu", "reference", "cuda", "cuda:7", "toaster", ""};
    const char *const *notes;
    size_t n;
    const CzDeviceInfo *infos = cz_devices(&n, &notes);
    for (size_t i = 0; i < n; i++)
        g_print("device %s: %s\n", infos[i].id, infos[i].name);
    for (; *notes; notes++)
        g_print("note %s\n", *notes);
    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CzEngineDevice) device = cz_device_open(ids[i], &error);
        if (!device)
            g_print("open %s: error %d: %s\n", ids[i], error->code, error->message);
        else
            g_print("open %s: %s %s\n", ids[i] ? ids[i] : "NULL", cz_device_info(device)->id,
                    runs(device) ? "runs" : "fails");
    }
    return 0;
}

// ---- in the parent ------------------------------------------------------------------------------

static char *ask_child(const char *module_dir)
{
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    char *argv[] = {self, (char *)"child", NULL};
    g_auto(GStrv) environment = g_get_environ();
    int status;
    environment = g_environ_setenv(environment, "COLORIZE_MODULE_DIR", module_dir, TRUE);
    g_spawn_sync(folder, argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, &status,
                 &error);
    g_assert_no_error(error);
    g_assert_true(g_spawn_check_wait_status(status, &error));
    g_assert_no_error(error);
    return g_steal_pointer(&output);
}

static void expect_lines(const char *output, const char *const *lines)
{
    for (; *lines; lines++)
        if (!output || !strstr(output, *lines))
            g_test_fail_printf("expected '%s' in:\n%s", *lines, output);
}

// Compiles source, or copies it as it is, to the module's name in a folder of its own.
static char *module_folder(const char *name, const char *source, bool compile)
{
    char *dir = g_build_filename(folder, name, NULL);
    g_autofree char *module = g_build_filename(dir, "libcolorize-onednn.so", NULL);
    g_autofree char *text = g_build_filename(dir, "module.c", NULL);
    g_mkdir(dir, 0700);
    g_assert_true(g_file_set_contents(compile ? text : module, source, -1, NULL));
    if (compile) {
        g_autofree char *command = g_strdup_printf("cc -shared -fPIC -o '%s' '%s'", module, text);
        int status = -1;
        if (!g_spawn_command_line_sync(command, NULL, NULL, &status, NULL) || status != 0)
            g_clear_pointer(&dir, g_free);
    }
    return dir;
}

#define REFERENCE_OPENS                                                                         \
    "open NULL: reference runs\n", "open auto: reference runs\n", "open cpu: reference runs\n", \
        "open reference: reference runs\n"

static void reference_opens_where_nothing_else_is(void)
{
    g_autofree char *output = ask_child("/nonexistent/modules");
    expect_lines(output,
                 (const char *[]){REFERENCE_OPENS, "device reference: CPU",
                                  "note oneDNN (CPU): not installed: no libcolorize-onednn.so in "
                                  "/nonexistent/modules\n",
                                  NULL});
    g_assert_null(strstr(output, "device cpu"));
}

static void unknown_devices_are_an_error_that_lists_the_known(void)
{
    g_autofree char *output = ask_child("/nonexistent/modules");
    g_autofree char *code = g_strdup_printf("open toaster: error %d: ", CZ_ERROR_BACKEND);
    expect_lines(output, (const char *[]){
                             code, "device 'toaster' is not here; expected auto, cpu, reference (",
                             "device 'cuda' is not here", "device 'cuda:7' is not here",
                             "device '' is not here", "cuDNN (NVIDIA GPUs): not installed", NULL});
}

static void a_text_file_is_no_module(void)
{
    g_autofree char *dir = module_folder("text", "This is not a library.\n", false);
    g_autofree char *output = ask_child(dir);
    expect_lines(output,
                 (const char *[]){REFERENCE_OPENS, "note oneDNN (CPU): cannot load ", NULL});
}

static void refused_modules_leave_a_note(void)
{
    static const struct {
        const char *name, *source, *words;
    } cases[] = {
        {"empty", "int nothing;\n", " has no function cz_backend_query\n"},
        {"null", "const void *cz_backend_query(const void *host) { return 0; }\n",
         " refuses this program\n"},
        {"abi",
         "static const struct { unsigned abi; const void *rest[32]; } table = {99};\n"
         "const void *cz_backend_query(const void *host) { return &table; }\n",
         " is for another version: expected interface " TEXT(CZ_BACKEND_ABI) ", found 99\n"},
        {"holes",
         "static const struct { unsigned abi; const void *rest[32]; } table = {" TEXT(
             CZ_BACKEND_ABI) "};\n"
                             "const void *cz_backend_query(const void *host) { return &table; }\n",
         " lacks functions that a backend must have\n"},
        {"unresolved",
         "extern int there_is_no_such_function_anywhere(void);\n"
         "const void *cz_backend_query(const void *host)\n"
         "{ there_is_no_such_function_anywhere(); return 0; }\n",
         "note oneDNN (CPU): cannot load "},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *dir = module_folder(cases[i].name, cases[i].source, true);
        if (!dir) {
            g_test_skip("no C compiler to make modules with");
            return;
        }
        g_autofree char *output = ask_child(dir);
        expect_lines(output, (const char *[]){REFERENCE_OPENS, cases[i].words, NULL});
    }
}

// A module that is there must not be found through a relative folder.
static void the_working_folder_is_never_searched(void)
{
    g_autofree char *dir = module_folder("cwd", "This is not a library.\n", false);
    g_autofree char *output = ask_child("cwd"); // the child works in folder
    expect_lines(output, (const char *[]){REFERENCE_OPENS, "not installed", NULL});
    g_autofree char *list = g_strdup_printf("/nonexistent:%s", dir); // while lists are followed
    g_autofree char *listed = ask_child(list);
    expect_lines(listed, (const char *[]){REFERENCE_OPENS, "cannot load", NULL});
}

static void the_cpu_backend_comes_first(void)
{
    const char *dir = g_getenv("COLORIZE_MODULE_DIR");
    g_autofree char *output = dir ? ask_child(dir) : NULL;
    if (!output || !strstr(output, "device cpu: ")) {
        g_test_skip("the oneDNN module is not built");
        return;
    }
    g_assert_true(g_str_has_prefix(output, "device cpu: "));
    expect_lines(output,
                 (const char *[]){"open cpu: cpu runs\n", "open reference: reference runs\n",
                                  "device reference: CPU", NULL});
}

int main(int argc, char **argv)
{
    if (argc > 1 && g_str_equal(argv[1], "child"))
        return child();
    self = g_canonicalize_filename(argv[0], NULL);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    folder = g_dir_make_tmp("colorize-XXXXXX", NULL);
#define CASE(name) g_test_add_func("/backend/registry/" #name, name)
    CASE(reference_opens_where_nothing_else_is);
    CASE(unknown_devices_are_an_error_that_lists_the_known);
    CASE(a_text_file_is_no_module);
    CASE(refused_modules_leave_a_note);
    CASE(the_working_folder_is_never_searched);
    CASE(the_cpu_backend_comes_first);
    int status = g_test_run();
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folder);
    g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    return status;
}
