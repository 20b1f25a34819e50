// SPDX-License-Identifier: LGPL-3.0-or-later
// The dialog inside GIMP.
#include "dialog.h"

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include "drawable.h"
#include "hints.h"
#include "host.h"
#include "places.h"
#include "target.h"

// Artists go on working in GIMP while the dialog is open: layers may vanish or change their size.
typedef struct {
    gint32 image, drawable; // as GIMP has handed them over
    PluginTarget target;
    PluginPixels pixels;
} Scene;

static bool still_there(const Scene *scene, GError **error)
{
    gint32 source = scene->target.source;
    if (gimp_item_is_valid(source) && gimp_drawable_width(source) == scene->pixels.width &&
        gimp_drawable_height(source) == scene->pixels.height) {
        return true;
    }
    g_set_error_literal(error, PLUGIN_ERROR, PLUGIN_ERROR_LAYER,
                        _("The layer is gone or has another size now: close the dialog and open "
                          "it again."));
    return false;
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    Scene *scene = user;
    const CzPhoto photo = plugin_pixels_photo(&scene->pixels);
    return still_there(scene, error) && photo.read_rows(photo.user, y, n_rows, rgb, error);
}

static bool check(void *user, const CzSettings *settings, GError **error)
{
    const Scene *scene = user;
    return still_there(scene, error) &&
           plugin_target_check(scene->image, scene->drawable, (CzOutput)settings->output, error) &&
           (settings->hints == -1 || plugin_hints_check(settings->hints, &scene->target, error));
}

static bool gather(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error)
{
    Scene *scene = user;
    return still_there(scene, error) && plugin_hints_check(layer, &scene->target, error) &&
           plugin_hints_gather(layer, &scene->target, &scene->pixels, dabs, n_dabs, error);
}

// ---- layers that may hold hints -------------------------------------------------------------

static void add_layers(GArray *layers, const PluginTarget *target, const gint *ids, gint n_ids)
{
    for (gint i = 0; i < n_ids; i++) {
        if (gimp_item_is_group(ids[i])) {
            gint n_children = 0;
            g_autofree gint *children = gimp_item_get_children(ids[i], &n_children);
            add_layers(layers, target, children, n_children);
        } else if (plugin_hints_check(ids[i], target, NULL)) {
            UiLayer layer = {ids[i], gimp_item_get_name(ids[i])};
            g_array_append_val(layers, layer);
        }
    }
}

static GArray *list_layers(void *user)
{
    const Scene *scene = user;
    GArray *layers = ui_layers_new();
    gint n_ids = 0;
    g_autofree gint *ids = gimp_image_get_layers(scene->image, &n_ids);
    add_layers(layers, &scene->target, ids, n_ids);
    return layers;
}

static int32_t new_layer(void *user, GError **error)
{
    const Scene *scene = user;
    return still_there(scene, error) ? plugin_hint_layer_new(&scene->target, error) : -1;
}

static uint64_t stamp(void *user, int32_t layer)
{
    return plugin_hints_stamp(layer);
}

// What was clicked or painted the last time.
static void find_last_hints(Scene *scene, CzSettings *settings)
{
    g_autoptr(GArray) layers = list_layers(scene);
    for (guint i = 0; settings->hints == -1 && i < layers->len; i++) {
        gint32 id = g_array_index(layers, UiLayer, i).id;
        settings->hints = plugin_hint_layer_is_ours(id) ? id : -1;
    }
}

// ---- window ---------------------------------------------------------------------------------

// The names of GIMP 2.10's own themes.
static bool dark_theme(void)
{
    g_autofree char *theme = gimp_gimprc_query("theme");
    return g_strcmp0(theme, "Dark") == 0 || g_strcmp0(theme, "Gray") == 0;
}

static UiAnswer show(Scene *scene, CzSettings *settings, UiOutcome *outcome, GError **error)
{
    g_autofree char *name = gimp_image_get_name(scene->image);
    g_autofree char *manual = plugin_manual_uri();
    UiHost host = {.name = name,
                   .display = gimp_display_name(),
                   .wm_class = gimp_wm_class(),
                   .user_time = gimp_user_time(),
                   .window = gimp_progress_get_window_handle(),
                   .dark = dark_theme(),
                   .folder = gimp_directory(),
                   .procedure = PLUGIN_PROCEDURE,
                   .manual = manual,
                   .list_layers = list_layers,
                   .new_layer = new_layer,
                   .stamp = stamp,
                   .gather = gather,
                   .check = check,
                   .user = scene};
    if (!ui_init(&host, error)) {
        return UI_CANCELLED;
    }
    find_last_hints(scene, settings);
    CzPhoto photo = {scene->pixels.width, scene->pixels.height, read_rows, NULL, scene};
    return ui_dialog_run(&host, &photo, settings, outcome, error);
}

UiAnswer plugin_dialog_run(gint32 image, gint32 drawable, CzSettings *settings,
                           PluginPrediction *prediction, GError **error)
{
    Scene scene = {image, drawable};
    UiOutcome outcome = {0};
    UiAnswer answer = UI_CANCELLED;
    // The output that refuses least: another one is judged when it has been chosen. For a color
    // layer the numbers count as they are, though.
    if (plugin_target_init(&scene.target, image, drawable, CZ_OUTPUT_IMAGE, error)) {
        if (settings->output == CZ_OUTPUT_LAYER) {
            scene.target.space = NULL;
        }
        plugin_pixels_init(&scene.pixels, scene.target.source, scene.target.space);
        if (plugin_pixels_check_visible(&scene.pixels, error)) {
            answer = show(&scene, settings, &outcome, error);
        }
        plugin_pixels_clear(&scene.pixels);
    }
    *prediction = (PluginPrediction){
        .colorizer = outcome.colorizer,
        .chroma = outcome.chroma,
        .space = scene.target.space,
        .dabs = {outcome.dabs, outcome.n_dabs, settings->hints, outcome.dabs_edited}};
    plugin_target_clear(&scene.target);
    return answer;
}
