// SPDX-License-Identifier: LGPL-3.0-or-later
// Finding the module, launching, and agreeing.
#include "ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmodule.h>

#include <cz/error.h>
#include <cz/threads.h>

// Seconds that mpirun gives ranks between asking them to end and ending them: time to finish a step
// and to save.
#define GRACE "20"

// What Open MPI, and MPICH and its kin, tell each process.
static int launched_ranks(void)
{
    static const char *const variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"};
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        const char *value = g_getenv(variables[i]);
        if (value && *value)
            return (int)g_ascii_strtoll(value, NULL, 10);
    }
    return 1;
}

static char *module_path(void)
{
    const char *chosen = g_getenv("COLORIZE_MPI_MODULE");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
    g_autofree char *beside = g_build_filename(folder, "mpi", "libcolorize-mpi.so", NULL);
    if (chosen && g_path_is_absolute(chosen))
        return g_strdup(chosen);
    if (g_file_test(beside, G_FILE_TEST_EXISTS)) // not installed
        return g_steal_pointer(&beside);
    return g_build_filename(TRAIN_MODULE_DIR, "libcolorize-mpi.so", NULL);
}

static void fail(GError **error, int n, const char *why)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND,
                "started as one of %d ranks, but without MPI: %s (build with -Dmpi=enabled and "
                "libopenmpi-dev)",
                n, why);
}

bool train_ranks_join(const TrainRanks **ranks, GError **error)
{
    int n = launched_ranks();
    *ranks = NULL;
    if (n < 2)
        return true;
    g_autofree char *path = module_path();
    // Not local: Open MPI opens parts of its own, which look for its symbols.
    GModule *module = g_module_open(path, G_MODULE_BIND_LAZY);
    TrainRanksQuery query;
    if (!module || !g_module_symbol(module, TRAIN_RANKS_SYMBOL, (gpointer *)&query)) {
        fail(error, n, g_module_error());
        return false;
    }
    g_module_make_resident(module);
    *ranks = query();
    if (*ranks && (*ranks)->abi == TRAIN_RANKS_ABI && (*ranks)->n == n)
        return true;
    // The launcher of one MPI and the library of another see as many worlds of one rank.
    fail(error, n,
         *ranks ? "the module joined other ranks; mpirun and library are of two kinds"
                : "the module refuses");
    return false;
}

void train_ranks_finish(const TrainRanks *ranks)
{
    if (ranks)
        ranks->finish();
}

// ---- launching ----------------------------------------------------------------------------------

// argv without "--ranks N".
static void add_own_command(GPtrArray *command, char **argv)
{
    for (char **word = argv; *word; word++) {
        if (g_str_equal(*word, "--ranks") && word[1])
            word++;
        else if (!g_str_has_prefix(*word, "--ranks="))
            g_ptr_array_add(command, *word);
    }
}

static volatile sig_atomic_t launcher; // mpirun's process; 0: none
static volatile sig_atomic_t n_asked;

// mpirun passes SIGUSR1 on at once; of SIGINT and SIGTERM ranks learn when it is too late to save.
static void ask(int number)
{
    (void)number;
    if (launcher > 0)
        kill((pid_t)launcher, n_asked++ ? SIGTERM : SIGUSR1);
}

enum { NOT_STARTED = 127 };

// In a process group of its own, so that Ctrl+C reaches it by way of ask() alone.
static void become_launcher(char **words)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    execvp(words[0], words);
    _exit(NOT_STARTED);
}

static bool run_launcher(char **words, int *status, GError **error)
{
    pid_t child = fork();
    if (child == 0)
        become_launcher(words);
    launcher = child;
    signal(SIGINT, ask);
    signal(SIGTERM, ask);
    int ended = 0;
    while (child > 0 && waitpid(child, &ended, 0) < 0 && errno == EINTR)
        continue;
    launcher = 0;
    *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
    if (child > 0 && *status != NOT_STARTED)
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "--ranks needs mpirun (openmpi-bin): %s",
                child < 0 ? g_strerror(errno) : "it cannot be started");
    return false;
}

