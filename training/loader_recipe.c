// SPDX-License-Identifier: LGPL-3.0-or-later
#include "loader_recipe.h"

TrainLoaderOptions train_loader_of_recipe(const TrainRecipe *recipe)
{
    return (TrainLoaderOptions){
        .augment = {.crop = recipe->crop,
                    .stride = train_recipe_stride(recipe),
                    .scale_min = (float)recipe->scale_min,
                    .scale_max = (float)recipe->scale_max,
                    .flip = (float)recipe->flip,
                    .gamma_probability = (float)recipe->gamma_probability,
                    .gamma_sigma = (float)recipe->gamma_sigma,
                    .degrade = {.blur = (float)recipe->blur,
                                .plate = (float)recipe->plate,
                                .fade = (float)recipe->fade,
                                .grain = (float)recipe->grain,
                                .jpeg = (float)recipe->jpeg}},
        .batch = recipe->batch,
        .stride = recipe->batch,
        .seed = (uint64_t)recipe->seed,
        .held_back = recipe->validation,
    };
}
