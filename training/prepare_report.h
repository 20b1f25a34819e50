// SPDX-License-Identifier: LGPL-3.0-or-later
// What became of every picture, as a file: CSV, or JSON if the file's name ends in .json.
#pragma once

#include "prepare.h"

G_BEGIN_DECLS

// Rows of path, verdict (a word) and reason (a sentence's part). Pictures that are taken and
// nothing more to be said of have none.
typedef struct TrainReport TrainReport;

TrainReport *train_report_new(void);
void train_report_free(TrainReport *report); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainReport, train_report_free)

// A TrainPrepareReport; user is the TrainReport.
void train_report_add(void *user, size_t number, const char *name, TrainVerdict verdict,
                      const char *detail);

// CSV: RFC 4180, lines end with a line feed, first the names of the columns. JSON: {"set": path,
// "counts": {word: number}, "held_back": number, "pictures": [{"path", "verdict", "reason"}]}.
// Written atomically. CZ_ERROR_IO.
bool train_report_write(const TrainReport *report, const char *path, const char *set,
                        const TrainPrepareCounts *counts, GError **error);

G_END_DECLS
