// SPDX-License-Identifier: LGPL-3.0-or-later
// The colorizer, and predict: a photograph, read once, to its chroma field.
#include "colorizer/private.h"

#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>

#include "colorizer/reduce.h"
#include "colorizer/tiles.h"

// ---- the colorizer ------------------------------------------------------------------------------

typedef struct {
    CzColorizer *colorizer;
    const char *weights;
    const CzColorizerOptions *options;
} Opening;

static bool job_open(void *data, GError **error)
{
    Opening *opening = data;
    opening->colorizer->network = cz_network_new(opening->weights, opening->options->device,
                                                 opening->options->precision, error);
    return opening->colorizer->network != NULL;
}

static bool job_close(void *data, GError **error)
{
    CzColorizer *colorizer = data;
    g_clear_pointer(&colorizer->network, cz_network_free);
    return true;
}

CzColorizer *cz_colorizer_new(const CzColorizerOptions *options, GError **error)
{
    static const CzColorizerOptions defaults = {0};
    options = options ? options : &defaults;
    g_autofree char *bundled = NULL;
    const char *weights = options->weights;
    if (!weights || !*weights)
        weights = bundled = cz_weights_bundled(error);
    if (!weights)
        return NULL;
    g_autoptr(CzColorizer) colorizer = g_new0(CzColorizer, 1);
    colorizer->worker = cz_worker_new(options->threads, error);
    if (!colorizer->worker)
        return NULL;
    Opening opening = {colorizer, weights, options};
    cz_worker_start(colorizer->worker, job_open, &opening);
    if (!cz_worker_wait(colorizer->worker, NULL, error))
        return NULL;
    return g_steal_pointer(&colorizer);
}

void cz_colorizer_free(CzColorizer *colorizer)
{
    if (!colorizer)
        return;
    if (colorizer->network) {
        cz_worker_start(colorizer->worker, job_close, colorizer);
        cz_worker_wait(colorizer->worker, NULL, NULL);
    }
    cz_worker_free(colorizer->worker);
    g_free(colorizer);
}

const CzDeviceInfo *cz_colorizer_device(const CzColorizer *colorizer)
{
    return cz_network_device(colorizer->network);
}

char *cz_colorizer_notice(CzColorizer *colorizer)
{
    return cz_network_notice(colorizer->network);
}

void cz_chroma_free(CzChroma *chroma)
{
    if (!chroma)
        return;
    cz_field_clear(&chroma->field);
    cz_ground_clear(&chroma->ground);
    cz_class_map_clear(&chroma->classes);
    cz_field_clear(&chroma->fine);
    g_free(chroma);
}

const CzField *cz_chroma_field(const CzChroma *chroma)
{
    return &chroma->field;
}

int32_t cz_chroma_n_tiles(const CzChroma *chroma)
{
    return chroma->n_tiles;
}

float *cz_band_alloc(const CzPhoto *photo, GError **error)
{
    gsize n;
    if (!g_size_checked_mul(&n, (gsize)photo->width, 3 * sizeof(float)) ||
        !g_size_checked_mul(&n, n, (gsize)cz_band_rows(photo))) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "rows of %d pixels do not fit into memory",
                    photo->width);
        return NULL;
    }
    return cz_memory_alloc(n, "rows of the photograph", error);
}

bool cz_progress_report(const CzProgress *progress, double fraction, GError **error)
{
    if (!progress || progress->report(progress->user, fraction))
        return true;
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_CANCELLED, "cancelled");
    return false;
}

// ---- reading ------------------------------------------------------------------------------------

// The share of the progress that goes to reading; the rest is the network's.
#define READING 0.4

typedef struct {
    CzReducer *reducer;
    const float *rgb;
    int32_t n_rows;
} ReduceJob;

static bool job_reduce(void *data, GError **error)
{
    const ReduceJob *job = data;
    cz_reducer_push(job->reducer, job->rgb, job->n_rows);
    return true;
}

static bool read_band(const CzPhoto *photo, int32_t y, float *rgb, GError **error)
{
    int32_t n_rows = MIN(cz_band_rows(photo), photo->height - y);
    return photo->read_rows(photo->user, y, n_rows, rgb, error);
}

