// SPDX-License-Identifier: LGPL-3.0-or-later
// First uses in a child process: what of it reaches the parent, and what the next start knows.
#include "fakes.h"

#include <stdbool.h>
#include <string.h>

#include <glib/gstdio.h>

static void a_library_that_crashes_on_load_spares_the_process(void)
{
    g_autoptr(Case) c = case_new("crash-load", "libfake_cudnn.so");
    case_set(c, "FAKE_CUDNN_LOAD", "crash");
    EXPECT(c,
           "told " CUDNN
           ": loading it ended the process (signal 11, Segmentation fault); not used\n",
           "error 4: no usable cuDNN (" CUDNN ": loading it ended the process (signal 11");
    // The next start knows it, and loads nothing, even if it would work by now.
    case_set(c, "FAKE_CUDNN_LOAD", "no");
    EXPECT(c, "not used (found at an earlier start; COLORIZE_CUDA_FORGET=1 tries again)\n");
    case_set(c, "COLORIZE_CUDA_FORGET", "1");
    EXPECT(c, OPENED, "started with 1\n");
    c->environment = g_environ_unsetenv(c->environment, "COLORIZE_CUDA_FORGET");
    EXPECT(c, OPENED, "started with 1\n");
}

static void a_library_that_leaves_on_load_spares_the_process(void)
{
    g_autoptr(Case) c = case_new("exit-load", "libfake_cudnn.so");
    case_set(c, "FAKE_CUDNN_LOAD", "exit");
    EXPECT(c, "told " CUDNN ": loading it ended the process (exit status 3); not used\n");
}

static void a_changed_file_is_tried_anew(void)
{
    g_autoptr(Case) c = case_new("changed", "libfake_cudnn.so");
    case_set(c, "FAKE_CUDNN_LOAD", "crash");
    EXPECT(c, "loading it ended the process");
    case_set(c, "FAKE_CUDNN_LOAD", "no");
    EXPECT(c, "loading it ended the process");
    g_autofree char *same = case_put(c, "libfake_cudnn.so", PACKAGES "cudnn/lib/libcudnn.so.9");
    EXPECT(c, OPENED, "started with 1\n");
}

static void a_crash_in_the_first_use_spares_the_process(void)
{
    g_autoptr(Case) c = case_new("crash-use", "libfake_cudnn.so");
    const char *words =
        "error 4: cuDNN 9.19.0 at " CUDNN " ended the process (signal 6, Aborted); not used";
    case_set(c, "FAKE_CUINIT", "crash");
    EXPECT(c, OPENED, words);
    g_assert_cmpuint(case_count_inits(c), ==, 1);
    EXPECT(c, words, "(found at an earlier start");
    g_assert_cmpuint(case_count_inits(c), ==, 1);
}

static void a_failed_first_use_is_told_with_its_words(void)
{
    static const char *const hows[][2] = {{"fail", "somebody else holds the GPU"},
                                          {"wrong", "a convolution is wrong"}};
    for (size_t i = 0; i < G_N_ELEMENTS(hows); i++) {
        g_autoptr(Case) c = case_new(hows[i][0], "libfake_cudnn.so");
        g_autofree char *words =
            g_strdup_printf("error 4: cuDNN 9.19.0 at " CUDNN " failed at its first use: %s",
                            c->folder, hows[i][1]);
        case_set(c, "TEST_PROBE", hows[i][0]);
        EXPECT(c, words);
        case_set(c, "TEST_PROBE", "no");
        EXPECT(c, words, " (found at an earlier start");
    }
}

// Out of memory, say: that was not the library's fault.
static void a_child_that_was_killed_is_no_verdict(void)
{
    g_autoptr(Case) c = case_new("kill-use", "libfake_cudnn.so");
    case_set(c, "TEST_PROBE", "kill");
    EXPECT(c, " ended the process (signal 9, Killed); not used\n");
    case_set(c, "TEST_PROBE", "no");
    EXPECT(c, "started with 1\n");
}

static void a_slow_first_use_is_ended(void)
{
    g_autoptr(Case) c = case_new("slow", "libfake_cudnn.so");
    gint64 start_us = g_get_monotonic_time();
    case_set(c, "FAKE_CUINIT", "hang");
    case_set(c, "TEST_LIMIT_MS", "300");
    EXPECT(c, "error 4: cuDNN 9.19.0 at " CUDNN " gave no answer within 0.3 s; not used\n");
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, 10 * G_USEC_PER_SEC);
    EXPECT(c, "not used (found at an earlier start");
    g_assert_cmpuint(case_count_inits(c), ==, 1);
}

