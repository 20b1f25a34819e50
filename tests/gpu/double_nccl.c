// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of NCCL: ranks meet in a shared file, and sums wait in streams until they are demanded.
#include "double_nccl.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "../../engine/backend/cudnn/nccl_api.h"

enum { MOST_RANKS = 8, CHUNK = 4096 };

// In the file. Zeros are its beginning.
typedef struct {
    atomic_uint n_ranks, joined; // joined: bits
    atomic_uint arrived, turn, broken;
    size_t counts[MOST_RANKS];
    float parts[MOST_RANKS][CHUNK];
} Room;

struct ncclComm {
    Room *room;
    int rank, n;
    int n_waiting; // sums that streams or graphs hold
    bool closed;   // but still held by those
    ncclResult_t result;
};

typedef struct {
    ncclComm_t comm;
    uint64_t src, dst;
    size_t n;
} Sum;

static struct {
    GHashTable *comms; // those that the user holds
    GHashTable *calls;
    int version;
    gint64 timeout_us;
    char *fail_name;
    unsigned fail_in;
    ncclResult_t fail_result;
    bool fault_struck;
    char error[256];
} state;

static gint64 read_number(const char *variable, gint64 fallback)
{
    const char *text = g_getenv(variable);
    return text != NULL && *text != '\0' ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

static void clear(void)
{
    g_clear_pointer(&state.comms, g_hash_table_unref);
    g_clear_pointer(&state.calls, g_hash_table_unref);
    g_clear_pointer(&state.fail_name, g_free);
}

__attribute__((constructor)) void double_nccl_reset(void)
{
    clear();
    memset(&state, 0, sizeof state);
    state.comms = g_hash_table_new(NULL, NULL);
    state.calls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    state.version = (int)read_number("COLORIZE_DOUBLE_NCCL_VERSION", 23203);
    state.timeout_us = 1000 * read_number("COLORIZE_DOUBLE_NCCL_TIMEOUT_MS", 20000);
}

__attribute__((destructor)) static void leave(void)
{
    clear();
}

unsigned double_nccl_calls(const char *name)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(state.calls, name));
}

void double_nccl_fail_call(const char *name, unsigned n, int result)
{
    g_free(state.fail_name);
    state.fail_name = g_strdup(name);
    state.fail_in = n;
    state.fail_result = (ncclResult_t)result;
    state.fault_struck = false;
}

bool double_nccl_failed(void)
{
    return state.fault_struck;
}

unsigned double_nccl_leaks(void)
{
    return g_hash_table_size(state.comms);
}

static ncclResult_t refuse(ncclResult_t result, const char *words)
{
    g_strlcpy(state.error, words, sizeof state.error);
    return result;
}

// In every function: counts the call and strikes where a fault was asked for.
static ncclResult_t enter(const char *name)
{
    g_hash_table_replace(state.calls, g_strdup(name),
                         GUINT_TO_POINTER(double_nccl_calls(name) + 1));
    if (state.fail_in == 0 || g_strcmp0(state.fail_name, name) != 0 || --state.fail_in > 0)
        return ncclSuccess;
    state.fault_struck = true;
    return refuse(state.fail_result, "a fault that the test asked for");
}

static bool is_alive(ncclComm_t comm, const char *caller)
{
    if (g_hash_table_contains(state.comms, comm))
        return true;
    double_complain("%s: no such communicator", caller);
    return false;
}

// ---- meeting ------------------------------------------------------------------------------------

// Waits until all ranks are here; FALSE: one stayed away, and from then on nobody meets here.
static bool meet(Room *room, int n)
{
    unsigned turn = atomic_load(&room->turn);
    gint64 end = g_get_monotonic_time() + state.timeout_us;
    if (atomic_fetch_add(&room->arrived, 1) + 1 == (unsigned)n) {
        atomic_store(&room->arrived, 0);
        atomic_fetch_add(&room->turn, 1);
    }
    while (atomic_load(&room->turn) == turn) {
        if (g_get_monotonic_time() > end)
            atomic_store(&room->broken, 1);
        if (atomic_load(&room->broken))
            return false;
        g_usleep(50);
    }
    return true;
}

