// SPDX-License-Identifier: LGPL-3.0-or-later
// Dabs of known color on the preview: a click asks which color the place has, a drag moves a dab.
//
// Dabs of a layer can be edited too. Its own pixels are then left to the host: it gets all dabs,
// and that they have been edited (UiOutcome).
#pragma once

#include <cz/hints.h>

#include "preview.h"

typedef struct UiHints UiHints;

// changed: the dabs are others now (also while one is only being tried out). Borrows preview.
UiHints *ui_hints_new(UiPreview *preview, void (*changed)(void *user), void *user);
void ui_hints_free(UiHints *hints); // accepts NULL
// What colors are suggested from. NULL: nothing yet, and clicks do nothing. Borrowed.
void ui_hints_set_chroma(UiHints *hints, const CzChroma *chroma, const UiProxy *proxy);
// These in place of all (CZ_MAX_DABS at most); they count as not edited.
void ui_hints_take(UiHints *hints, const CzDab *dabs, size_t n_dabs);
void ui_hints_remove_all(UiHints *hints);
const CzDab *ui_hints_dabs(const UiHints *hints, size_t *n_dabs);
bool ui_hints_edited(const UiHints *hints); // by the user, since ui_hints_take
