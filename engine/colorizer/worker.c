// SPDX-License-Identifier: LGPL-3.0-or-later
// The engine thread and its mailbox.
#include "colorizer/worker.h"

#include <cz/error.h>
#include <cz/threads.h>

typedef enum { IDLE, BUSY, DONE, QUIT } State;

struct CzWorker {
    GThread *thread;
    GMutex mutex;
    GCond changed;
    State state;
    int n_threads;
    CzWorkerJob job;
    void *data;
    bool result;
    GError *error;
    bool asking, answer; // a report waits for its answer
    double fraction;
};

static gpointer work(gpointer user)
{
    CzWorker *worker = user;
    cz_threads_set(worker->n_threads > 0 ? worker->n_threads : cz_threads_get());
    g_mutex_lock(&worker->mutex);
    while (worker->state != QUIT) {
        if (worker->state != BUSY) {
            g_cond_wait(&worker->changed, &worker->mutex);
            continue;
        }
        g_mutex_unlock(&worker->mutex);
        bool result = worker->job(worker->data, &worker->error);
        g_mutex_lock(&worker->mutex);
        worker->result = result;
        worker->state = DONE;
        g_cond_broadcast(&worker->changed);
    }
    g_mutex_unlock(&worker->mutex);
    return NULL;
}

CzWorker *cz_worker_new(int n_threads, GError **error)
{
    CzWorker *worker = g_new0(CzWorker, 1);
    worker->n_threads = n_threads;
    g_mutex_init(&worker->mutex);
    g_cond_init(&worker->changed);
    g_autoptr(GError) cause = NULL;
    worker->thread = g_thread_try_new("colorize", work, worker, &cause);
    if (worker->thread)
        return worker;
    g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "cannot start the engine's thread: %s",
                cause->message);
    cz_worker_free(worker);
    return NULL;
}

void cz_worker_free(CzWorker *worker)
{
    if (!worker)
        return;
    if (worker->thread) {
        g_mutex_lock(&worker->mutex);
        worker->state = QUIT;
        g_cond_broadcast(&worker->changed);
        g_mutex_unlock(&worker->mutex);
        g_thread_join(worker->thread);
    }
    g_mutex_clear(&worker->mutex);
    g_cond_clear(&worker->changed);
    g_free(worker);
}

void cz_worker_start(CzWorker *worker, CzWorkerJob job, void *data)
{
    g_mutex_lock(&worker->mutex);
    worker->job = job;
    worker->data = data;
    worker->error = NULL;
    worker->state = BUSY;
    g_cond_broadcast(&worker->changed);
    g_mutex_unlock(&worker->mutex);
}

bool cz_worker_wait(CzWorker *worker, const CzProgress *progress, GError **error)
{
    g_mutex_lock(&worker->mutex);
    while (worker->state == BUSY) {
        if (!worker->asking) {
            g_cond_wait(&worker->changed, &worker->mutex);
            continue;
        }
        g_mutex_unlock(&worker->mutex);
        bool answer = !progress || progress->report(progress->user, worker->fraction);
        g_mutex_lock(&worker->mutex);
        worker->answer = answer;
        worker->asking = false;
        g_cond_broadcast(&worker->changed);
    }
    worker->state = IDLE;
    bool result = worker->result;
    GError *cause = g_steal_pointer(&worker->error);
    g_mutex_unlock(&worker->mutex);
    if (cause)
        g_propagate_error(error, cause);
    return result;
}

bool cz_worker_report(CzWorker *worker, double fraction)
{
    g_mutex_lock(&worker->mutex);
    worker->fraction = fraction;
    worker->asking = true;
    g_cond_broadcast(&worker->changed);
    while (worker->asking)
        g_cond_wait(&worker->changed, &worker->mutex);
    bool answer = worker->answer;
    g_mutex_unlock(&worker->mutex);
    return answer;
}
