// SPDX-License-Identifier: LGPL-3.0-or-later
// What a head of colour classes (cz/classes.h) says of the places of one photograph.
//
// Features are kept, not shares: of a place they are fewer than there are classes, and a place is
// asked about when somebody clicks on it, which costs microseconds.
#pragma once

#include <cz/classes.h>
#include <cz/model.h>

#include "color/features.h"

typedef struct {
    int32_t channels;
    float *weight; // CZ_N_CLASSES * channels
    float bias[CZ_N_CLASSES];
} CzClassHead;

CzClassHead *cz_class_head_new(int32_t channels, GError **error); // all zero. CZ_ERROR_MEMORY
void cz_class_head_free(CzClassHead *head);                       // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzClassHead, cz_class_head_free)
// channels: of the network's features. *head (out, owned by the caller) is NULL where the file has
// none. CZ_ERROR_MODEL: it is damaged, or of another network; MEMORY.
bool cz_class_head_read(const CzModelFile *file, int32_t channels, CzClassHead **head,
                        GError **error);

typedef struct {
    CzClassHead *head;   // NULL: nothing is known
    CzFeatures features; // as the network gave them
} CzClassMap;

// Copies both. features->channels must be the head's. CZ_ERROR_MEMORY: the map is empty.
bool cz_class_map_init(CzClassMap *map, const CzClassHead *head, const CzFeatures *features,
                       GError **error);
void cz_class_map_clear(CzClassMap *map); // accepts a zeroed one
// x, y: 0 to 1 of the sides. shares: CZ_N_CLASSES (out), sum 1. FALSE: nothing is known, or there
// is no memory.
bool cz_class_map_shares(const CzClassMap *map, double x, double y, float *shares);

typedef struct {
    float ab[2], share; // of all squares around the peak
} CzClassMode;

#define CZ_CLASS_APART 15.0f // units of a*b* that modes are apart, at least

// Peaks of a mixture, the largest share first: squares that none nearer than CZ_CLASS_APART
// surpasses. A mode's color is the mean of the squares as near, and so may lie between squares.
// least: the share below which it is none.
size_t cz_class_modes(const float *shares, float least, CzClassMode *modes, size_t n_max);
