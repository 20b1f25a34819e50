// SPDX-License-Identifier: LGPL-3.0-or-later
// Joining by common consent, and summing.
#include "nccl.h"

#include <string.h>

#include <cz/error.h>

#include "libs.h"

#define NCCL_SONAME "libnccl.so.2"

struct Nccl {
    NcclApi api;
    const CzHost *host;
    ncclComm_t comm;
    bool failed;
};

// What each rank tells all others: bytes, zeros behind the texts.
typedef struct {
    int32_t version; // of its NCCL; 0: it cannot
    int32_t follows; // not 0: it cannot because others cannot
    char place[128]; // its machine, a space, its device
    char why[192];   // it cannot
} Answer;

// What rank 0 tells all.
typedef struct {
    ncclUniqueId id;
    char why[192]; // there is no id; empty: there is one
} Ticket;

// clang-format off
#define REQUIRED(returned, name, parameters) {#name, offsetof(NcclApi, name), false},
#define OPTIONAL(returned, name, parameters) {#name, offsetof(NcclApi, name), true},
static const LibsSymbol symbols[] = {NCCL_FUNCTIONS(REQUIRED) NCCL_OPTIONAL_FUNCTIONS(OPTIONAL)};
// clang-format on

// "invalid usage (5)", and what NCCL adds to it. The caller frees.
static char *words_of(const Nccl *nccl, ncclResult_t result)
{
    const char *more = nccl->api.ncclGetLastError ? nccl->api.ncclGetLastError(nccl->comm) : NULL;
    return g_strdup_printf("%s (%d)%s%s", nccl->api.ncclGetErrorString(result), (int)result,
                           more && *more ? ", " : "", more ? more : "");
}

// ---- consent ------------------------------------------------------------------------------------

// Every rank's answer to every rank. Where others have zeros a sum hands on what is there, and
// floats hold bytes exactly.
static void gather(const CzRanks *ranks, const Answer *own, Answer *all)
{
    size_t n = (size_t)ranks->n * sizeof *all;
    g_autofree float *data = g_new0(float, n);
    const unsigned char *from = (const unsigned char *)own;
    unsigned char *to = (unsigned char *)all;
    for (size_t i = 0; i < sizeof *own; i++)
        data[(size_t)ranks->rank * sizeof *own + i] = from[i];
    ranks->sum(ranks->user, data, n);
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)data[i];
}

// The machine, whatever its host name: containers of one machine share its GPUs.
static char *machine(void)
{
    char *text = NULL;
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        return g_strstrip(text);
    return g_strdup(g_get_host_name());
}

static const char *device_of(const Answer *answer)
{
    const char *space = strchr(answer->place, ' ');
    return space ? space + 1 : answer->place;
}

