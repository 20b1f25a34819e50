// SPDX-License-Identifier: LGPL-3.0-or-later
// The training step as the trainer runs it, its state before and after written out.
#include "peer_step.h"

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/plan.h>

#include "gan.h"
#include "step.h"

typedef struct {
    TrainRecipe recipe;
    CzStore *store, *inputs, *results;
    TrainStep *step;
    TrainCritic *critic;
    float *lightness, *chroma, *fake;
} Peer;

static bool is_state(const char *name)
{
    return g_str_has_prefix(name, TRAIN_M) || g_str_has_prefix(name, TRAIN_V) ||
           g_str_has_prefix(name, TRAIN_EMA);
}

static float *read(CzStore *store, const char *name, CzShape *shape, GError **error)
{
    if (!cz_store_has(store, name, shape)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "there is no '%s'", name);
        return NULL;
    }
    float *data = cz_memory_alloc(cz_shape_count(*shape) * sizeof *data, name, error);
    if (data && cz_store_read(store, name, data, error))
        return data;
    cz_memory_free(data);
    return NULL;
}

// Weights as "w/NAME", or first moments under their own names.
static bool keep(Peer *peer, bool moments, GError **error)
{
    for (size_t i = 0; i < cz_store_n(peer->store); i++) {
        const char *name = cz_store_name(peer->store, i);
        g_autofree char *kept = moments ? g_strdup(name) : g_strconcat("w/", name, NULL);
        CzShape shape;
        if (moments ? !g_str_has_prefix(name, TRAIN_M) : is_state(name))
            continue;
        float *data = read(peer->store, name, &shape, error);
        bool done = data && cz_store_add(peer->results, kept, shape, data, error);
        cz_memory_free(data);
        if (!done)
            return false;
    }
    return true;
}

static bool keep_scalar(Peer *peer, const char *prefix, const char *name, float value,
                        GError **error)
{
    g_autofree char *kept = g_strconcat(prefix, name, NULL);
    return cz_store_add(peer->results, kept, cz_shape(1, 1, 1, 1), &value, error);
}

static bool run(Peer *peer, CzShape chroma, GError **error)
{
    TrainScalars scalars = {0};
    TrainCriticScalars critic = {0};
    if (!keep(peer, false, error) ||
        !train_step_run(peer->step, peer->lightness, peer->chroma, 0, &scalars, error) ||
        !train_step_read_chroma(peer->step, peer->fake, error) ||
        !train_critic_run(peer->critic, peer->lightness, peer->chroma, peer->fake, 0, &critic,
                          error) ||
        !keep(peer, true, error))
        return false;
    for (int32_t i = 0; i < scalars.n_terms; i++)
        if (!keep_scalar(peer, "term/", scalars.terms[i].name, scalars.terms[i].value, error))
            return false;
    return keep_scalar(peer, "term/", "total", scalars.loss, error) &&
           keep_scalar(peer, "critic/", "loss", critic.loss, error) &&
           keep_scalar(peer, "critic/", "r1", critic.r1, error) &&
           keep_scalar(peer, "critic/", "real", critic.real, error) &&
           keep_scalar(peer, "critic/", "fake", critic.fake, error) &&
           cz_store_add(peer->results, "fake", chroma, peer->fake, error);
}

static bool set_up(Peer *peer, CzEngineDevice *device, char **argv, GError **error)
{
    CzShape lightness, chroma;
    g_autoptr(CzModelFile) in = cz_model_file_open(argv[0], error);
    peer->store = cz_store_new(device);
    peer->inputs = cz_store_new(device);
    peer->results = cz_store_new(device);
    train_recipe_init(&peer->recipe);
    for (char **assignment = argv + 2; *assignment; assignment++)
        if (!train_recipe_set(&peer->recipe, *assignment, error))
            return false;
    if (!in || !cz_store_load(peer->inputs, in, error))
        return false;
    peer->lightness = read(peer->inputs, "lightness", &lightness, error);
    peer->chroma = peer->lightness ? read(peer->inputs, "chroma", &chroma, error) : NULL;
    if (!peer->chroma)
        return false;
    peer->recipe.batch = lightness.n;
    peer->recipe.crop = lightness.h;
    peer->fake = cz_memory_alloc(cz_shape_count(chroma) * sizeof(float), "color", error);
    if (!peer->fake || !train_recipe_check(&peer->recipe, error) ||
        !train_step_start(peer->store, &peer->recipe, error))
        return false;
    peer->step = train_step_new(device, peer->store, &peer->recipe, true, error);
    peer->critic = peer->step ? train_critic_new(device, peer->store, &peer->recipe, error) : NULL;
    return peer->critic && run(peer, chroma, error);
}

bool peer_step(char **argv, GError **error)
{
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", error);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    Peer peer = {0};
    bool done = device && set_up(&peer, device, argv, error) &&
                cz_store_save(peer.results, writer, NULL, false, CZ_F32, error) &&
                cz_model_writer_commit(writer, argv[1], error);
    train_critic_free(peer.critic);
    train_step_free(peer.step);
    cz_store_free(peer.results);
    cz_store_free(peer.inputs);
    cz_store_free(peer.store);
    cz_memory_free(peer.lightness);
    cz_memory_free(peer.chroma);
    cz_memory_free(peer.fake);
    return done;
}
