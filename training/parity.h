// SPDX-License-Identifier: LGPL-3.0-or-later
// One device against another: every example of every op, and a small network with its gradients.
//
// All through plans and stores, as in use. The tests hold every device against the reference by
// this, and `colorizer selftest` does the same where the users' devices are.
#pragma once

#include <cz/plan.h>

typedef struct {
    CzEngineDevice *right; // what it gives is believed
    CzEngineDevice *device;
} TrainPair;

// What comparisons have come to; all zero before the first.
typedef struct {
    unsigned n;          // pairs of op and example, or networks, that were compared
    unsigned n_refused;  // examples of a type that the op or the device does not know (F16 alone)
    double worst;        // difference over bound; more than 1 is a failure
    GPtrArray *failures; // char *, a sentence for each; NULL: none
    bool broken;         // one of them is that something did not run
} TrainParity;

void train_parity_clear(TrainParity *found);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TrainParity, train_parity_clear)
unsigned train_parity_n_failed(const TrainParity *found);
const char *train_parity_failure(const TrainParity *found); // the first; NULL: none; borrowed

// Whether graphs may hold activations of this type, and both devices run them. The sentence is the
// first refusal's.
bool train_parity_takes(const TrainPair *pair, CzDtype dtype, GError **error);
void train_parity_op(const TrainPair *pair, const CzOpClass *op, CzDtype dtype, TrainParity *found);

// The small network on one odd-sized picture, as in use.
void train_parity_network(const TrainPair *pair, CzDtype dtype, bool frozen, TrainParity *found);
// Its loss and the gradients of all its weights, in F32.
void train_parity_gradients(const TrainPair *pair, TrainParity *found);
// The same in 16 bits, by the distance to those in F32.
void train_parity_half_gradients(const TrainPair *pair, CzDtype dtype, TrainParity *found);
