// SPDX-License-Identifier: LGPL-3.0-or-later
// What is drawn over the photograph.
#include "overlay.h"

#define HANDLE 9.0

// White with a dark rim.
void ui_overlay_line(cairo_t *cr, double x, double y, double height, bool focused)
{
    double middle = y + height / 2, third = HANDLE / 3;
    cairo_rectangle(cr, x - 1.5, y, 3, height);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.35);
    cairo_fill(cr);
    cairo_rectangle(cr, x - 0.5, y, 1, height);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_fill(cr);
    cairo_arc(cr, x, middle, HANDLE, 0, 2 * G_PI);
    cairo_fill_preserve(cr);
    cairo_set_line_width(cr, focused ? 2 : 1);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.6);
    cairo_stroke(cr);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, x + side * third * 2, middle);
        cairo_line_to(cr, x + side * third * 0.8, middle - third);
        cairo_line_to(cr, x + side * third * 0.8, middle + third);
        cairo_close_path(cr);
        cairo_fill(cr);
    }
}

void ui_overlay_label(GtkWidget *widget, cairo_t *cr, const char *text, double x, double y,
                      bool to_the_left)
{
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(widget, text);
    int w, h;
    pango_layout_get_pixel_size(layout, &w, &h);
    x -= to_the_left ? w + 12 : 0;
    cairo_rectangle(cr, x, y, w + 12, h + 6);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.55);
    cairo_fill(cr);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_move_to(cr, x + 6, y + 3);
    pango_cairo_show_layout(cr, layout);
}

static void ring(cairo_t *cr, double x, double y, double radius, double width, double grey)
{
    cairo_arc(cr, x, y, radius, 0, 2 * G_PI);
    cairo_set_line_width(cr, width);
    cairo_set_source_rgba(cr, grey, grey, grey, 0.9);
    cairo_stroke(cr);
}

void ui_overlay_mark(cairo_t *cr, double x, double y, const float rgb[3], bool selected)
{
    cairo_new_path(cr);
    cairo_arc(cr, x, y, UI_MARK_RADIUS - 1, 0, 2 * G_PI);
    cairo_set_source_rgb(cr, (double)rgb[0], (double)rgb[1], (double)rgb[2]);
    cairo_fill(cr);
    ring(cr, x, y, UI_MARK_RADIUS, selected ? 5 : 3.5, 0);
    ring(cr, x, y, UI_MARK_RADIUS, selected ? 3 : 1.5, 1);
}
