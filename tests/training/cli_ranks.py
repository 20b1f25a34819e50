#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# colorizer train in several processes. TAP; skipped where there is no mpirun or no module.
#   cli_ranks.py          equal to one process, and what is refused (suite cpu)
#   cli_ranks.py gpu      the same on GPUs (the doubles' environment), where NCCL sums
#   cli_ranks.py long     killed, stopped, resumed with another number of ranks (suite slow)
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cli
from cli import check, path, read, run, succeed

GPU = "gpu" in sys.argv[1:]
MODULE = os.path.join(os.environ["COLORIZE_BUILD_ROOT"], "training", "mpi", "libcolorize-mpi.so")
# Root, as in containers, and more ranks than this machine may have cores.
FREE = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none"}
# F32, so that only the order of sums differs; a critic with batch normalisation and R1 from the start.
WHOLE = ["--set", "run.bf16=0", "--set", "loss.gan=0.1", "--set", "gan.width=8", "--set", "gan.batch-norm=1",
         "--set", "gan.r1=1", "--set", "run.validate-every=100", "--set", "data.validation=0.1", "--set",
         "run.checkpoint-minutes=0", "--set", "run.log-every=1"]


def train(folder, *more):
    return ["train", "--data", "a.set", "--recipe", cli.SMOKE, "--run", folder, "--threads", "1", "--device",
            "cuda" if GPU else "cpu", *WHOLE, *more]


def start(n, arguments):
    """mpirun -np n; out and errors together."""
    return subprocess.Popen(["mpirun", "-np", str(n), cli.PROGRAM, *arguments], cwd=cli.work, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **FREE})


def together(n, *arguments):
    process = start(n, arguments)
    out, _ = process.communicate(timeout=cli.TIMEOUT)
    return process.returncode, out


def log_of(folder):
    return list(csv.DictReader(read(folder + "/log.csv").decode().splitlines()))


