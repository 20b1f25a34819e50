// SPDX-License-Identifier: LGPL-3.0-or-later
// How many images the loader makes a second, by itself: what a step may consume before it waits.
//
//   bench_loader SET [SECONDS]      table on stdout; SECONDS a row (2)
//
// "a core": images over CPU time of all threads, which others on the machine do not disturb.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cz/error.h>

#include "loader.h"

enum { BATCH = 16 };

// As often as recipes/photo-old.conf has them, and every one in every sample.
static const TrainDegradeParams none, some = {0.2f, 0.35f, 0.3f, 0.3f, 0.2f}, all = {1, 1, 1, 1, 1};

typedef struct {
    const char *name;
    const TrainDegradeParams *params;
} Wear;

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void fail(const GError *error)
{
    fprintf(stderr, "bench_loader: %s\n", error->message);
    exit(1);
}

static void take(TrainLoader *loader)
{
    g_autoptr(GError) error = NULL;
    const TrainBatch *batch = train_loader_next(loader, &error);

    if (!batch)
        fail(error);
    train_loader_release(loader, batch);
}

static void measure(const TrainSet *set, int32_t crop, int n_threads, const Wear *wear,
                    double seconds)
{
    const TrainLoaderOptions options = {.augment = {.crop = crop,
                                                    .scale_min = 1,
                                                    .scale_max = 1.5f,
                                                    .flip = 0.5f,
                                                    .degrade = *wear->params},
                                        .batch = BATCH,
                                        .n_threads = n_threads,
                                        .seed = 1};
    g_autoptr(GError) error = NULL;
    g_autoptr(TrainLoader) loader = train_loader_new(set, &options, &error);
    int64_t n = 0;

    if (!loader)
        fail(error);
    for (int i = 0; i < 4; i++) // what was made ahead, and pages of the set
        take(loader);
    int64_t begin = g_get_monotonic_time();
    double cpu = cpu_seconds(), elapsed;
    do {
        take(loader);
        n += BATCH;
        elapsed = (double)(g_get_monotonic_time() - begin) * 1e-6;
    } while (elapsed < seconds);
    cpu = cpu_seconds() - cpu;
    printf("%5d %8d  %-6s %10.0f %10.0f %10.2f\n", crop, n_threads, wear->name, (double)n / elapsed,
           (double)n / cpu, 1e3 * cpu / (double)n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int32_t crops[] = {64, 128, 160, 256};
    static const Wear wears[] = {{"clean", &none}, {"some", &some}, {"all", &all}};
    double seconds = argc > 2 ? g_ascii_strtod(argv[2], NULL) : 2;
    g_autoptr(GError) error = NULL;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_loader SET [SECONDS]\n");
        return 2;
    }
    g_autoptr(TrainSet) set = train_set_open(argv[1], &error);
    if (!set)
        fail(error);
    printf("%5s %8s  %-6s %10s %10s %10s\n", "crop", "threads", "wear", "images/s", "a core",
           "ms/image");
    for (size_t c = 0; c < G_N_ELEMENTS(crops); c++)
        for (size_t w = 0; w < G_N_ELEMENTS(wears); w++)
            for (int n_threads = 1; n_threads <= 2; n_threads++)
                measure(set, crops[c], n_threads, &wears[w], seconds);
    return 0;
}
