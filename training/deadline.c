// SPDX-License-Identifier: LGPL-3.0-or-later
// How much of the time is kept for what comes after the last step.
#include "deadline.h"

// What any disk does, and what ends a run beside its checkpoint.
#define BYTES_PER_S 100e6
#define ENDING_S    0.5

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

TrainDeadline train_deadline(double end, const CzStore *store)
{
    size_t n = 0;
    for (size_t i = 0; i < cz_store_n(store); i++) {
        CzShape shape = {1, 1, 1, 1};
        cz_store_has(store, cz_store_name(store, i), &shape);
        n += cz_shape_count(shape);
    }
    return (TrainDeadline){
        .end = end, .saving = ENDING_S + (double)n * sizeof(float) / BYTES_PER_S, .last = now()};
}

// The next step may be as long as the longest so far, with its look at pictures and its checkpoint.
bool train_deadline_near(TrainDeadline *deadline)
{
    double t = now();
    deadline->longest = MAX(deadline->longest, t - deadline->last);
    deadline->last = t;
    return deadline->end > 0 && t + deadline->longest + deadline->saving > deadline->end;
}
