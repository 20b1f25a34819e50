// SPDX-License-Identifier: LGPL-3.0-or-later
// The libraries of the GPU backend: which are taken, and what is said of those that are not.
#include "fakes.h"

#include <stdbool.h>
#include <string.h>

#include <glib/gstdio.h>

static void an_environment_with_everything_starts(void)
{
    g_autoptr(Case) c = case_new("everything", "libfake_cudnn.so");
    case_set(c, "FAKE_DEVICES", "2");
    EXPECT(c, OPENED, "cublas/lib/libcublasLt.so.12\n", "\ncuBLASLt is for all\nstarted with 2\n");
}

static void no_driver_is_told(void)
{
    g_autoptr(Case) c = case_new("driverless", "libfake_cudnn.so");
    case_set(c, "COLORIZE_CUDA_DRIVER", "/nonexistent/libcuda.so.1");
    EXPECT(
        c, "told /nonexistent/libcuda.so.1: cannot open shared object file",
        "error 4: no NVIDIA driver (/nonexistent/libcuda.so.1: cannot open shared object file: No "
        "such file or directory)\n");
    case_set(c, "COLORIZE_CUDA_DRIVER", "libcuda.so.1");
    EXPECT(
        c,
        "error 4: no NVIDIA driver (libcuda.so.1: COLORIZE_CUDA_DRIVER is not an absolute path)");
}

static void a_driver_that_lacks_functions_is_told(void)
{
    g_autoptr(Case) c = case_new("old-driver", "libfake_cudnn.so");
    g_autofree char *driver = case_put(c, "libfake_cublas.so", "driver/libcuda.so.1");
    EXPECT(c,
           "error 4: no NVIDIA driver (%s/driver/libcuda.so.1: too old, has no function cuInit)\n");
}

static void a_driver_without_device_is_told_by_its_error(void)
{
    g_autoptr(Case) c = case_new("deviceless", "libfake_cudnn.so");
    const char *words =
        "error 4: the NVIDIA driver finds no device: CUDA_ERROR_NO_DEVICE (100), no "
        "CUDA-capable device is detected\n";
    case_set(c, "FAKE_CUINIT", "100");
    EXPECT(c, OPENED, words);
    // No verdict on the libraries: the device may be there at the next start.
    case_set(c, "FAKE_CUINIT", "0");
    EXPECT(c, "started with 1\n");
    case_set(c, "FAKE_DEVICES", "0");
    EXPECT(c, words);
    case_set(c, "FAKE_CUINIT", "999");
    EXPECT(c, "error 4: the NVIDIA driver finds no device: unknown error (999), no words\n");
}

static void old_cudnn_is_told(void)
{
    static const struct {
        const char *version, *words;
    } cases[] = {
        {"8907", "cuDNN 8.9.7 is too old, 9.8.0 or later is needed"},
        {"90701", "cuDNN 9.7.1 is too old, 9.8.0 or later is needed"},
    };
    g_autoptr(Case) c = case_new("old", "libfake_cudnn.so");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *told = g_strdup_printf("told " CUDNN ": %s\n", c->folder, cases[i].words);
        g_autofree char *error = g_strdup_printf("error 4: no usable cuDNN (" CUDNN ": %s)\n",
                                                 c->folder, cases[i].words);
        case_set(c, "FAKE_CUDNN_VERSION", cases[i].version);
        EXPECT(c, told, error);
    }
    case_set(c, "FAKE_CUDNN_VERSION", "90800");
    EXPECT(c, "opened cuDNN 9.8.0 at ");
}

static void a_folder_with_cudnn_8_alone_is_told(void)
{
    g_autoptr(Case) c = case_new("eight", NULL);
    g_autofree char *old = case_put(c, "libfake_cudnn.so", PACKAGES "cudnn/lib/libcudnn.so.8");
    EXPECT(c, "told COLORIZE_CUDA_ROOT: no libcudnn.so.9 below %s/env\n",
           "told %s/" PACKAGES
           "cudnn/lib/libcudnn.so.8: cuDNN 8 is too old, 9.8.0 or later is needed\n");
}

