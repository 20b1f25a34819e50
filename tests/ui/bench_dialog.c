// SPDX-License-Identifier: LGPL-3.0-or-later
// How long the dialog lets an artist wait: first colors, a step of a slider, a dab that moves.
//
//     under-xvfb bench_dialog PHOTO
#include <stdio.h>
#include <stdlib.h>

#include <cz/threads.h>

#include "drive.h"

#define N_STEPS 21

static gint64 start_us;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ms_since(gint64 us)
{
    return (double)(g_get_monotonic_time() - us) * 1e-3;
}

// All that stands between the user's hand and the pixels.
static void redraw(Run *run)
{
    cairo_surface_destroy(drawn(run));
}

static void step_strength(Run *run, int i)
{
    set_strength(run, 0.5 + 0.05 * i);
}

static void step_dab(Run *run, int i)
{
    g_signal_emit_by_name(run->preview, "mark-moved", 0, 0.3 + 0.01 * i, 0.4);
}

static void measure(Run *run, const char *what, void (*step)(Run *run, int i))
{
    double ms[N_STEPS];
    for (int i = 0; i < N_STEPS; i++) {
        gint64 now_us = g_get_monotonic_time();
        step(run, i);
        redraw(run);
        ms[i] = ms_since(now_us);
        settle(2);
    }
    qsort(ms, N_STEPS, sizeof *ms, by_size);
    printf("%-28s median %6.1f ms, worst %6.1f ms\n", what, ms[N_STEPS / 2], ms[N_STEPS - 1]);
}

static void all(Run *run)
{
    printf("%-28s        %6.1f ms\n", "window", ms_since(start_us));
    wait_until(is_coloured, run);
    redraw(run);
    printf("%-28s        %6.1f ms\n", "first colors", ms_since(start_us));
    settle(300);
    measure(run, "strength, fit", step_strength);
    measure(run, "a dab moves, fit", step_dab);
    click(run, "zoom_full");
    settle(100);
    measure(run, "strength, 100 %", step_strength);
    measure(run, "a dab moves, 100 %", step_dab);
    cancel(run);
}

// Ten of them, as an artist may have placed; the first is the one that moves.
static bool gather(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error)
{
    *n_dabs = 10;
    for (size_t i = 0; i < *n_dabs; i++)
        dabs[i] = (CzDab){0.05f + 0.1f * (float)i, 0.5f, 50, 30, (float)i * 5 - 20, 1};
    return true;
}

static GArray *list_layers(void *user)
{
    GArray *layers = ui_layers_new();
    UiLayer layer = {77, g_strdup("dabs")};
    g_array_append_val(layers, layer);
    return layers;
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_autoptr(GError) error = NULL;
    Run run;
    const UiHost host = {0};
    if (argc != 2 || !ui_init(&host, &error)) {
        fprintf(stderr, "%s\n", error ? error->message : "usage: under-xvfb bench_dialog PHOTO");
        return 2;
    }
    run_init(&run, 8, 8, all);
    fake_photo_free(run.photo);
    run.photo = fake_photo_open(argv[1], &error);
    if (!run.photo) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    run.host.list_layers = list_layers;
    run.host.gather = gather;
    run.settings.hints = 77;
    start_us = g_get_monotonic_time();
    run_dialog(&run);
    run_clear(&run);
    return 0;
}
