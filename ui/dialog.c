// SPDX-License-Identifier: LGPL-3.0-or-later
// The dialog: what its parts tell one another, and the answer.
#include <ui/dialog.h>

#include <glib/gi18n-lib.h>
#include <gtk/gtk.h>
#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif

#include <cz/error.h>

#include "bind.h"
#include "hints.h"
#include "job.h"
#include "menu.h"
#include "preview.h"
#include "resources.h"

#define POLL_MS   80
#define FOLLOW_MS 300 // how often a layer of hints is looked at

typedef struct {
    const UiHost *host;
    const CzPhoto *photo;
    CzSettings settings;
    UiJob *job;
    UiBind *bind;
    UiMenu *menu;
    CzChroma *chroma; // for the present weights and device; NULL: none
    UiHints *hints;
    bool hints_failed; // the message is about them
    GMainLoop *loop;
    UiAnswer answer;
    bool confirmed; // as soon as the colours are there
    gint64 start_us;
    guint poll, follow;
    uint64_t stamp; // of the layer of hints, when it was read
    UiPreview *preview;
    GtkWidget *window, *message, *progress, *busy, *stop, *ok, *remove_dabs;
    GtkLabel *message_text, *status, *zoom;
    GtkToggleButton *split;
} Dialog;

// ---- what the user is told ------------------------------------------------------------------

static const char *headline(const GError *error)
{
    if (!g_error_matches(error, CZ_ERROR, error->code))
        return NULL;
    switch ((CzErrorCode)error->code) {
    case CZ_ERROR_MEMORY:
        return _("There is not enough memory.");
    case CZ_ERROR_MODEL:
    case CZ_ERROR_FORMAT:
    case CZ_ERROR_IO:
        return _("The weights cannot be used.");
    case CZ_ERROR_BACKEND:
        return _("The device cannot be used.");
    default:
        return NULL;
    }
}

static void show_message(Dialog *dialog, const char *first, const char *more)
{
    g_autofree char *text = first ? g_strdup_printf("%s\n%s", first, more) : g_strdup(more);
    gtk_label_set_text(dialog->message_text, text);
    gtk_widget_show(dialog->message);
}

static void hide_message(Dialog *dialog)
{
    gtk_widget_hide(dialog->message);
}

static void show_zoom(Dialog *dialog)
{
    g_autofree char *text = g_strdup_printf(_("%.0f %%"), 100 * ui_preview_scale(dialog->preview));
    gtk_label_set_text(dialog->zoom, text);
}

static void show_busy(Dialog *dialog)
{
    bool busy = ui_job_busy(dialog->job);
    gtk_widget_set_opacity(dialog->busy, busy ? 1 : 0); // keeps its room
    gtk_widget_set_sensitive(dialog->busy, busy);
    gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(dialog->progress),
                                  busy ? ui_job_fraction(dialog->job) : 0);
    gtk_widget_set_sensitive(dialog->ok, !dialog->confirmed && (busy || dialog->chroma));
}

static gboolean poll_progress(gpointer data)
{
    Dialog *dialog = data;
    show_busy(dialog);
    if (ui_job_busy(dialog->job))
        return G_SOURCE_CONTINUE;
    dialog->poll = 0;
    return G_SOURCE_REMOVE;
}

// ---- hints --------------------------------------------------------------------------------

static void set_chroma(Dialog *dialog, CzChroma *chroma)
{
    ui_preview_set_chroma(dialog->preview, chroma);
    ui_hints_set_chroma(dialog->hints, chroma, ui_job_proxy(dialog->job));
    if (dialog->chroma != chroma)
        cz_chroma_free(dialog->chroma);
    dialog->chroma = chroma;
}

static void hint(void *user)
{
    Dialog *dialog = user;
    g_autoptr(GError) error = NULL;
    size_t n_dabs;
    const CzDab *dabs = ui_hints_dabs(dialog->hints, &n_dabs);
    gtk_widget_set_sensitive(dialog->remove_dabs, n_dabs > 0);
    if (!dialog->chroma)
        return;
    if (!cz_chroma_hint(dialog->chroma, dabs, n_dabs, dialog->settings.reach, &error))
        show_message(dialog, _("The hints cannot be used."), error->message);
    ui_preview_set_chroma(dialog->preview, dialog->chroma);
}