static Room *open_room(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *memory = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof(Room)) == 0)
        memory = mmap(NULL, sizeof(Room), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

static ncclResult_t join(Room *room, int n, int rank, const char *path)
{
    unsigned none = 0, bit = 1u << rank;
    if (!atomic_compare_exchange_strong(&room->n_ranks, &none, (unsigned)n) && none != (unsigned)n)
        return refuse(ncclInvalidArgument, "ranks of different numbers meet");
    if (atomic_fetch_or(&room->joined, bit) & bit) {
        double_complain("ncclCommInitRank: rank %d comes twice", rank);
        return refuse(ncclInvalidUsage, "a rank comes twice");
    }
    bool met = meet(room, n);
    unlink(path); // the others have it open, or will not come
    return met ? ncclSuccess : refuse(ncclRemoteError, "a rank has not come");
}

static void comm_free_if_unused(ncclComm_t comm)
{
    if (!comm->closed || comm->n_waiting > 0)
        return;
    munmap(comm->room, sizeof *comm->room);
    g_free(comm);
}

// ---- sums ---------------------------------------------------------------------------------------

// One chunk's sum in the order of ranks, the same bits on all, left in total. FALSE: no sum.
static bool add_up(const Sum *sum, size_t first, size_t n, float *total)
{
    ncclComm_t comm = sum->comm;
    Room *room = comm->room;
    const float *src = (const float *)(uintptr_t)sum->src;
    room->counts[comm->rank] = sum->n;
    memcpy(room->parts[comm->rank], src + first, n * sizeof *src);
    if (!meet(room, comm->n)) {
        comm->result = refuse(ncclRemoteError, "a rank does not sum");
        return false;
    }
    bool alike = true;
    memset(total, 0, n * sizeof *total);
    for (int rank = 0; rank < comm->n; rank++) {
        alike = alike && room->counts[rank] == sum->n;
        for (size_t i = 0; i < n; i++)
            total[i] = rank == 0 ? room->parts[0][i] : total[i] + room->parts[rank][i];
    }
    if (!meet(room, comm->n)) // before anybody's next chunk
        comm->result = refuse(ncclRemoteError, "a rank has ended");
    if (!alike) {
        double_complain("ncclAllReduce: ranks sum different numbers of elements");
        comm->result = ncclInvalidUsage;
    }
    return alike && comm->result == ncclSuccess;
}

static void run_sum(void *data)
{
    const Sum *sum = data;
    float total[CHUNK];
    if (sum->comm->closed || sum->comm->result != ncclSuccess)
        return;
    if (!double_memory_contains(sum->src, sum->n * sizeof *total) ||
        !double_memory_contains(sum->dst, sum->n * sizeof *total)) {
        double_complain("ncclAllReduce: its memory was freed before it ran");
        return;
    }
    for (size_t first = 0; first < sum->n; first += CHUNK) {
        size_t n = MIN(CHUNK, sum->n - first);
        if (!add_up(sum, first, n, total))
            return;
        memcpy((float *)(uintptr_t)sum->dst + first, total, n * sizeof *total);
    }
    double_clock_advance(10.0 + (double)sum->n / 1000.0);
}

static void release_sum(void *data)
{
    Sum *sum = data;
    sum->comm->n_waiting--;
    comm_free_if_unused(sum->comm);
    g_free(sum);
}

// ---- the library --------------------------------------------------------------------------------

DOUBLE_EXPORT ncclResult_t ncclGetVersion(int *version)
{
    ncclResult_t entered = enter(__func__);
    *version = state.version;
    return entered;
}

DOUBLE_EXPORT const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const words[] = {"success",       "CUDA failed",      "the system failed",
                                        "NCCL failed",   "invalid argument", "invalid usage",
                                        "a rank failed", "in progress"};
    return result < G_N_ELEMENTS(words) ? words[result] : "unknown result";
}

DOUBLE_EXPORT const char *ncclGetLastError(ncclComm_t comm)
{
    return state.error;
}

