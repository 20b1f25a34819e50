// SPDX-License-Identifier: LGPL-3.0-or-later
// The network on a device: weights, a plan for each size, and other devices when one refuses.
#include "colorizer/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/plan.h>

// Plans of the last sizes are kept: the pictures of a folder often have the same one, and a
// picture is seen at several. Each holds its activations.
#define MAX_PLANS 8

#define SIZES_KEY  "colorize.working_sizes"
#define WHITE_KEY  "colorize.white"
#define LEAST_SIZE 32
#define MOST_SIZE  2048

// For networks that take multiples of some number of pixels alone, the picture is continued by its
// mirror image, to the right and downwards, and what they give there is cut off.
typedef struct {
    int32_t w, h;               // of the picture
    int32_t padded_w, padded_h; // of the input
    CzGraph *graph;
    CzPlan *plan;
    CzValue input;
    CzValue chroma, features, slopes; // slopes: failed where the network has none
} SizedPlan;

struct CzNetwork {
    CzModelFile *file;
    CzGeneratorParams params;
    CzNetworkUse use;
    CzHintHead *hints;    // NULL: none
    CzClassHead *classes; // NULL: none
    CzDtype precision;    // as asked for
    bool automatic;
    guint64 tried; // bit i: the i-th device of cz_devices() has refused
    CzEngineDevice *device;
    CzDeviceInfo info;
    char *notice; // on a device that was left; NULL: none, or told
    CzStore *store;
    SizedPlan plans[MAX_PLANS];
    int n_plans; // the oldest first
};

// ---- what the file says -------------------------------------------------------------------------

static bool bad_metadata(const CzModelFile *file, const char *key, const char *expected,
                         const char *found, GError **error)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: %s: expected %s, found '%.64s'",
                cz_model_file_path(file), key, expected, found);
    return false;
}

static int compare_sizes(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

static bool read_use(CzNetworkUse *use, const CzModelFile *file, GError **error)
{
    const char *white = cz_model_file_meta(file, WHITE_KEY);
    use->d65 = g_strcmp0(white, "d65") == 0;
    if (white && !use->d65 && !g_str_equal(white, "d50"))
        return bad_metadata(file, WHITE_KEY, "'d50' or 'd65'", white, error);
    const char *sizes = cz_model_file_meta(file, SIZES_KEY);
    if (!sizes)
        sizes = "192";
    g_auto(GStrv) parts = g_strsplit(sizes, ",", CZ_MAX_WORKING_SIZES + 1);
    guint n = g_strv_length(parts);
    bool good = n >= 1 && n <= CZ_MAX_WORKING_SIZES;
    for (guint i = 0; good && i < n; i++) {
        gint64 size = 0;
        good =
            g_ascii_string_to_signed(g_strstrip(parts[i]), 10, LEAST_SIZE, MOST_SIZE, &size, NULL);
        use->sizes[i] = (int32_t)size;
    }
    if (!good)
        return bad_metadata(file, SIZES_KEY, "1 to 8 sizes from 32 to 2048, as in '96,192'", sizes,
                            error);
    use->n_sizes = (int)n;
    qsort(use->sizes, n, sizeof *use->sizes, compare_sizes);
    return true;
}

static bool read_file(CzNetwork *network, const char *weights, GError **error)
{
    network->file = cz_model_file_open(weights, error);
    if (!network->file || !cz_generator_read(&network->params, network->file, error))
        return false;
    int32_t n_inputs = cz_generator_inputs(&network->params);
    if (n_inputs != 1) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL,
                    "%s: expected a network with 1 input channel, found %d", weights, n_inputs);
        return false;
    }
    return read_use(&network->use, network->file, error) &&
           cz_hint_head_read(network->file, cz_generator_features(&network->params),
                             &network->hints, error) &&
           cz_class_head_read(network->file, cz_generator_features(&network->params),
                              &network->classes, error);
}

// ---- the device ---------------------------------------------------------------------------------

static void plan_clear(SizedPlan *sized)
{
    cz_plan_free(sized->plan);
    cz_graph_free(sized->graph);
    memset(sized, 0, sizeof *sized);
}

// FALSE: there are none.
static bool forget_plans(CzNetwork *network)
{
    bool any = network->n_plans > 0;
    while (network->n_plans > 0)
        plan_clear(&network->plans[--network->n_plans]);
    return any;
}

