// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of the CUDA driver: counting and injected faults, complaints, objects, the device and
// its context.
#include "double_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    int sm, n_sms, threads_per_sm, blocks_per_sm, shared_optin, l2_bytes;
} Device;

// One of each generation that cuDNN 9 serves. Others get the nearest below.
static const Device devices[] = {
    {75, 40, 1024, 16, 65536, 4194304},    {80, 108, 2048, 32, 166912, 41943040},
    {86, 28, 1536, 16, 101376, 2359296},   {89, 46, 1536, 24, 101376, 37748736},
    {90, 132, 2048, 32, 232448, 52428800}, {100, 148, 2048, 32, 232448, 132644864},
    {120, 48, 1536, 24, 101376, 50331648},
};

static const struct {
    CUresult code;
    const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "not initialized"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no device"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "no such device"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "not an image of kernels"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "no context is current"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "built for another device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "PTX has an error"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "PTX is too new"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid handle"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "not in this state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "no such name"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "illegal address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "launch failed"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "not permitted in a capture"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "the capture was spoilt"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
     "not the stream where the capture began"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "a stream was not joined"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "waits for work outside of the capture"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "the default stream would wait for the capture"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "the event is part of a capture"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

typedef struct {
    char *name;       // NULL: every call
    unsigned n, code; // n: how many calls from now, 0: none
} Fault;

GRecMutex double_lock;

static struct {
    const Device *device;
    int sm, n_devices, driver_version;
    bool initialized, fault_struck;
    unsigned n_retained, context, context_flags, lose_in;
    CUresult lost, lose_code;
    Fault fault;
    unsigned n_calls, n_complaints;
    GHashTable *calls; // char * -> count
    GString *complaints, *shown;
    GPtrArray *objects;
} state;

// The number of the context that is current: a released one is none.
static _Thread_local unsigned current;

static void object_free(void *pointer)
{
    Object *object = pointer;
    double_object_end(object);
    g_free(object);
}

static unsigned read_fault(const char *variable, int *code)
{
    const char *text = g_getenv(variable);
    char *end = NULL;
    unsigned n = text != NULL ? strtoul(text, &end, 10) : 0;
    if (n != 0 && *end == ':')
        *code = atoi(end + 1);
    return n;
}

static long long read_number(const char *variable, long long fallback)
{
    const char *text = g_getenv(variable);
    return text != NULL && *text != '\0' ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

static void clear(void)
{
    double_streams_reset();
    double_memory_reset(0);
    g_clear_pointer(&state.objects, g_ptr_array_unref);
    g_clear_pointer(&state.calls, g_hash_table_unref);
    g_clear_pointer(&state.fault.name, g_free);
    if (state.complaints != NULL)
        g_string_free(g_steal_pointer(&state.complaints), TRUE);
    if (state.shown != NULL)
        g_string_free(g_steal_pointer(&state.shown), TRUE);
}

__attribute__((constructor)) void double_reset(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    unsigned context = state.context;
    clear();
    memset(&state, 0, sizeof state);
    state.context = context + 1;
    state.objects = g_ptr_array_new_with_free_func(object_free);
    state.calls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    state.complaints = g_string_new(NULL);
    state.shown = g_string_new(NULL);
    double_set_sm(read_number("COLORIZE_DOUBLE_SM", 86));
    state.n_devices = read_number("COLORIZE_DOUBLE_DEVICES", 1);
    state.driver_version = read_number("COLORIZE_DOUBLE_DRIVER", 13000);
    double_memory_reset(read_number("COLORIZE_DOUBLE_MEMORY", 8ll << 30));
    int code = CUDA_ERROR_UNKNOWN;
    unsigned n = read_fault("COLORIZE_DOUBLE_FAIL", &code);
    double_fail_call(NULL, n, code);
    code = CUDA_ERROR_LAUNCH_FAILED;
    n = read_fault("COLORIZE_DOUBLE_LOSE", &code);
    double_lose_device(n, code);
}

// A program that knows nothing of the double fails here by what it did wrong.
__attribute__((destructor)) static void leave(void)
{
    if (g_strcmp0(g_getenv("COLORIZE_DOUBLE_STRICT"), "1") == 0) {
        unsigned n_leaks = double_leaks();
        g_autofree char *leaks = n_leaks > 0 ? double_leak_text() : g_strdup("");
        if (state.n_complaints > 0 || n_leaks > 0) {
            fprintf(stderr, "double: %u complaints, %u leaks\n%s%s\n", state.n_complaints, n_leaks,
                    double_complaint_text(), leaks);
            _exit(97);
        }
    }
    clear();
}

void double_set_sm(int sm)
{
    state.sm = sm;
    state.device = &devices[0];
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        if (devices[i].sm <= sm)
            state.device = &devices[i];
}

int double_get_sm(void)
{
    return state.sm;
}

void double_set_devices(int n_devices)
{
    state.n_devices = n_devices;
}

void double_set_driver_version(int version)
{
    state.driver_version = version;
}

int double_driver_version(void)
{
    return state.driver_version;
}

int double_shared_optin(void)
{
    return state.device->shared_optin;
}

unsigned double_calls(const char *name)
{
    if (name == NULL)
        return state.n_calls;
    return GPOINTER_TO_UINT(g_hash_table_lookup(state.calls, name));
}

void double_fail_call(const char *name, unsigned n, int code)
{
    g_free(state.fault.name);
    state.fault = (Fault){g_strdup(name), n, code};
    state.fault_struck = false;
}

bool double_failed(void)
{
    return state.fault_struck;
}

void double_lose_device(unsigned n, int code)
{
    state.lose_in = n;
    state.lose_code = code;
    state.lost = CUDA_SUCCESS;
}

bool double_is_lost(void)
{
    return state.lost != CUDA_SUCCESS;
}

CUresult double_lost_code(void)
{
    return state.lost;
}

void double_set_lost(CUresult code)
{
    if (state.lost == CUDA_SUCCESS)
        state.lost = code;
}

void double_complain(const char *format, ...)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    va_list arguments;
    va_start(arguments, format);
    g_string_append_vprintf(state.complaints, format, arguments);
    va_end(arguments);
    g_string_append_c(state.complaints, '\n');
    state.n_complaints++;
}

unsigned double_complaints(void)
{
    return state.n_complaints;
}

const char *double_complaint_text(void)
{
    g_string_assign(state.shown, state.complaints->str);
    return state.shown->str;
}

void double_clear_complaints(void)
{
    state.n_complaints = 0;
    g_string_truncate(state.complaints, 0);
}

static CUresult inject(const char *name)
{
    state.n_calls++;
    g_hash_table_replace(state.calls, g_strdup(name), GUINT_TO_POINTER(double_calls(name) + 1));
    if (state.lose_in > 0 && --state.lose_in == 0)
        state.lost = state.lose_code;
    Fault *fault = &state.fault;
    if (fault->n == 0 || (fault->name != NULL && strcmp(fault->name, name) != 0) || --fault->n > 0)
        return CUDA_SUCCESS;
    state.fault_struck = true;
    return fault->code;
}

CUresult double_enter(const char *name, int needs)
{
    CUresult injected = inject(name);
    if (injected != CUDA_SUCCESS)
        return injected;
    if (needs & NEEDS_INIT && !state.initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!(needs & NEEDS_CONTEXT))
        return CUDA_SUCCESS;
    if (state.n_retained == 0 || current != state.context) {
        double_complain("%s: no context is current", name);
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (double_is_lost())
        return state.lost;
    return needs & NEEDS_NO_CAPTURE ? double_capture_forbids() : CUDA_SUCCESS;
}

int double_context_check(void)
{
    if (!state.initialized || state.n_retained == 0 || current != state.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    return state.lost;
}

void *double_object_new(Kind kind, size_t size, void (*finish)(void *object))
{
    Object *object = g_malloc0(size);
    *object = (Object){kind, false, finish};
    g_ptr_array_add(state.objects, object);
    return object;
}

void *double_object_find(const void *handle, Kind kind, const char *caller)
{
    for (unsigned i = state.objects->len; i-- > 0;) {
        Object *object = g_ptr_array_index(state.objects, i);
        if (object != handle)
            continue;
        if (object->kind == kind && !object->dead)
            return object;
        double_complain("%s: a handle %s", caller,
                        object->dead ? "after its end" : "of another kind");
        return NULL;
    }
    double_complain("%s: %p is no handle", caller, handle);
    return NULL;
}

void double_object_end(void *object)
{
    Object *head = object;
    if (!head->dead && head->finish != NULL)
        head->finish(object);
    head->dead = true;
}

unsigned double_objects_alive(Kind kind)
{
    unsigned n_alive = 0;
    for (unsigned i = 0; i < state.objects->len; i++) {
        const Object *object = g_ptr_array_index(state.objects, i);
        n_alive += object->kind == kind && !object->dead;
    }
    return n_alive;
}

static const char *const kind_names[N_KINDS] = {"streams", "events", "modules",
                                                NULL,      "graphs", "executable graphs"};

static unsigned count_leaks(GString *text)
{
    unsigned total = 0;
    for (Kind kind = 0; kind < N_KINDS + 3; kind++) {
        const char *name = kind < N_KINDS        ? kind_names[kind]
                           : kind == N_KINDS     ? "retained contexts"
                           : kind == N_KINDS + 1 ? "allocations on the device"
                                                 : "allocations on the host";
        if (name == NULL) // functions end with their module
            continue;
        unsigned n = kind < N_KINDS    ? double_objects_alive(kind)
                     : kind == N_KINDS ? state.n_retained
                                       : double_memory_alive(kind == N_KINDS + 2);
        if (n > 0 && text != NULL)
            g_string_append_printf(text, "%s%u %s", text->len > 0 ? ", " : "", n, name);
        total += n;
    }
    return total;
}

unsigned double_leaks(void)
{
    return count_leaks(NULL);
}

char *double_leak_text(void)
{
    GString *text = g_string_new(NULL);
    count_leaks(text);
    return g_string_free(text, FALSE);
}

char *double_device_json(void)
{
    const Device *device = state.device;
    return g_strdup_printf(
        "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,"
        "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"regsPerBlock\":65536,"
        "\"totalGlobalMem\":12884901888,\"smClockRateKHz\":1777000,\"l2CacheSize\":%d,"
        "\"maxBlockSize\":[1024,1024,64],\"memClockRateKHz\":7001000,\"memoryBusWidth\":192,"
        "\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,\"pciDeviceId\":0,"
        "\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"double\"}",
        state.sm * 10, device->n_sms, device->shared_optin, device->blocks_per_sm,
        device->threads_per_sm, device->l2_bytes);
}

// The driver's own functions from here on.

DOUBLE_EXPORT CUresult cuInit(unsigned flags)
{
    ENTER(0);
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (state.n_devices == 0)
        return CUDA_ERROR_NO_DEVICE;
    state.initialized = true;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDriverGetVersion(int *version)
{
    ENTER(0);
    *version = state.driver_version;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDeviceGetCount(int *count)
{
    ENTER(NEEDS_INIT);
    *count = state.n_devices;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER(NEEDS_INIT);
    if (ordinal < 0 || ordinal >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device < 0 || device >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    g_snprintf(name, size, "NVIDIA Double %d.%d", state.sm / 10, state.sm % 10);
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device < 0 || device >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    const struct {
        int attribute, value;
    } rows[] = {
        {1, 1024},
        {2, 1024},
        {3, 1024},
        {4, 64}, // threads a block, and by direction
        {5, 0x7fffffff},
        {6, 65535},
        {7, 65535}, // blocks by direction
        {8, 49152},
        {10, 32},
        {12, 65536}, // shared memory, warp, registers
        {13, 1777000},
        {16, state.device->n_sms},
        {18, 0},
        {20, 0}, // clock, multiprocessors, integrated, mode
        {33, 1 + (int)read_number("OMPI_COMM_WORLD_LOCAL_RANK", 0)}, // ranks have one each
        {34, 0},
        {50, 0}, // place on the bus
        {36, 7001000},
        {37, 192},
        {38, state.device->l2_bytes},
        {39, state.device->threads_per_sm},
        {41, 1},
        {75, state.sm / 10},
        {76, state.sm % 10},
        {81, state.device->shared_optin + 1024},
        {82, 65536},
        {97, state.device->shared_optin},
        {106, state.device->blocks_per_sm},
        {111, 1024},
        {115, 1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].attribute == attribute) {
            *value = rows[i].value;
            return CUDA_SUCCESS;
        }
    double_complain("cuDeviceGetAttribute: the double does not know attribute %d", attribute);
    return CUDA_ERROR_INVALID_VALUE;
}

// Overwrites what was set before, of an active context, too: cuda.h of CUDA 13 names no refusal.
DOUBLE_EXPORT CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER(NEEDS_INIT);
    if (device < 0 || device >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags > 2 && flags != CU_CTX_SCHED_BLOCKING_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    state.context_flags = flags;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    ENTER(NEEDS_INIT);
    if (device < 0 || device >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    *flags = state.context_flags;
    *active = state.n_retained > 0;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device < 0 || device >= state.n_devices)
        return CUDA_ERROR_INVALID_DEVICE;
    if (double_is_lost())
        return state.lost;
    state.n_retained++;
    *context = (void *)GUINT_TO_POINTER(state.context);
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER(NEEDS_INIT | RELEASES);
    if (state.n_retained == 0) {
        double_complain("cuDevicePrimaryCtxRelease_v2: released more often than retained");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    double_streams_drain();
    if (--state.n_retained == 0) {
        double_memory_check_freed();
        g_autofree char *left = double_leak_text();
        if (*left != '\0')
            double_complain("the context went with %s left in it", left);
        state.context++;
    }
    return entered;
}

static CUresult set_current(CUcontext context)
{
    unsigned number = GPOINTER_TO_UINT(context);
    if (number != 0 && (number != state.context || state.n_retained == 0)) {
        double_complain("a context was made current that is none");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    current = number;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuCtxSetCurrent(CUcontext context)
{
    ENTER(NEEDS_INIT);
    return set_current(context);
}

DOUBLE_EXPORT CUresult cuCtxGetCurrent(CUcontext *context)
{
    ENTER(NEEDS_INIT);
    *context = (void *)GUINT_TO_POINTER(current);
    return CUDA_SUCCESS;
}

static int find_error(CUresult code)
{
    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++)
        if (errors[i].code == code)
            return i;
    return -1;
}

DOUBLE_EXPORT CUresult cuGetErrorName(CUresult code, const char **name)
{
    *name = NULL;
    ENTER(0);
    int row = find_error(code);
    *name = row < 0 ? NULL : errors[row].name;
    return row < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuGetErrorString(CUresult code, const char **text)
{
    *text = NULL;
    ENTER(0);
    int row = find_error(code);
    *text = row < 0 ? NULL : errors[row].text;
    return row < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