// The layer may have been painted on since.
static void gather_hints(Dialog *dialog)
{
    g_autoptr(GError) error = NULL;
    const UiHost *host = dialog->host;
    CzDab dabs[CZ_MAX_DABS];
    size_t n_dabs = 0;
    if (dialog->settings.hints != -1 && host->stamp)
        dialog->stamp = host->stamp(host->user, dialog->settings.hints);
    bool good = dialog->settings.hints == -1 || !host->gather ||
                host->gather(host->user, dialog->settings.hints, dabs, &n_dabs, &error);
    if (!good)
        show_message(dialog, _("The hints cannot be used."), error->message);
    else if (dialog->hints_failed)
        hide_message(dialog);
    dialog->hints_failed = !good;
    ui_hints_take(dialog->hints, dabs, good ? n_dabs : 0);
}

// What the user has done here outlives what may have happened to the layer meanwhile.
static void follow_hints(Dialog *dialog)
{
    if (ui_hints_edited(dialog->hints))
        hint(dialog);
    else
        gather_hints(dialog);
}

static gboolean on_focus(Dialog *dialog)
{
    int32_t last = dialog->settings.hints;
    ui_bind_list_layers(dialog->bind);
    ui_bind_get(dialog->bind, &dialog->settings);
    if (last != -1)
        follow_hints(dialog);
    return GDK_EVENT_PROPAGATE;
}

// Somebody paints on the layer while the dialog is open.
static gboolean follow_layer(gpointer data)
{
    Dialog *dialog = data;
    const UiHost *host = dialog->host;
    int32_t layer = dialog->settings.hints;
    if (layer != -1 && dialog->chroma && !ui_hints_edited(dialog->hints) &&
        host->stamp(host->user, layer) != dialog->stamp)
        gather_hints(dialog);
    return G_SOURCE_CONTINUE;
}

static void on_new_layer(Dialog *dialog)
{
    g_autoptr(GError) error = NULL;
    int32_t layer = dialog->host->new_layer(dialog->host->user, &error);
    if (layer == -1) {
        show_message(dialog, _("The layer cannot be made."), error->message);
        return;
    }
    CzSettings chosen = dialog->settings;
    chosen.hints = layer;
    ui_bind_list_layers(dialog->bind);
    ui_bind_set(dialog->bind, &chosen);
    dialog->settings.hints = layer;
    gather_hints(dialog);
}

// ---- inference ----------------------------------------------------------------------------

static void start(Dialog *dialog)
{
    hide_message(dialog);
    dialog->start_us = g_get_monotonic_time();
    ui_job_start(dialog->job, dialog->settings.weights, dialog->settings.device,
                 dialog->settings.tile_size);
    gtk_label_set_text(dialog->status, _("Coloring the photograph…"));
    if (!dialog->poll)
        dialog->poll = g_timeout_add(POLL_MS, poll_progress, dialog);
    show_busy(dialog);
}

static void finish(Dialog *dialog)
{
    g_autoptr(GError) error = NULL;
    const UiHost *host = dialog->host;
    dialog->confirmed = false;
    show_busy(dialog);
    if (host->check && !host->check(host->user, &dialog->settings, &error)) {
        show_message(dialog, NULL, error ? error->message : "");
        return;
    }
    dialog->answer = UI_OK;
    g_main_loop_quit(dialog->loop);
}

static void show_tiles(Dialog *dialog)
{
    int32_t n_tiles = cz_chroma_n_tiles(dialog->chroma);
    g_autofree char *text =
        n_tiles > 0 ? g_strdup_printf(_("%d tiles"), n_tiles) : g_strdup(_("The whole at once"));
    ui_bind_note(dialog->bind, "tile-size", text);
}

static void on_proxy(void *user)
{
    Dialog *dialog = user;
    ui_preview_set_photo(dialog->preview, dialog->photo, ui_job_proxy(dialog->job));
}

static void job_failed(Dialog *dialog, const GError *error)
{
    dialog->confirmed = false;
    if (g_error_matches(error, CZ_ERROR, CZ_ERROR_CANCELLED)) {
        gtk_label_set_text(dialog->status, _("Stopped. Any change of device or weights, or Reset, "
                                             "starts again."));
    } else {
        gtk_label_set_text(dialog->status, "");
        show_message(dialog, headline(error), error->message);
    }
    show_busy(dialog);
}

static void on_done(void *user, CzChroma *chroma, const CzDeviceInfo *device, const GError *error)
{
    Dialog *dialog = user;
    ui_bind_list_devices(dialog->bind);
    if (error) {
        job_failed(dialog, error);
        return;
    }
    set_chroma(dialog, chroma);
    follow_hints(dialog);
    show_tiles(dialog);
    double seconds = (double)(g_get_monotonic_time() - dialog->start_us) * 1e-6;
    g_autofree char *text = g_strdup_printf(_("Colored in %.1f s on %s"), seconds, device->name);
    gtk_label_set_text(dialog->status, text);
    show_busy(dialog);
    if (dialog->confirmed)
        finish(dialog);
}

