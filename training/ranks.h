// SPDX-License-Identifier: LGPL-3.0-or-later
// One training by many processes (ranks), each with its share of every batch.
//
// The recipe's batch is that of all ranks together, so recipe, schedule, sample order and
// checkpoints are those of one process, and a run may go on with another number of ranks. Rank r of
// N takes the r-th of N equal parts of each batch. Gradients and batch statistics are summed over
// ranks in the graph (cz/ops.h); weights are never sent, they stay equal because all updates are.
//
// MPI itself is in a module (mpi/), loaded only in a process that mpirun or its like has started:
// the program needs no MPI to start.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <cz/node.h>

G_BEGIN_DECLS

#define TRAIN_RANKS_ABI 3u

// What the module gives; filled when it has joined the others.
typedef struct {
    uint32_t abi;
    int32_t rank, n;    // of all
    int32_t n_here;     // ranks of this machine
    int32_t rank_here;  // this one, of those
    bool own_cores;     // no other of them may run on the cores of this one
    const CzRanks *sum; // for cz_device_set_ranks()
    // Each element becomes its largest over ranks. Waits without burning the core: others may be
    // busy with files for long. Every rank must call it, in the same order.
    void (*max)(double *values, int n);
    uint64_t (*n_bytes)(void); // that sum was given so far
    double (*seconds)(void);   // that it took so far
    void (*finish)(void);      // all ranks; nothing of this may be used afterwards
    void (*abort)(int status); // ends every rank, does not return
} TrainRanks;

typedef const TrainRanks *(*TrainRanksQuery)(
    void); // joins; the library's own errors end the process
#define TRAIN_RANKS_SYMBOL "train_ranks_query"

// Joins the others if this process is one of several. *ranks is NULL if it is alone; borrowed.
// CZ_ERROR_BACKEND: it is one of several, and the module is missing.
bool train_ranks_join(const TrainRanks **ranks, GError **error);
void train_ranks_finish(const TrainRanks *ranks); // accepts NULL

// Runs mpirun with n ranks of this same command line (without --ranks), which then join, and waits
// for it. Binds each rank to its share of the cores. SIGINT and SIGTERM ask the ranks to stop and
// save, a second one ends them. status: mpirun's exit status. CZ_ERROR_BACKEND: it did not start.
bool train_ranks_launch(int n, int n_threads, char **argv, int *status, GError **error);

// Below, ranks may be NULL: alone.
bool train_ranks_first(const TrainRanks *ranks); // the one that writes and speaks
// Compute threads for this rank: wanted, or (0) its share of the cores that it may run on. Says on
// stderr, once, when there are more threads than cores.
int train_ranks_threads(const TrainRanks *ranks, int wanted);
// Whether all ranks say ok. Where some do not, *error is left only on the lowest of those, so that
// one sentence is told once; elsewhere it is cleared.
bool train_ranks_agree(const TrainRanks *ranks, bool ok, GError **error);
// What one rank meets alone, in the midst of a step in which the others wait for it: tells it and
// ends all. Nothing, if alone.
void train_ranks_fail_alone(const TrainRanks *ranks, GError **error);
// Every rank has read the checkpoint by itself: whether it is of one step. CZ_ERROR_IO.
bool train_ranks_check_start(const TrainRanks *ranks, int64_t step, const char *folder,
                             GError **error);
// After each step: ok as in train_ranks_agree(); *stop becomes TRUE on all if it is on one. norm:
// of the gradient, the same on all as long as their weights are (CZ_ERROR_NUMERIC). Ranks that wait
// here for the first, which writes files, leave it the cores.
bool train_ranks_after_step(const TrainRanks *ranks, bool ok, int64_t step, double norm, bool *stop,
                            GError **error);
// What the network had to carry, and how long steps waited for it or for slower ranks.
void train_ranks_print(const TrainRanks *ranks, int64_t n_steps, double seconds);

G_END_DECLS
