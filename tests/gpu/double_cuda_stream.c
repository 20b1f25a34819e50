// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of the CUDA driver: streams, events, capture and graphs.
//
// Work waits in its stream until somebody demands it: a synchronization of the stream or of an
// event, another stream's wait, a free. What a program forgot to order comes out in the wrong
// order here, every time. Each piece has a number that grows over all streams; an event is a
// number in a stream.
#include "double_cuda.h"

#include <string.h>

typedef struct Capture Capture;

typedef struct {
    Object object;
    unsigned flags;
    GQueue items; // Item *
    Capture *capture;
    uint64_t last;   // the number of the newest piece
    uint64_t joined; // in a capture: up to here the first stream waits for this one
} Stream;

typedef struct {
    Object object;
    unsigned flags;
    Stream *stream; // where it was recorded last, NULL: nowhere
    uint64_t number;
    Capture *capture; // it was recorded in a capture
    bool reached;
    double time;
} Event;

typedef struct {
    Work *work; // NULL: one of the two below
    uint64_t number, sum;
    Event *record;
    Stream *wait_for;
    uint64_t wait_until;
} Item;

// One list in the order of the calls: it respects what each stream and each wait asks for.
typedef struct {
    Object object;
    GPtrArray *works; // Work *, counted
} Graph;

struct Capture {
    Stream *first;
    GPtrArray *streams; // Stream *, all that take part
    GPtrArray *works;
    int mode;
    bool spoilt;
};

static struct {
    Stream *legacy; // the default stream
    Capture *capture;
    uint64_t number;
    double clock;
} streams;

static void work_clear(void *pointer)
{
    Work *work = pointer;
    if (work->release != NULL)
        work->release(work->data);
}

static void work_unref(void *work)
{
    if (work != NULL)
        g_atomic_rc_box_release_full(work, work_clear);
}

static void item_free(void *pointer)
{
    Item *item = pointer;
    work_unref(item->work);
    g_free(item);
}

void double_clock_advance(double microseconds)
{
    streams.clock += microseconds;
}

static void drain(Stream *stream, uint64_t until);

static void run_item(Item *item)
{
    if (item->wait_for != NULL)
        drain(item->wait_for, item->wait_until);
    if (item->record != NULL && item->record->number == item->number) {
        item->record->reached = true;
        item->record->time = streams.clock;
    }
    if (item->work == NULL || double_is_lost())
        return;
    if (item->work->sum != NULL && item->work->sum(item->work->data) != item->sum)
        double_complain("the source of a copy changed before the copy ran");
    item->work->run(item->work->data);
}

static void drain(Stream *stream, uint64_t until)
{
    for (Item *item; (item = g_queue_peek_head(&stream->items)) && item->number <= until;) {
        g_queue_pop_head(&stream->items);
        run_item(item);
        item_free(item);
    }
}

static void finish_stream(void *object)
{
    Stream *stream = object;
    g_queue_clear_full(&stream->items, item_free);
}

static Stream *legacy_stream(void)
{
    if (streams.legacy == NULL) {
        streams.legacy = g_new0(Stream, 1);
        g_queue_init(&streams.legacy->items);
    }
    return streams.legacy;
}

// The default one, which is no object, and all others.
static GPtrArray *list_streams(void);

void double_streams_drain(void)
{
    g_autoptr(GPtrArray) list = list_streams();
    for (unsigned i = 0; i < list->len; i++)
        drain(g_ptr_array_index(list, i), UINT64_MAX);
    double_check_memory();
}

unsigned double_pending(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    g_autoptr(GPtrArray) list = list_streams();
    unsigned n_pending = 0;
    for (unsigned i = 0; i < list->len; i++)
        n_pending += g_queue_get_length(&((Stream *)g_ptr_array_index(list, i))->items);
    return n_pending;
}

static GPtrArray *alive; // Stream *

