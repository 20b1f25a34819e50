// SPDX-License-Identifier: LGPL-3.0-or-later
// What a recipe says of the networks.
#include "recipe.h"

#include <string.h>

static bool norm_of(const char *name, int32_t *norm)
{
    static const char *const names[] = {"none", "batch", "instance"};
    for (int32_t i = 0; i < (int32_t)G_N_ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *norm = i;
            return true;
        }
    return false;
}

// What stands for the default in a file, too, is 0, so that such a file reads as it always did.
static int32_t unless(int32_t value, int32_t initial)
{
    return value == initial ? 0 : value;
}

CzUnetParams train_recipe_network(const TrainRecipe *recipe)
{
    CzUnetParams params = cz_unet_default;
    params.widths[0] = recipe->width16;
    params.widths[1] = recipe->width8;
    params.widths[2] = recipe->width4;
    params.widths[3] = recipe->width2;
    params.context = recipe->context;
    params.stride = unless(recipe->chroma, 2);
    params.attention = recipe->attention;
    params.depth = unless(recipe->depth, 5);
    params.blocks = unless(recipe->blocks, 1);
    norm_of(recipe->norm, &params.norm);
    params.concat = recipe->concat;
    params.affine = strcmp(recipe->head, "affine") == 0;
    params.dropout = (float)recipe->dropout;
    return params;
}

CzGeneratorParams train_recipe_generator(const TrainRecipe *recipe)
{
    CzGeneratorParams params = cz_generator_default();
    cz_architecture_of(recipe->architecture, &params.architecture);
    params.unet = train_recipe_network(recipe);
    params.pix2pix.width = recipe->width;
    params.pix2pix.levels = recipe->levels;
    params.pix2pix.shared = recipe->shared;
    params.pix2pix.unactivated = recipe->unactivated;
    params.pix2pix.plain_start = recipe->plain_start;
    params.pix2pix.dropout = (float)recipe->dropout;
    params.pix2pix.range = (float)recipe->range;
    return params;
}

int32_t train_recipe_stride(const TrainRecipe *recipe)
{
    CzGeneratorParams params = train_recipe_generator(recipe);
    return cz_generator_stride(&params);
}

static char *pix2pix_fault(const TrainRecipe *recipe)
{
    if (*recipe->encoder)
        return g_strdup("network.encoder is the U-Net's: a pix2pix network starts without one");
    if (recipe->unactivated > recipe->levels)
        return g_strdup("network.unactivated is no level of network.levels");
    int32_t multiple = 1 << recipe->levels;
    if (recipe->crop % multiple == 0)
        return NULL;
    return g_strdup_printf("data.crop is %d, expected a multiple of %d: network.levels is %d, and "
                           "each halves the size",
                           recipe->crop, multiple, recipe->levels);
}

static char *unet_fault(const TrainRecipe *recipe)
{
    CzUnetParams params = train_recipe_network(recipe);
    g_autofree char *fault = cz_unet_fault(&params);
    if (!norm_of(recipe->norm, &params.norm))
        return g_strdup_printf("network.norm is '%s', expected none, batch or instance",
                               recipe->norm);
    if (strcmp(recipe->head, "plain") && strcmp(recipe->head, "affine"))
        return g_strdup_printf("network.head is '%s', expected plain or affine", recipe->head);
    if (!fault && recipe->crop % recipe->chroma)
        return g_strdup_printf("data.crop is %d, expected a multiple of network.chroma, %d",
                               recipe->crop, recipe->chroma);
    return fault ? g_strdup_printf("network.%s", fault) : NULL;
}

char *train_recipe_network_fault(const TrainRecipe *recipe)
{
    CzArchitecture architecture;
    if (!cz_architecture_of(recipe->architecture, &architecture))
        return g_strdup_printf("network.architecture is '%s', expected unet or pix2pix",
                               recipe->architecture);
    return architecture == CZ_GENERATOR_PIX2PIX ? pix2pix_fault(recipe) : unet_fault(recipe);
}