// Sets all verdicts of the cache to so many seconds from now.
static void age(const char *path, int shift_s)
{
    g_autofree char *text = NULL, *to = NULL, *aged = NULL;
    g_autoptr(GRegex) time = g_regex_new("(\t[a-z]+\\\\t)[0-9]+", 0, 0, NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    to = g_strdup_printf("\\g<1>%" G_GINT64_FORMAT, g_get_real_time() / G_USEC_PER_SEC + shift_s);
    aged = g_regex_replace(time, text, -1, 0, to, 0, NULL);
    g_assert_true(aged && g_file_set_contents(path, aged, -1, NULL));
}

// A first use that does not work: what makes it so, and what takes that away.
static const struct {
    const char *name, *variable, *bad, *good, *words;
    bool for_good;
} failures[] = {
    {"ages-slow", "FAKE_CUINIT", "hang", "0", "gave no answer within", false},
    {"ages-exit", "FAKE_CUINIT", "exit", "0", "ended the process (exit status 3)", false},
    {"ages-fail", "TEST_PROBE", "fail", "no", "somebody else holds the GPU", false},
    {"ages-load", "FAKE_CUDNN_LOAD", "exit", "no", "ended the process (exit status 3)", false},
    {"ages-wrong", "TEST_PROBE", "wrong", "no", "a convolution is wrong", true},
    {"ages-crash", "FAKE_CUINIT", "crash", "0", "ended the process (signal 6", true},
    {"ages-crash-load", "FAKE_CUDNN_LOAD", "crash", "no", "ended the process (signal 11", true},
};

// A failure of two days ago, or of tomorrow, is tried again; a crash stays believed.
static void failures_but_crashes_and_wrong_numbers_are_believed_for_a_day(void)
{
    const int shifts_s[] = {-3600, -2 * 86400, 86400};
    for (size_t i = 0; i < G_N_ELEMENTS(failures); i++)
        for (size_t n = 0; n < G_N_ELEMENTS(shifts_s); n++) {
            g_autofree char *name = g_strdup_printf("%s-%d", failures[i].name, (int)n);
            g_autoptr(Case) c = case_new(name, "libfake_cudnn.so");
            g_autofree char *path = case_cache_path(c);
            bool hangs = g_str_equal(failures[i].bad, "hang");
            case_set(c, "TEST_LIMIT_MS", hangs ? "300" : "0");
            case_set(c, failures[i].variable, failures[i].bad);
            EXPECT(c, failures[i].words);
            case_set(c, failures[i].variable, failures[i].good);
            case_set(c, "TEST_LIMIT_MS", "0");
            age(path, shifts_s[n]);
            if (failures[i].for_good || n == 0)
                EXPECT(c, failures[i].words, "(found at an earlier start");
            else
                EXPECT(c, "started with 1\n");
        }
}

static void put_gpu(const Case *c, const char *place, const char *model, int irq)
{
    g_autofree char *folder = g_build_filename(c->folder, "gpus", place, NULL);
    g_autofree char *path = g_build_filename(folder, "information", NULL);
    g_autofree char *text =
        g_strdup_printf("Model: \t\t %s\nIRQ:   \t\t %d\nGPU UUID: \t GPU-?\n", model, irq);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

// Whether the next start tries it: then two calls of cuInit(), else one.
static bool tries(const Case *c)
{
    size_t before = case_count_inits(c);
    EXPECT(c, "started with 1\n");
    return case_count_inits(c) - before == 2;
}

static void another_gpu_is_tried_anew(void)
{
    static const char *const variables[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"};
    g_autoptr(Case) c = case_new("gpus", "libfake_cudnn.so");
    g_autofree char *folder = g_build_filename(c->folder, "gpus", NULL);
    case_set(c, "COLORIZE_CUDA_PROC", folder);
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++)
        c->environment = g_environ_unsetenv(c->environment, variables[i]);
    g_assert_true(tries(c)); // the folder is missing
    g_assert_false(tries(c));
    put_gpu(c, "0000:01:00.0", "NVIDIA GeForce RTX 3060", 131);
    g_assert_true(tries(c));
    put_gpu(c, "0000:01:00.0", "NVIDIA GeForce RTX 3060", 132);
    g_assert_false(tries(c));
    put_gpu(c, "0000:01:00.0", "NVIDIA GeForce RTX 4070", 132);
    g_assert_true(tries(c));
    put_gpu(c, "0000:02:00.0", "NVIDIA GeForce RTX 4070", 133);
    g_assert_true(tries(c));
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        case_set(c, variables[i], "");
        g_assert_true(tries(c));
        case_set(c, variables[i], "1");
        g_assert_true(tries(c));
        g_assert_false(tries(c));
        c->environment = g_environ_unsetenv(c->environment, variables[i]);
        g_assert_false(tries(c));
    }
}

// Two calls of cuInit() at the first start, one in the child; one at each later start.
static void a_verdict_is_used_at_the_next_start(void)
{
    g_autoptr(Case) c = case_new("cached", "libfake_cudnn.so");
    EXPECT(c, "started with 1\n");
    g_assert_cmpuint(case_count_inits(c), ==, 2);
    EXPECT(c, "started with 1\n");
    g_assert_cmpuint(case_count_inits(c), ==, 3);
    case_set(c, "FAKE_CUDNN_VERSION", "92000");
    EXPECT(c, "opened cuDNN 9.20.0", "started with 1\n");
    g_assert_cmpuint(case_count_inits(c), ==, 5);
    case_set(c, "COLORIZE_CUDA_FORGET", "1");
    EXPECT(c, "started with 1\n");
    g_assert_cmpuint(case_count_inits(c), ==, 7);
}

static void a_damaged_cache_is_ignored_and_replaced(void)
{
    static const char *const texts[] = {
        "",
        "nonsense",
        "colorize cuda verdicts 2\nx\tworks\t1\t\n",
        "colorize cuda verdicts 2\nno tabs\n\t\t\t\t\t\t\n\xff\xfe\n",
        "colorize cuda verdicts 2\nuse\tworks\n",
    };
    g_autoptr(Case) c = case_new("damaged", "libfake_cudnn.so");
    g_autofree char *path = case_cache_path(c);
    EXPECT(c, "started with 1\n");
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        size_t before = case_count_inits(c);
        g_assert_true(g_file_set_contents(path, texts[i], -1, NULL));
        EXPECT(c, "started with 1\n");
        EXPECT(c, "started with 1\n");
        g_assert_cmpuint(case_count_inits(c) - before, ==, 3);
    }
    // Sound but for the verdicts themselves, or for the version of the file.
    const char *const swaps[][2] = {{"\tworks\\t", "\tperhaps\\t"},
                                    {"verdicts 2\n", "verdicts 1\n"}};
    for (size_t i = 0; i < G_N_ELEMENTS(swaps); i++) {
        g_autofree char *text = NULL;
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_auto(GStrv) parts = g_strsplit(text, swaps[i][0], -1);
        g_autofree char *broken = g_strjoinv(swaps[i][1], parts);
        size_t before = case_count_inits(c);
        g_assert_true(g_file_set_contents(path, broken, -1, NULL));
        EXPECT(c, "started with 1\n");
        g_assert_cmpuint(case_count_inits(c) - before, ==, 2);
    }
}

