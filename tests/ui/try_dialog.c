// SPDX-License-Identifier: LGPL-3.0-or-later
// Opens the dialog on a photograph, without GIMP; with --shot, writes what the window shows and
// ends.
#include <stdio.h>

#include <libintl.h>

#include <gtk/gtk.h>

#include <cz/threads.h>

#include <ui/dialog.h>

#include "fake_host.h"

static char *shot;
static char **dabs;
static double strength = 1, reach = 0.3;
static gboolean dark, split, full, advanced, busy;

static const GOptionEntry entries[] = {
    {"shot", 0, 0, G_OPTION_ARG_FILENAME, &shot, "write a picture of the window, and end", "JPEG"},
    {"strength", 0, 0, G_OPTION_ARG_DOUBLE, &strength, "begin with this strength", "X"},
    {"dark", 0, 0, G_OPTION_ARG_NONE, &dark, "dark theme", NULL},
    {"reach", 0, 0, G_OPTION_ARG_DOUBLE, &reach, "of the dabs", "X"},
    {"dab", 0, 0, G_OPTION_ARG_STRING_ARRAY, &dabs, "with this dab (may be repeated)", "X,Y,a,b"},
    {"split", 0, 0, G_OPTION_ARG_NONE, &split, "with the line between before and after", NULL},
    {"full", 0, 0, G_OPTION_ARG_NONE, &full, "at 100 %", NULL},
    {"advanced", 0, 0, G_OPTION_ARG_NONE, &advanced, "with the advanced settings", NULL},
    {"busy", 0, 0, G_OPTION_ARG_NONE, &busy, "while it is at work", NULL},
    {NULL},
};

static GtkWidget *find(GtkWidget *widget, const char *id)
{
    const char *name =
        GTK_IS_BUILDABLE(widget) ? gtk_buildable_get_name(GTK_BUILDABLE(widget)) : NULL;
    if (g_strcmp0(name, id) == 0)
        return widget;
    GtkWidget *found = NULL;
    if (GTK_IS_CONTAINER(widget)) {
        g_autoptr(GList) children = gtk_container_get_children(GTK_CONTAINER(widget));
        for (GList *child = children; child && !found; child = child->next)
            found = find(child->data, id);
    }
    return found;
}

static gboolean write_shot(gpointer window)
{
    GdkWindow *gdk_window = gtk_widget_get_window(window);
    g_autoptr(GdkPixbuf) picture = gdk_pixbuf_get_from_window(
        gdk_window, 0, 0, gdk_window_get_width(gdk_window), gdk_window_get_height(gdk_window));
    if (!picture || !gdk_pixbuf_save(picture, shot, "jpeg", NULL, "quality", "90", NULL))
        g_printerr("no picture of the window\n");
    gtk_dialog_response(window, GTK_RESPONSE_CANCEL);
    return G_SOURCE_REMOVE;
}

static gboolean wait_for_colour(gpointer data)
{
    g_autoptr(GList) windows = gtk_window_list_toplevels();
    GtkWidget *window = windows ? windows->data : NULL;
    GtkWidget *at_work = window ? find(window, "busy") : NULL;
    GtkWidget *progress = window ? find(window, "progress") : NULL;
    if (busy && progress && gtk_progress_bar_get_fraction(GTK_PROGRESS_BAR(progress)) > 0.4) {
        write_shot(window);
        return G_SOURCE_REMOVE;
    }
    if (!at_work || gtk_widget_get_sensitive(at_work))
        return G_SOURCE_CONTINUE;
    if (split)
        gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(find(window, "split")), TRUE);
    if (full)
        gtk_button_clicked(GTK_BUTTON(find(window, "zoom_full")));
    if (advanced)
        gtk_expander_set_expanded(GTK_EXPANDER(find(window, "advanced")), TRUE);
    g_timeout_add(1500, write_shot, window);
    return G_SOURCE_REMOVE;
}

static GArray *list_layers(void *user)
{
    GArray *layers = ui_layers_new();
    UiLayer layer = {1, g_strdup("Color hints")};
    g_array_append_val(layers, layer);
    return layers;
}

static int32_t new_layer(void *user, GError **error)
{
    return 1;
}

// X and Y are 0 to 1 of the photograph.
static bool gather(void *user, int32_t layer, CzDab *out, size_t *n_dabs, GError **error)
{
    *n_dabs = 0;
    for (char **dab = dabs; *dab && *n_dabs < CZ_MAX_DABS; dab++) {
        CzDab *next = &out[(*n_dabs)++];
        *next = (CzDab){.l = 50, .weight = 1};
        if (sscanf(*dab, "%f,%f,%f,%f", &next->x, &next->y, &next->a, &next->b) != 4) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "not a dab: %s", *dab);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("PHOTO");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 2) {
        g_printerr("%s\n", error ? error->message : "one photograph is needed");
        return 2;
    }
    // Catalogues of the build: LANGUAGE=de LC_ALL=C.UTF-8 shows them.
    const char *build = g_getenv("COLORIZE_BUILD_ROOT");
    g_autofree char *catalogues = build ? g_build_filename(build, "po", NULL) : NULL;
    bindtextdomain("colorize-photo", catalogues);
    bind_textdomain_codeset("colorize-photo", "UTF-8");
    g_autofree char *name = g_path_get_basename(argv[1]);
    UiHost host = {.name = name, .dark = dark};
    g_autoptr(FakePhoto) photo = ui_init(&host, &error) ? fake_photo_open(argv[1], &error) : NULL;
    if (!photo) {
        g_printerr("%s\n", error->message);
        return 1;
    }
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = strength;
    settings.reach = reach;
    host.new_layer = new_layer;
    host.list_layers = list_layers;
    if (dabs) {
        host.gather = gather;
        settings.hints = 1;
    }
    if (shot)
        g_timeout_add(50, wait_for_colour, NULL);
    UiOutcome outcome;
    UiAnswer answer = ui_dialog_run(&host, &photo->photo, &settings, &outcome, &error);
    g_print("%s, strength %g\n", answer == UI_OK ? "OK" : "cancelled", settings.strength);
    ui_outcome_clear(&outcome);
    return 0;
}
