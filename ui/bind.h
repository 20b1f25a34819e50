// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of settings as widgets: each row makes its control, whose range, default, label and
// help are the row's. A row that is not served yet is there, insensitive, and says why.
#pragma once

#include <gtk/gtk.h>

#include <ui/host.h>

typedef enum {
    UI_SECTION_COLOR,
    UI_SECTION_HINTS,
    UI_SECTION_RESULT,
    UI_SECTION_ENGINE,
    UI_N_SECTIONS
} UiSection;

typedef struct UiBind UiBind;

// Fills the grids, one a section, which must be in their window already: the mnemonics avoid those
// that are in it. changed is called after the user (not ui_bind_set) has changed a setting.
UiBind *ui_bind_new(GtkGrid *const sections[UI_N_SECTIONS], const UiHost *host,
                    void (*changed)(void *user, const CzSettingRow *row), void *user);
void ui_bind_free(UiBind *bind); // not the widgets. Accepts NULL

void ui_bind_get(const UiBind *bind, CzSettings *settings);
void ui_bind_set(UiBind *bind, const CzSettings *settings);
// Offers the layers that the host has now; the one that was chosen stays so if it is still there.
// FALSE: it is not, and none is chosen now.
bool ui_bind_list_layers(UiBind *bind);
// A line below a control, about what was chosen there. NULL: none.
void ui_bind_note(UiBind *bind, const char *key, const char *text);
// Offers every device that opens. Looking for them takes long where they were not looked for yet.
void ui_bind_list_devices(UiBind *bind);