static void leave_device(CzNetwork *network)
{
    forget_plans(network);
    g_clear_pointer(&network->store, cz_store_free);
    g_clear_pointer(&network->device, cz_device_close);
}

static bool enter_device(CzNetwork *network, const char *id, GError **error)
{
    leave_device(network);
    network->device = cz_device_open(id, error);
    if (!network->device)
        return false;
    network->info = *cz_device_info(network->device);
    network->store = cz_store_new(network->device);
    if (cz_store_load(network->store, network->file, error))
        return true;
    leave_device(network); // a device without the weights is none
    return false;
}

static void mark_tried(CzNetwork *network)
{
    size_t n;
    const CzDeviceInfo *infos = cz_devices(&n, NULL);
    for (size_t i = 0; i < MIN(n, 64); i++)
        if (g_str_equal(infos[i].id, network->info.id))
            network->tried |= (guint64)1 << i;
}

// The next device that opens and takes the weights; FALSE: there is none.
static bool next_device(CzNetwork *network)
{
    size_t n;
    const CzDeviceInfo *infos = cz_devices(&n, NULL);
    for (size_t i = 0; i < MIN(n, 64); i++) {
        guint64 bit = (guint64)1 << i;
        if (network->tried & bit)
            continue;
        network->tried |= bit;
        if (enter_device(network, infos[i].id, NULL))
            return true;
    }
    return false;
}

static bool is_on_cpu(const CzNetwork *network)
{
    return g_str_equal(network->info.id, "cpu") || g_str_equal(network->info.id, "reference");
}

static void note(CzNetwork *network, const CzDeviceInfo *left, const GError *cause)
{
    g_free(network->notice);
    network->notice = g_strdup_printf("%s (%s) could not go on: %s; %s computes instead", left->id,
                                      left->name, cause->message, network->info.id);
}

// After an error: TRUE if another device stands ready to try once more.
static bool move_on(CzNetwork *network, const GError *cause)
{
    const CzDeviceInfo left = network->info;
    bool moved = false;
    if (g_error_matches(cause, CZ_ERROR, CZ_ERROR_MEMORY) && !is_on_cpu(network)) {
        moved = enter_device(network, "cpu", NULL);
    } else if (g_error_matches(cause, CZ_ERROR, CZ_ERROR_BACKEND) && network->automatic) {
        mark_tried(network);
        moved = next_device(network);
    }
    if (moved)
        note(network, &left, cause);
    return moved;
}

// A device that opens may have no room for the weights.
static bool enter_or_move_on(CzNetwork *network, const char *id, GError **error)
{
    GError *cause = NULL;
    network->tried = 0;
    if (enter_device(network, id, &cause))
        return true;
    // Without a device that opened there is none to be left.
    if (network->info.id[0] && move_on(network, cause)) {
        g_error_free(cause);
        return true;
    }
    g_propagate_error(error, cause);
    return false;
}

CzNetwork *cz_network_new(const char *weights, const char *device, CzDtype precision,
                          GError **error)
{
    CzNetwork *network = g_new0(CzNetwork, 1);
    network->precision = precision;
    network->automatic = !device || !*device || g_str_equal(device, "auto");
    if (!read_file(network, weights, error) ||
        !enter_or_move_on(network, network->automatic ? NULL : device, error)) {
        cz_network_free(network);
        return NULL;
    }
    return network;
}

void cz_network_free(CzNetwork *network)
{
    if (!network)
        return;
    leave_device(network);
    g_free(network->notice);
    cz_model_file_free(network->file);
    cz_hint_head_free(network->hints);
    cz_class_head_free(network->classes);
    g_free(network);
}

const CzNetworkUse *cz_network_use(const CzNetwork *network)
{
    return &network->use;
}

const CzHintHead *cz_network_hints(const CzNetwork *network)
{
    return network->hints;
}

void cz_network_forget_hints(CzNetwork *network)
{
    g_clear_pointer(&network->hints, cz_hint_head_free);
}

const CzClassHead *cz_network_classes(const CzNetwork *network)
{
    return network->classes;
}

const CzDeviceInfo *cz_network_device(const CzNetwork *network)
{
    return &network->info;
}

