// SPDX-License-Identifier: LGPL-3.0-or-later
// Whichever network it is: the one place that tells them apart.
#include <cz/generator.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

#include "model/net.h"

#define START_DEVIATION 0.02f // Radford et al. 2016, and pix2pix after them

static const char *const names[CZ_N_GENERATORS] = {"unet", "pix2pix"};

const char *cz_architecture_name(CzArchitecture architecture)
{
    return architecture >= 0 && architecture < CZ_N_GENERATORS ? names[architecture] : NULL;
}

bool cz_architecture_of(const char *name, CzArchitecture *architecture)
{
    for (int i = 0; i < CZ_N_GENERATORS; i++)
        if (g_strcmp0(name, names[i]) == 0) {
            *architecture = (CzArchitecture)i;
            return true;
        }
    return false;
}

CzGeneratorParams cz_generator_default(void)
{
    return (CzGeneratorParams){CZ_GENERATOR_UNET, cz_unet_default, cz_pix2pix_default};
}

// ---- what it looks like from outside ------------------------------------------------------------

static bool is_pix2pix(const CzGeneratorParams *params)
{
    return params->architecture == CZ_GENERATOR_PIX2PIX;
}

int32_t cz_generator_inputs(const CzGeneratorParams *params)
{
    return is_pix2pix(params) ? params->pix2pix.n_inputs : params->unet.n_inputs;
}

int32_t cz_generator_multiple(const CzGeneratorParams *params)
{
    return is_pix2pix(params) ? 1 << params->pix2pix.levels : 1;
}

int32_t cz_generator_stride(const CzGeneratorParams *params)
{
    if (is_pix2pix(params) || params->unet.affine)
        return 1;
    return params->unet.stride ? params->unet.stride : 2;
}

int32_t cz_generator_features(const CzGeneratorParams *params)
{
    // pix2pix: what the decoder's level 4 gives, four times the first level's width.
    return is_pix2pix(params) ? 4 * params->pix2pix.width : params->unet.widths[1];
}

// ---- nodes --------------------------------------------------------------------------------------

void cz_generator_build(CzGraph *graph, CzValue lightness, const CzGeneratorParams *params,
                        const CzGeneratorUse *use, CzGeneratorOutput *output)
{
    const CzValue failed = {-1};
    CzNet net;
    *output = (CzGeneratorOutput){failed, failed, failed, failed, failed, NULL, NULL, 0};
    cz_net_init(&net, graph, use);
    if (is_pix2pix(params))
        cz_pix2pix_net(&net, lightness, &params->pix2pix, output);
    else
        cz_unet_net(&net, lightness, &params->unet, output);
    cz_net_finish(&net, output);
}

void cz_generator_clear(CzGeneratorOutput *output)
{
    g_clear_pointer(&output->averages, g_free);
    g_clear_pointer(&output->statistics, g_free);
    output->n_averages = 0;
}

bool cz_generator_each(const CzGeneratorParams *params,
                       bool (*visit)(void *user, const CzUnetTensor *tensor), void *user)
{
    // What the formula asks the graph for is what there is; any size that it takes will do.
    g_autoptr(CzGraph) graph = cz_graph_new();
    const CzGeneratorUse use = {.dtype = CZ_F32};
    CzGeneratorOutput output;
    int32_t side = MAX(32, cz_generator_multiple(params));
    CzShape shape = {1, cz_generator_inputs(params), side, side};
    cz_generator_build(graph, cz_input(graph, "lightness", shape), params, &use, &output);
    cz_generator_clear(&output);
    return cz_graph_check(graph, NULL) && cz_net_visit(graph, visit, user);
}

// ---- files --------------------------------------------------------------------------------------

bool cz_generator_read(CzGeneratorParams *params, const CzModelFile *file, GError **error)
{
    const char *name = cz_model_file_meta(file, "colorize.architecture");
    CzGeneratorParams read = cz_generator_default();
    // The U-Net's reader says what is wrong with a name that nobody has.
    if (!cz_architecture_of(name, &read.architecture))
        return cz_unet_read(&read.unet, file, error);
    bool good = is_pix2pix(&read) ? cz_pix2pix_read(&read.pix2pix, file, error)
                                  : cz_unet_read(&read.unet, file, error);
    if (good)
        *params = read;
    return good;
}

