// SPDX-License-Identifier: LGPL-3.0-or-later
// Sums over ranks by NCCL: ranks are processes of this test, GPUs and NCCL are doubles.
#include "nccl.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "double_nccl.h"
#include "doubles_kit.h"

enum { MOST_RANKS = 3, MOST_FLOATS = 4096, LONGEST_S = 60, N_NUMBERS = 9001 };

// What a rank leaves for the test to look at.
typedef struct {
    bool used, sum_failed, right;
    char words[512]; // why not, or of the error
    unsigned n_inits, n_destroyed, n_aborted, n_leaks;
    uint32_t bits; // of all sums
    char complaints[512];
} Outcome;

// What ranks share.
typedef struct {
    atomic_uint arrived, turn;
    float parts[MOST_RANKS][MOST_FLOATS];
    char bytes[1024];
    Outcome outcomes[MOST_RANKS];
} Table;

typedef struct {
    Table *table;
    CzRanks ranks;
    Device device;
    Nccl *nccl;
    Outcome *outcome;
} Rank;

static char *folder, *root, *empty, *meetings;
static Table *table;

// ---- ranks --------------------------------------------------------------------------------------

static void meet(const Rank *rank)
{
    unsigned turn = atomic_load(&rank->table->turn);
    if (atomic_fetch_add(&rank->table->arrived, 1) + 1 == (unsigned)rank->ranks.n) {
        atomic_store(&rank->table->arrived, 0);
        atomic_fetch_add(&rank->table->turn, 1);
    }
    while (atomic_load(&rank->table->turn) == turn)
        g_usleep(50);
}

static void host_sum(void *user, float *data, size_t n)
{
    const Rank *rank = user;
    g_assert_cmpuint(n, <=, MOST_FLOATS);
    memcpy(rank->table->parts[rank->ranks.rank], data, n * sizeof *data);
    meet(rank);
    for (size_t i = 0; i < n; i++) {
        data[i] = rank->table->parts[0][i];
        for (int other = 1; other < rank->ranks.n; other++)
            data[i] += rank->table->parts[other][i];
    }
    meet(rank);
}

static void host_share(void *user, void *bytes, size_t n)
{
    const Rank *rank = user;
    g_assert_cmpuint(n, <=, sizeof rank->table->bytes);
    if (rank->ranks.rank == 0)
        memcpy(rank->table->bytes, bytes, n);
    meet(rank);
    memcpy(bytes, rank->table->bytes, n);
    meet(rank);
}

typedef void (*Scenario)(Rank *rank);

static void be_rank(int n, int number, Scenario scenario)
{
    Rank rank = {.table = table, .outcome = &table->outcomes[number]};
    rank.ranks =
        (CzRanks){.rank = number, .n = n, .sum = host_sum, .share = host_share, .user = &rank};
    alarm(LONGEST_S);
    double_reset();
    double_cudnn_reset();
    double_nccl_reset();
    g_assert_true(device_start(&rank.device));
    scenario(&rank);
    nccl_close(rank.nccl);
    device_stop(&rank.device);
    Outcome *outcome = rank.outcome;
    outcome->n_inits = double_nccl_calls("ncclCommInitRank");
    outcome->n_destroyed = double_nccl_calls("ncclCommDestroy");
    outcome->n_aborted = double_nccl_calls("ncclCommAbort");
    outcome->n_leaks = double_leaks() + double_cudnn_leaks() + double_nccl_leaks();
    g_strlcpy(outcome->complaints, double_complaint_text(), sizeof outcome->complaints);
}