char *cz_network_notice(CzNetwork *network)
{
    return g_steal_pointer(&network->notice);
}

// ---- plans --------------------------------------------------------------------------------------

static int32_t round_up(int32_t n, int32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

// The first places of src, h rows of w.
static CzValue cut(CzGraph *graph, CzValue src, int32_t h, int32_t w)
{
    CzShape shape = cz_graph_shape(graph, src), first = {0, 0, 0, 0};
    if (shape.h == h && shape.w == w)
        return src;
    return cz_slice(graph, src, first, cz_shape(shape.n, shape.c, h, w));
}

static int32_t ceil_div(int32_t n, int32_t divisor)
{
    return (n + divisor - 1) / divisor;
}

// The type of the activations on this device. F16 is asked for where it is fast, on GPUs; a CPU
// that serves in their place would be slower for it, or does not run it at all.
static CzDtype precision_here(const CzNetwork *network)
{
    return network->precision == CZ_F16 && is_on_cpu(network) ? CZ_F32 : network->precision;
}

// The network, and its color brought to half the picture's size, whatever size it has.
static void build(SizedPlan *sized, const CzNetwork *network)
{
    CzGraph *graph = sized->graph;
    const CzGeneratorUse use = {.dtype = precision_here(network)};
    int32_t stride = cz_generator_stride(&network->params);
    CzGeneratorOutput output;
    sized->input = cz_input(graph, "lightness", cz_shape(1, 1, sized->padded_h, sized->padded_w));
    cz_generator_build(graph, sized->input, &network->params, &use, &output);
    cz_generator_clear(&output);
    int32_t half_h = ceil_div(sized->h, 2), half_w = ceil_div(sized->w, 2);
    sized->slopes = output.slopes;
    if (output.slopes.id >= 0) {
        // What training has at full size is for the field to make.
        output.chroma = cz_resize(graph, output.places, half_h, half_w);
        sized->slopes = cz_resize(graph, output.slopes, half_h, half_w);
        stride = 2;
    }
    sized->chroma =
        cut(graph, output.chroma, ceil_div(sized->h, stride), ceil_div(sized->w, stride));
    if (stride != 2)
        sized->chroma = cz_resize(graph, sized->chroma, half_h, half_w);
    sized->features = cut(graph, output.features, ceil_div(sized->h, 8), ceil_div(sized->w, 8));
}

static bool plan_init(SizedPlan *sized, const CzNetwork *network, int32_t w, int32_t h,
                      GError **error)
{
    int32_t multiple = cz_generator_multiple(&network->params);
    sized->w = w;
    sized->h = h;
    sized->padded_w = round_up(w, multiple);
    sized->padded_h = round_up(h, multiple);
    sized->graph = cz_graph_new();
    build(sized, network);
    const CzValue outputs[] = {sized->chroma, sized->features, sized->slopes};
    size_t n_outputs = sized->slopes.id < 0 ? 2 : 3;
    const CzPlanOptions options = {.frozen = true};
    sized->plan = cz_plan_new(network->device, network->store, sized->graph, outputs, n_outputs,
                              &options, error);
    // Perhaps another precision would do.
    if (!sized->plan && precision_here(network) != CZ_F32)
        g_prefix_error(error, "the network in %s: ", cz_dtype_name(precision_here(network)));
    return sized->plan != NULL;
}

static const SizedPlan *plan_get(CzNetwork *network, int32_t w, int32_t h, GError **error)
{
    for (int i = 0; i < network->n_plans; i++)
        if (network->plans[i].w == w && network->plans[i].h == h)
            return &network->plans[i];
    if (network->n_plans == MAX_PLANS) {
        plan_clear(&network->plans[0]);
        network->n_plans--;
        memmove(network->plans, network->plans + 1, network->n_plans * sizeof *network->plans);
    }
    SizedPlan sized = {0};
    if (!plan_init(&sized, network, w, h, error)) {
        plan_clear(&sized);
        return NULL;
    }
    network->plans[network->n_plans] = sized;
    return &network->plans[network->n_plans++];
}

static bool check_numbers(const CzNetwork *network, const float *values, size_t n, GError **error)
{
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i]))
            continue;
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "%s: the network gives no number at value %zu of %zu",
                    cz_model_file_path(network->file), i, n);
        return false;
    }
    return true;
}