// The caller's thread reads a band while the engine's reduces the one before.
static bool read_photo(CzWorker *worker, CzReducer *reducer, const CzPhoto *photo, float *bands[2],
                       const CzProgress *progress, GError **error)
{
    int32_t step = cz_band_rows(photo);
    if (!cz_progress_report(progress, 0, error) || !read_band(photo, 0, bands[0], error))
        return false;
    for (int32_t y = 0, band = 0; y < photo->height; y += step, band ^= 1) {
        ReduceJob job = {reducer, bands[band], MIN(step, photo->height - y)};
        cz_worker_start(worker, job_reduce, &job);
        int32_t next = y + step;
        bool good = true;
        if (next < photo->height)
            good = cz_progress_report(progress, READING * next / photo->height, error) &&
                   read_band(photo, next, bands[!band], error);
        if (!cz_worker_wait(worker, NULL, good ? error : NULL) || !good)
            return false;
    }
    return true;
}

// ---- the network --------------------------------------------------------------------------------

typedef struct {
    CzColorizer *colorizer;
    CzReducer *reducer;
    CzGround *ground;
    CzClassMap *classes;
    CzTiling tiling;
    CzField *fine;
    float *slopes;      // the network's own at the field's places, mean over sizes; NULL: none
    double done, share; // of all sizes: behind us, and of this one
    double told;        // last fraction that the host was told
} PredictJob;

// Telling the host means waking another thread: once in twenty is enough for any progress bar.
static bool report_network(void *user, double fraction)
{
    PredictJob *job = user;
    double total = job->done + job->share * fraction;
    if (fraction > 0 && total < job->told + 0.05)
        return true;
    job->told = total;
    return cz_worker_report(job->colorizer->worker, READING + (1 - READING) * total);
}

// What the last run says of slopes; chroma and resized are overwritten.
static bool add_slopes(const PredictJob *job, int32_t w, int32_t h, float *chroma, float *resized,
                       GError **error)
{
    const CzField *field = &job->ground->field;
    // From a*b*/100 for each L*/50 to a*b* for each L*.
    float weight = 2.0f / (float)cz_reducer_n_sizes(job->reducer);
    if (!cz_network_slopes(job->colorizer->network, w, h, chroma, error) ||
        !cz_resize_image(resized, field->width, field->height, chroma, (w + 1) / 2, (h + 1) / 2, 2,
                         error))
        return false;
    for (size_t i = 0; i < 2 * (size_t)field->width * field->height; i++)
        job->slopes[i] += weight * resized[i];
    return true;
}

// The border is mended, and its slopes are of what it is now.
static void use_slopes(const PredictJob *job)
{
    CzField *field = &job->ground->field;
    int32_t border = MIN(field->width, field->height) < 4 * CZ_FIELD_BORDER ? 0 : CZ_FIELD_BORDER;
    size_t n = (size_t)(field->width - 2 * border) * 2;
    for (int32_t y = border; y < field->height - border; y++) {
        size_t at = ((size_t)y * field->width + border) * 2;
        memcpy(field->s + at, job->slopes + at, n * sizeof(float));
    }
    job->ground->learned = true;
}

// Where weights have a head of classes, places are asked about later, on one size's features.
static bool keep_classes(const PredictJob *job, const CzFeatures *features, GError **error)
{
    const CzClassHead *head = cz_network_classes(job->colorizer->network);
    return !head || cz_class_map_init(job->classes, head, features, error);
}

// One size: its prediction, brought to the field's size, is added to the field's chroma.
static bool predict_size(PredictJob *job, int index, GError **error)
{
    int32_t w, h;
    cz_reducer_size(job->reducer, index, &w, &h);
    int32_t half_w = (w + 1) / 2, half_h = (h + 1) / 2;
    CzField *field = &job->ground->field;
    CzFeatures *features = &job->ground->features[index];
    size_t n_field = (size_t)field->width * field->height;
    size_t n_in = (size_t)w * h, n_out = (size_t)half_w * half_h * 2;
    float *memory = cz_memory_alloc((n_in + n_out + 2 * n_field) * sizeof(float),
                                    "the network's input and output", error);
    if (!memory)
        return false;
    float *lightness = memory, *chroma = memory + n_in, *resized = chroma + n_out;
    cz_reducer_result(job->reducer, index, lightness);
    for (size_t i = 0; i < n_in; i++)
        lightness[i] = lightness[i] / 50 - 1;
    const CzProgress progress = {report_network, job};
    bool good =
        cz_progress_report(&progress, 0, error) &&
        cz_network_features_init(job->colorizer->network, w, h, features, error) &&
        cz_network_run(job->colorizer->network, w, h, lightness, chroma, features, &progress,
                       error) &&
        cz_resize_image(resized, field->width, field->height, chroma, half_w, half_h, 2, error);
    float weight = 100.0f / (float)cz_reducer_n_sizes(job->reducer);
    for (size_t i = 0; good && i < 2 * n_field; i++)
        field->c[i] += weight * resized[i];
    if (good && job->slopes)
        good = add_slopes(job, w, h, chroma, resized, error);
    if (good && index == cz_reducer_n_sizes(job->reducer) - 1)
        good = keep_classes(job, features, error);
    job->ground->n_features += good;
    cz_memory_free(memory);
    return good;
}

