// SPDX-License-Identifier: LGPL-3.0-or-later
// Batches made ahead by threads, while the trainer computes.
#include "loader.h"

#include <pthread.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

// Two families of random streams of the same seed, apart from the small numbers that others use.
#define STREAM_SAMPLE (UINT64_C(1) << 62)
#define STREAM_EPOCH  (UINT64_C(2) << 62)

typedef struct {
    TrainBatch batch;
    float *memory; // lightness, then chroma
    bool ready;
} Slot;

struct TrainLoader {
    const TrainSet *set;
    TrainLoaderOptions options;
    uint32_t *pictures; // of the set, that an epoch visits
    size_t n_pictures;
    Slot *slots; // batch b lies in slot b % n_slots
    int n_slots, n_threads;
    GThread **threads;
    double waited; // seconds; the caller's thread only
    // All below is guarded by the lock.
    pthread_mutex_t lock; // no GMutex: thread sanitizers see through this one alone
    pthread_cond_t filled, freed;
    uint64_t next_claim, next_hand, next_release; // numbers of batches, from 0
    bool stop;
    GError *failure;
};

// The order of one epoch's pictures, as a thread remembers it.
typedef struct {
    uint32_t *order;
    uint64_t epoch;
    bool known;
} Shuffle;

static uint32_t shuffled(const TrainLoader *loader, Shuffle *shuffle, uint64_t sample)
{
    uint64_t epoch = sample / loader->n_pictures;

    if (!shuffle->known || shuffle->epoch != epoch) {
        CzRng rng = cz_rng(loader->options.seed, STREAM_EPOCH | epoch);

        memcpy(shuffle->order, loader->pictures, loader->n_pictures * sizeof *shuffle->order);
        for (size_t i = loader->n_pictures; i > 1; i--) { // Fisher & Yates
            size_t j = cz_rng_below(&rng, (uint32_t)i);
            uint32_t kept = shuffle->order[i - 1];

            shuffle->order[i - 1] = shuffle->order[j];
            shuffle->order[j] = kept;
        }
        shuffle->epoch = epoch;
        shuffle->known = TRUE;
    }
    return shuffle->order[sample % loader->n_pictures];
}

static bool stopping(TrainLoader *loader)
{
    pthread_mutex_lock(&loader->lock);
    bool stop = loader->stop;
    pthread_mutex_unlock(&loader->lock);
    return stop;
}

// Values of the chroma that goes with so many of lightness.
static size_t chroma_of(const TrainAugmentParams *params, size_t n_lightness)
{
    size_t stride = (size_t)train_augment_stride(params);

    return 2 * (n_lightness / stride / stride);
}

static bool fill(TrainLoader *loader, Slot *slot, uint64_t number, TrainAugmenter *augmenter,
                 Shuffle *shuffle, GError **error)
{
    const TrainLoaderOptions *options = &loader->options;
    size_t n_lightness = (size_t)options->augment.crop * (size_t)options->augment.crop;
    size_t n_chroma = chroma_of(&options->augment, n_lightness);
    TrainBatch *batch = &slot->batch;

    uint64_t stride = (uint64_t)(options->stride > 0 ? options->stride : options->batch);
    batch->first_sample = options->first_sample + number * stride;
    for (int32_t i = 0; i < batch->n && !stopping(loader); i++) {
        uint64_t sample = batch->first_sample + (uint64_t)i;
        TrainPicture picture = train_set_picture(loader->set, shuffled(loader, shuffle, sample));
        CzRng rng = cz_rng(options->seed, STREAM_SAMPLE | sample);

        if (!train_augment(augmenter, &options->augment, &picture, &rng,
                           batch->lightness + (size_t)i * n_lightness,
                           batch->chroma + (size_t)i * n_chroma, error))
            return FALSE;
    }
    return TRUE;
}

// The number of the next batch to be made, once its slot is free; FALSE: the thread is to end.
static bool claim(TrainLoader *loader, uint64_t *number)
{
    bool go_on;

    pthread_mutex_lock(&loader->lock);
    while (!loader->stop && !loader->failure &&
           loader->next_claim - loader->next_release >= (uint64_t)loader->n_slots)
        pthread_cond_wait(&loader->freed, &loader->lock);
    go_on = !loader->stop && !loader->failure;
    if (go_on)
        *number = loader->next_claim++;
    pthread_mutex_unlock(&loader->lock);
    return go_on;
}

static void hand_in(TrainLoader *loader, Slot *slot, GError *failure)
{
    pthread_mutex_lock(&loader->lock);
    slot->ready = failure == NULL;
    if (failure && !loader->failure)
        loader->failure = failure;
    else
        g_clear_error(&failure);
    pthread_cond_broadcast(&loader->filled);
    pthread_mutex_unlock(&loader->lock);
}

static gpointer work(gpointer user)
{
    TrainLoader *loader = user;
    g_autoptr(TrainAugmenter) augmenter = train_augmenter_new();
    Shuffle shuffle = {0};
    uint64_t number;

    while (claim(loader, &number)) {
        Slot *slot = &loader->slots[number % (uint64_t)loader->n_slots];
        GError *failure = NULL;

        if (!shuffle.order)
            shuffle.order = cz_memory_alloc(loader->n_pictures * sizeof *shuffle.order,
                                            "the order of an epoch", &failure);
        if (shuffle.order)
            fill(loader, slot, number, augmenter, &shuffle, &failure);
        hand_in(loader, slot, failure);
    }
    cz_memory_free(shuffle.order);
    return NULL;
}