// All ranks, each a process, from first to last; then what is the same for all scenarios.
static const Outcome *play(int n, Scenario scenario)
{
    pid_t children[MOST_RANKS];
    memset(table, 0, sizeof *table);
    for (int i = 0; i < n; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            be_rank(n, i, scenario);
            _exit(g_test_failed()); // its own assertions are not the test's
        }
    }
    for (int i = 0; i < n; i++) {
        int status = 1;
        g_assert_cmpint(waitpid(children[i], &status, 0), ==, children[i]);
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpuint(table->outcomes[i].n_leaks, ==, 0);
        g_assert_cmpuint(table->outcomes[i].n_aborted + table->outcomes[i].n_destroyed, <=, 1);
    }
    g_autoptr(GDir) left = g_dir_open(meetings, 0, NULL);
    g_assert_null(g_dir_read_name(left));
    return table->outcomes;
}

static bool open_nccl(Rank *rank, const char *device)
{
    static CzHost host = {.abi = CZ_BACKEND_ABI};
    g_autofree char *why = NULL;
    host.error_domain = CZ_ERROR;
    rank->nccl = nccl_open(&host, &rank->ranks, device, &why);
    rank->outcome->used = rank->nccl != NULL;
    g_assert_true(!rank->nccl == !!why);
    g_strlcpy(rank->outcome->words, why ? why : "", sizeof rank->outcome->words);
    return rank->nccl != NULL;
}

static bool open_each(Rank *rank)
{
    g_autofree char *device = g_strdup_printf("0000:0%d:00.0", rank->ranks.rank + 1);
    return open_nccl(rank, device);
}

// ---- sums ---------------------------------------------------------------------------------------

// Sums of these are rounded.
static float number(int rank, size_t i)
{
    return sinf((float)i * 0.37f + (float)rank) * powf(3.0f, (float)(rank + (int)(i % 5)));
}

typedef struct {
    CUdeviceptr memory;
    float *host;
} Numbers;

static Numbers numbers_new(const Rank *rank, size_t n)
{
    Numbers numbers = {.host = g_new(float, n)};
    for (size_t i = 0; i < n; i++)
        numbers.host[i] = number(rank->ranks.rank, i);
    g_assert_cmpint(cuda.cuMemAlloc_v2(&numbers.memory, n * sizeof(float)), ==, 0);
    cuda.cuMemcpyHtoDAsync_v2(numbers.memory, numbers.host, n * sizeof(float), rank->device.stream);
    g_assert_cmpint(cuda.cuStreamSynchronize(rank->device.stream), ==, 0);
    return numbers;
}

static void numbers_fetch(const Rank *rank, Numbers *numbers, size_t n)
{
    cuda.cuMemcpyDtoHAsync_v2(numbers->host, numbers->memory, n * sizeof(float),
                              rank->device.stream);
    g_assert_cmpint(cuda.cuStreamSynchronize(rank->device.stream), ==, 0);
}

static void numbers_clear(Numbers *numbers)
{
    cuda.cuMemFree_v2(numbers->memory);
    g_free(numbers->host);
}

// Whether each of n is its sum over ranks, times factor, to float's rounding; and their bits.
static bool check(const Rank *rank, const float *found, size_t n, double factor)
{
    bool right = true;
    for (size_t i = 0; i < n; i++) {
        double sum = 0, size = 0;
        for (int r = 0; r < rank->ranks.n; r++) {
            sum += (double)number(r, i);
            size += fabs((double)number(r, i));
        }
        right = right && fabs((double)found[i] - factor * sum) <= 0x1p-22 * factor * size;
        uint32_t bits;
        memcpy(&bits, &found[i], sizeof bits);
        rank->outcome->bits = (rank->outcome->bits ^ bits) * 16777619u; // FNV-1
    }
    return right;
}

static void sum(Rank *rank)
{
    const size_t sizes[] = {1, N_NUMBERS};
    g_autoptr(GError) error = NULL;
    if (!open_each(rank))
        return;
    rank->outcome->right = nccl_sum(rank->nccl, 0, 0, NULL, &error);
    for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
        Numbers numbers = numbers_new(rank, sizes[s]);
        bool done = nccl_sum(rank->nccl, numbers.memory, sizes[s], rank->device.stream, &error);
        bool waits = double_pending() == 1;
        numbers_fetch(rank, &numbers, sizes[s]);
        rank->outcome->right = done && waits && check(rank, numbers.host, sizes[s], 1) &&
                               rank->outcome->right && !error;
        numbers_clear(&numbers);
    }
}

