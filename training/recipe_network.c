// SPDX-License-Identifier: LGPL-3.0-or-later
// What a recipe says of the networks.
#include "recipe.h"

CzUnetParams train_recipe_network(const TrainRecipe *recipe)
{
    CzUnetParams params = cz_unet_default;
    params.widths[0] = recipe->width16;
    params.widths[1] = recipe->width8;
    params.widths[2] = recipe->width4;
    params.widths[3] = recipe->width2;
    params.context = recipe->context;
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

char *train_recipe_network_fault(const TrainRecipe *recipe)
{
    CzGeneratorParams params = train_recipe_generator(recipe);
    CzArchitecture architecture;
    if (!cz_architecture_of(recipe->architecture, &architecture))
        return g_strdup_printf("network.architecture is '%s', expected unet or pix2pix",
                               recipe->architecture);
    bool pix2pix = architecture == CZ_GENERATOR_PIX2PIX;
    if (pix2pix && *recipe->encoder)
        return g_strdup("network.encoder is the U-Net's: a pix2pix network starts without one");
    if (pix2pix && recipe->unactivated > recipe->levels)
        return g_strdup("network.unactivated is no level of network.levels");
    int32_t multiple = cz_generator_multiple(&params);
    if (recipe->crop % multiple)
        return g_strdup_printf("data.crop is %d, expected a multiple of %d: network.levels is %d, "
                               "and each halves the size",
                               recipe->crop, multiple, recipe->levels);
    return NULL;
}
