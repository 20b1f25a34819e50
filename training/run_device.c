// SPDX-License-Identifier: LGPL-3.0-or-later
// A training that outlives its GPU.
#include <stdio.h>

#include <cz/error.h>

#include "checkpoint.h"
#include "run.h"

static bool is_of_the_device(const GError *error)
{
    return g_error_matches(error, CZ_ERROR, CZ_ERROR_BACKEND) ||
           g_error_matches(error, CZ_ERROR, CZ_ERROR_MEMORY);
}

bool train_run(const TrainRunOptions *options, bool *stopped, GError **error)
{
    char opened[TRAIN_DEVICE_ID] = "";
    TrainRunOptions here = *options;
    GError *cause = NULL;
    here.opened = options->opened ? options->opened : opened;
    here.opened[0] = '\0';
    bool chosen = options->device && !g_str_equal(options->device, "auto");
    if (train_run_once(&here, stopped, &cause))
        return true;
    // Several ranks would have to leave their GPUs together.
    if (chosen || options->ranks || !is_of_the_device(cause) ||
        !g_str_has_prefix(here.opened, "cuda:")) {
        g_propagate_error(error, cause);
        return false;
    }
    here.device = "cpu";
    here.any_device = true;
    here.resume = options->resume || train_checkpoint_is_there(options->folder);
    fprintf(stderr, "colorizer train: %s failed (%s); the CPU goes on from %s\n", here.opened,
            cause->message, here.resume ? "the last checkpoint" : "the beginning");
    g_error_free(cause);
    return train_run_once(&here, stopped, error);
}