static void a_cache_that_cannot_be_written_costs_time_alone(void)
{
    g_autoptr(Case) c = case_new("no-cache", "libfake_cudnn.so");
    case_set(c, "XDG_CACHE_HOME", "/proc/nonexistent");
    for (size_t i = 1; i <= 2; i++) {
        EXPECT(c, "started with 1\n");
        g_assert_cmpuint(case_count_inits(c), ==, 2 * i);
    }
}

static void add(void)
{
    // clang-format off
#define ADD(name) g_test_add_func("/gpu/first_use/" #name, name)
    // clang-format on
    ADD(a_library_that_crashes_on_load_spares_the_process);
    ADD(a_library_that_leaves_on_load_spares_the_process);
    ADD(a_changed_file_is_tried_anew);
    ADD(a_crash_in_the_first_use_spares_the_process);
    ADD(a_failed_first_use_is_told_with_its_words);
    ADD(a_child_that_was_killed_is_no_verdict);
    ADD(a_slow_first_use_is_ended);
    ADD(failures_but_crashes_and_wrong_numbers_are_believed_for_a_day);
    ADD(another_gpu_is_tried_anew);
    ADD(a_verdict_is_used_at_the_next_start);
    ADD(a_damaged_cache_is_ignored_and_replaced);
    ADD(a_cache_that_cannot_be_written_costs_time_alone);
}

int main(int argc, char **argv)
{
    return fakes_main(argc, argv, add);
}