def ranks_of(process):
    """Process ids of the ranks below an mpirun."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], stdout=subprocess.PIPE,
                           text=True).stdout.split()
    return [int(pid) for pid in found]


def two_ranks_are_one_process_with_twice_the_batch():
    """First step: the same terms in another order, 1e-5 (test_ranks.c has the arithmetic). Later ones start
    from weights that Adam has moved by rate * g / |g|: where g is near 0 a last digit turns its sign, so
    that four steps are held to 1e-3 only."""
    succeed("prepare", "--out", "a.set", "pictures")
    succeed(*train("one", "--set", "train.images=16"))
    code, out = together(2, *train("two", "--set", "train.images=16"))
    check(code == 0, code, out)
    check("2 ranks, 2 of the 4 pictures of a batch on each" in out, out)
    check(("sum over ranks by NCCL" in out) == GPU, out)
    check(re.search("summed over ranks by MPI: [0-9.]+ MiB a step", out) and out.count("done: ") == 1, out)
    one, two = log_of("one"), log_of("two")
    check(len(one) == len(two) == 4, one, two)
    worst = {}
    for step, (a, b) in enumerate(zip(one, two)):
        check(a["step"] == b["step"] and a["images"] == b["images"] and a["rate"] == b["rate"], a, b)
        for key in ("loss", "norm", "chroma", "chroma_true", "gan", "critic_loss", "critic_norm", "r1"):
            off = abs(float(a[key]) - float(b[key])) / max(abs(float(a[key])), 1e-3)
            worst[step] = max(worst.get(step, 0), off)
            check(off < (1e-5 if step == 0 else 1e-3), "step", step + 1, key, a[key], b[key])
    print("# two ranks against one, largest relative difference by step:",
          " ".join("%.1e" % worst[step] for step in worst))
    check(sorted(os.listdir(path("one"))) == sorted(os.listdir(path("two"))), "files")


def without_nccl_the_host_sums():
    os.environ["COLORIZE_DOUBLE_NCCL_VERSION"] = "20000"
    code, out = together(2, *train("host", "--set", "train.images=16"))
    del os.environ["COLORIZE_DOUBLE_NCCL_VERSION"]
    check(code == 0 and "sum over ranks by the host: " in out, code, out)
    for a, b in zip(log_of("two"), log_of("host")):
        check(abs(float(a["loss"]) - float(b["loss"])) < 1e-3 * float(a["loss"]), a, b)


def odd_one_out(words, device, *change):
    """Rank 1 has another environment; all end soon, with one sentence."""
    script = path("odd")
    with open(script, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export %s\nexec "%s" "$@"\n'
                   % (" ".join(change), cli.PROGRAM))
    os.chmod(script, 0o755)
    arguments = [device if word == "cuda" else word for word in train("odd run", "--set", "train.images=16")]
    process = subprocess.Popen(["mpirun", "-np", "2", script, *arguments], cwd=cli.work, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **FREE})
    out, _ = process.communicate(timeout=60)
    check(process.returncode != 0 and out.count(words) == 1, process.returncode, out)


def ranks_with_and_without_a_gpu_do_not_wait_for_each_other():
    odd_one_out("some ranks have a GPU and others none", "auto", "COLORIZE_CUDA_DRIVER=/nowhere")
    odd_one_out("out of memory", "cuda", "COLORIZE_DOUBLE_MEMORY=%d" % (21 << 20))


def a_run_goes_on_with_another_number_of_ranks():
    """Two ranks begin, one process ends it; and the same the other way round."""
    code, out = together(2, *train("switch", "--set", "train.images=16", "--stop-after", "2"))
    check(code == 0 and "stopped and saved" in out, code, out)
    succeed(*train("switch", "--set", "train.images=16", "--resume"))
    succeed(*train("back", "--set", "train.images=16", "--stop-after", "2"))
    code, out = together(2, *train("back", "--set", "train.images=16", "--resume"))
    check(code == 0 and out.count("done: ") == 1, code, out)
    for a, b, c in zip(log_of("one"), log_of("switch"), log_of("back")):
        for row in (b, c):
            check(abs(float(a["loss"]) - float(row["loss"])) < 1e-3 * float(a["loss"]), a, row)


def line_then(process, words, act):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(words):
            act()
            break
    seen += process.stdout.readlines()
    return process.wait(cli.TIMEOUT), "".join(seen)


def a_killed_rank_ends_all_and_the_checkpoint_resumes():
    process = start(2, train("killed", "--set", "train.images=400"))
    pids = []

    def kill():
        pids.extend(ranks_of(process))
        os.kill(pids[1], signal.SIGKILL)

    code, out = line_then(process, "step 3 ", kill)
    check(code != 0, code, out)
    check("signal 9" in out, "no sentence", out)
    check(len(pids) == 2, pids)
    for _ in range(100):  # mpirun does not wait for those that it ends
        if not any(os.path.exists("/proc/%d" % pid) for pid in pids):
            break
        time.sleep(0.1)
    check(not any(os.path.exists("/proc/%d" % pid) for pid in pids), "ranks are left")
    check(not os.path.exists(path("killed", "final.safetensors")), "it was over before")
    code, out = together(2, *train("killed", "--set", "train.images=400", "--resume", "--stop-after", "6"))
    check(code == 0 and "step 6 " in out and "step 1 " not in out, code, out)


def asked_gently_all_ranks_stop_at_one_step_and_save():
    process = start(2, train("gentle", "--set", "train.images=4000", "--set", "run.checkpoint-minutes=9"))
    code, out = line_then(process, "step 3 ", lambda: process.send_signal(signal.SIGUSR1))
    check(code == 0 and out.count("stopped and saved") == 1, code, out)
    check(os.path.exists(path("gentle", "checkpoint-0.safetensors")), out)


def what_is_wrong_is_told_once():
    for words, arguments in (("cannot share evenly", train("bad", "--set", "train.batch=3")),
                             ("holds a run already", train("two")),
                             ("no key", train("bad", "--set", "train.bach=2")),
                             ("nowhere.set", train("bad", "--data", "nowhere.set"))):
        code, out = together(2, *arguments)
        check(code != 0 and out.count("colorizer train: ") == 1 and words in out, code, out)
    check(not os.path.exists(path("bad")), "something has begun")


def the_first_ranks_bytes_are_shared():
    program = os.path.join(os.environ["COLORIZE_BUILD_ROOT"], "tests", "training", "mpi_share")
    done = subprocess.run(["mpirun", "-np", "3", program], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **FREE, "COLORIZE_MPI_MODULE": MODULE}, timeout=cli.TIMEOUT)
    check(done.returncode == 0 and done.stdout.count("of 3: right") == 3, done.returncode, done.stdout)


def without_the_module_it_says_so():
    environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "COLORIZE_MPI_MODULE": "/nowhere.so"}
    done = subprocess.run([cli.PROGRAM, *train("bad")], cwd=cli.work, text=True, stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment)
    check(done.returncode == 1 and "-Dmpi=enabled" in done.stderr, done.stderr)


def the_program_itself_knows_no_mpi():
    linked = subprocess.run(["ldd", cli.PROGRAM], stdout=subprocess.PIPE, text=True).stdout
    check("libmpi" not in linked and "libopen-rte" not in linked, linked)


def what_the_launcher_sees_starts_no_ranks():
    begun = time.monotonic()
    cli.fail(1, "nowhere.set", *train("bad", "--ranks", "2", "--data", "nowhere.set"))
    cli.check(time.monotonic() - begun < 5, "mpirun was waited for")


def ranks_starts_mpirun_by_itself():
    process = subprocess.Popen([cli.PROGRAM, *train("launched", "--set", "train.images=4000"), "--ranks", "2"],
                               cwd=cli.work, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    code, out = line_then(process, "step 2 ", lambda: process.send_signal(signal.SIGINT))
    check("2 ranks" in out and "stopped and saved" in out, "Ctrl-C leaves time to save", code, out)


SHORT_CLAIMS = [two_ranks_are_one_process_with_twice_the_batch, what_is_wrong_is_told_once,
                the_first_ranks_bytes_are_shared, without_the_module_it_says_so, the_program_itself_knows_no_mpi,
                what_the_launcher_sees_starts_no_ranks]
GPU_CLAIMS = [two_ranks_are_one_process_with_twice_the_batch, without_nccl_the_host_sums,
              ranks_with_and_without_a_gpu_do_not_wait_for_each_other]
LONG_CLAIMS = [two_ranks_are_one_process_with_twice_the_batch, a_run_goes_on_with_another_number_of_ranks,
               a_killed_rank_ends_all_and_the_checkpoint_resumes,
               asked_gently_all_ranks_stop_at_one_step_and_save, ranks_starts_mpirun_by_itself]

if __name__ == "__main__":
    missing = ("no mpirun here" if not shutil.which("mpirun") else
               "built without MPI" if not os.path.exists(MODULE) else None)
    if missing:
        print("1..0 # SKIP", missing)
        sys.exit(0)
    long = "long" in sys.argv[1:]
    sys.argv = [name for name in sys.argv if name not in ("long", "gpu")]
    cli.TIMEOUT = 600  # ranks wait for each other, long on a busy machine
    sys.exit(cli.main("cli_ranks", GPU_CLAIMS if GPU else LONG_CLAIMS if long else SHORT_CLAIMS))
