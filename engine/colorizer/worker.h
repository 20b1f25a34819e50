// SPDX-License-Identifier: LGPL-3.0-or-later
// The engine thread: one long-lived thread that does what its owner hands it, one job at a time.
//
// libgomp keeps a pool of threads for every thread that has ever opened a parallel region; with one
// thread that lives as long as the colorizer there is one pool. What the job wants to tell its
// owner's host (progress) is told on the owner's thread, while that waits.
#pragma once

#include <cz/backend.h>

typedef struct CzWorker CzWorker;
typedef bool (*CzWorkerJob)(void *data, GError **error);

// n_threads: of OpenMP; 0 = what the process has set. CZ_ERROR_MEMORY.
CzWorker *cz_worker_new(int n_threads, GError **error);
void cz_worker_free(CzWorker *worker); // accepts NULL; no job may be running
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzWorker, cz_worker_free)

// Every start must be followed by a wait, on the same thread. data lives until then.
void cz_worker_start(CzWorker *worker, CzWorkerJob job, void *data);
// What the job returned. Calls of cz_worker_report end in progress (may be NULL: always TRUE).
bool cz_worker_wait(CzWorker *worker, const CzProgress *progress, GError **error);
// Inside a job: blocks until the owner, waiting, has asked its progress.
bool cz_worker_report(CzWorker *worker, double fraction);
