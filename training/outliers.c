// SPDX-License-Identifier: LGPL-3.0-or-later
// The window of losses and norms, and its limits.
#include "outliers.h"

#include <float.h>
#include <math.h>

bool train_outliers_start(CzStore *store, GError **error)
{
    CzShape shape = {1, sizeof(TrainOutliers) / sizeof(float), 1, 1};
    return cz_store_add(store, TRAIN_OUTLIERS, shape, NULL, error);
}

bool train_outliers_read(TrainOutliers *outliers, CzStore *store, GError **error)
{
    return cz_store_read(store, TRAIN_OUTLIERS, &outliers->next, error);
}

bool train_outliers_write(const TrainOutliers *outliers, CzStore *store, GError **error)
{
    return cz_store_write(store, TRAIN_OUTLIERS, &outliers->next, error);
}

static float limit_of(const float *numbers, double z)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < TRAIN_OUTLIERS_WINDOW; i++)
        sum += (double)numbers[i];
    double mean = sum / TRAIN_OUTLIERS_WINDOW;
    for (int i = 0; i < TRAIN_OUTLIERS_WINDOW; i++)
        squares += ((double)numbers[i] - mean) * ((double)numbers[i] - mean);
    return (float)MIN(mean + z * sqrt(squares / TRAIN_OUTLIERS_WINDOW), (double)FLT_MAX);
}

void train_outliers_limits(const TrainOutliers *outliers, double z, float limits[2])
{
    bool full = outliers->n >= TRAIN_OUTLIERS_WINDOW;
    limits[0] = full ? limit_of(outliers->loss, z) : FLT_MAX;
    limits[1] = full ? limit_of(outliers->norm, z) : FLT_MAX;
}

void train_outliers_add(TrainOutliers *outliers, float loss, float norm)
{
    int at = (int)outliers->next;
    if (!isfinite(loss) || !isfinite(norm))
        return;
    outliers->loss[at] = loss;
    outliers->norm[at] = norm;
    outliers->next = (float)((at + 1) % TRAIN_OUTLIERS_WINDOW);
    outliers->n = MIN(outliers->n + 1, (float)TRAIN_OUTLIERS_WINDOW);
}

void train_outliers_clear(TrainOutliers *outliers)
{
    *outliers = (TrainOutliers){.n_found = outliers->n_found};
}