static void expect_sums(const Outcome *outcomes, int n)
{
    for (int i = 0; i < n; i++) {
        g_assert_cmpstr(outcomes[i].words, ==, "");
        g_assert_cmpstr(outcomes[i].complaints, ==, "");
        g_assert_true(outcomes[i].used && outcomes[i].right);
        g_assert_cmphex(outcomes[i].bits, ==, outcomes[0].bits);
        g_assert_cmpuint(outcomes[i].n_destroyed, ==, 1);
    }
}

static void sums_are_right_and_the_same_bits_on_all(void)
{
    expect_sums(play(2, sum), 2);
    expect_sums(play(3, sum), 3);
}

// Each replay sums again: the second one n times as much.
static void sum_captured(Rank *rank)
{
    CUgraph graph;
    CUgraphExec exec;
    CUstream stream = rank->device.stream;
    if (!open_each(rank))
        return;
    Numbers numbers = numbers_new(rank, N_NUMBERS);
    cuda.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    bool done = nccl_sum(rank->nccl, numbers.memory, N_NUMBERS, stream, NULL);
    g_assert_cmpint(cuda.cuStreamEndCapture(stream, &graph), ==, 0);
    g_assert_cmpint(cuda.cuGraphInstantiateWithFlags(&exec, graph, 0), ==, 0);
    cuda.cuGraphLaunch(exec, stream);
    cuda.cuGraphLaunch(exec, stream);
    numbers_fetch(rank, &numbers, N_NUMBERS);
    rank->outcome->right = done && check(rank, numbers.host, N_NUMBERS, rank->ranks.n);
    cuda.cuGraphExecDestroy(exec);
    cuda.cuGraphDestroy(graph);
    numbers_clear(&numbers);
}

static void a_captured_sum_sums_at_each_replay(void)
{
    expect_sums(play(2, sum_captured), 2);
}

// ---- not used -----------------------------------------------------------------------------------

// Nobody uses it, all for the same reason, and nobody began to join.
static void expect_unused(const Outcome *outcomes, int n, unsigned n_inits, const char *words)
{
    for (int i = 0; i < n; i++) {
        g_assert_false(outcomes[i].used);
        g_assert_cmpstr(outcomes[i].words, ==, words);
        g_assert_cmpstr(outcomes[i].complaints, ==, "");
        g_assert_cmpuint(outcomes[i].n_inits, ==, n_inits);
    }
}

static void open_without_library(Rank *rank)
{
    if (rank->ranks.rank == 1)
        g_setenv("COLORIZE_CUDA_ROOT", empty, TRUE);
    open_each(rank);
}

static void a_rank_without_the_library_makes_all_say_no(void)
{
    g_autofree char *words = g_strdup_printf(
        "rank 1: no usable NCCL (COLORIZE_CUDA_ROOT: no libnccl.so.2 below %s)", empty);
    expect_unused(play(2, open_without_library), 2, 0, words);
    expect_unused(play(3, open_without_library), 3, 0, words);
}

static void open_with_broken_library(Rank *rank)
{
    g_autofree char *file = g_build_filename(empty, "libnccl.so.2", NULL);
    if (rank->ranks.rank == 1) {
        g_setenv("COLORIZE_CUDA_ROOT", empty, TRUE);
        g_assert_true(g_file_set_contents(file, "no library at all", -1, NULL));
    }
    open_each(rank);
    g_unlink(file);
}

static void a_file_that_is_no_library_is_told(void)
{
    const Outcome *outcomes = play(2, open_with_broken_library);
    g_autofree char *words =
        g_strdup_printf("rank 1: no usable NCCL (%s/libnccl.so.2: file too short)", empty);
    expect_unused(outcomes, 2, 0, words);
}