static void on_notice(void *user, const char *text)
{
    show_message(user, _("Another device computes the colors."), text);
}

// ---- controls ---------------------------------------------------------------------------------

// Reads all controls; starts again where the network would say something else.
static void take_settings(Dialog *dialog)
{
    CzSettings last = dialog->settings;
    ui_bind_get(dialog->bind, &dialog->settings);
    ui_preview_set_settings(dialog->preview, &dialog->settings);
    bool same = g_str_equal(last.weights, dialog->settings.weights) &&
                g_str_equal(last.device, dialog->settings.device) &&
                last.tile_size == dialog->settings.tile_size;
    if (same && (dialog->chroma || ui_job_busy(dialog->job))) {
        follow_hints(dialog);
        return;
    }
    set_chroma(dialog, NULL);
    start(dialog);
}

static void on_changed(void *user, const CzSettingRow *row)
{
    Dialog *dialog = user;
    bool restarts = g_str_equal(row->key, "weights") || g_str_equal(row->key, "device") ||
                    g_str_equal(row->key, "tile-size");
    if (restarts) {
        take_settings(dialog);
        return;
    }
    ui_bind_get(dialog->bind, &dialog->settings);
    ui_preview_set_settings(dialog->preview, &dialog->settings);
    if (g_str_equal(row->key, "hints"))
        gather_hints(dialog);
    else if (g_str_equal(row->key, "reach"))
        hint(dialog);
}

static void on_reset(Dialog *dialog)
{
    CzSettings initial;
    cz_settings_init(&initial);
    ui_bind_set(dialog->bind, &initial);
    take_settings(dialog);
}

// As widgets have it, which is what a preset or a command is made from.
static void get_settings(void *user, CzSettings *settings)
{
    const Dialog *dialog = user;
    *settings = dialog->settings;
}

static void set_settings(void *user, const CzSettings *settings)
{
    Dialog *dialog = user;
    CzSettings chosen = *settings;
    chosen.hints = dialog->settings.hints;
    ui_bind_set(dialog->bind, &chosen);
    take_settings(dialog);
}

static void presets_failed(void *user, const GError *error)
{
    show_message(user, _("The preset cannot be saved."), error->message);
}

static void on_help(Dialog *dialog)
{
    g_autoptr(GError) error = NULL;
    if (!gtk_show_uri_on_window(GTK_WINDOW(dialog->window), dialog->host->manual,
                                gtk_get_current_event_time(), &error))
        show_message(dialog, _("The manual cannot be shown."), error->message);
}

static void on_remove_dabs(Dialog *dialog)
{
    ui_hints_remove_all(dialog->hints);
}

static void on_stop(Dialog *dialog)
{
    ui_job_stop(dialog->job);
}

static void on_split(Dialog *dialog)
{
    ui_preview_set_split(dialog->preview, gtk_toggle_button_get_active(dialog->split));
}

static gboolean on_before_pressed(Dialog *dialog)
{
    ui_preview_set_before(dialog->preview, true);
    return GDK_EVENT_PROPAGATE;
}

static gboolean on_before_released(Dialog *dialog)
{
    ui_preview_set_before(dialog->preview, false);
    return GDK_EVENT_PROPAGATE;
}

static gboolean on_key(GtkWidget *window, GdkEventKey *event, Dialog *dialog)
{
    bool typing = GTK_IS_ENTRY(gtk_window_get_focus(GTK_WINDOW(window))) &&
                  !GTK_IS_SPIN_BUTTON(gtk_window_get_focus(GTK_WINDOW(window)));
    bool plain = !(event->state & gtk_accelerator_get_default_mod_mask());
    if (gdk_keyval_to_lower(event->keyval) != GDK_KEY_b || typing || !plain)
        return GDK_EVENT_PROPAGATE;
    ui_preview_set_before(dialog->preview, event->type == GDK_KEY_PRESS);
    return GDK_EVENT_STOP;
}

static void on_response(GtkDialog *window, gint response, Dialog *dialog)
{
    if (response != GTK_RESPONSE_OK) {
        g_main_loop_quit(dialog->loop);
        return;
    }
    if (dialog->chroma && !ui_job_busy(dialog->job)) {
        finish(dialog);
    } else if (ui_job_busy(dialog->job)) {
        dialog->confirmed = true;
        show_busy(dialog);
    }
}

// GTK would destroy the window.
static gboolean on_delete(Dialog *dialog)
{
    g_main_loop_quit(dialog->loop);
    return GDK_EVENT_STOP;
}

