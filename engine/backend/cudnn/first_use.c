// SPDX-License-Identifier: LGPL-3.0-or-later
// First uses in a child process, and what is concluded from how the child ended.
#define _GNU_SOURCE // pipe2
#include "first_use.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cz/error.h>

#include "verdicts.h"

enum { LIMIT_MS = 30000, MAX_WORDS = 1000 };

// ---- in the child -------------------------------------------------------------------------------

// Away from the host's files and signal handlers: libgimp's would ask on the terminal what to do.
static void leave_host(void)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
}

static void write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            bytes += written;
            n -= (size_t)written;
        }
    }
}

// Writes the answer as one digit, and the error's words behind it.
static void child(const FirstUse *use, int pipe_end) G_GNUC_NORETURN;

static void child(const FirstUse *use, int pipe_end)
{
    GError *error = NULL;
    leave_host();
    FirstUseAnswer answer = use->probe(use->user, &error);
    write_all(pipe_end, &(char){(char)('0' + answer)}, 1);
    if (error)
        write_all(pipe_end, error->message, strnlen(error->message, MAX_WORDS));
    _exit(0);
}

// ---- in the parent ------------------------------------------------------------------------------

// How a child ended.
typedef struct {
    GString *said; // what it wrote
    bool late;
    bool known; // status is that of waitpid()
    int status;
} End;

// Reads until the child has closed its end. FALSE: too late.
static bool listen_until(int fd, gint64 deadline_us, GString *said)
{
    for (;;) {
        gint64 left_ms = (deadline_us - g_get_monotonic_time()) / 1000;
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&polled, 1, (int)left_ms) : 0;
        if (ready == 0)
            return false;
        char bytes[256];
        ssize_t n = ready < 0 ? -1 : read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        if (said->len <= MAX_WORDS)
            g_string_append_len(said, bytes, n);
    }
}

// A child inside a driver call that hangs cannot be killed: it is waited for a second, and left.
static void reap(pid_t pid, End *end)
{
    for (int i = 0; i < 200; i++) {
        pid_t found = waitpid(pid, &end->status, end->late ? WNOHANG : 0);
        if (found == pid)
            end->known = true;
        else if (found == 0) {
            g_usleep(5000);
            continue;
        } else if (errno == EINTR)
            continue;
        return;
    }
}

// FALSE: no child could be started.
static bool try_in_child(const FirstUse *use, End *end)
{
    int limit_ms = use->limit_ms > 0 ? use->limit_ms : LIMIT_MS;
    gint64 deadline_us = g_get_monotonic_time() + (gint64)limit_ms * 1000;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        child(use, ends[1]);
    close(ends[1]);
    if (pid > 0) {
        end->late = !listen_until(ends[0], deadline_us, end->said);
        if (end->late)
            kill(pid, SIGKILL);
        reap(pid, end);
    }
    close(ends[0]);
    return pid > 0;
}

// Signals that a process brings upon itself.
static bool is_crash(int number)
{
    const int crashes[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
    for (size_t i = 0; i < G_N_ELEMENTS(crashes); i++)
        if (crashes[i] == number)
            return true;
    return false;
}

// The verdict, VERDICT_NONE if the end tells nothing about the library; *sentence unless it works.
static Verdict judge(const FirstUse *use, const End *end, char **sentence)
{
    int answer = end->said->len > 0 ? end->said->str[0] - '0' : -1;
    *sentence = NULL;
    if (answer == FIRST_USE_WORKS)
        return VERDICT_WORKS;
    if (answer == FIRST_USE_UNDECIDED)
        return VERDICT_NONE;
    if (answer == FIRST_USE_WRONG || answer == FIRST_USE_FAILS) {
        g_autofree char *words = g_utf8_make_valid(end->said->str + 1, -1);
        *sentence = g_strdup_printf("%s failed at its first use: %s", use->what,
                                    *words ? words : "no reason given");
        return answer == FIRST_USE_WRONG ? VERDICT_BROKEN : VERDICT_FAILS;
    }
    if (end->late) {
        double limit_s = (use->limit_ms > 0 ? use->limit_ms : LIMIT_MS) / 1000.0;
        *sentence = g_strdup_printf("%s gave no answer within %g s; not used", use->what, limit_s);
        return VERDICT_FAILS;
    }
    if (end->known && WIFSIGNALED(end->status)) {
        int number = WTERMSIG(end->status);
        *sentence = g_strdup_printf("%s ended the process (signal %d, %s); not used", use->what,
                                    number, g_strsignal(number));
        return is_crash(number) ? VERDICT_BROKEN : VERDICT_NONE;
    }
    if (end->known) {
        *sentence = g_strdup_printf("%s ended the process (exit status %d); not used", use->what,
                                    WEXITSTATUS(end->status));
        return VERDICT_FAILS;
    }
    *sentence = g_strdup_printf("%s ended the process; not used", use->what);
    return VERDICT_NONE;
}

bool first_use_ok(const CzHost *host, const FirstUse *use, GError **error)
{
    g_autofree char *sentence = NULL;
    const char *forget = g_getenv("COLORIZE_CUDA_FORGET");
    Verdict verdict = VERDICT_NONE;
    if (g_strcmp0(forget, "1") != 0)
        verdict = verdict_find(use->key, &sentence);
    if (verdict == VERDICT_WORKS)
        return true;
    if (verdict != VERDICT_NONE) {
        g_set_error(error, host->error_domain, CZ_ERROR_BACKEND,
                    "%s (found at an earlier start; COLORIZE_CUDA_FORGET=1 tries again)", sentence);
        return false;
    }
    End end = {.said = g_string_new(NULL)};
    bool tried = try_in_child(use, &end);
    if (tried) {
        g_free(sentence);
        verdict = judge(use, &end, &sentence);
        if (verdict != VERDICT_NONE)
            verdict_keep(use->key, verdict, sentence);
    }
    g_string_free(end.said, TRUE);
    if (tried && sentence)
        g_set_error_literal(error, host->error_domain, CZ_ERROR_BACKEND, sentence);
    return !tried || !sentence;
}