static void open_with_versions(Rank *rank)
{
    static const char *const versions[] = {"23203", "23203", "22005"};
    g_setenv("COLORIZE_DOUBLE_NCCL_VERSION", versions[rank->ranks.rank], TRUE);
    double_nccl_reset();
    open_each(rank);
}

static void open_old(Rank *rank)
{
    g_setenv("COLORIZE_DOUBLE_NCCL_VERSION", "2804", TRUE);
    double_nccl_reset();
    open_each(rank);
}

static void old_and_different_versions_are_told(void)
{
    // By the name under which this test has it open.
    g_autofree char *words = g_strdup_printf(
        "rank 0: %s/libnccl-double.so: NCCL 2804 is too old, 2.9 or later is needed",
        g_getenv("COLORIZE_DOUBLE_DIR"));
    expect_unused(play(3, open_with_versions), 3, 0,
                  "rank 0 has NCCL 2.32.3 and rank 2 has 2.20.5");
    expect_unused(play(2, open_old), 2, 0, words);
}

// Without the library, too: there is nothing to install for.
static void open_one_gpu(Rank *rank)
{
    if (rank->ranks.rank == 0)
        g_setenv("COLORIZE_CUDA_ROOT", empty, TRUE);
    open_nccl(rank, rank->ranks.rank == 1 ? "0000:65:00.0" : "0000:17:00.0");
}

static void two_ranks_on_one_gpu_are_told(void)
{
    expect_unused(play(3, open_one_gpu), 3, 0,
                  "ranks 0 and 2 share one GPU (0000:17:00.0), NCCL takes one rank a GPU");
}

static void open_without_id(Rank *rank)
{
    double_nccl_fail_call("ncclGetUniqueId", rank->ranks.rank == 0, 2);
    open_each(rank);
}

static void open_without_one(Rank *rank)
{
    g_setenv("COLORIZE_DOUBLE_NCCL_TIMEOUT_MS", "200", TRUE);
    double_nccl_reset();
    double_nccl_fail_call("ncclCommInitRank", rank->ranks.rank == 1, 1);
    open_each(rank);
}

static void what_fails_in_joining_is_told_in_nccls_words(void)
{
    expect_unused(play(2, open_without_id), 2, 0,
                  "rank 0: NCCL opens no meeting: the system failed (2), a fault that the test "
                  "asked for");
    expect_unused(play(3, open_without_one), 3, 1,
                  "rank 1: NCCL does not join: CUDA failed (1), a fault that the test asked for");
}

// ---- failures in use ----------------------------------------------------------------------------

// One rank's second sum fails; the others learn of it in their third.
static void sum_until_it_fails(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (!open_each(rank))
        return;
    Numbers numbers = numbers_new(rank, 10);
    double_nccl_fail_call("ncclAllReduce", rank->ranks.rank == 1 ? 2 : 0, 1);
    int n_sums = 0;
    while (n_sums < 5 && !error) {
        nccl_sum(rank->nccl, numbers.memory, 10, rank->device.stream, &error);
        if (error) // as a caller would, before the others' sum is demanded
            g_clear_pointer(&rank->nccl, nccl_close);
        cuda.cuStreamSynchronize(rank->device.stream);
        n_sums++;
    }
    rank->outcome->sum_failed = error && error->domain == CZ_ERROR;
    rank->outcome->right = n_sums == (rank->ranks.rank == 1 ? 2 : 3);
    g_strlcpy(rank->outcome->words, error ? error->message : "", sizeof rank->outcome->words);
    numbers_clear(&numbers);
}

static void a_failed_sum_is_told_on_all(void)
{
    static const char *const words[] = {
        "NCCL does not sum 10 numbers over ranks: a rank failed (6), a rank does not sum",
        "NCCL does not sum 10 numbers over ranks: CUDA failed (1), a fault that the test asked for",
    };
    const Outcome *outcomes = play(3, sum_until_it_fails);
    for (int i = 0; i < 3; i++) {
        g_assert_true(outcomes[i].sum_failed && outcomes[i].right);
        g_assert_cmpstr(outcomes[i].words, ==, words[i == 1]);
        g_assert_cmpuint(outcomes[i].n_aborted, ==, 1);
        g_assert_cmpstr(outcomes[i].complaints, ==, "");
    }
}

