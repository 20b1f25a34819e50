// SPDX-License-Identifier: LGPL-3.0-or-later
// Inference on a thread of its own, which asks the main loop for rows.
#include "job.h"

#include <cz/error.h>

// Below GTK's redraws, so that the dialog stays alive while a large photograph is read.
#define PRIORITY G_PRIORITY_DEFAULT_IDLE

typedef struct {
    int32_t y, n_rows;
    float *rgb; // NULL: nothing is wanted
    bool good;
    GError *error;
} Band;

struct UiJob {
    gatomicrefcount refs; // results that are under way outlive the job's owner
    CzPhoto photo;
    UiJobEvents events;
    GThread *thread;
    UiProxy proxy; // the thread's until complete
    bool proxy_told;

    GMutex mutex; // for what follows
    GCond changed;
    bool quit, requested;
    gint serial; // of the latest request
    char *weights, *device;
    int32_t tile_size;
    Band band;

    gint stop;     // atomic: requests up to this one are to stop
    gint permille; // atomic
    bool busy;     // main thread only

    gint running;           // the thread's: serial of the request at hand
    CzColorizer *colorizer; // the thread's
    char *open_weights, *open_device;
};

typedef struct {
    UiJob *job;
    gint serial;
    CzChroma *chroma;
    CzDeviceInfo device;
    char *notice;
    GError *error;
} Result;

static void job_unref(UiJob *job)
{
    if (g_atomic_ref_count_dec(&job->refs))
        g_free(job);
}

static void result_free(gpointer data)
{
    Result *result = data;
    cz_chroma_free(result->chroma);
    g_free(result->notice);
    g_clear_error(&result->error);
    job_unref(result->job);
    g_free(result);
}

// ---- main thread ----------------------------------------------------------------------------

static gboolean serve_band(gpointer data)
{
    UiJob *job = data;
    g_mutex_lock(&job->mutex);
    Band *band = &job->band;
    if (band->rgb) {
        band->good =
            job->photo.read_rows(job->photo.user, band->y, band->n_rows, band->rgb, &band->error);
        band->rgb = NULL;
        g_cond_broadcast(&job->changed);
    }
    g_mutex_unlock(&job->mutex);
    return G_SOURCE_REMOVE;
}

static gboolean tell_proxy(gpointer data)
{
    UiJob *job = data;
    job->events.proxy(job->events.user);
    return G_SOURCE_REMOVE;
}

static gboolean tell_result(gpointer data)
{
    Result *result = data;
    UiJob *job = result->job;
    if (result->serial != job->serial)
        return G_SOURCE_REMOVE;
    job->busy = false;
    job->events.done(job->events.user, g_steal_pointer(&result->chroma),
                     result->error ? NULL : &result->device, result->error);
    if (result->notice && job->events.notice)
        job->events.notice(job->events.user, result->notice);
    return G_SOURCE_REMOVE;
}

// ---- the thread -----------------------------------------------------------------------------

static bool stopping(UiJob *job)
{
    return job->running <= g_atomic_int_get(&job->stop);
}

static bool cancelled(GError **error)
{
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_CANCELLED, "cancelled");
    return false;
}

static void take_proxy(UiJob *job, int32_t y, int32_t n_rows, const float *rgb)
{
    ui_proxy_push(&job->proxy, y, n_rows, rgb);
    if (ui_proxy_complete(&job->proxy) && !job->proxy_told) {
        job->proxy_told = true;
        g_idle_add_full(PRIORITY, tell_proxy, job, NULL);
    }
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    UiJob *job = user;
    g_mutex_lock(&job->mutex);
    job->band = (Band){.y = y, .n_rows = n_rows, .rgb = rgb};
    g_idle_add_full(PRIORITY, serve_band, job, NULL);
    while (job->band.rgb && !stopping(job))
        g_cond_wait(&job->changed, &job->mutex);
    Band band = job->band;
    job->band = (Band){0};
    g_mutex_unlock(&job->mutex);
    if (band.rgb)
        return cancelled(error);
    if (!band.good) {
        g_propagate_error(error, band.error);
        return false;
    }
    take_proxy(job, y, n_rows, rgb);
    return true;
}

static bool report(void *user, double fraction)
{
    UiJob *job = user;
    g_atomic_int_set(&job->permille, (gint)(fraction * 1000));
    return !stopping(job);
}

// Weights that have been read are kept for the next request.
static bool open_colorizer(UiJob *job, const char *weights, const char *device, GError **error)
{
    if (job->colorizer && g_str_equal(job->open_weights, weights) &&
        g_str_equal(job->open_device, device))
        return true;
    g_clear_pointer(&job->colorizer, cz_colorizer_free);
    g_clear_pointer(&job->open_weights, g_free);
    g_clear_pointer(&job->open_device, g_free);
    const CzColorizerOptions options = {.weights = weights, .device = device};
    job->colorizer = cz_colorizer_new(&options, error);
    if (!job->colorizer)
        return false;
    job->open_weights = g_strdup(weights);
    job->open_device = g_strdup(device);
    return true;
}

