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

// Signals:
//   "view-changed": zoom or size
//   "failed" (const char *): the photograph cannot be read
//   "place-clicked" (double x, double y): a place of the photograph, 0 to 1
//   "mark-clicked" (int), "mark-moved" (int, double x, double y), "mark-deleted" (int)
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
double ui_preview_scale(UiPreview *preview); // screen pixels for one of the photograph

// Dabs. A click on one selects it; so do Page Up and Page Down. Ctrl and an arrow key move it.
typedef struct {
    double x, y; // 0 to 1 of the photograph
    float rgb[3];
} UiMark;
void ui_preview_set_marks(UiPreview *preview, const UiMark *marks, int n_marks); // copied
void ui_preview_select_mark(UiPreview *preview, int mark);                       // -1: none
// Where a place of the photograph is in the widget.
GdkRectangle ui_preview_place(UiPreview *preview, double x, double y);

// What is on the screen now: its place, and 8-bit pixels (CAIRO_FORMAT_RGB24). NULL: nothing yet,
// or no colour if after. Borrowed.
cairo_surface_t *ui_preview_pixels(UiPreview *preview, bool after, CzPart *part);