DOUBLE_EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    ncclResult_t entered = enter(__func__);
    if (entered != ncclSuccess)
        return entered;
    const char *folder = g_getenv("TMPDIR"); // as it is now: GLib remembers the first one
    g_autofree char *path = g_build_filename(folder ? folder : "/tmp", "nccl-double-XXXXXX", NULL);
    int file = strlen(path) < sizeof id->internal ? g_mkstemp(path) : -1;
    if (file < 0)
        return refuse(ncclSystemError, "no file to meet in");
    close(file);
    memset(id, 0, sizeof *id);
    g_strlcpy(id->internal, path, sizeof id->internal);
    return ncclSuccess;
}

DOUBLE_EXPORT ncclResult_t ncclCommInitRank(ncclComm_t *comm, int n, ncclUniqueId id, int rank)
{
    ncclResult_t result = enter(__func__);
    *comm = NULL;
    if (result != ncclSuccess)
        return result;
    if (double_context_check() != CUDA_SUCCESS)
        return refuse(ncclUnhandledCudaError, "no device");
    id.internal[sizeof id.internal - 1] = '\0';
    if (n < 1 || n > MOST_RANKS || rank < 0 || rank >= n || !strstr(id.internal, "nccl-double-")) {
        double_complain("ncclCommInitRank: rank %d of %d, id '%s'", rank, n, id.internal);
        return refuse(ncclInvalidArgument, "no such rank or no such id");
    }
    Room *room = open_room(id.internal);
    if (room == NULL)
        return refuse(ncclSystemError, "nothing to meet in");
    result = join(room, n, rank, id.internal);
    if (result != ncclSuccess) {
        munmap(room, sizeof *room);
        return result;
    }
    *comm = g_new0(struct ncclComm, 1);
    **comm = (struct ncclComm){.room = room, .rank = rank, .n = n};
    g_hash_table_add(state.comms, *comm);
    return ncclSuccess;
}

static ncclResult_t end(ncclComm_t comm, const char *caller, bool may_wait)
{
    ncclResult_t entered = enter(caller);
    if (!is_alive(comm, caller))
        return refuse(ncclInvalidArgument, "no such communicator");
    if (comm->n_waiting > 0 && !may_wait)
        double_complain("%s: %d sums are waiting", caller, comm->n_waiting);
    g_hash_table_remove(state.comms, comm);
    comm->closed = true;
    comm_free_if_unused(comm);
    return entered;
}

DOUBLE_EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    return end(comm, __func__, false);
}

DOUBLE_EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    if (g_hash_table_contains(state.comms, comm))
        atomic_store(&comm->room->broken, 1);
    return end(comm, __func__, true);
}

DOUBLE_EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result)
{
    ncclResult_t entered = enter(__func__);
    if (entered != ncclSuccess)
        return entered;
    if (!is_alive(comm, __func__))
        return refuse(ncclInvalidArgument, "no such communicator");
    *result = comm->result;
    return ncclSuccess;
}

DOUBLE_EXPORT ncclResult_t ncclAllReduce(const void *src, void *dst, size_t n, ncclDataType_t type,
                                         ncclRedOp_t operation, ncclComm_t comm, CUstream stream)
{
    ncclResult_t entered = enter(__func__);
    if (entered != ncclSuccess)
        return entered;
    if (!is_alive(comm, __func__))
        return refuse(ncclInvalidArgument, "no such communicator");
    if (type != ncclFloat32 || operation != ncclSum || n == 0) {
        double_complain("ncclAllReduce: type %d, operation %d, %zu elements: this double sums "
                        "floats only",
                        (int)type, (int)operation, n);
        return refuse(ncclInvalidArgument, "no sum of floats");
    }
    if (!double_memory_contains((uintptr_t)src, n * sizeof(float)) ||
        !double_memory_contains((uintptr_t)dst, n * sizeof(float))) {
        double_complain("ncclAllReduce: %zu floats are not in the device's memory", n);
        return refuse(ncclInvalidArgument, "not the device's memory");
    }
    Sum *sum = g_new(Sum, 1);
    *sum = (Sum){comm, (uintptr_t)src, (uintptr_t)dst, n};
    comm->n_waiting++;
    int result = double_stream_enqueue(stream, run_sum, sum, release_sum);
    return result == CUDA_SUCCESS ? ncclSuccess
                                  : refuse(ncclUnhandledCudaError, "the driver refuses");
}
