// SPDX-License-Identifier: LGPL-3.0-or-later
// What a backend is: a table of functions that runs whole plans on one kind of device.
//
// The reference backend is built in; others are modules (GModule) with one exported function,
//     const CzBackend *cz_backend_query(const CzHost *host);
// A module links nothing of the engine: it is handed CzHost, plans as plain data, and nodes whose
// op_class->reference it may call for ops that it does not make faster (CPU backends only).
// One backend runs a whole plan or is not chosen. One thread at a time per device.
#pragma once

#include <cz/node.h>

G_BEGIN_DECLS

#define CZ_BACKEND_ABI 4

typedef struct CzDevice CzDevice;   // backend's own
typedef struct CzBuffer CzBuffer;   // backend's own
typedef struct CzProgram CzProgram; // backend's own

typedef struct {
    bool (*report)(void *user, double fraction); // FALSE = cancel
    void *user;
} CzProgress;

typedef struct {
    uint32_t abi; // CZ_BACKEND_ABI
    void *(*memory_alloc)(size_t n_bytes, const char *what, GError **error);
    void (*memory_free)(void *memory);
    bool (*fault)(void); // tests: TRUE = the next library call is to be treated as failed
    GQuark error_domain; // CZ_ERROR; codes are CzErrorCode (cz/error.h has no code behind its enum)
    int (*threads)(void); // threads to use now
} CzHost;

typedef struct {
    char id[32];     // "cpu", "reference", "cuda:0": what --device and the PDB take
    char name[128];  // "AMD EPYC 9B14, oneDNN 2.6.3, AVX-512 BF16"
    size_t free_bytes; // 0 = unknown
    bool bf16;       // BF16 is faster than F32 here
    bool f16;        // F16 is, and is supported at all
    // Two devices with the same text here give the same bits from the same plan, if they were opened
    // as deterministic; "": they do so however opened, and other devices are not asked about.
    char same_bits[192];
} CzDeviceInfo;

// How a device is opened; all zero is the default. CPU backends are deterministic and exact anyway.
typedef struct {
    bool deterministic; // the same plan gives the same bits each time, on devices with same_bits
    bool tf32;          // F32 convolutions may round their factors to TF32 (10 bits), where it is faster
} CzDeviceOptions;

// Where the output of a node lies. Views of effect nodes' PARAM sources are written through.
typedef struct {
    CzBuffer *buffer; // the plan's arena or an entry of the store; NULL: the node is not in the plan
    size_t offset;    // bytes from the buffer's start, multiple of 64
    bool shared;      // dst lies in the memory of one of its sources (in place)
} CzSlot;

typedef struct {
    const CzNode *const *nodes; // by id
    const CzSlot *slots;        // by id
    size_t n_nodes;
    const int32_t *steps;       // ids to run, in order; INPUT and PARAM are not among them
    size_t n_steps;
    bool frozen; // PARAM tensors never change while the plan lives: pack filters once (inference)
    bool timed;  // step_kernel()'s times are wanted, though measuring may cost time
} CzPlanView;

typedef struct {
    uint32_t abi; // CZ_BACKEND_ABI; a module with another number is refused with a sentence
    const char *name;
    // Fills infos, returns how many devices there are; never fails, 0 = nothing here; *why then
    // may be set to a static sentence.
    int (*probe)(CzDeviceInfo *infos, int max_infos, const char **why);
    bool (*open)(const char *device_id, const CzDeviceOptions *options, CzDevice **device, GError **error);
    void (*close)(CzDevice *device);
    bool (*supports)(const CzDevice *device, const CzNode *node);
    bool (*alloc)(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error);
    void (*release)(CzDevice *device, CzBuffer *buffer);
    bool (*upload)(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes, GError **error);
    bool (*download)(CzDevice *device, void *dst, const CzBuffer *src, size_t offset, size_t n_bytes, GError **error);
    // The view and all it points to live as long as the program.
    bool (*compile)(CzDevice *device, const CzPlanView *plan, CzProgram **program, GError **error);
    size_t (*program_bytes)(const CzProgram *program); // scratch and packed filters beside the arena
    bool (*run)(CzProgram *program, const CzProgress *progress, GError **error);
    // Time of each step of the last run in microseconds (by step), and the name of what ran it;
    // for benches and dumps; the time of a plan that is not timed may be 0. NULL if not kept.
    const char *(*step_kernel)(const CzProgram *program, size_t step, double *time_us);
    void (*discard)(CzProgram *program);
    // This device sums with those of other ranks from here on. All ranks call it at the same place
    // of their order of sums and shares, of which it may make some. NULL: nothing to prepare.
    void (*join)(CzDevice *device, const CzRanks *ranks);
    // Whether the node's dst may lie in the memory of its src-th source, where the op allows it. NULL:
    // always.
    bool (*in_place)(const CzNode *node, int32_t src);
    // What probe() looked at and did not take, and why: static sentences, NULL-terminated; asked for
    // after probe(). NULL if there is never more to say than *why.
    const char *const *(*details)(void);
} CzBackend;

typedef const CzBackend *(*CzBackendQuery)(const CzHost *host);
#define CZ_BACKEND_SYMBOL "cz_backend_query"

G_END_DECLS
