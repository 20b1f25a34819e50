// SPDX-License-Identifier: LGPL-3.0-or-later
// What has been learned about hints, in a weights file.
//
// Tensors "hint.head.weight" (width, channels, 1, 1) and "hint.amplitude.weight" (1, width, 1, 1);
// metadata "colorize.hints", ten numbers between commas: feature, place, lightness, chroma,
// strength and noise of the kernel, then the amplitude's curve (color/hint_head.h).
#pragma once

#include <cz/model.h>

#include "color/hint_head.h"

// channels: of the network's features. *head (out, owned by the caller) is NULL where the file has
// learned nothing. CZ_ERROR_MODEL: it is damaged, or of another network; MEMORY.
bool cz_hint_head_read(const CzModelFile *file, int32_t channels, CzHintHead **head,
                       GError **error);
// CZ_ERROR_SHAPE: the writer has one already; MEMORY.
bool cz_hint_head_write(const CzHintHead *head, CzModelWriter *writer, GError **error);
// Whether a tensor or a key of metadata is a part of it.
bool cz_hint_head_is(const char *name);