static GPtrArray *list_streams(void)
{
    GPtrArray *list = g_ptr_array_new();
    g_ptr_array_add(list, legacy_stream());
    for (unsigned i = 0; alive != NULL && i < alive->len; i++)
        g_ptr_array_add(list, g_ptr_array_index(alive, i));
    return list;
}

static void capture_free(Capture *capture)
{
    for (unsigned i = 0; i < capture->streams->len; i++)
        ((Stream *)g_ptr_array_index(capture->streams, i))->capture = NULL;
    g_ptr_array_unref(capture->streams);
    g_ptr_array_unref(capture->works);
    g_free(capture);
}

void double_streams_reset(void)
{
    g_clear_pointer(&streams.capture, capture_free);
    if (streams.legacy != NULL)
        finish_stream(streams.legacy);
    g_clear_pointer(&streams.legacy, g_free);
    g_clear_pointer(&alive, g_ptr_array_unref);
    memset(&streams, 0, sizeof streams);
}

CUresult double_capture_forbids(void)
{
    if (streams.capture == NULL || streams.capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    streams.capture->spoilt = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

static Stream *find_stream(CUstream handle, const char *caller)
{
    return handle == NULL ? legacy_stream() : double_object_find(handle, KIND_STREAM, caller);
}

static Item *push(Stream *stream, Work *work)
{
    Item *item = g_new0(Item, 1);
    item->work = work;
    item->number = ++streams.number;
    item->sum = work != NULL && work->sum != NULL ? work->sum(work->data) : 0;
    stream->last = item->number;
    g_queue_push_tail(&stream->items, item);
    return item;
}

// The default stream and those that block wait for each other.
static void order_legacy(Stream *stream)
{
    if (stream == streams.legacy) {
        for (unsigned i = 0; alive != NULL && i < alive->len; i++) {
            Stream *other = g_ptr_array_index(alive, i);
            if (!(other->flags & CU_STREAM_NON_BLOCKING))
                drain(other, UINT64_MAX);
        }
    } else if (!(stream->flags & CU_STREAM_NON_BLOCKING)) {
        drain(legacy_stream(), UINT64_MAX);
    }
}

// Whether stream may take work now; the default one may not while a stream that blocks is captured.
static CUresult check_capture(const Stream *stream)
{
    Capture *capture = streams.capture;
    if (capture == NULL)
        return CUDA_SUCCESS;
    if (stream->capture != NULL)
        return capture->spoilt ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
    if (stream != streams.legacy || capture->first->flags & CU_STREAM_NON_BLOCKING)
        return CUDA_SUCCESS;
    capture->spoilt = true;
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
}

CUresult double_enqueue(CUstream handle, const Work *given, const char *caller)
{
    Work *work = g_atomic_rc_box_new0(Work);
    *work = *given;
    Stream *stream = find_stream(handle, caller);
    CUresult result = stream == NULL ? CUDA_ERROR_INVALID_HANDLE : check_capture(stream);
    if (result != CUDA_SUCCESS) {
        work_unref(work);
        return result;
    }
    if (stream->capture != NULL) {
        g_ptr_array_add(stream->capture->works, work);
        stream->last = ++streams.number;
    } else {
        order_legacy(stream);
        push(stream, work);
    }
    return CUDA_SUCCESS;
}

int double_stream_enqueue(void *stream, void (*run)(void *data), void *data,
                          void (*release)(void *data))
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    CUresult result = double_context_check();
    if (result != CUDA_SUCCESS) {
        release(data);
        return result;
    }
    return double_enqueue(stream, &(Work){run, release, NULL, data}, "cudnnBackendExecute");
}

DOUBLE_EXPORT CUresult cuCtxSynchronize(void)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    if (streams.capture != NULL) {
        streams.capture->spoilt = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    double_streams_drain();
    return double_lost_code();
}

DOUBLE_EXPORT CUresult cuStreamCreate(CUstream *handle, unsigned flags)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    if (flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    Stream *stream = double_object_new(KIND_STREAM, sizeof *stream, finish_stream);
    stream->flags = flags;
    g_queue_init(&stream->items);
    if (alive == NULL)
        alive = g_ptr_array_new();
    g_ptr_array_add(alive, stream);
    *handle = (void *)stream;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuStreamDestroy_v2(CUstream handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | RELEASES);
    Stream *stream = double_object_find(handle, KIND_STREAM, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != NULL) {
        double_complain("a stream was destroyed while it is captured");
        g_clear_pointer(&streams.capture, capture_free);
    }
    drain(stream, UINT64_MAX);
    g_ptr_array_remove(alive, stream);
    double_object_end(stream);
    return entered;
}

DOUBLE_EXPORT CUresult cuStreamSynchronize(CUstream handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Stream *stream = find_stream(handle, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_capture(stream);
    if (stream->capture != NULL) {
        stream->capture->spoilt = true;
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (result != CUDA_SUCCESS)
        return result;
    order_legacy(stream);
    drain(stream, UINT64_MAX);
    double_check_memory();
    return double_lost_code();
}

DOUBLE_EXPORT CUresult cuStreamQuery(CUstream handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Stream *stream = find_stream(handle, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    return g_queue_is_empty(&stream->items) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

DOUBLE_EXPORT CUresult cuEventCreate(CUevent *handle, unsigned flags)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    if (flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    Event *event = double_object_new(KIND_EVENT, sizeof *event, NULL);
    event->flags = flags;
    *handle = (void *)event;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuEventDestroy_v2(CUevent handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | RELEASES);
    Event *event = double_object_find(handle, KIND_EVENT, __func__);
    if (event == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    double_object_end(event);
    return entered;
}

DOUBLE_EXPORT CUresult cuEventRecord(CUevent handle, CUstream stream_handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Event *event = double_object_find(handle, KIND_EVENT, __func__);
    Stream *stream = find_stream(stream_handle, __func__);
    if (event == NULL || stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    event->stream = stream;
    event->capture = stream->capture;
    event->reached = false;
    if (stream->capture != NULL) {
        event->number = stream->last;
    } else {
        order_legacy(stream);
        Item *item = push(stream, NULL);
        item->record = event;
        event->number = item->number;
    }
    return CUDA_SUCCESS;
}

// An event of the capture takes its waiter into it, or joins its stream again.
static CUresult wait_captured(Stream *stream, const Event *event)
{
    Capture *capture = streams.capture;
    if (event->capture != capture) {
        capture->spoilt = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (stream->capture == NULL) {
        stream->capture = capture;
        stream->last = stream->joined = ++streams.number;
        g_ptr_array_add(capture->streams, stream);
    }
    event->stream->joined = MAX(event->stream->joined, event->number);
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Event *event = double_object_find(event_handle, KIND_EVENT, __func__);
    Stream *stream = find_stream(handle, __func__);
    if (event == NULL || stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_capture(stream);
    if (result != CUDA_SUCCESS || event->stream == NULL)
        return result;
    if (streams.capture != NULL && (stream->capture != NULL || event->capture != NULL))
        return wait_captured(stream, event);
    order_legacy(stream);
    Item *item = push(stream, NULL);
    item->wait_for = event->stream;
    item->wait_until = event->number;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuEventSynchronize(CUevent handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Event *event = double_object_find(handle, KIND_EVENT, __func__);
    if (event == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (event->capture != NULL) {
        if (event->capture == streams.capture)
            streams.capture->spoilt = true;
        return CUDA_ERROR_CAPTURED_EVENT;
    }
    if (event->stream != NULL)
        drain(event->stream, event->number);
    double_check_memory();
    return double_lost_code();
}

DOUBLE_EXPORT CUresult cuEventQuery(CUevent handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Event *event = double_object_find(handle, KIND_EVENT, __func__);
    if (event == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    return event->stream == NULL || event->reached ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

DOUBLE_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Event *first = double_object_find(start, KIND_EVENT, __func__);
    Event *second = double_object_find(end, KIND_EVENT, __func__);
    if (first == NULL || second == NULL || first->stream == NULL || second->stream == NULL ||
        (first->flags | second->flags) & CU_EVENT_DISABLE_TIMING)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!first->reached || !second->reached)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = (second->time - first->time) / 1000;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuStreamBeginCapture_v2(CUstream handle, int mode)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    if (handle == NULL)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    Stream *stream = double_object_find(handle, KIND_STREAM, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (mode < 0 || mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (streams.capture != NULL)
        return CUDA_ERROR_ILLEGAL_STATE;
    Capture *capture = streams.capture = g_new0(Capture, 1);
    capture->first = stream;
    capture->mode = mode;
    capture->streams = g_ptr_array_new();
    capture->works = g_ptr_array_new_with_free_func(work_unref);
    g_ptr_array_add(capture->streams, stream);
    stream->capture = capture;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    const Stream *stream = find_stream(handle, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    *status = stream->capture == NULL   ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->capture->spoilt ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                        : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

static void finish_graph(void *object)
{
    Graph *graph = object;
    g_ptr_array_unref(graph->works);
}

static CUresult judge_capture(const Capture *capture)
{
    if (capture->spoilt)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    for (unsigned i = 1; i < capture->streams->len; i++) {
        const Stream *stream = g_ptr_array_index(capture->streams, i);
        if (stream->joined < stream->last)
            return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    return CUDA_SUCCESS;
}

// Ends the capture in every case: a stream must not hang on a fault.
DOUBLE_EXPORT CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph_handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | RELEASES);
    *graph_handle = NULL;
    Stream *stream = double_object_find(handle, KIND_STREAM, __func__);
    if (stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    Capture *capture = stream->capture;
    if (capture == NULL)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->first != stream) {
        capture->spoilt = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    CUresult result = entered != CUDA_SUCCESS ? entered : judge_capture(capture);
    if (result == CUDA_SUCCESS) {
        Graph *graph = double_object_new(KIND_GRAPH, sizeof *graph, finish_graph);
        graph->works = g_ptr_array_ref(capture->works);
        *graph_handle = (void *)graph;
    }
    g_clear_pointer(&streams.capture, capture_free);
    return result;
}

DOUBLE_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *handle, CUgraph graph_handle,
                                                   unsigned long long flags)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    *handle = NULL;
    const Graph *graph = double_object_find(graph_handle, KIND_GRAPH, __func__);
    if (graph == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & ~15ull)
        return CUDA_ERROR_INVALID_VALUE;
    Graph *exec = double_object_new(KIND_GRAPH_EXEC, sizeof *exec, finish_graph);
    exec->works = g_ptr_array_ref(graph->works);
    *handle = (void *)exec;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    const Graph *exec = double_object_find(handle, KIND_GRAPH_EXEC, __func__);
    Stream *stream = find_stream(stream_handle, __func__);
    if (exec == NULL || stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture == NULL)
        order_legacy(stream);
    for (unsigned i = 0; i < exec->works->len; i++) {
        Work *work = g_atomic_rc_box_acquire(g_ptr_array_index(exec->works, i));
        if (stream->capture != NULL)
            g_ptr_array_add(stream->capture->works, work);
        else
            push(stream, work);
    }
    return CUDA_SUCCESS;
}

static CUresult end_graph(void *handle, Kind kind, const char *caller, CUresult entered)
{
    void *graph = double_object_find(handle, kind, caller);
    if (graph == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    double_object_end(graph);
    return entered;
}

DOUBLE_EXPORT CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    ENTER(NEEDS_INIT | RELEASES);
    return end_graph(handle, KIND_GRAPH_EXEC, __func__, entered);
}

DOUBLE_EXPORT CUresult cuGraphDestroy(CUgraph handle)
{
    ENTER(NEEDS_INIT | RELEASES);
    return end_graph(handle, KIND_GRAPH, __func__, entered);
}