// The double's own judgement: memory of the host, and a communicator that ends too early.
static void use_wrongly(Rank *rank)
{
    float host[4] = {0};
    g_autoptr(GError) error = NULL;
    if (!open_each(rank))
        return;
    Numbers numbers = numbers_new(rank, 4);
    rank->outcome->right = nccl_sum(rank->nccl, numbers.memory, 4, rank->device.stream, NULL) &&
                           !nccl_sum(rank->nccl, (uintptr_t)host, 4, rank->device.stream, &error);
    rank->outcome->sum_failed = error != NULL;
    cuda.cuStreamSynchronize(rank->device.stream);
    meet(rank); // both have summed: one that closes breaks the other's sum off
    numbers_clear(&numbers);
}

static void wrong_use_is_complained_of(void)
{
    const Outcome *outcomes = play(2, use_wrongly);
    for (int i = 0; i < 2; i++) {
        g_assert_true(outcomes[i].right && outcomes[i].sum_failed);
        g_assert_nonnull(strstr(outcomes[i].complaints, "are not in the device's memory"));
    }
}

static void close_early(Rank *rank)
{
    if (!open_each(rank))
        return;
    Numbers numbers = numbers_new(rank, 4);
    nccl_sum(rank->nccl, numbers.memory, 4, rank->device.stream, NULL);
    g_clear_pointer(&rank->nccl, nccl_close);
    cuda.cuStreamSynchronize(rank->device.stream);
    numbers_clear(&numbers);
}

static void closing_before_the_end_is_complained_of(void)
{
    const Outcome *outcomes = play(2, close_early);
    for (int i = 0; i < 2; i++)
        g_assert_nonnull(strstr(outcomes[i].complaints, "ncclCommDestroy: 1 sums are waiting"));
}

static void make_folders(void)
{
    folder = g_dir_make_tmp("colorize-nccl-XXXXXX", NULL);
    root = g_build_filename(folder, "root", NULL);
    empty = g_build_filename(folder, "empty", NULL);
    meetings = g_build_filename(folder, "meetings", NULL);
    g_autofree char *link = g_build_filename(root, "libnccl.so.2", NULL);
    g_autofree char *file =
        g_build_filename(g_getenv("COLORIZE_DOUBLE_DIR"), "libnccl-double.so", NULL);
    if (g_mkdir(root, 0700) != 0 || g_mkdir(empty, 0700) != 0 || g_mkdir(meetings, 0700) != 0 ||
        symlink(file, link) != 0)
        g_error("cannot make %s", folder);
    g_setenv("COLORIZE_CUDA_ROOT", root, TRUE);
    g_setenv("COLORIZE_CUDA_ONLY", "1", TRUE);
    g_setenv("TMPDIR", meetings, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    make_folders();
    kit_open();
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        g_error("no shared memory");
#define CASE(claim) g_test_add_func("/gpu/nccl/" #claim, claim)
    CASE(sums_are_right_and_the_same_bits_on_all);
    CASE(a_captured_sum_sums_at_each_replay);
    CASE(a_rank_without_the_library_makes_all_say_no);
    CASE(a_file_that_is_no_library_is_told);
    CASE(old_and_different_versions_are_told);
    CASE(two_ranks_on_one_gpu_are_told);
    CASE(what_fails_in_joining_is_told_in_nccls_words);
    CASE(a_failed_sum_is_told_on_all);
    CASE(wrong_use_is_complained_of);
    CASE(closing_before_the_end_is_complained_of);
    int result = g_test_run();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", folder);
    return system(remove) == 0 ? result : 1;
}
