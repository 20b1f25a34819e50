// SPDX-License-Identifier: LGPL-3.0-or-later
// The self-test where a device breaks in the midst of it, and what a report says of the machine.
#include "selftest.h"

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/threads.h>

#include "machine.h"

// The library's call that fails: in the ops, when the table has begun.
#define BROKEN_CALL 40

static void count_bytes(void *user, const char *text)
{
    *(size_t *)user += strlen(text);
}

static void a_device_that_breaks_is_one_row_that_failed(void)
{
    size_t shown = 0;
    const TrainSelftestOptions options = {
        .device = "cpu", .quick = true, .show = count_bytes, .user = &shown};
    bool passed = true;
    g_autoptr(GError) error = NULL;
    cz_fault_arm(CZ_FAULT_BACKEND, BROKEN_CALL);
    g_autofree char *text = train_selftest(&options, &passed, &error);
    cz_fault_arm(CZ_FAULT_BACKEND, 0);
    if (g_error_matches(error, CZ_ERROR, CZ_ERROR_BACKEND)) {
        g_test_skip("no device but the reference opens here");
        return;
    }
    g_assert_no_error(error);
    g_assert_nonnull(text);
    g_assert_false(passed);
    g_assert_cmpuint(shown, ==, strlen(text)); // no line is shown only at the end, or never
    const char *failed = strstr(text, " FAILED\n    ");
    g_assert_nonnull(failed);
    g_assert_null(strstr(failed + 8, " FAILED\n    ")); // one alone
    g_assert_nonnull(strstr(failed, " on cpu, example "));
    g_assert_nonnull(strstr(failed, "\nbundled weights, 224x168")); // and it went on to the end
    g_assert_nonnull(strstr(failed, "\n1 of "));
}

static void expect_scrubbed(const char *text, const char *expected)
{
    g_autofree char *found = train_machine_scrub(text);
    g_assert_cmpstr(found, ==, expected);
}

static void folders_of_the_home_stay_at_home(void)
{
    g_setenv("HOME", "/home/ann", TRUE); // GLib asks for it once, here
    expect_scrubbed("cannot load /home/ann/secret/lib/libx.so: no", "cannot load ~/libx.so: no");
    expect_scrubbed("'/home/ann/a' and /home/ann", "'~/a' and ~");
    expect_scrubbed("/home/anna/lib, /opt/lib", "/home/anna/lib, /opt/lib");
}

static void the_machine_has_no_name(void)
{
    g_autofree char *text = train_machine_text();
    g_assert_true(strstr(text, "kernel ") && strstr(text, "CPU ") && strstr(text, "GLib "));
    g_assert_null(strstr(text, g_get_host_name()));
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/selftest/" #name, name)
    ADD(folders_of_the_home_stay_at_home);
    ADD(the_machine_has_no_name);
    ADD(a_device_that_breaks_is_one_row_that_failed);
    return g_test_run();
}
