// SPDX-License-Identifier: LGPL-3.0-or-later
// Model files: safetensors, read with every byte checked, written atomically.
//
// Format: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets},
// "__metadata__": {string: string}}, then the tensors without holes or overlaps
// (huggingface/safetensors README). Header at most 4 MiB here, rank at most 4, dtypes F32, F16,
// BF16; anything else is refused, never skipped.
#pragma once

#include <cz/tensor.h>

G_BEGIN_DECLS

typedef struct CzModelFile CzModelFile;

// Maps the file. CZ_ERROR_IO, CZ_ERROR_FORMAT. Read-only and thread-safe afterwards.
CzModelFile *cz_model_file_open(const char *path, GError **error);
void cz_model_file_free(CzModelFile *file); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzModelFile, cz_model_file_free)

typedef struct {
    const char *name; // borrowed from the file
    int rank;         // 0 to 4
    int32_t dims[4];  // file order: a filter is out, in, kh, kw
    CzDtype dtype;
    const void *data; // borrowed, unaligned, file order
    size_t n_elements;
} CzTensor;

size_t cz_model_file_n_tensors(const CzModelFile *file);
const CzTensor *cz_model_file_tensor(const CzModelFile *file, size_t index); // in order of data
const CzTensor *cz_model_file_find(const CzModelFile *file, const char *name); // NULL: none
void cz_tensor_to_f32(const CzTensor *tensor, float *dst);                   // file order
const char *cz_model_file_path(const CzModelFile *file);

// Metadata, borrowed; NULL: no such key.
const char *cz_model_file_meta(const CzModelFile *file, const char *key);
const char *const *cz_model_file_meta_keys(const CzModelFile *file); // NULL-terminated, sorted

// A writer collects tensors and metadata in memory and writes them in one go to a temporary name
// beside path, syncs, renames: the old file is intact until the new one is complete.
typedef struct CzModelWriter CzModelWriter;
CzModelWriter *cz_model_writer_new(void);
void cz_model_writer_free(CzModelWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzModelWriter, cz_model_writer_free)
// Copied; the value is made valid UTF-8.
void cz_model_writer_meta(CzModelWriter *writer, const char *key, const char *value);
// data: file order, F32, copied and converted to dtype. CZ_ERROR_SHAPE: a name that is taken or not
// UTF-8, or a shape that no file holds; CZ_ERROR_MEMORY. The writer is then as before.
bool cz_model_writer_add(CzModelWriter *writer, const char *name, int rank, const int32_t *dims, const float *data,
                         CzDtype dtype, GError **error);
// CZ_ERROR_IO, MEMORY.
bool cz_model_writer_commit(CzModelWriter *writer, const char *path, GError **error);

// Any bytes to a file, atomically as above (recipes, reports, states). CZ_ERROR_IO.
bool cz_file_replace(const char *path, const void *data, size_t n_bytes, GError **error);
// All of the bytes to an open file, where it stands. FALSE with errno: some may be written.
bool cz_file_write(int fd, const void *data, size_t n_bytes);

G_END_DECLS