static void on_preview_failed(GtkWidget *preview, const char *sentence, Dialog *dialog)
{
    show_message(dialog, _("The photograph cannot be shown."), sentence);
}

// ---- window -----------------------------------------------------------------------------------

static GtkWidget *find(GtkBuilder *builder, const char *id)
{
    return GTK_WIDGET(gtk_builder_get_object(builder, id));
}

static void connect(GtkBuilder *builder, Dialog *dialog)
{
    const struct {
        const char *id, *signal;
        GCallback callback;
    } rows[] = {
        {"stop", "clicked", G_CALLBACK(on_stop)},
        {"remove_dabs", "clicked", G_CALLBACK(on_remove_dabs)},
        {"new_layer", "clicked", G_CALLBACK(on_new_layer)},
        {"help", "clicked", G_CALLBACK(on_help)},
        {"reset", "clicked", G_CALLBACK(on_reset)},
        {"split", "toggled", G_CALLBACK(on_split)},
        {"before", "button-press-event", G_CALLBACK(on_before_pressed)},
        {"before", "button-release-event", G_CALLBACK(on_before_released)},
        {"message", "response", G_CALLBACK(hide_message)},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_signal_connect_swapped(find(builder, rows[i].id), rows[i].signal, rows[i].callback,
                                 dialog);
    g_signal_connect_swapped(find(builder, "zoom_fit"), "clicked", G_CALLBACK(ui_preview_zoom_fit),
                             dialog->preview);
    g_signal_connect_swapped(find(builder, "zoom_full"), "clicked",
                             G_CALLBACK(ui_preview_zoom_full), dialog->preview);
    g_signal_connect_swapped(dialog->preview, "view-changed", G_CALLBACK(show_zoom), dialog);
    g_signal_connect(dialog->preview, "failed", G_CALLBACK(on_preview_failed), dialog);
    g_signal_connect(dialog->window, "response", G_CALLBACK(on_response), dialog);
    g_signal_connect_swapped(dialog->window, "delete-event", G_CALLBACK(on_delete), dialog);
    g_signal_connect_swapped(dialog->window, "focus-in-event", G_CALLBACK(on_focus), dialog);
    g_signal_connect(dialog->window, "key-press-event", G_CALLBACK(on_key), dialog);
    g_signal_connect(dialog->window, "key-release-event", G_CALLBACK(on_key), dialog);
}

// The host's window is another program's.
static void stay_above(GtkWidget *window, gpointer data)
{
#ifdef GDK_WINDOWING_X11
    uint32_t parent = GPOINTER_TO_UINT(data);
    GdkDisplay *display = gtk_widget_get_display(window);
    if (!parent || !GDK_IS_X11_DISPLAY(display))
        return;
    GdkWindow *foreign = gdk_x11_window_foreign_new_for_display(display, parent);
    if (foreign) {
        gdk_window_set_transient_for(gtk_widget_get_window(window), foreign);
        g_object_unref(foreign);
    }
#endif
}

static void set_title(Dialog *dialog)
{
    if (!dialog->host->name || !*dialog->host->name)
        return;
    g_autofree char *title = g_strdup_printf(_("Colorize – %s"), dialog->host->name);
    gtk_window_set_title(GTK_WINDOW(dialog->window), title);
}

static void build(Dialog *dialog)
{
    g_autoptr(GtkBuilder) builder = gtk_builder_new_from_resource("/colorize/dialog.ui");
    dialog->window = find(builder, "dialog");
    dialog->message = find(builder, "message");
    dialog->message_text = GTK_LABEL(find(builder, "message_text"));
    dialog->status = GTK_LABEL(find(builder, "status"));
    dialog->zoom = GTK_LABEL(find(builder, "zoom_label"));
    dialog->progress = find(builder, "progress");
    dialog->busy = find(builder, "busy");
    dialog->stop = find(builder, "stop");
    dialog->ok = find(builder, "ok");
    dialog->remove_dabs = find(builder, "remove_dabs");
    dialog->split = GTK_TOGGLE_BUTTON(find(builder, "split"));
    dialog->preview = UI_PREVIEW(ui_preview_new());
    gtk_widget_show(GTK_WIDGET(dialog->preview));
    gtk_container_add(GTK_CONTAINER(find(builder, "preview_frame")), GTK_WIDGET(dialog->preview));
    dialog->hints = ui_hints_new(dialog->preview, hint, dialog);
    static const char *const ids[UI_N_SECTIONS] = {"section_color", "section_hints",
                                                   "section_result", "section_engine"};
    GtkGrid *sections[UI_N_SECTIONS];
    for (int i = 0; i < UI_N_SECTIONS; i++)
        sections[i] = GTK_GRID(find(builder, ids[i]));
    dialog->bind = ui_bind_new(sections, dialog->host, on_changed, dialog);
    for (int i = 0; i < UI_N_SECTIONS; i++)
        gtk_widget_show_all(GTK_WIDGET(sections[i]));
    atk_object_set_name(gtk_widget_get_accessible(dialog->progress), _("Progress"));
    g_signal_connect(dialog->window, "realize", G_CALLBACK(stay_above),
                     GUINT_TO_POINTER(dialog->host->window));
    const UiMenuCalls calls = {get_settings, set_settings, presets_failed, dialog};
    dialog->menu = ui_menu_new(GTK_MENU_BUTTON(find(builder, "menu")), dialog->host, &calls);
    gtk_widget_set_visible(find(builder, "help"), dialog->host->manual != NULL);
    gtk_widget_set_visible(find(builder, "new_layer"), dialog->host->new_layer != NULL);
    set_title(dialog);
    connect(builder, dialog);
}

static void run(Dialog *dialog)
{
    build(dialog);
    ui_bind_set(dialog->bind, &dialog->settings);
    ui_preview_set_settings(dialog->preview, &dialog->settings);
    gtk_window_set_focus(GTK_WINDOW(dialog->window), GTK_WIDGET(dialog->preview));
    gtk_window_present(GTK_WINDOW(dialog->window));
    start(dialog);
    if (dialog->host->stamp)
        dialog->follow = g_timeout_add(FOLLOW_MS, follow_layer, dialog);
    g_main_loop_run(dialog->loop);
    if (dialog->poll)
        g_source_remove(dialog->poll);
    if (dialog->follow)
        g_source_remove(dialog->follow);
    ui_hints_set_chroma(dialog->hints, NULL, NULL);
    ui_preview_set_chroma(dialog->preview, NULL);
    ui_preview_set_photo(dialog->preview, NULL, NULL);
    gtk_widget_destroy(dialog->window);
    gdk_display_flush(gdk_display_get_default()); // what comes next may take long
    ui_bind_free(dialog->bind);
    ui_menu_free(dialog->menu);
}

UiAnswer ui_dialog_run(const UiHost *host, const CzPhoto *photo, CzSettings *settings,
                       UiOutcome *outcome, GError **error)
{
    Dialog dialog = {.host = host, .photo = photo, .settings = *settings};
    const UiJobEvents events = {on_proxy, on_done, &dialog, on_notice};
    *outcome = (UiOutcome){0};
    dialog.job = ui_job_new(photo, &events, error);
    if (!dialog.job)
        return UI_CANCELLED;
    g_resources_register(ui_get_resource());
    dialog.loop = g_main_loop_new(NULL, FALSE);
    run(&dialog);
    g_main_loop_unref(dialog.loop);
    if (dialog.answer == UI_OK) {
        *settings = dialog.settings;
        *outcome = (UiOutcome){ui_job_take_colorizer(dialog.job), g_steal_pointer(&dialog.chroma)};
        outcome->dabs_edited = ui_hints_edited(dialog.hints);
        const CzDab *dabs = ui_hints_dabs(dialog.hints, &outcome->n_dabs);
        outcome->dabs = g_memdup2(dabs, outcome->n_dabs * sizeof *dabs);
    }
    ui_hints_free(dialog.hints);
    cz_chroma_free(dialog.chroma);
    ui_job_free(dialog.job);
    return dialog.answer;
}

void ui_outcome_clear(UiOutcome *outcome)
{
    cz_chroma_free(outcome->chroma);
    cz_colorizer_free(outcome->colorizer);
    g_free(outcome->dabs);
    *outcome = (UiOutcome){0};
}

bool ui_init(const UiHost *host, GError **error)
{
    if (host->display && *host->display)
        g_setenv("DISPLAY", host->display, TRUE);
    if (host->user_time) {
        g_autofree char *id = g_strdup_printf("_TIME%u", host->user_time);
        g_setenv("DESKTOP_STARTUP_ID", id, TRUE);
    }
    gdk_set_allowed_backends("x11,*");
    if (!gtk_init_check(NULL, NULL)) {
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_IO,
                            _("The display cannot be opened: there is no dialog without one."));
        return false;
    }
    if (host->wm_class)
        gdk_set_program_class(host->wm_class);
    g_object_set(gtk_settings_get_default(), "gtk-application-prefer-dark-theme", host->dark, NULL);
    return true;
}
