// SPDX-License-Identifier: LGPL-3.0-or-later
// The widget that shows the photograph before and after: zoom, pan, and a line between the two.
//
// Pixels are computed as the result's are (cz_chroma_apply_part), and for what is visible only, so
// that a slider's step costs as much as the window is large.
#pragma once

#include <gtk/gtk.h>

#include <cz/colorizer.h>

#include "proxy.h"

#define UI_TYPE_PREVIEW (ui_preview_get_type())
G_DECLARE_FINAL_TYPE(UiPreview, ui_preview, UI, PREVIEW, GtkDrawingArea)

// Signal "view-changed": zoom or size; "failed" (const char *): the photograph cannot be read.
GtkWidget *ui_preview_new(void);

// All are borrowed and have to outlive the widget or be replaced by NULL. Nothing is shown until
// the proxy, which has to be complete, is given.
void ui_preview_set_photo(UiPreview *preview, const CzPhoto *photo, const UiProxy *proxy);
void ui_preview_set_chroma(UiPreview *preview, const CzChroma *chroma);       // NULL: no colour yet
void ui_preview_set_settings(UiPreview *preview, const CzSettings *settings); // copied

void ui_preview_set_split(UiPreview *preview, bool split);   // a line between before and after
void ui_preview_set_before(UiPreview *preview, bool before); // the photograph as it was
void ui_preview_zoom_fit(UiPreview *preview);
void ui_preview_zoom_full(UiPreview *preview);
void ui_preview_zoom_step(UiPreview *preview, int direction);
bool ui_preview_is_fit(UiPreview *preview);
double ui_preview_scale(UiPreview *preview); // screen pixels for one of the photograph

// What is on the screen now: its place, and 8-bit pixels (CAIRO_FORMAT_RGB24). NULL: nothing yet,
// or no colour if after. Borrowed.
cairo_surface_t *ui_preview_pixels(UiPreview *preview, bool after, CzPart *part);
