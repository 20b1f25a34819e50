// SPDX-License-Identifier: LGPL-3.0-or-later
// What a recipe says about batches.
#pragma once

#include "loader.h"
#include "recipe.h"

// All that does not hang on where a run is and on who shares it. Batches are whole ones of the
// recipe's.
TrainLoaderOptions train_loader_of_recipe(const TrainRecipe *recipe);
