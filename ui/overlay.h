// SPDX-License-Identifier: LGPL-3.0-or-later
// What is drawn over the photograph: the line between before and after, labels, dabs. Logical
// pixels; visible on every photograph, dark or light.
#pragma once

#include <stdbool.h>

#include <gtk/gtk.h>

#define UI_MARK_RADIUS 7.0

void ui_overlay_line(cairo_t *cr, double x, double y, double height, bool focused);
void ui_overlay_label(GtkWidget *widget, cairo_t *cr, const char *text, double x, double y,
                      bool to_the_left);
// A ring filled with rgb (encoded sRGB).
void ui_overlay_mark(cairo_t *cr, double x, double y, const float rgb[3], bool selected);