static void field_from_d65(CzField *field)
{
    for (size_t i = 0; i < (size_t)field->width * field->height; i++) {
        float lab[3] = {field->l[i], field->c[2 * i], field->c[2 * i + 1]};
        cz_lab_d65_to_d50(lab, 1);
        field->c[2 * i] = lab[1];
        field->c[2 * i + 1] = lab[2];
    }
}

static bool predict_tiles(PredictJob *job, GError **error)
{
    const CzTiling *tiling = &job->tiling;
    size_t n_bytes = (size_t)tiling->w * tiling->h * sizeof(float);
    float *lightness = cz_memory_alloc(n_bytes, "the picture for tiles", error);
    if (!lightness)
        return false;
    cz_reducer_fine(job->reducer, lightness);
    job->share = 1 - job->done;
    const CzTileJob tiles = {.tiling = *tiling,
                             .network = job->colorizer->network,
                             .whole = &job->ground->field,
                             .lightness = lightness,
                             .fine = job->fine,
                             .report = report_network,
                             .user = job};
    bool good = cz_tiles_run(&tiles, error);
    cz_memory_free(lightness);
    return good;
}

// The pass over everything, at every size, to the field.
static bool predict_whole(PredictJob *job, GError **error)
{
    CzField *field = &job->ground->field;
    int n_sizes = cz_reducer_n_sizes(job->reducer);
    double total =
        (double)job->tiling.tile_w * job->tiling.tile_h * job->tiling.n_x * job->tiling.n_y;
    int32_t w, h;
    for (int i = 0; i < n_sizes; i++) {
        cz_reducer_size(job->reducer, i, &w, &h);
        total += (double)w * h;
    }
    memset(field->c, 0, (size_t)field->width * field->height * 2 * sizeof(float));
    cz_reducer_lightness(job->reducer, field->l);
    for (int i = 0; i < n_sizes; i++) {
        cz_reducer_size(job->reducer, i, &w, &h);
        job->share = (double)w * h / total;
        if (!predict_size(job, i, error))
            return false;
        job->done += job->share;
    }
    if (cz_network_use(job->colorizer->network)->d65)
        field_from_d65(field);
    cz_field_mend_border(field, CZ_FIELD_BORDER);
    cz_field_slopes(field, CZ_FIELD_EPSILON);
    if (job->slopes)
        use_slopes(job);
    return true;
}

static bool job_predict(void *data, GError **error)
{
    PredictJob *job = data;
    const CzField *field = &job->ground->field;
    size_t n_bytes = 2 * (size_t)field->width * field->height * sizeof(float);
    const CzNetwork *network = job->colorizer->network;
    // Under another white point the slopes would have to turn with the colors.
    bool learned = cz_network_has_slopes(network) && !cz_network_use(network)->d65;
    if (learned && !(job->slopes = cz_memory_alloc(n_bytes, "slopes", error)))
        return false;
    if (learned)
        memset(job->slopes, 0, n_bytes);
    bool good = predict_whole(job, error);
    g_clear_pointer(&job->slopes, cz_memory_free);
    return good && (job->tiling.w == 0 || predict_tiles(job, error));
}