// ---- the caller's side --------------------------------------------------------------------------

static bool check(const TrainLoader *loader, GError **error)
{
    const TrainLoaderOptions *options = &loader->options;

    if (!train_augment_check(&options->augment, error))
        return FALSE;
    if (options->batch < 1 || options->batch > 4096) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "batch is %d, allowed is 1 to 4096",
                    options->batch);
        return FALSE;
    }
    if (options->n_threads < 0 || options->n_threads > 256 || options->n_ahead < 0 ||
        options->n_ahead > 1024) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "%d loader threads and %d batches ahead, allowed is 0 to 256 and 0 to 1024",
                    options->n_threads, options->n_ahead);
        return FALSE;
    }
    if (loader->n_pictures == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "no picture to train with: the set has %zu, %g %% are held back",
                    train_set_n(loader->set), 100.0 * options->held_back);
        return FALSE;
    }
    return TRUE;
}

static bool make_slots(TrainLoader *loader, GError **error)
{
    const TrainLoaderOptions *options = &loader->options;
    size_t n_lightness =
        (size_t)options->batch * (size_t)options->augment.crop * (size_t)options->augment.crop;
    size_t n_all = n_lightness + chroma_of(&options->augment, n_lightness);

    loader->slots = g_new0(Slot, (size_t)loader->n_slots);
    for (int i = 0; i < loader->n_slots; i++) {
        Slot *slot = &loader->slots[i];

        slot->memory = cz_memory_alloc(n_all * sizeof *slot->memory, "a batch", error);
        if (!slot->memory)
            return FALSE;
        slot->batch.n = options->batch;
        slot->batch.crop = options->augment.crop;
        slot->batch.stride = train_augment_stride(&options->augment);
        slot->batch.lightness = slot->memory;
        slot->batch.chroma = slot->memory + n_lightness;
    }
    return TRUE;
}

static bool start_threads(TrainLoader *loader, GError **error)
{
    int n = MAX(loader->options.n_threads, 1);
    g_autoptr(GError) cause = NULL;

    loader->threads = g_new0(GThread *, (size_t)n);
    for (; loader->n_threads < n; loader->n_threads++) {
        GThread *thread = g_thread_try_new("loader", work, loader, &cause);

        if (!thread) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "cannot start a loader thread: %s",
                        cause->message);
            return FALSE;
        }
        loader->threads[loader->n_threads] = thread;
    }
    return TRUE;
}

TrainLoader *train_loader_new(const TrainSet *set, const TrainLoaderOptions *options,
                              GError **error)
{
    g_autoptr(TrainLoader) loader = g_new0(TrainLoader, 1);

    loader->set = set;
    loader->options = *options;
    loader->waited = options->waited;
    loader->n_slots = options->n_ahead > 0 ? options->n_ahead : MAX(options->n_threads, 1) + 1;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->filled, NULL);
    pthread_cond_init(&loader->freed, NULL);
    loader->pictures = train_set_split(set, options->held_back, FALSE, &loader->n_pictures);
    if (!check(loader, error) || !make_slots(loader, error) || !start_threads(loader, error))
        return NULL;
    return g_steal_pointer(&loader);
}

void train_loader_free(TrainLoader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = TRUE;
    pthread_cond_broadcast(&loader->freed);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->n_threads; i++)
        g_thread_join(loader->threads[i]);
    for (int i = 0; loader->slots && i < loader->n_slots; i++)
        cz_memory_free(loader->slots[i].memory);
    pthread_mutex_destroy(&loader->lock);
    pthread_cond_destroy(&loader->filled);
    pthread_cond_destroy(&loader->freed);
    g_clear_error(&loader->failure);
    g_free(loader->slots);
    g_free(loader->threads);
    g_free(loader->pictures);
    g_free(loader);
}

size_t train_loader_n_pictures(const TrainLoader *loader)
{
    return loader->n_pictures;
}

const TrainBatch *train_loader_next(TrainLoader *loader, GError **error)
{
    int64_t begin = g_get_monotonic_time();
    const TrainBatch *batch = NULL;
    Slot *slot;

    // Both counters move by the caller alone, so they may be read here without the lock.
    g_return_val_if_fail(loader->next_hand - loader->next_release < (uint64_t)loader->n_slots,
                         NULL);
    pthread_mutex_lock(&loader->lock);
    slot = &loader->slots[loader->next_hand % (uint64_t)loader->n_slots];
    while (!slot->ready && !loader->failure)
        pthread_cond_wait(&loader->filled, &loader->lock);
    if (slot->ready) {
        batch = &slot->batch;
        loader->next_hand++;
    } else {
        g_propagate_error(error, g_error_copy(loader->failure));
    }
    pthread_mutex_unlock(&loader->lock);
    loader->waited += (double)(g_get_monotonic_time() - begin) * 1e-6;
    return batch;
}

void train_loader_release(TrainLoader *loader, const TrainBatch *batch)
{
    pthread_mutex_lock(&loader->lock);
    Slot *slot = &loader->slots[loader->next_release % (uint64_t)loader->n_slots];
    if (batch == &slot->batch && loader->next_release < loader->next_hand) {
        slot->ready = FALSE;
        loader->next_release++;
        pthread_cond_broadcast(&loader->freed);
    } else {
        g_critical("a batch is released out of order");
    }
    pthread_mutex_unlock(&loader->lock);
}

double train_loader_waited(const TrainLoader *loader)
{
    return loader->waited;
}
