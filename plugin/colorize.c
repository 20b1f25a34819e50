// SPDX-License-Identifier: LGPL-3.0-or-later
// One layer, coloured: from ids and settings to the drawable that holds the colour.
#include "colorize.h"

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/colorizer.h>

#include "drawable.h"
#include "hints.h"
#include "host.h"
#include "output.h"
#include "target.h"

// The network takes most of the time of a small photograph, the pixels that of a large one.
static const double PREDICT_SHARE = 0.6;

void plugin_prediction_clear(PluginPrediction *prediction)
{
    g_clear_pointer(&prediction->chroma, cz_chroma_free);
    g_clear_pointer(&prediction->colorizer, cz_colorizer_free);
    g_clear_pointer(&prediction->dabs.dabs, g_free);
}

static bool add_hints(PluginPrediction *made, const PluginTarget *target, PluginPixels *pixels,
                      const CzSettings *settings, GError **error)
{
    gint64 start_us = g_get_monotonic_time();
    CzDab gathered[CZ_MAX_DABS];
    const CzDab *dabs = gathered;
    size_t n_dabs = 0;
    if (made->dabs.edited) {
        dabs = made->dabs.dabs;
        n_dabs = made->dabs.n_dabs;
    } else if (settings->hints != -1 &&
               !plugin_hints_gather(settings->hints, target, pixels, gathered, &n_dabs, error)) {
        return false;
    }
    if (!cz_chroma_hint(made->chroma, dabs, n_dabs, settings->reach, error)) {
        return false;
    }
    plugin_host_print_time("hints", start_us);
    return true;
}

// What the dialog has opened is taken over from it, and so is what it has predicted, unless that
// was for other numbers.
static bool predict(const PluginTarget *target, PluginPixels *pixels, const CzSettings *settings,
                    PluginPrediction *made, const CzProgress *progress, GError **error)
{
    gint64 start_us = g_get_monotonic_time();
    const CzColorizerOptions options = {.weights = settings->weights, .device = settings->device};
    if (!made->colorizer) {
        made->colorizer = cz_colorizer_new(&options, error);
    }
    if (!made->colorizer) {
        return false;
    }
    plugin_host_print_time("open", start_us);
    if (g_getenv("COLORIZE_TIME")) {
        g_printerr("colorize-photo: device %s\n", cz_colorizer_device(made->colorizer)->name);
    }
    start_us = g_get_monotonic_time();
    CzPhoto photo = plugin_pixels_photo(pixels);
    if (!made->chroma) {
        made->chroma =
            cz_colorizer_predict(made->colorizer, &photo, settings->tile_size, progress, error);
    }
    plugin_host_print_time("predict", start_us);
    g_autofree char *notice = cz_colorizer_notice(made->colorizer);
    if (notice) {
        g_message("%s", notice);
    }
    return made->chroma && add_hints(made, target, pixels, settings, error);
}

static bool compute(const PluginTarget *target, PluginPixels *pixels, const CzSettings *settings,
                    PluginPrediction *made, GError **error)
{
    PluginProgress progress;
    plugin_progress_start(&progress);
    if (made->space != target->space) {
        g_clear_pointer(&made->chroma, cz_chroma_free);
    }
    double share = made->chroma ? 0.0 : PREDICT_SHARE;
    CzProgress part = plugin_progress_part(&progress, 0.0, share);
    if (!predict(target, pixels, settings, made, &part, error)) {
        return false;
    }
    gint64 start_us = g_get_monotonic_time();
    CzPhoto photo = plugin_pixels_photo(pixels);
    part = plugin_progress_part(&progress, share, 1.0);
    if (!cz_chroma_apply(made->chroma, made->colorizer, settings, &photo, &part, error)) {
        return false;
    }
    plugin_progress_end(&progress);
    plugin_host_print_time("apply", start_us);
    return true;
}

bool plugin_colorize(gint32 image, gint32 drawable, const CzSettings *settings,
                     PluginPrediction *made, bool interactive, gint32 *result, GError **error)
{
    PluginTarget target;
    PluginOutput output = {0};
    PluginPixels pixels = {0};
    bool ok = false;
    if (plugin_target_init(&target, image, drawable, (CzOutput)settings->output, error) &&
        (settings->hints == -1 || plugin_hints_check(settings->hints, &target, error))) {
        plugin_pixels_init(&pixels, target.source, target.space);
        ok = plugin_pixels_check_visible(&pixels, error) &&
             plugin_output_init(&output, &target, &pixels, error) &&
             compute(&target, &pixels, settings, made, error);
    }
    gint64 start_us = g_get_monotonic_time();
    plugin_pixels_clear(&pixels);
    if (ok) {
        ok = plugin_output_commit(&output, &made->dabs, interactive, result, error);
        plugin_host_print_time("commit", start_us);
    }
    plugin_output_clear(&output);
    plugin_target_clear(&target);
    gimp_displays_flush();
    return ok;
}
