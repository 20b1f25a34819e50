// SPDX-License-Identifier: LGPL-3.0-or-later
// Ranks as threads of one process: N of them with their parts of a batch learn what one learns from
// all of it. What MPI itself does is seen in cli_ranks.py.
#include "steps.h"

#include <pthread.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/threads.h>

#include "gan.h"
#include "ranks.h"

enum { MOST_RANKS = 4, BATCH = 4, SIDE = 32 };

// ---- a sum over threads -------------------------------------------------------------------------

typedef struct {
    pthread_barrier_t barrier;
    const float *data[MOST_RANKS];
    size_t n_elements[MOST_RANKS];
    float *total;
    int n, n_sums, n_unequal; // messages; those that ranks had different sizes of
    size_t largest;           // message, in elements
} Room;

typedef struct {
    Room *room;
    int rank;
    CzRanks ranks;
} Seat;

static void add_up(Room *room, size_t n)
{
    room->n_sums++;
    room->largest = MAX(room->largest, n);
    for (int rank = 1; rank < room->n; rank++)
        room->n_unequal += room->n_elements[rank] != n;
    room->total = g_renew(float, room->total, n);
    memcpy(room->total, room->data[0], n * sizeof *room->total);
    for (int rank = 1; rank < room->n; rank++)
        for (size_t i = 0; i < n && room->n_unequal == 0; i++)
            room->total[i] += room->data[rank][i];
}

static void sum(void *user, float *data, size_t n_elements)
{
    Seat *seat = user;
    Room *room = seat->room;

    room->data[seat->rank] = data;
    room->n_elements[seat->rank] = n_elements;
    pthread_barrier_wait(&room->barrier);
    if (seat->rank == 0)
        add_up(room, n_elements);
    pthread_barrier_wait(&room->barrier);
    memcpy(data, room->total, n_elements * sizeof *data);
    pthread_barrier_wait(&room->barrier);
}

// ---- one step -----------------------------------------------------------------------------------

typedef struct {
    float lightness[BATCH * SIDE * SIDE], chroma[BATCH * SIDE * SIDE / 2];
} Pictures;

typedef struct {
    const TrainRecipe *recipe;
    const Pictures *pictures;
    Seat seat;
    CzEngineDevice *device;
    CzStore *store;
    TrainScalars scalars;
    TrainCriticScalars verdict;
    GError *error;
} Learner;

// Every term that is no plain mean over pictures, batch statistics and the penalty among them.
static TrainRecipe whole_recipe(void)
{
    TrainRecipe recipe = small_recipe();

    recipe.batch = BATCH;
    recipe.crop = SIDE;
    recipe.l1 = 0.5;
    recipe.gradient = 0.5;
    recipe.colourfulness = 1;
    recipe.spread = 1;
    g_strlcpy(recipe.norm, "batch", sizeof recipe.norm);
    recipe.dropout = 0.25; // by the number of the sample, not by its place in a part
    recipe.gan = 0.5;
    recipe.critic_width = 8;
    recipe.critic_norm = 1;
    recipe.critic_spectral = 1;
    recipe.r1 = 1;
    recipe.clip = 0; // moments are the gradient itself, times 1 - beta
    return recipe;
}

static void make_pictures(Pictures *pictures)
{
    Batch *batch = g_new(Batch, 1);

    for (int part = 0; part < BATCH / STEP_BATCH; part++) {
        make_batch(batch, 40 + (uint64_t)part);
        memcpy(pictures->lightness + part * STEP_PIXELS, batch->lightness, sizeof batch->lightness);
        memcpy(pictures->chroma + part * STEP_PIXELS / 2, batch->chroma, sizeof batch->chroma);
    }
    g_free(batch);
}

// Generator, then critic, with the rank's part of the pictures.
static bool learn_once(Learner *learner, int n_here)
{
    GError **error = &learner->error;
    const TrainRecipe *recipe = learner->recipe;
    size_t first = (size_t)(learner->seat.rank * n_here) * SIDE * SIDE;
    const float *lightness = learner->pictures->lightness + first;
    const float *chroma = learner->pictures->chroma + first / 2;
    g_autofree float *fake = g_new(float, BATCH *SIDE *SIDE / 2);
    g_autoptr(TrainStep) step =
        train_step_new(learner->device, learner->store, recipe, true, error);
    TrainCritic *critic =
        step ? train_critic_new(learner->device, learner->store, recipe, error) : NULL;
    bool good = critic && train_step_run(step, lightness, chroma, 0, &learner->scalars, error) &&
                train_step_read_chroma(step, fake, error) &&
                train_critic_run(critic, lightness, chroma, fake, 0, &learner->verdict, error);
    train_critic_free(critic);
    return good;
}

