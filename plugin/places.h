// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the plug-in's own files are: in its build tree, or where they were installed.
#pragma once

#include <stdbool.h>

// Whether this process runs the binary of the build, not an installed one.
bool plugin_in_build_tree(void);

// The folder of the message catalogues.
const char *plugin_locale_folder(void);

// The URI of the manual's page; NULL if it is not there. The caller's.
char *plugin_manual_uri(void);