static void a_missing_function_is_told(void)
{
    g_autoptr(Case) c = case_new("lacking", "libfake_cudnn_lacking.so");
    EXPECT(c, "told " CUDNN ": has no function cudnnBackendExecute\n");
    g_autoptr(Case) other = case_new("stranger", "libfake_cublas.so");
    EXPECT(other, "told " CUDNN ": has no function cudnnGetVersion\n");
}

static void a_cudnn_for_a_newer_driver_is_told(void)
{
    g_autoptr(Case) c = case_new("new", "libfake_cudnn.so");
    case_set(c, "FAKE_DRIVER_VERSION", "11080");
    EXPECT(c, "told " CUDNN ": is made for CUDA 12, the driver is for 11.8\n");
    case_set(c, "FAKE_DRIVER_VERSION", "12000");
    EXPECT(c, "started with 1\n");
}

static void cublas_is_found_beside_cudnn(void)
{
    g_autoptr(Case) c = case_new("beside", "libfake_cudnn.so");
    g_autofree char *folder = g_build_filename(c->folder, PACKAGES "cudnn/lib", NULL);
    case_set(c, "COLORIZE_CUDA_ROOT", folder);
    EXPECT(c, OPENED "%s/" PACKAGES "cudnn/lib/../../cublas/lib/libcublasLt.so.12\n");
}

static void a_missing_cublas_is_told(void)
{
    g_autoptr(Case) c = case_new("no-cublas", "libfake_cudnn.so");
    g_autofree char *blas =
        g_build_filename(c->folder, PACKAGES "cublas/lib/libcublasLt.so.12", NULL);
    g_autofree char *other =
        case_put(c, "libfake_cublas.so", PACKAGES "cublas/lib/libcublasLt.so.13");
    g_assert_cmpint(g_unlink(blas), ==, 0);
    EXPECT(c, "told " CUDNN ": needs libcublasLt.so.12, which cannot be loaded (none found)\n");
    // One that is there and is no library says more.
    g_assert_true(g_file_set_contents(blas, "text", -1, NULL));
    EXPECT(c, "which cannot be loaded (%s/", "cublas/lib/libcublasLt.so.12: file too short)");
}

static void a_text_file_is_no_cudnn(void)
{
    g_autoptr(Case) c = case_new("text", "libfake_cudnn.so");
    g_autofree char *path = g_build_filename(c->folder, PACKAGES "cudnn/lib/libcudnn.so.9", NULL);
    g_assert_true(g_file_set_contents(path, "this is no library", -1, NULL));
    EXPECT(c, "told " CUDNN ": file too short\n");
}

static void the_next_candidate_is_taken_after_a_refusal(void)
{
    g_autoptr(Case) c = case_new("second", "libfake_cudnn_lacking.so");
    g_autofree char *dnn = case_put(c, "libfake_cudnn.so", "toolkit*[1]/lib64/libcudnn.so.9");
    g_autofree char *blas = case_put(c, "libfake_cublas.so", "toolkit*[1]/lib64/libcublasLt.so.12");
    g_autofree char *roots = g_strdup_printf("relative:%s:%s/toolkit*[1]:", c->root, c->folder);
    case_set(c, "COLORIZE_CUDA_ROOT", roots);
    EXPECT(c, "told COLORIZE_CUDA_ROOT: 'relative' is not an absolute folder\n",
           "told " CUDNN ": has no function cudnnBackendExecute\n",
           "opened cuDNN 9.19.0 at %s/toolkit*[1]/lib64/libcudnn.so.9, ",
           "cuBLASLt at %s/toolkit*[1]/lib64/libcublasLt.so.12\n", "started with 1\n");
}