static void *learn(void *user)
{
    Learner *learner = user;
    int n = learner->seat.room ? learner->seat.room->n : 1;

    learner->device = cz_device_open("cpu", &learner->error);
    if (!learner->device)
        return NULL;
    if (n > 1)
        cz_device_set_ranks(learner->device, &learner->seat.ranks);
    learner->store = cz_store_new(learner->device);
    if (train_step_start(learner->store, learner->recipe, &learner->error))
        learn_once(learner, BATCH / n);
    return NULL;
}

static void learner_clear(Learner *learner)
{
    cz_store_free(learner->store);
    cz_device_close(learner->device);
    g_clear_error(&learner->error);
}

static void learn_together(Learner *learners, int n, Room *room)
{
    pthread_t threads[MOST_RANKS];

    room->n = n;
    pthread_barrier_init(&room->barrier, NULL, (unsigned)n);
    for (int rank = 0; rank < n; rank++) {
        Seat *seat = &learners[rank].seat;

        *seat = (Seat){room, rank, {.rank = rank, .n = n, .sum = sum, .user = seat}};
        pthread_create(&threads[rank], NULL, learn, &learners[rank]);
    }
    for (int rank = 0; rank < n; rank++)
        pthread_join(threads[rank], NULL);
    pthread_barrier_destroy(&room->barrier);
}

// ---- what is claimed ----------------------------------------------------------------------------

static void expect_near(const char *what, double found, double expected, double bound)
{
    if (fabs(found - expected) <= bound)
        return;
    g_test_message("%s: expected %.9g, found %.9g, bound %g", what, expected, found, bound);
    g_test_fail();
}

// The same terms summed in another order: eps * sqrt(4 * 32 * 32 places) for one sum, and at most
// four such sums in a row (statistics of a batch, logits, their penalty's gradient, a filter's).
#define CHAIN_BOUND (4 * 6e-8 * 64)

// floor: a bias before batch normalisation has no gradient, only what terms leave that cancel, eps
// of the whole gradient's norm.
static void expect_same_tensor(const char *name, CzStore *expected, CzStore *found, double floor,
                               double *worst)
{
    size_t n, at = 0;
    float *a = read_tensor(expected, name, &n), *b = read_tensor(found, name, &n);
    double size = 0, off = 0;

    for (size_t i = 0; i < n; i++) {
        size = MAX(size, fabs((double)a[i]));
        if (fabs((double)a[i] - b[i]) > off) {
            off = fabs((double)a[i] - b[i]);
            at = i;
        }
    }
    if (size > floor)
        *worst = MAX(*worst, off / size);
    if (!(off <= CHAIN_BOUND * size + floor)) {
        g_test_message("%s[%zu]: expected %.9g, found %.9g, bound %g", name, at, a[at], b[at],
                       CHAIN_BOUND * size + floor);
        g_test_fail();
    }
    cz_memory_free(a);
    cz_memory_free(b);
}

static void expect_same_scalars(const Learner *one, const Learner *other)
{
    const TrainScalars *a = &one->scalars, *b = &other->scalars;
    const TrainCriticScalars *c = &one->verdict, *d = &other->verdict;
    const struct {
        const char *name;
        float expected, found;
    } pairs[] = {{"loss", a->loss, b->loss},
                 {"norm", a->norm, b->norm},
                 {"chroma", a->chroma, b->chroma},
                 {"chroma of truth", a->chroma_true, b->chroma_true},
                 {"gan", a->gan, b->gan},
                 {"critic's loss", c->loss, d->loss},
                 {"critic's norm", c->norm, d->norm},
                 {"logits of truth", c->real, d->real},
                 {"logits of output", c->fake, d->fake},
                 {"right on truth", c->right_real, d->right_real},
                 {"r1", c->r1, d->r1}};

    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++)
        expect_near(pairs[i].name, pairs[i].found, pairs[i].expected,
                    CHAIN_BOUND * MAX(fabs((double)pairs[i].expected), 1e-2));
    g_assert_cmpint(a->n_terms, ==, b->n_terms);
    for (int i = 0; i < a->n_terms; i++)
        expect_near(a->terms[i].name, b->terms[i].value, a->terms[i].value,
                    CHAIN_BOUND * MAX(fabs((double)a->terms[i].value), 1e-2));
}

