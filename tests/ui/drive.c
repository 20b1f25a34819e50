// SPDX-License-Identifier: LGPL-3.0-or-later
// Drives a dialog from within its own process.
#include "drive.h"

#include <string.h>

#define PATIENCE_S 60

// ---- driving ----------------------------------------------------------------------------------

static gboolean wake(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

void settle(int ms)
{
    gint64 end_us = g_get_monotonic_time() + ms * 1000;
    guint tick = g_timeout_add(1, wake, NULL);
    while (g_get_monotonic_time() < end_us)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
}

static GtkWidget *find_in(GtkWidget *widget, const char *id)
{
    if (GTK_IS_BUILDABLE(widget) &&
        g_strcmp0(gtk_buildable_get_name(GTK_BUILDABLE(widget)), id) == 0)
        return widget;
    GtkWidget *found = NULL;
    if (GTK_IS_CONTAINER(widget)) {
        g_autoptr(GList) children = gtk_container_get_children(GTK_CONTAINER(widget));
        for (GList *child = children; child && !found; child = child->next)
            found = find_in(child->data, id);
    }
    return found;
}

GtkWidget *find(Run *run, const char *id)
{
    GtkWidget *widget = find_in(run->window, id);
    if (!widget)
        g_error("there is no widget '%s'", id);
    return widget;
}

bool is_coloured(Run *run)
{
    CzPart part;
    return ui_preview_pixels(run->preview, true, &part) != NULL;
}

bool is_idle(Run *run)
{
    return !gtk_widget_get_sensitive(find(run, "busy"));
}

bool has_message(Run *run)
{
    return gtk_widget_get_visible(find(run, "message"));
}

void wait_until(bool (*condition)(Run *run), Run *run)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
    while (!condition(run) && g_get_monotonic_time() < end_us)
        settle(5);
    g_assert_true(condition(run));
}

void click(Run *run, const char *id)
{
    gtk_button_clicked(GTK_BUTTON(find(run, id)));
}

void cancel(Run *run)
{
    click(run, "cancel");
}

void confirm(Run *run)
{
    click(run, "ok");
}

void set_strength(Run *run, double strength)
{
    gtk_range_set_value(GTK_RANGE(find(run, "strength")), strength);
}

static bool is_dialog(GtkWidget *widget)
{
    return GTK_IS_DIALOG(widget) && find_in(widget, "preview_frame");
}

static gboolean begin(gpointer data)
{
    Run *run = data;
    g_autoptr(GList) windows = gtk_window_list_toplevels();
    for (GList *window = windows; window; window = window->next)
        if (is_dialog(window->data))
            run->window = window->data;
    run->preview = UI_PREVIEW(gtk_bin_get_child(GTK_BIN(find(run, "preview_frame"))));
    run->script(run);
    return G_SOURCE_REMOVE;
}

void run_init(Run *run, int32_t width, int32_t height, void (*script)(Run *run))
{
    *run = (Run){.photo = fake_photo_new(width, height), .script = script};
    run->host.name = "test.png";
    run->host.user = run;
    cz_settings_init(&run->settings);
}

void run_dialog(Run *run)
{
    GError *error = NULL;
    g_idle_add(begin, run);
    run->answer =
        ui_dialog_run(&run->host, &run->photo->photo, &run->settings, &run->outcome, &error);
    g_assert_no_error(error);
    g_assert_false(run->photo->strayed);
    g_assert_true((run->answer == UI_OK) == (run->outcome.chroma != NULL));
    g_assert_true((run->answer == UI_OK) == (run->outcome.colorizer != NULL));
}

void run_clear(Run *run)
{
    ui_outcome_clear(&run->outcome);
    fake_photo_free(run->photo);
}

void press(Run *run, guint keyval, bool down)
{
    GdkEvent *event = gdk_event_new(down ? GDK_KEY_PRESS : GDK_KEY_RELEASE);
    event->key.window = g_object_ref(gtk_widget_get_window(run->window));
    event->key.keyval = keyval;
    event->key.time = GDK_CURRENT_TIME;
    GdkKeymapKey *keys;
    gint n_keys;
    GdkKeymap *keymap = gdk_keymap_get_for_display(gtk_widget_get_display(run->window));
    if (gdk_keymap_get_entries_for_keyval(keymap, keyval, &keys, &n_keys)) {
        event->key.hardware_keycode = (guint16)keys[0].keycode;
        g_free(keys);
    }
    gdk_event_set_device(event, gdk_seat_get_keyboard(gdk_display_get_default_seat(
                                    gtk_widget_get_display(run->window))));
    gtk_widget_event(run->window, event);
    gdk_event_free(event);
}

// ---- pixels -----------------------------------------------------------------------------------

int channel(cairo_surface_t *surface, int x, int y, int c)
{
    const unsigned char *row =
        cairo_image_surface_get_data(surface) + (size_t)y * cairo_image_surface_get_stride(surface);
    uint32_t value;
    memcpy(&value, row + 4 * x, sizeof value);
    return value >> (16 - 8 * c) & 255;
}

int chroma_of(cairo_surface_t *surface, int x0, int x1)
{
    int most = 0;
    cairo_surface_flush(surface);
    for (int y = 0; y < cairo_image_surface_get_height(surface); y++)
        for (int x = x0; x < x1; x++) {
            int r = channel(surface, x, y, 0), g = channel(surface, x, y, 1),
                b = channel(surface, x, y, 2);
            most = MAX(most, MAX(MAX(abs(r - g), abs(g - b)), abs(r - b)));
        }
    return most;
}

cairo_surface_t *drawn(Run *run)
{
    GtkWidget *widget = GTK_WIDGET(run->preview);
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, gtk_widget_get_allocated_width(widget),
                                   gtk_widget_get_allocated_height(widget));
    cairo_t *cr = cairo_create(surface);
    gtk_widget_draw(widget, cr);
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    return surface;
}
