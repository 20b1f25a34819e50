// SPDX-License-Identifier: LGPL-3.0-or-later
// What the files of the driver's double share.
#pragma once

#include <glib.h>

#include "double.h"
#include "double_api.h"

typedef enum {
    KIND_STREAM,
    KIND_EVENT,
    KIND_MODULE,
    KIND_FUNCTION,
    KIND_GRAPH,
    KIND_GRAPH_EXEC,
    N_KINDS,
} Kind;

// The head of everything that a handle points to. Objects outlive their end, so that a dead handle
// is told from one that never was.
typedef struct {
    Kind kind;
    bool dead;
    void (*finish)(void *object); // frees what the object holds
} Object;

// What a call asks for before it may do anything.
enum {
    NEEDS_INIT = 1,
    NEEDS_CONTEXT = 2,
    NEEDS_NO_CAPTURE = 4, // it may wait or allocate: CUDA refuses it during a capture
    RELEASES = 8,         // works on a lost device
};

extern GRecMutex double_lock;

// 0, or the code that the call has to answer. In a macro for the name and the lock.
CUresult double_enter(const char *name, int needs);
#define ENTER(needs)                                                          \
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock); \
    CUresult entered = double_enter(__func__, needs);                         \
    if (double_refuses(entered, needs))                                       \
    return entered
// Releases go on after an injected fault and on a lost device, and answer the code at their end.
static inline bool double_refuses(CUresult entered, int needs)
{
    return entered != CUDA_SUCCESS &&
           (!(needs & RELEASES) || entered == CUDA_ERROR_INVALID_CONTEXT ||
            entered == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

void *double_object_new(Kind kind, size_t size, void (*finish)(void *object));
// NULL and a complaint where handle is none of that kind or is dead.
void *double_object_find(const void *handle, Kind kind, const char *caller);
void double_object_end(void *object);
unsigned double_objects_alive(Kind kind);

bool double_is_lost(void);
void double_set_lost(CUresult code);
CUresult double_lost_code(void);

int double_driver_version(void);
int double_shared_optin(void);

// double_cuda_memory.c
void double_memory_reset(size_t limit);
unsigned double_memory_alive(bool host);
// Complains of what was written after it was freed. Reads all of it: not for every call.
void double_memory_check_freed(void);
// Complains unless host memory may be read or written: pinned memory has an end.
bool double_host_usable(const void *host, size_t n_bytes, const char *caller);

// double_cuda_stream.c. Work is shared by replays, hence the counted reference.
typedef struct {
    void (*run)(void *data);
    void (*release)(void *data);
    // NULL, or a number that must be the same when the work is given and when it runs.
    uint64_t (*sum)(const void *data);
    void *data;
} Work;

// Takes data. NULL stream: the legacy default stream.
CUresult double_enqueue(CUstream stream, const Work *work, const char *caller);
void double_streams_drain(void);
void double_streams_reset(void);
// The code for a call that CUDA refuses while something is captured; the capture is then lost.
CUresult double_capture_forbids(void);
