// SPDX-License-Identifier: LGPL-3.0-or-later
// The menu beside Reset: presets, and the settings as a command.
#pragma once

#include <gtk/gtk.h>

#include <ui/host.h>

typedef struct UiMenu UiMenu;

typedef struct {
    void (*get)(void *user, CzSettings *settings);       // those of now
    void (*set)(void *user, const CzSettings *settings); // a preset was chosen
    void (*fail)(void *user, const GError *error);
    void *user;
} UiMenuCalls;

// Fills the menu of button; hides the button if the host has neither a folder nor a procedure.
UiMenu *ui_menu_new(GtkMenuButton *button, const UiHost *host, const UiMenuCalls *calls);
void ui_menu_free(UiMenu *menu); // not the widgets. Accepts NULL