// cuDNN itself, behind the fake driver: each folder that the tester names.
static void real_libraries_open(void)
{
    const char *real_roots = g_getenv("COLORIZE_CUDA_ROOT");
    g_auto(GStrv) roots = g_strsplit(real_roots ? real_roots : "", ":", -1);
    bool any = false;
    for (char **root = roots; *root; root++) {
        if (!**root)
            continue;
        g_autofree char *name = g_strdup_printf("real-%d", (int)(root - roots));
        g_autoptr(Case) c = case_new(name, NULL);
        case_set(c, "COLORIZE_CUDA_ROOT", *root);
        case_set(c, "FAKE_DRIVER_VERSION", "13000");
        g_autofree char *output = case_ask(c);
        g_test_message("%s", output);
        if (strstr(output, "told COLORIZE_CUDA_ROOT: no libcudnn.so.9 below"))
            continue;
        any = true;
        if (!strstr(output, "opened cuDNN 9.") || !strstr(output, "\nstarted with 1\n"))
            g_test_fail_printf("expected cuDNN of %s to open", *root);
    }
    if (!any)
        g_test_skip("COLORIZE_CUDA_ROOT names no folder with cuDNN");
}

// ---- cases: the programs ------------------------------------------------------------------------

static char *built(const char *place)
{
    const char *root = g_getenv("COLORIZE_BUILD_ROOT");
    char *path = g_build_filename(root ? root : "/nonexistent", place, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        g_clear_pointer(&path, g_free);
    return path;
}

static void inspect_tells_why_there_is_no_gpu(void)
{
    g_autofree char *colorizer = built("training/colorizer");
    if (!colorizer) {
        g_test_skip("the program colorizer is not built");
        return;
    }
    g_autoptr(Case) c = case_new("inspect", "libfake_cudnn_lacking.so");
    char *argv[] = {colorizer, (char *)"inspect", (char *)"--devices", (char *)"--verbose", NULL};
    g_autofree char *refused = fakes_ask(argv, c->environment);
    g_autofree char *told = g_strdup_printf("- refused    cuDNN (NVIDIA GPUs): " CUDNN
                                            ": has no function cudnnBackendExecute\n",
                                            c->folder);
    if (!strstr(refused, told))
        g_test_fail_printf("expected '%s' in:\n%s", told, refused);
    case_set(c, "COLORIZE_CUDA_DRIVER", "/nonexistent/libcuda.so.1");
    argv[3] = NULL;
    g_autofree char *driverless = fakes_ask(argv, c->environment);
    const char *words =
        "cuDNN (NVIDIA GPUs): no NVIDIA driver (/nonexistent/libcuda.so.1: cannot open";
    if (!strstr(driverless, words) || strstr(driverless, "refused"))
        g_test_fail_printf("expected '%s' in:\n%s", words, driverless);
}

static void nothing_is_linked_against_cuda(void)
{
    const char *const places[] = {"training/colorizer", "plugin/colorize-photo/colorize-photo",
                                  "engine/backend/cudnn/libcolorize-cudnn.so"};
    const char *const names[] = {"libcuda", "libcudnn", "libcublas", "libnv", "libcudart"};
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = built(places[i]);
        if (!path) {
            g_test_message("%s is not built", places[i]);
            continue;
        }
        g_autofree char *output = fakes_ask((char *[]){(char *)"ldd", path, NULL}, NULL);
        g_assert_nonnull(strstr(output, "libc.so"));
        for (size_t n = 0; n < G_N_ELEMENTS(names); n++)
            if (strstr(output, names[n]))
                g_test_fail_printf("%s is linked against %s", places[i], names[n]);
    }
}

static void add(void)
{
    // clang-format off
#define ADD(name) g_test_add_func("/gpu/libs/" #name, name)
    // clang-format on
    ADD(an_environment_with_everything_starts);
    ADD(no_driver_is_told);
    ADD(a_driver_that_lacks_functions_is_told);
    ADD(a_driver_without_device_is_told_by_its_error);
    ADD(old_cudnn_is_told);
    ADD(a_folder_with_cudnn_8_alone_is_told);
    ADD(a_missing_function_is_told);
    ADD(a_cudnn_for_a_newer_driver_is_told);
    ADD(cublas_is_found_beside_cudnn);
    ADD(a_missing_cublas_is_told);
    ADD(a_text_file_is_no_cudnn);
    ADD(the_next_candidate_is_taken_after_a_refusal);
    ADD(real_libraries_open);
    ADD(inspect_tells_why_there_is_no_gpu);
    ADD(nothing_is_linked_against_cuda);
}

int main(int argc, char **argv)
{
    return fakes_main(argc, argv, add);
}
