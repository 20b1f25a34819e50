// SPDX-License-Identifier: LGPL-3.0-or-later
// One rank of several that mpirun starts: has rank 0's bytes after share(), and the sum after
// sum(), whatever lies between. cli_ranks.py looks at the exit status; 77: started alone.
#include <stdio.h>
#include <string.h>

#include "ranks.h"

// What NCCL shares, the least, nothing, and more than a packet.
static const size_t sizes[] = {128, 1, 0, 70001};

static bool check(const CzRanks *ranks, size_t n_bytes)
{
    g_autofree uint8_t *bytes = g_malloc0(n_bytes + 1);
    float total = (float)(ranks->rank + 1);
    bool same = true;
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + (ranks->rank == 0 ? 3 : 0));
    bytes[n_bytes] = 0x5a;
    ranks->share(ranks->user, bytes, n_bytes);
    ranks->sum(ranks->user, &total, 1);
    for (size_t i = 0; i < n_bytes; i++)
        same = same && bytes[i] == (uint8_t)(i * 7 + 3);
    return same && bytes[n_bytes] == 0x5a && total == (float)(ranks->n * (ranks->n + 1) / 2);
}

int main(void)
{
    const TrainRanks *ranks;
    g_autoptr(GError) error = NULL;
    if (!train_ranks_join(&ranks, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    if (!ranks)
        return 77;
    bool good = true;
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        good = check(ranks->sum, sizes[i]) && good;
    printf("rank %d of %d: %s\n", ranks->rank, ranks->n, good ? "right" : "wrong");
    train_ranks_finish(ranks);
    return good ? 0 : 1;
}
