// SPDX-License-Identifier: LGPL-3.0-or-later
// Cases of fake libraries, and the child process that opens them.
#define _GNU_SOURCE // RTLD_DEFAULT
#include "fakes.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "backend/cudnn/first_use.h"
#include "backend/cudnn/libs.h"

static char *scratch; // a folder for each case
static char *self;

// ---- in the child -------------------------------------------------------------------------------

static CzHost host = {.abi = CZ_BACKEND_ABI};

static FirstUseAnswer try_start(void *user, GError **error)
{
    const char *how = g_getenv("TEST_PROBE");
    int n_devices;
    if (g_strcmp0(how, "kill") == 0)
        raise(SIGKILL);
    if (g_strcmp0(how, "fail") == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "somebody else holds the GPU");
        return FIRST_USE_FAILS;
    }
    if (g_strcmp0(how, "wrong") == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "a convolution is wrong");
        return FIRST_USE_WRONG;
    }
    bool started = libs_start(&host, user, &n_devices, error);
    return started ? FIRST_USE_WORKS : FIRST_USE_UNDECIDED;
}

static int child(void)
{
    g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    int n_devices = 0;
    host.error_domain = CZ_ERROR;
    g_autoptr(Libs) libs = libs_open(&host, told, &error);
    for (guint i = 0; i < told->len; i++)
        g_print("told %s\n", (char *)told->pdata[i]);
    if (libs) {
        g_autofree char *what = libs_describe(libs);
        g_autofree char *key = libs_key(libs);
        const char *limit = g_getenv("TEST_LIMIT_MS");
        const FirstUse use = {.what = what,
                              .key = key,
                              .probe = try_start,
                              .user = libs,
                              .limit_ms = limit ? atoi(limit) : 0};
        g_print("opened %s, driver %d at %s, cuBLASLt at %s\n", what, libs->driver_version,
                libs->driver_path, libs->cublas_path);
        // cuDNN looks for it by name among what is there for all.
        g_print("cuBLASLt is %s\n",
                dlsym(RTLD_DEFAULT, "cublasLtGetVersion") ? "for all" : "hidden");
        if (first_use_ok(&host, &use, &error) && libs_start(&host, libs, &n_devices, &error))
            g_print("started with %d\n", n_devices);
    }
    if (error)
        g_print("error %d: %s\n", error->domain == CZ_ERROR ? error->code : -1, error->message);
    return 0;
}

// ---- in the parent ------------------------------------------------------------------------------

void case_set(Case *c, const char *name, const char *value)
{
    c->environment = g_environ_setenv(c->environment, name, value, TRUE);
}

char *case_put(const Case *c, const char *fake, const char *place)
{
    char *path = g_build_filename(c->folder, place, NULL);
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *from = g_build_filename(FAKES, fake, NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_get_contents(from, &bytes, &size, NULL));
    g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
    return path;
}

Case *case_new(const char *name, const char *cudnn)
{
    Case *c = g_new0(Case, 1);
    c->folder = g_build_filename(scratch, name, NULL);
    c->root = g_build_filename(c->folder, "env", NULL);
    c->environment = g_get_environ();
    g_autofree char *driver = case_put(c, "libfake_cuda.so", "driver/libcuda.so.1");
    g_autofree char *dnn = cudnn ? case_put(c, cudnn, PACKAGES "cudnn/lib/libcudnn.so.9") : NULL;
    g_autofree char *blas =
        case_put(c, "libfake_cublas.so", PACKAGES "cublas/lib/libcublasLt.so.12");
    g_autofree char *cache = g_build_filename(c->folder, "cache", NULL);
    g_autofree char *count = g_build_filename(c->folder, "count", NULL);
    case_set(c, "COLORIZE_CUDA_DRIVER", driver);
    case_set(c, "COLORIZE_CUDA_ROOT", c->root);
    case_set(c, "COLORIZE_CUDA_ONLY", "1");
    case_set(c, "XDG_CACHE_HOME", cache);
    case_set(c, "FAKE_COUNT", count);
    return c;
}

void case_free(Case *c)
{
    g_strfreev(c->environment);
    g_free(c->root);
    g_free(c->folder);
    g_free(c);
}

char *fakes_ask(char **argv, char **environment)
{
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    g_spawn_sync(scratch, argv, environment, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL,
                 &status, &error);
    g_assert_no_error(error);
    if (!g_spawn_check_wait_status(status, &error))
        g_test_fail_printf("%s: %s", argv[0], error->message);
    return output ? g_steal_pointer(&output) : g_strdup("");
}

char *case_ask(const Case *c)
{
    return fakes_ask((char *[]){self, (char *)"child", NULL}, c->environment);
}

void case_expect(const Case *c, const char *const *lines)
{
    g_autofree char *output = case_ask(c);
    for (; *lines; lines++) {
        g_auto(GStrv) parts = g_strsplit(*lines, "%s", -1);
        g_autofree char *line = g_strjoinv(c->folder, parts);
        if (!strstr(output, line))
            g_test_fail_printf("expected '%s' in:\n%s", line, output);
    }
}

size_t case_count_inits(const Case *c)
{
    g_autofree char *path = g_build_filename(c->folder, "count", NULL);
    g_autofree char *bytes = NULL;
    gsize size = 0;
    g_file_get_contents(path, &bytes, &size, NULL);
    return size;
}

char *case_cache_path(const Case *c)
{
    return g_build_filename(c->folder, "cache", "colorize", "cuda-verdicts", NULL);
}

static void remove_scratch(void)
{
    char *argv[] = {(char *)"rm", (char *)"-rf", scratch, NULL};
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

int fakes_main(int argc, char **argv, void (*add)(void))
{
    if (argc > 1 && g_str_equal(argv[1], "child"))
        return child();
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    self = g_file_read_link("/proc/self/exe", NULL);
    scratch = g_dir_make_tmp("colorize-libs-XXXXXX", NULL);
    g_assert_true(self && scratch);
    add();
    int status = g_test_run();
    remove_scratch();
    return status;
}
