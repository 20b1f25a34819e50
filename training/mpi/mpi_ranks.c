// SPDX-License-Identifier: LGPL-3.0-or-later
// The module that knows MPI (MPI-3.1): joins the ranks, sums, shares and compares.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mpi.h>

#include "ranks.h"

#define SPINS       200     // questions in a row before sleeping between them
#define SLEEP_LEAST 50      // us
#define SLEEP_MOST  2000    // us
#define MOST        1 << 26 // elements or bytes of one message: MPI counts in int

const TrainRanks *train_ranks_query(void);

static uint64_t n_bytes;
static double seconds;

// Rank 0's sum for everybody: MPI_Allreduce may round differently on different ranks (the standard
// only advises against it), and then weights drift apart. Two ranks add the same two numbers.
static void sum_chunk(float *data, int n, int n_ranks)
{
    if (n_ranks == 2) {
        MPI_Allreduce(MPI_IN_PLACE, data, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        return;
    }
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Reduce(rank == 0 ? MPI_IN_PLACE : data, data, n, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Bcast(data, n, MPI_FLOAT, 0, MPI_COMM_WORLD);
}

static void sum(void *user, float *data, size_t n_elements)
{
    const TrainRanks *ranks = user;
    double before = MPI_Wtime();
    n_bytes += n_elements * sizeof *data;
    while (n_elements > 0) {
        int n = n_elements > (MOST) ? MOST : (int)n_elements;
        sum_chunk(data, n, ranks->n);
        data += n;
        n_elements -= (size_t)n;
    }
    seconds += MPI_Wtime() - before;
}

static void share(void *user, void *bytes, size_t n)
{
    char *next = bytes;
    (void)user;
    while (n > 0) {
        int now = n > (MOST) ? MOST : (int)n;
        MPI_Bcast(next, now, MPI_BYTE, 0, MPI_COMM_WORLD);
        next += now;
        n -= (size_t)now;
    }
}

static void largest(double *values, int n)
{
    MPI_Request request;
    int done = 0;
    MPI_Iallreduce(MPI_IN_PLACE, values, n, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD, &request);
    for (long asked = 0, sleep_us = SLEEP_LEAST; !done; asked++) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done || asked < SPINS)
            continue;
        usleep((useconds_t)sleep_us);
        if (sleep_us < SLEEP_MOST)
            sleep_us += sleep_us / 4;
    }
}

static uint64_t bytes_so_far(void)
{
    return n_bytes;
}

static double seconds_so_far(void)
{
    return seconds;
}

static void finish(void)
{
    MPI_Finalize();
}

static void end_all(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
}

// Whether the affinity masks of this machine's ranks have no core in common.
static bool masks_are_apart(MPI_Comm here)
{
    cpu_set_t own, all;
    CPU_ZERO(&own);
    sched_getaffinity(0, sizeof own, &own);
    memset(&all, 0, sizeof all);
    MPI_Allreduce(&own, &all, (int)sizeof own, MPI_BYTE, MPI_BOR, here);
    int mine = CPU_COUNT(&own), sum_of_all = 0;
    MPI_Allreduce(&mine, &sum_of_all, 1, MPI_INT, MPI_SUM, here);
    return sum_of_all == CPU_COUNT(&all);
}

static TrainRanks ranks;
static CzRanks graph_ranks;

const TrainRanks *train_ranks_query(void)
{
    int provided, rank, n, n_here, rank_here;
    MPI_Comm here;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &here);
    MPI_Comm_size(here, &n_here);
    MPI_Comm_rank(here, &rank_here);
    graph_ranks = (CzRanks){.rank = rank, .n = n, .sum = sum, .share = share, .user = &ranks};
    ranks = (TrainRanks){.abi = TRAIN_RANKS_ABI,
                         .rank = rank,
                         .n = n,
                         .n_here = n_here,
                         .rank_here = rank_here,
                         .own_cores = masks_are_apart(here),
                         .sum = &graph_ranks,
                         .max = largest,
                         .n_bytes = bytes_so_far,
                         .seconds = seconds_so_far,
                         .finish = finish,
                         .abort = end_all};
    MPI_Comm_free(&here);
    return &ranks;
}