bool train_ranks_launch(int n, int n_threads, char **argv, int *status, GError **error)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", error);
    if (!self)
        return false;
    int cores = cz_threads_available(), each = n_threads > 0 ? n_threads : MAX(cores / n, 1);
    g_autofree char *number = g_strdup_printf("%d", n);
    g_autofree char *map = g_strdup_printf("slot:PE=%d", each);
    g_autoptr(GPtrArray) command = g_ptr_array_new();
    const char *const head[] = {"mpirun", "-np", number, "--mca", "odls_base_sigkill_timeout",
                                GRACE};
    const char *const bound[] = {"--map-by", map, "--bind-to", "core"};
    const char *const crowded[] = {"--bind-to", "none", "--oversubscribe"};
    for (size_t i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(command, (char *)head[i]);
    bool fits = n * each <= cores;
    for (size_t i = 0; i < (fits ? G_N_ELEMENTS(bound) : G_N_ELEMENTS(crowded)); i++)
        g_ptr_array_add(command, (char *)(fits ? bound : crowded)[i]);
    g_ptr_array_add(command, self);
    add_own_command(command, argv);
    g_ptr_array_add(command, NULL);
    if (geteuid() == 0) { // as in a container; mpirun refuses root otherwise
        g_setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", FALSE);
        g_setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", FALSE);
    }
    return run_launcher((char **)command->pdata, status, error);
}

// ---- together -----------------------------------------------------------------------------------

bool train_ranks_first(const TrainRanks *ranks)
{
    return !ranks || ranks->rank == 0;
}

int train_ranks_threads(const TrainRanks *ranks, int wanted)
{
    int cores = cz_threads_available();
    if (!ranks)
        return wanted;
    int sharing = ranks->own_cores ? 1 : ranks->n_here;
    int threads = wanted > 0 ? wanted : MAX(cores / sharing, 1);
    if (train_ranks_first(ranks) && threads * sharing > cores)
        fprintf(stderr,
                "colorizer train: %d ranks of %d threads on %d cores wait for each other: fewer "
                "ranks or --threads; one rank's cores are bound by mpirun --bind-to core --map-by "
                "slot:PE=THREADS\n",
                sharing, threads, cores);
    return threads;
}

bool train_ranks_agree(const TrainRanks *ranks, bool ok, GError **error)
{
    if (!ranks)
        return ok;
    // One that failed without a sentence leaves it to those that have one.
    double failed = ok ? 0 : error && *error ? 1 + ranks->n - ranks->rank : 0.5, most = failed;
    ranks->max(&most, 1);
    if (most > failed)
        g_clear_error(error); // a lower rank tells it
    return most == 0;
}

void train_ranks_fail_alone(const TrainRanks *ranks, GError **error)
{
    if (!ranks)
        return;
    fprintf(stderr, "colorizer train: rank %d: %s\n", ranks->rank,
            error && *error ? (*error)->message : "unknown error");
    ranks->abort(1);
}

// Whether a value is the same on all; its smallest and largest else.
static bool same(const TrainRanks *ranks, double value, double ends[2])
{
    double values[] = {-value, value};
    ranks->max(values, G_N_ELEMENTS(values));
    ends[0] = -values[0];
    ends[1] = values[1];
    return ends[0] == ends[1];
}

bool train_ranks_check_start(const TrainRanks *ranks, int64_t step, const char *folder,
                             GError **error)
{
    double ends[2];
    if (!ranks || same(ranks, (double)step, ends))
        return true;
    if (train_ranks_first(ranks))
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                    "ranks found checkpoints of steps %.0f and %.0f: %s must be one folder that "
                    "all machines share",
                    ends[0], ends[1], folder);
    return false;
}

bool train_ranks_after_step(const TrainRanks *ranks, bool ok, int64_t step, double norm, bool *stop,
                            GError **error)
{
    double ends[2], stops = *stop;
    if (!ranks)
        return ok;
    if (!train_ranks_agree(ranks, ok, error))
        return false;
    ranks->max(&stops, 1);
    *stop = stops > 0;
    if (same(ranks, isfinite(norm) ? norm : 0, ends))
        return true;
    if (train_ranks_first(ranks))
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "ranks have drifted apart: after step %" G_GINT64_FORMAT
                    " the norm of the gradient is %.9g on one and %.9g on another; are set, "
                    "program and weights the same everywhere?",
                    step, ends[0], ends[1]);
    return false;
}

void train_ranks_print(const TrainRanks *ranks, int64_t n_steps, double seconds)
{
    if (!ranks)
        return;
    printf("summed over ranks by MPI: %.2f MiB a step, %.0f %% of the time\n",
           (double)ranks->n_bytes() / (double)MAX(n_steps, 1) / 1048576,
           100 * ranks->seconds() / MAX(seconds, 1e-9));
    fflush(stdout);
}