void cz_generator_write(const CzGeneratorParams *params, CzModelWriter *writer)
{
    if (is_pix2pix(params))
        cz_pix2pix_write(&params->pix2pix, writer);
    else
        cz_unet_write(&params->unet, writer);
}

typedef struct {
    GHashTable *shapes; // name: shape as text
    size_t n_found;
    bool same;
} Comparison;

static bool note_shape(void *user, const CzUnetTensor *tensor)
{
    Comparison *comparison = user;
    g_hash_table_insert(comparison->shapes, g_strdup(tensor->name), cz_shape_format(tensor->shape));
    return true;
}

static bool compare_shape(void *user, const CzUnetTensor *tensor)
{
    Comparison *comparison = user;
    g_autofree char *shape = cz_shape_format(tensor->shape);
    comparison->n_found++;
    comparison->same = g_strcmp0(g_hash_table_lookup(comparison->shapes, tensor->name), shape) == 0;
    return comparison->same;
}

// Dropout is training's, and a start is over: neither says what weights mean.
static bool pix2pix_equal(const CzPix2pixParams *a, const CzPix2pixParams *b)
{
    return a->shared == b->shared && a->unactivated == b->unactivated && a->range == b->range;
}

static bool unet_equal(const CzUnetParams *a, const CzUnetParams *b)
{
    return a->norm == b->norm && a->attention == b->attention;
}

bool cz_generator_equal(const CzGeneratorParams *a, const CzGeneratorParams *b)
{
    if (a->architecture != b->architecture ||
        !(is_pix2pix(a) ? pix2pix_equal(&a->pix2pix, &b->pix2pix) : unet_equal(&a->unet, &b->unet)))
        return false;
    Comparison comparison = {g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free), 0,
                             true};
    bool same = cz_generator_each(a, note_shape, &comparison) &&
                cz_generator_each(b, compare_shape, &comparison) &&
                comparison.n_found == g_hash_table_size(comparison.shapes);
    g_hash_table_unref(comparison.shapes);
    return same;
}

// ---- start --------------------------------------------------------------------------------------

typedef struct {
    CzStore *store;
    const CzPix2pixParams *params;
    uint64_t seed, stream;
    GError **error;
} Start;

static float start_value(const CzUnetTensor *tensor, bool plain, CzRng *rng)
{
    CzShape s = tensor->shape;
    float value = 0;
    if (g_str_has_suffix(tensor->name, ".scale"))
        return plain ? 1 : 1 + START_DEVIATION * cz_rng_normal(rng);
    if (cz_net_start_value(tensor->name, &value))
        return value;
    return plain ? (2 * cz_rng_uniform(rng) - 1) / sqrtf((float)s.c * (float)(s.h * s.w))
                 : START_DEVIATION * cz_rng_normal(rng);
}

static bool start_tensor(void *user, const CzUnetTensor *tensor)
{
    Start *start = user;
    size_t n = cz_shape_count(tensor->shape);
    float *data = cz_memory_alloc(n * sizeof *data, tensor->name, start->error);
    CzRng rng = cz_rng(start->seed, start->stream++);
    for (size_t i = 0; data && i < n; i++)
        data[i] = start_value(tensor, start->params->plain_start, &rng);
    bool good = data && cz_store_add(start->store, tensor->name, tensor->shape, data, start->error);
    cz_memory_free(data);
    return good;
}

bool cz_generator_start(CzStore *store, const CzGeneratorParams *params, const char *encoder_path,
                        uint64_t seed, GError **error)
{
    if (!is_pix2pix(params))
        return cz_unet_start(store, &params->unet, encoder_path, seed, error);
    if (encoder_path) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL,
                    "%s: expected no pretrained encoder for a pix2pix network, whose own is "
                    "another",
                    encoder_path);
        return false;
    }
    GError *cause = NULL;
    Start start = {store, &params->pix2pix, seed, 0, &cause};
    if (cz_generator_each(params, start_tensor, &start))
        return true;
    if (cause)
        g_propagate_error(error, cause);
    else
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL,
                    "network: expected a pix2pix network of 4 to 9 levels and a width up to 512, "
                    "found %d levels and width %d",
                    params->pix2pix.levels, params->pix2pix.width);
    return false;
}
