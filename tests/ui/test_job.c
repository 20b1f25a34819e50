// SPDX-License-Identifier: LGPL-3.0-or-later
// The worker: it asks the main loop for rows, stops, and leaves nothing behind. No display.
#include <cz/error.h>
#include <cz/threads.h>

#include "fake_host.h"
#include "job.h"

#define PATIENCE_S 60

typedef struct {
    int n_proxies, n_done;
    CzChroma *chroma;
    GError *error;
    CzDeviceInfo device;
} Seen;

static void on_proxy(void *user)
{
    ((Seen *)user)->n_proxies++;
}

static void on_done(void *user, CzChroma *chroma, const CzDeviceInfo *device, const GError *error)
{
    Seen *seen = user;
    seen->n_done++;
    cz_chroma_free(seen->chroma);
    seen->chroma = chroma;
    g_clear_error(&seen->error);
    seen->error = error ? g_error_copy(error) : NULL;
    if (device)
        seen->device = *device;
}

static void seen_clear(Seen *seen)
{
    cz_chroma_free(seen->chroma);
    g_clear_error(&seen->error);
    *seen = (Seen){0};
}

static int thread_count(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    int n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

static gboolean wake(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

// Runs the main loop until *count is n, or done is.
static void wait_for(const int *count, int n)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
    guint tick = g_timeout_add(5, wake, NULL);
    while (*count < n && g_get_monotonic_time() < end_us)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
    g_assert_cmpint(*count, >=, n);
}

static void run_loop_for(int ms)
{
    gint64 end_us = g_get_monotonic_time() + ms * 1000;
    guint tick = g_timeout_add(1, wake, NULL);
    while (g_get_monotonic_time() < end_us)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
}

static UiJob *job_of(const FakePhoto *photo, Seen *seen)
{
    const UiJobEvents events = {on_proxy, on_done, seen};
    GError *error = NULL;
    UiJob *job = ui_job_new(&photo->photo, &events, &error);
    g_assert_no_error(error);
    return job;
}

static void test_result(void)
{
    g_autoptr(FakePhoto) photo = fake_photo_new(1500, 1200);
    Seen seen = {0};
    UiJob *job = job_of(photo, &seen);
    ui_job_start(job, "", "auto", 0);
    g_assert_true(ui_job_busy(job));
    wait_for(&seen.n_done, 1);
    g_assert_no_error(seen.error);
    g_assert_nonnull(seen.chroma);
    g_assert_cmpint(seen.n_proxies, ==, 1);
    g_assert_false(ui_job_busy(job));
    g_assert_true(ui_proxy_complete(ui_job_proxy(job)));
    g_assert_false(photo->strayed);
    g_assert_cmpint(photo->n_reads, >, 1);
    CzColorizer *colorizer = ui_job_take_colorizer(job);
    g_assert_nonnull(colorizer);
    cz_colorizer_free(colorizer);
    ui_job_free(job);
    seen_clear(&seen);
}

static void test_newest_wins(void)
{
    g_autoptr(FakePhoto) photo = fake_photo_new(900, 700);
    Seen seen = {0};
    UiJob *job = job_of(photo, &seen);
    for (int i = 0; i < 5; i++) {
        ui_job_start(job, "", "reference", 0); // slow
        run_loop_for(i * 20);
    }
    ui_job_start(job, "", "auto", 0);
    wait_for(&seen.n_done, 1);
    run_loop_for(100);
    g_assert_cmpint(seen.n_done, ==, 1); // those before are silent
    g_assert_no_error(seen.error);
    g_assert_nonnull(seen.chroma);
    ui_job_free(job);
    seen_clear(&seen);
}

static void test_stop(void)
{
    g_autoptr(FakePhoto) photo = fake_photo_new(900, 700);
    Seen seen = {0};
    UiJob *job = job_of(photo, &seen);
    // At once, while rows are read, and in the midst of the network.
    for (int i = 0; i < 3; i++) {
        ui_job_start(job, "", "reference", 128); // tiles make it long
        run_loop_for(i * 150);
        gint64 start_us = g_get_monotonic_time();
        ui_job_stop(job);
        wait_for(&seen.n_done, i + 1);
        g_test_message("stopped after %.3f s", (double)(g_get_monotonic_time() - start_us) * 1e-6);
        g_assert_error(seen.error, CZ_ERROR, CZ_ERROR_CANCELLED);
        g_assert_null(seen.chroma);
    }
    ui_job_start(job, "", "auto", 0);
    wait_for(&seen.n_done, 4);
    g_assert_no_error(seen.error);
    ui_job_free(job);
    seen_clear(&seen);
}

static void test_free_any_time(void)
{
    g_autoptr(FakePhoto) photo = fake_photo_new(1500, 900);
    int n_threads = 0;
    for (int i = 0; i < 12; i++) {
        Seen seen = {0};
        UiJob *job = job_of(photo, &seen);
        ui_job_start(job, "", "auto", 0);
        run_loop_for(i * 15);
        ui_job_free(job);
        int n_done = seen.n_done;
        run_loop_for(5);
        g_assert_cmpint(seen.n_done, ==, n_done); // no event afterwards
        seen_clear(&seen);
        if (i == 1)
            n_threads = thread_count(); // what lives as long as the process is there now
    }
    g_assert_cmpint(thread_count(), <=, n_threads);
}

static void test_errors(void)
{
    g_autoptr(FakePhoto) photo = fake_photo_new(1500, 1200);
    photo->fail_after = 1;
    Seen seen = {0};
    UiJob *job = job_of(photo, &seen);
    ui_job_start(job, "", "auto", 0);
    wait_for(&seen.n_done, 1);
    g_assert_error(seen.error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_cmpstr(seen.error->message, ==, "the layer is gone");
    ui_job_start(job, "/nonexistent/a.safetensors", "auto", 0);
    wait_for(&seen.n_done, 2);
    g_assert_error(seen.error, CZ_ERROR, CZ_ERROR_IO);
    ui_job_start(job, "", "nonsense", 0);
    wait_for(&seen.n_done, 3);
    g_assert_error(seen.error, CZ_ERROR, CZ_ERROR_BACKEND);
    photo->fail_after = 0;
    ui_job_start(job, "", "auto", 0);
    wait_for(&seen.n_done, 4);
    g_assert_no_error(seen.error);
    g_assert_cmpint(seen.n_proxies, ==, 1);
    ui_job_free(job);
    seen_clear(&seen);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ui/job/rows_are_read_in_the_main_loop", test_result);
    g_test_add_func("/ui/job/newest_request_wins_and_others_are_silent", test_newest_wins);
    g_test_add_func("/ui/job/stop_ends_soon_and_says_cancelled", test_stop);
    g_test_add_func("/ui/job/freed_at_any_time_leaves_no_thread", test_free_any_time);
    g_test_add_func("/ui/job/errors_come_through_and_the_next_request_works", test_errors);
    return g_test_run();
}
