// SPDX-License-Identifier: LGPL-3.0-or-later
// What a report says of the machine, and what it leaves out.
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include <cz/threads.h>

// "model name : ..." of the first core; the caller frees.
static char *cpu_name(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        return g_strdup("unknown");
    const char *line = strstr(text, "model name");
    const char *name = line ? strchr(line, ':') : NULL;
    if (!name)
        return g_strdup("unknown");
    return g_strstrip(g_strndup(name + 1, strcspn(name + 1, "\n")));
}

char *train_machine_text(void)
{
    struct utsname kernel = {0};
    g_autofree char *cpu = cpu_name();
    uname(&kernel);
    return g_strdup_printf("%-12s %s\n%-12s %s %s, %s\n%-12s %s\n%-12s %u.%u.%u\n%-12s %s, %d "
                           "physical cores free\n\n",
                           "colorizer", COLORIZE_VERSION, "kernel", kernel.sysname, kernel.release,
                           kernel.machine, "C library", gnu_get_libc_version(), "GLib",
                           glib_major_version, glib_minor_version, glib_micro_version, "CPU", cpu,
                           cz_threads_available());
}

// Where a path ends in a sentence. Blanks end it too: a name that has some keeps its last part.
#define PATH_ENDS " \t\n'\"`:;,()<>"

// Replaces "HOME/a/b/c" by "~/c".
static char *scrub(const char *text, const char *home)
{
    GString *out = g_string_new(NULL);
    size_t n = strlen(home);
    const char *found;
    while ((found = strstr(text, home)) != NULL) {
        g_string_append_len(out, text, found - text);
        text = found + n;
        size_t length = strcspn(text, PATH_ENDS);
        // "/home/ann" is no part of "/home/anna"
        if (length > 0 && *text != '/') {
            g_string_append(out, home);
            continue;
        }
        g_autofree char *path = g_strndup(text, length);
        const char *name = strrchr(path, '/');
        g_string_append_printf(out, "~%s", name ? name : "");
        text += length;
    }
    g_string_append(out, text);
    return g_string_free(out, FALSE);
}

char *train_machine_scrub(const char *text)
{
    const char *home = g_get_home_dir();
    if (!home || strlen(home) < 2)
        return g_strdup(text);
    g_autofree char *once = scrub(text, home);
    g_autofree char *real = realpath(home, NULL);
    return real && strlen(real) > 1 ? scrub(once, real) : g_steal_pointer(&once);
}