// Gradients of both networks (as first moments), running statistics and every figure; a whole step
// with batch normalisation in both, dropout, spectral normalisation and the penalty.
static void ranks_learn_what_one_learns_from_all(void)
{
    TrainRecipe recipe = whole_recipe();
    Pictures *pictures = g_new(Pictures, 1);
    Learner one = {.recipe = &recipe, .pictures = pictures};

    make_pictures(pictures);
    learn(&one);
    g_assert_no_error(one.error);
    for (int n = 2; n <= MOST_RANKS; n *= 2) {
        Learner *learners = g_new0(Learner, MOST_RANKS);
        Room room = {.n = n};
        double worst = 0;

        for (int rank = 0; rank < n; rank++)
            learners[rank] = (Learner){.recipe = &recipe, .pictures = pictures};
        learn_together(learners, n, &room);
        for (int rank = 0; rank < n; rank++)
            g_assert_no_error(learners[rank].error);
        g_assert_cmpint(room.n_unequal, ==, 0);
        g_assert_cmpint(room.n_sums, >, 10);
        expect_same_scalars(&one, &learners[n - 1]);
        for (size_t i = 0; i < cz_store_n(one.store); i++)
            if (is_of_family(cz_store_name(one.store, i), TRAIN_M) ||
                strstr(cz_store_name(one.store, i), "running_"))
                expect_same_tensor(cz_store_name(one.store, i), one.store, learners[n - 1].store,
                                   6e-8 * (double)one.scalars.norm, &worst);
        g_test_message("%d ranks: gradients differ by %.2g of their largest, bound %.2g; %d sums",
                       n, worst, CHAIN_BOUND, room.n_sums);
        for (int rank = 1; rank < n; rank++) { // bit for bit the same on all
            g_autofree char *a = store_sum(learners[0].store, NULL);
            g_autofree char *b = store_sum(learners[rank].store, NULL);
            g_assert_cmpstr(a, ==, b);
        }
        for (int rank = 0; rank < n; rank++)
            learner_clear(&learners[rank]);
        g_free(learners);
        g_free(room.total);
    }
    learner_clear(&one);
    g_free(pictures);
}

// What one rank alone has wrong, all leave out. Huber's gradient is finite where its loss is not:
// only the loss tells, and it must be that of all ranks.
static void not_finite_on_one_rank_closes_every_gate(void)
{
    TrainRecipe recipe = whole_recipe();
    Pictures *pictures = g_new(Pictures, 1);
    Learner *learners = g_new0(Learner, MOST_RANKS);
    Room room = {.n = 2};

    recipe.l1 = recipe.gradient = recipe.colourfulness = 0;
    make_pictures(pictures);
    pictures->chroma[BATCH / 2 * SIDE * SIDE / 2 + 7] = INFINITY; // of the second rank
    for (int rank = 0; rank < 2; rank++)
        learners[rank] = (Learner){.recipe = &recipe, .pictures = pictures};
    learn_together(learners, 2, &room);
    for (int rank = 0; rank < 2; rank++) {
        g_assert_no_error(learners[rank].error);
        g_assert_cmpfloat(learners[rank].scalars.gate, ==, 0);
        g_assert_cmpfloat(learners[rank].verdict.gate, ==, 0);
        learner_clear(&learners[rank]);
    }
    g_free(learners);
    g_free(room.total);
    g_free(pictures);
}

static void identity(void *user, float *data, size_t n_elements)
{
    *(size_t *)user = MAX(*(size_t *)user, n_elements);
}

// 4 MiB are 1048576 numbers: as many as fit go together, a larger one goes alone, order is kept.
static void many_values_go_in_few_messages(void)
{
    static const int32_t sizes[] = {3, 700000, 400000, 5, 3000000, 7};
    enum { N = G_N_ELEMENTS(sizes) };
    size_t largest = 0;
    const CzRanks ranks = {.n = 2, .sum = identity, .user = &largest};
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue values[N];
    int n_messages = 0;

    cz_graph_set_ranks(graph, &ranks);
    for (int i = 0; i < N; i++) {
        g_autofree char *name = g_strdup_printf("x%d", i);
        values[i] = cz_input(graph, name, cz_shape(1, sizes[i], 1, 1));
    }
    cz_rank_means(graph, values, N);
    g_assert_true(cz_graph_check(graph, NULL));
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        n_messages += cz_graph_node(graph, id)->op == CZ_OP_ALL_REDUCE;
    g_assert_cmpint(n_messages, ==, 3); // 3 + 700000 + 400000; 5 + 3000000; 7
    for (int i = 0; i < N; i++)
        g_assert_cmpint(cz_graph_shape(graph, values[i]).c, ==, sizes[i]);
}

static void one_alone_adds_no_node(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", cz_shape(1, 5, 1, 1)), values[] = {x};

    cz_rank_means(graph, values, 1);
    g_assert_cmpint(cz_rank_mean(graph, x).id, ==, x.id);
    g_assert_cmpint(cz_all_reduce(graph, x).id, ==, x.id);
    g_assert_cmpint(values[0].id, ==, x.id);
    g_assert_cmpint(cz_graph_n_nodes(graph), ==, 1);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(claim) g_test_add_func("/training/ranks/" #claim, claim)
    ADD(ranks_learn_what_one_learns_from_all);
    ADD(not_finite_on_one_rank_closes_every_gate);
    ADD(many_values_go_in_few_messages);
    ADD(one_alone_adds_no_node);
    return g_test_run();
}
