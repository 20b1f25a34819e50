// SPDX-License-Identifier: LGPL-3.0-or-later
// OpenMP: passive waiting, and no more threads than physical cores that are ours.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cz/threads.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <omp.h>

#define MARK "COLORIZE_THREADS_SET"

void cz_threads_init(char **argv)
{
    if (getenv(MARK))
        return;
    setenv(MARK, "1", 1);
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    // Long enough to catch the next op of a plan (about 20 us), far below a scheduler's slice.
    setenv("GOMP_SPINCOUNT", "20000", 1);
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    execv(path, argv); // returns only on failure: then the defaults of libgomp serve
}

// Two hardware threads of one core share its vector unit: they are counted once.
static bool first_of_its_core(int cpu)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "r");
    int first = cpu;
    if (file) {
        if (fscanf(file, "%d", &first) != 1)
            first = cpu;
        fclose(file);
    }
    return first == cpu;
}

// cgroup v2: "max 100000" or "200000 100000" (quota and period in microseconds).
static int quota_limit(int n)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    long quota = 0, period = 0;
    if (file) {
        if (fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
            int limit = (int)((quota + period - 1) / period);
            n = limit < n ? limit : n;
        }
        fclose(file);
    }
    return n;
}

int cz_threads_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int allowed = CPU_COUNT(&set), cores = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        cores += CPU_ISSET(cpu, &set) && first_of_its_core(cpu);
    // A process pinned to second siblings only would count none.
    int n = cores > 0 ? cores : allowed;
    n = quota_limit(n);
    return n > 0 ? n : 1;
}

// OpenMP's own setting is per thread and lost in new ones; this is the process's wish, kept in one
// place for backends (CzHost.threads) and engine threads.
static int wanted;

void cz_threads_set(int n_threads)
{
    int n = n_threads > 0 ? n_threads : cz_threads_available();
    __atomic_store_n(&wanted, n, __ATOMIC_RELAXED);
    omp_set_num_threads(n);
}

int cz_threads_get(void)
{
    int n = __atomic_load_n(&wanted, __ATOMIC_RELAXED);
    return n > 0 ? n : cz_threads_available();
}