static char *version_words(int32_t version)
{
    return g_strdup_printf("%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

// The first rank that cannot, in a sentence, or else the first that cannot for others' sake; NULL:
// all can. Texts may have been cut.
static char *find_refusal(const Answer *all, int32_t n)
{
    int32_t found = -1;
    for (int32_t i = 0; i < n; i++)
        if (all[i].version == 0 && (found < 0 || (all[found].follows && !all[i].follows)))
            found = i;
    if (found < 0)
        return NULL;
    g_autofree char *why = g_utf8_make_valid(all[found].why, -1);
    return g_strdup_printf("rank %d: %s", found, why);
}

// The shared GPU first: who has one GPU only need not look for a library.
static char *find_objection(const Answer *all, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        for (int32_t j = 0; j < i; j++)
            if (g_str_equal(all[i].place, all[j].place))
                return g_strdup_printf("ranks %d and %d share one GPU (%s), NCCL takes one rank a "
                                       "GPU",
                                       j, i, device_of(&all[i]));
    char *refusal = find_refusal(all, n);
    for (int32_t i = 1; i < n && !refusal; i++) {
        if (all[i].version == all[0].version)
            continue;
        g_autofree char *here = version_words(all[0].version);
        g_autofree char *there = version_words(all[i].version);
        refusal = g_strdup_printf("rank 0 has NCCL %s and rank %d has %s", here, i, there);
    }
    return refusal;
}

// ---- joining ------------------------------------------------------------------------------------

static void load(Nccl *nccl, Answer *own)
{
    g_autofree char *path = NULL, *why = NULL;
    int version = 0;
    if (g_strcmp0(g_getenv("COLORIZE_NCCL"), "0") == 0)
        g_strlcpy(own->why, "COLORIZE_NCCL is 0", sizeof own->why);
    else if (!libs_open_other(NCCL_SONAME, symbols, G_N_ELEMENTS(symbols), &nccl->api, &path, &why))
        g_snprintf(own->why, sizeof own->why, "no usable NCCL (%s)", why);
    else if (nccl->api.ncclGetVersion(&version) != ncclSuccess || version < NCCL_VERSION_NEEDED)
        g_snprintf(own->why, sizeof own->why, "%s: NCCL %d is too old, 2.9 or later is needed",
                   path, version);
    else
        own->version = version;
}

static void draw_ticket(const Nccl *nccl, Ticket *ticket)
{
    ncclResult_t result = nccl->api.ncclGetUniqueId(&ticket->id);
    g_autofree char *words = result == ncclSuccess ? NULL : words_of(nccl, result);
    if (words)
        g_snprintf(ticket->why, sizeof ticket->why, "rank 0: NCCL opens no meeting: %s", words);
}

// Joins all or none; the sentence on why none did.
static char *join(Nccl *nccl, const CzRanks *ranks, Answer *all)
{
    Ticket ticket = {0};
    Answer own = {0};
    if (ranks->rank == 0)
        draw_ticket(nccl, &ticket);
    ranks->share(ranks->user, &ticket, sizeof ticket);
    if (*ticket.why)
        return g_utf8_make_valid(ticket.why, -1);
    ncclResult_t result = nccl->api.ncclCommInitRank(&nccl->comm, ranks->n, ticket.id, ranks->rank);
    own.version = result == ncclSuccess;
    own.follows = result == ncclRemoteError;
    if (result != ncclSuccess) {
        nccl->comm = NULL;
        g_autofree char *words = words_of(nccl, result);
        g_snprintf(own.why, sizeof own.why, "NCCL does not join: %s", words);
    }
    gather(ranks, &own, all);
    return find_refusal(all, ranks->n);
}

Nccl *nccl_open(const CzHost *host, const CzRanks *ranks, const char *device, char **why_not)
{
    Nccl *nccl = g_new0(Nccl, 1);
    g_autofree Answer *all = g_new0(Answer, ranks->n);
    g_autofree char *here = machine();
    Answer own = {0};
    nccl->host = host;
    load(nccl, &own);
    g_snprintf(own.place, sizeof own.place, "%s %s", here, device);
    gather(ranks, &own, all);
    *why_not = find_objection(all, ranks->n);
    if (!*why_not)
        *why_not = join(nccl, ranks, all);
    if (!*why_not)
        return nccl;
    nccl->failed = true; // others may not have joined: nothing of them is waited for
    nccl_close(nccl);
    return NULL;
}

// ---- in use -------------------------------------------------------------------------------------

bool nccl_sum(Nccl *nccl, uint64_t address, size_t n_floats, CUstream stream, GError **error)
{
    void *data = (void *)(uintptr_t)address;
    ncclResult_t result = ncclSuccess, state = ncclSuccess;
    if (n_floats == 0)
        return true;
    // What went wrong since the last call, as when another rank ended.
    if (nccl->api.ncclCommGetAsyncError)
        result = nccl->api.ncclCommGetAsyncError(nccl->comm, &state);
    if (result == ncclSuccess)
        result = state;
    if (result == ncclSuccess)
        result =
            nccl->api.ncclAllReduce(data, data, n_floats, ncclFloat32, ncclSum, nccl->comm, stream);
    if (result == ncclSuccess)
        return true;
    g_autofree char *words = words_of(nccl, result);
    nccl->failed = true;
    g_set_error(error, nccl->host->error_domain, CZ_ERROR_BACKEND,
                "NCCL does not sum %zu numbers over ranks: %s", n_floats, words);
    return false;
}

void nccl_close(Nccl *nccl)
{
    if (!nccl)
        return;
    if (nccl->comm && nccl->failed)
        nccl->api.ncclCommAbort(nccl->comm);
    else if (nccl->comm)
        nccl->api.ncclCommDestroy(nccl->comm);
    g_free(nccl);
}