// The i-th place of n that are repeated forth and back.
static int32_t mirrored(int32_t i, int32_t n)
{
    int32_t at = i % (2 * n);
    return at < n ? at : 2 * n - 1 - at;
}

static bool write_padded(const SizedPlan *sized, const float *lightness, GError **error)
{
    size_t n = (size_t)sized->padded_w * sized->padded_h;
    float *padded = cz_memory_alloc(n * sizeof *padded, "the network's input", error);
    for (int32_t y = 0; padded && y < sized->padded_h; y++)
        for (int32_t x = 0; x < sized->padded_w; x++)
            padded[(size_t)y * sized->padded_w + x] =
                lightness[(size_t)mirrored(y, sized->h) * sized->w + mirrored(x, sized->w)];
    bool done = padded && cz_plan_write(sized->plan, sized->input, padded, n, error);
    cz_memory_free(padded);
    return done;
}

static bool write_input(const SizedPlan *sized, const float *lightness, GError **error)
{
    size_t n = (size_t)sized->w * sized->h;
    if (sized->padded_w == sized->w && sized->padded_h == sized->h)
        return cz_plan_write(sized->plan, sized->input, lightness, n, error);
    return write_padded(sized, lightness, error);
}

static bool run_once(CzNetwork *network, int32_t w, int32_t h, const float *lightness,
                     float *chroma, CzFeatures *features, const CzProgress *progress,
                     GError **error)
{
    const SizedPlan *sized = plan_get(network, w, h, error);
    size_t n_out = (size_t)((w + 1) / 2) * ((h + 1) / 2) * 2;
    size_t n_features = (size_t)features->width * features->height * features->channels;
    if (!sized || !write_input(sized, lightness, error) ||
        !cz_plan_run(sized->plan, progress, error) ||
        !cz_plan_read(sized->plan, sized->chroma, chroma, n_out, error) ||
        !cz_plan_read(sized->plan, sized->features, features->data, n_features, error))
        return false;
    return check_numbers(network, chroma, n_out, error) &&
           check_numbers(network, features->data, n_features, error);
}

bool cz_network_features_init(const CzNetwork *network, int32_t w, int32_t h, CzFeatures *features,
                              GError **error)
{
    return cz_features_init(features, (w + 7) / 8, (h + 7) / 8,
                            cz_generator_features(&network->params), error);
}

bool cz_network_run(CzNetwork *network, int32_t w, int32_t h, const float *lightness, float *chroma,
                    CzFeatures *features, const CzProgress *progress, GError **error)
{
    // All devices failed the last time: what ailed them (memory, mostly) may be over.
    if (!network->device &&
        !enter_or_move_on(network, network->automatic ? NULL : network->info.id, error))
        return false;
    for (;;) {
        GError *cause = NULL;
        if (run_once(network, w, h, lightness, chroma, features, progress, &cause))
            return true;
        // F16 ends at 65504, and other weights than the bundled ones may go beyond.
        if (g_error_matches(cause, CZ_ERROR, CZ_ERROR_NUMERIC) && network->precision == CZ_F16) {
            network->precision = CZ_F32;
            forget_plans(network);
            g_free(network->notice);
            network->notice =
                g_strdup_printf("%s: F32 instead of F16 from here on", cause->message);
            g_error_free(cause);
            continue;
        }
        // Plans of other sizes are a convenience.
        if (g_error_matches(cause, CZ_ERROR, CZ_ERROR_MEMORY) && forget_plans(network)) {
            g_error_free(cause);
            continue;
        }
        if (!move_on(network, cause)) {
            g_propagate_error(error, cause);
            return false;
        }
        g_error_free(cause);
    }
}

bool cz_network_has_slopes(const CzNetwork *network)
{
    return network->params.architecture == CZ_GENERATOR_UNET && network->params.unet.affine;
}

bool cz_network_slopes(CzNetwork *network, int32_t w, int32_t h, float *slopes, GError **error)
{
    const SizedPlan *sized = plan_get(network, w, h, error);
    size_t n = (size_t)ceil_div(w, 2) * ceil_div(h, 2) * 2;
    return sized && cz_plan_read(sized->plan, sized->slopes, slopes, n, error) &&
           check_numbers(network, slopes, n, error);
}