static bool predict_field(CzColorizer *colorizer, const CzPhoto *photo, CzReducer *reducer,
                          CzChroma *chroma, const CzTiling *tiling, const CzProgress *progress,
                          GError **error)
{
    float *bands[2] = {cz_band_alloc(photo, error), NULL};
    bands[1] = bands[0] ? cz_band_alloc(photo, error) : NULL;
    bool good = bands[1] && read_photo(colorizer->worker, reducer, photo, bands, progress, error);
    cz_memory_free(bands[0]);
    cz_memory_free(bands[1]);
    if (!good)
        return false;
    PredictJob job = {.colorizer = colorizer,
                      .reducer = reducer,
                      .ground = &chroma->ground,
                      .classes = &chroma->classes,
                      .tiling = *tiling,
                      .fine = &chroma->fine};
    cz_worker_start(colorizer->worker, job_predict, &job);
    return cz_worker_wait(colorizer->worker, progress, error) &&
           cz_progress_report(progress, 1, error);
}

CzChroma *cz_colorizer_predict(CzColorizer *colorizer, const CzPhoto *photo, int32_t tile_size,
                               const CzProgress *progress, GError **error)
{
    if (photo->width < 1 || photo->height < 1) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "a photograph of %d x %d pixels is empty",
                    photo->width, photo->height);
        return NULL;
    }
    const CzNetworkUse *use = cz_network_use(colorizer->network);
    g_autoptr(CzReducer) reducer =
        cz_reducer_new(photo->width, photo->height, use->sizes, use->n_sizes, error);
    if (!reducer)
        return NULL;
    g_autoptr(CzChroma) chroma = g_new0(CzChroma, 1);
    chroma->width = photo->width;
    chroma->height = photo->height;
    const CzHintHead *hints = cz_network_hints(colorizer->network);
    chroma->ground.head = hints;
    chroma->kernel = hints ? hints->kernel : cz_hint_kernel(0.5);
    int32_t w, h;
    cz_reducer_field_size(reducer, &w, &h);
    const CzTiling tiling =
        cz_tiling(photo->width, photo->height, tile_size, use->sizes[use->n_sizes - 1]);
    if (tiling.w > 0 &&
        (!cz_field_init(&chroma->fine, (tiling.w + 1) / 2, (tiling.h + 1) / 2, error) ||
         !cz_reducer_add_fine(reducer, photo->height, tiling.w, tiling.h, error)))
        return NULL;
    if (!cz_field_init(&chroma->field, w, h, error) ||
        !cz_field_init(&chroma->ground.field, w, h, error) ||
        !predict_field(colorizer, photo, reducer, chroma, &tiling, progress, error) ||
        !cz_ground_finish(&chroma->ground, photo->width, photo->height, error))
        return NULL;
    cz_field_copy(&chroma->field, &chroma->ground.field);
    chroma->n_tiles = tiling.n_x * tiling.n_y;
    chroma->tone = cz_reducer_tone(reducer);
    return g_steal_pointer(&chroma);
}

// ---- learning hints -----------------------------------------------------------------------------

void cz_colorizer_forget_hints(CzColorizer *colorizer)
{
    cz_network_forget_hints(colorizer->network);
}

void cz_chroma_feature_sizes(const CzChroma *chroma, int32_t *n_maps, int32_t *channels)
{
    *n_maps = chroma->ground.n_features;
    *channels = chroma->ground.features[0].channels;
}

void cz_chroma_hint_place(const CzChroma *chroma, const CzDab *dab, CzHintPlace *place,
                          float *features)
{
    const CzGround *ground = &chroma->ground;
    *place = (CzHintPlace){.x = dab->x * ground->width, .y = dab->y * ground->height};
    cz_hints_given(ground, dab, &place->l, place->c, place->predicted);
    for (int m = 0; m < ground->n_features; m++) {
        cz_features_at(&ground->features[m], dab->x, dab->y, features);
        features += ground->features[m].channels;
    }
}

// ---- hints --------------------------------------------------------------------------------------

bool cz_chroma_hint(CzChroma *chroma, const CzDab *dabs, size_t n, double reach, GError **error)
{
    if (!(reach >= 0 && reach <= 1)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "reach is %g, allowed is 0 to 1", reach);
        return false;
    }
    CzHintKernel kernel = cz_hint_kernel_of(&chroma->kernel, reach);
    if (!cz_hints_spread(&chroma->ground, dabs, n, &kernel, &chroma->field, error))
        return false;
    chroma->hinted = n > 0;
    return true;
}