static void work_on(UiJob *job, Result *result, const char *weights, const char *device,
                    int32_t tile_size)
{
    const CzPhoto photo = {job->photo.width, job->photo.height, read_rows, NULL, job};
    const CzProgress progress = {report, job};
    g_atomic_int_set(&job->permille, 0);
    if (stopping(job))
        cancelled(&result->error);
    if (result->error || !open_colorizer(job, weights, device, &result->error))
        return;
    result->chroma =
        cz_colorizer_predict(job->colorizer, &photo, tile_size, &progress, &result->error);
    result->device = *cz_colorizer_device(job->colorizer);
    result->notice = cz_colorizer_notice(job->colorizer);
}

static gpointer work(gpointer data)
{
    UiJob *job = data;
    g_mutex_lock(&job->mutex);
    while (!job->quit) {
        if (!job->requested) {
            g_cond_wait(&job->changed, &job->mutex);
            continue;
        }
        job->requested = false;
        job->running = job->serial;
        g_autofree char *weights = g_steal_pointer(&job->weights);
        g_autofree char *device = g_steal_pointer(&job->device);
        int32_t tile_size = job->tile_size;
        Result *result = g_new0(Result, 1);
        result->job = job;
        g_atomic_ref_count_inc(&job->refs);
        result->serial = job->running;
        g_mutex_unlock(&job->mutex);
        work_on(job, result, weights, device, tile_size);
        g_idle_add_full(PRIORITY, tell_result, result, result_free);
        g_mutex_lock(&job->mutex);
    }
    g_mutex_unlock(&job->mutex);
    return NULL;
}

// ---- from outside -----------------------------------------------------------------------------

UiJob *ui_job_new(const CzPhoto *photo, const UiJobEvents *events, GError **error)
{
    UiJob *job = g_new0(UiJob, 1);
    g_atomic_ref_count_init(&job->refs);
    job->photo = *photo;
    job->events = *events;
    g_mutex_init(&job->mutex);
    g_cond_init(&job->changed);
    g_autoptr(GError) cause = NULL;
    if (!ui_proxy_init(&job->proxy, photo->width, photo->height, error)) {
        ui_job_free(job);
        return NULL;
    }
    job->thread = g_thread_try_new("colorize-ui", work, job, &cause);
    if (!job->thread) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "cannot start a thread: %s", cause->message);
        ui_job_free(job);
        return NULL;
    }
    return job;
}

static void end_thread(UiJob *job)
{
    if (!job->thread)
        return;
    g_mutex_lock(&job->mutex);
    job->quit = true;
    job->serial++; // what is under way is not told any more
    g_atomic_int_set(&job->stop, job->serial);
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->mutex);
    g_thread_join(g_steal_pointer(&job->thread));
    job->busy = false;
}

// Those of results carry the result, not the job.
static void remove_sources(UiJob *job)
{
    while (g_source_remove_by_user_data(job))
        ;
    g_clear_error(&job->band.error);
}

void ui_job_free(UiJob *job)
{
    if (!job)
        return;
    end_thread(job);
    remove_sources(job);
    cz_colorizer_free(job->colorizer);
    ui_proxy_clear(&job->proxy);
    g_free(job->open_weights);
    g_free(job->open_device);
    g_free(job->weights);
    g_free(job->device);
    g_mutex_clear(&job->mutex);
    g_cond_clear(&job->changed);
    job_unref(job);
}

void ui_job_start(UiJob *job, const char *weights, const char *device, int32_t tile_size)
{
    g_mutex_lock(&job->mutex);
    g_free(job->weights);
    g_free(job->device);
    job->weights = g_strdup(weights);
    job->device = g_strdup(device);
    job->tile_size = tile_size;
    job->requested = true;
    job->serial++;
    g_atomic_int_set(&job->stop, job->serial - 1);
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->mutex);
    job->busy = true;
}

void ui_job_stop(UiJob *job)
{
    g_mutex_lock(&job->mutex);
    g_atomic_int_set(&job->stop, job->serial);
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->mutex);
}

bool ui_job_busy(const UiJob *job)
{
    return job->busy;
}

double ui_job_fraction(const UiJob *job)
{
    return g_atomic_int_get(&job->permille) / 1000.0;
}

const UiProxy *ui_job_proxy(const UiJob *job)
{
    return &job->proxy;
}

CzColorizer *ui_job_take_colorizer(UiJob *job)
{
    end_thread(job);
    return g_steal_pointer(&job->colorizer);
}
