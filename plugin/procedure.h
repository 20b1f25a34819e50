// SPDX-License-Identifier: LGPL-3.0-or-later
// The PDB procedure: its arguments, generated from the settings table, and its last values.
#pragma once

#include <libgimp/gimp.h>

// In query(): nothing but registration, since GIMP waits for it at its start.
void plugin_procedure_install(void);

// In run(). values has room for 2; returns how many are set. Strings in it live as long as the
// process.
gint plugin_procedure_run(gint n_params, const GimpParam *params, GimpParam *values);
