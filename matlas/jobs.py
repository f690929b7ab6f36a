"""The runner that every workflow script goes through: logging, seeds, BLAS threads, cost, and one-line errors."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from matlas.errors import MatlasError
from matlas.files import sha256_of, sha256_of_folder
from matlas.lineage import Lineage, digest, now, versions

log = logging.getLogger("matlas")
COST_MARK = "cost "
FAILURE_MARK = "failed: "
_FAILURE_LINE = re.compile(rf"^\d\d:\d\d:\d\d ERROR {FAILURE_MARK}(.*)$", re.MULTILINE)
_COST_LINE = re.compile(r"^[\d:]+ INFO " + COST_MARK + r"(\{.*\})$", re.MULTILINE)
# what SLURM's daemons write into the output of a job that they end
_SLURM_LINE = re.compile(
    r"^(?:slurmstepd|srun|slurmd)[^:\n]*: (?:error|fatal): (?!.*Exited with exit code)(.+)$", re.MULTILINE
)
_SLURM_ADVICE = {  # a sign in those lines: what to do
    "memory": "allow the rule more: --set-resources RULE:mem_mb=…",
    "TIME LIMIT": "allow the rule more minutes: --set-resources RULE:runtime=…",
}
_SAID_BY_JOB = "matlas: "  # begins the line by which a job that failed by itself says why
_UNHASHED = ("code", "files")  # "files" holds times of files, which say nothing about their content
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What one job may use: Snakemake's input, output, params and wildcards, and the runtime settings."""

    rule: str
    input: Any
    output: Any
    params: Any
    wildcards: Any
    log: str
    settings: dict
    notes: dict = field(default_factory=dict)  # what else the job measured of itself, for its line of cost

    @cached_property
    def lineage(self) -> Lineage:
        """Lineage of everything this job writes; simulated as soon as one input is."""
        params = {k: v for k, v in self.params.items() if k not in _UNHASHED}
        inputs, simulated = {}, bool(params.get("simulated", False))
        for path in map(Path, self.input):
            if path.suffix == ".parquet":
                from matlas.tables import table_info

                info = table_info(path)
                inputs[_short(path, self.settings)] = info.content_hash
                simulated |= info.lineage.simulated
            else:
                inputs[_short(path, self.settings)] = (sha256_of_folder if path.is_dir() else sha256_of)(path)[:16]
        spec = params.get("spec")
        seed = spec.get("random_state") if isinstance(spec, dict) else None
        return Lineage(inputs, self.params.get("code", ""), digest(params), seed, simulated, versions())


def run(main: Callable[[Job], None], snakemake: Any) -> None:
    """Run `main(job)`; on failure exit 1 with one line on stderr, the traceback in the log."""
    job = Job(
        rule=snakemake.rule,
        input=snakemake.input,
        output=snakemake.output,
        params=snakemake.params,
        wildcards=snakemake.wildcards,
        log=str(snakemake.log[0]),
        settings=snakemake.config,
    )
    _log_to(job.log)
    sys.excepthook = _reporter(job)
    startup = _seconds_since_start()
    runtime = job.settings.get("runtime", {})
    random.seed(runtime.get("seed", 0))
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(runtime.get("seed", 0))
    started = time.perf_counter()
    # a rule that is not faster in several threads says so; never from the rule's own threads, which change bits
    with _blas_threads(job.params.get("blas_threads", runtime.get("blas_threads", 1))):
        main(job)
    cost = {
        "rule": job.rule,
        "wildcards": dict(job.wildcards.items()),
        "startup_s": round(startup, 3),
        "work_s": round(time.perf_counter() - started, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "finished": now(),
        "notes": job.notes,
    }
    log.info("%s%s", COST_MARK, json.dumps(cost))


def read_costs(logs: Path) -> list[dict]:
    """The cost of the last finished run of each job below a folder of logs: rule, wildcards, startup_s and work_s in
    seconds, peak_rss_mb in MB, finished as UTC time."""
    costs = []
    for path in sorted(logs.rglob("*.log")):
        marked = _COST_LINE.findall(path.read_text(encoding="utf-8", errors="replace"))
        if marked:
            costs.append({"notes": {}, **json.loads(marked[-1])})  # logs of earlier versions have none
    return costs


def read_failures(logs: Path, since: float) -> list[str]:
    """What to say of each failed job whose log was written after `since` (seconds since the epoch): what went wrong, or
    the last that a killed job said, and the path of the log. Snakemake's own messages bury it."""
    failures = []
    for path in _written_since(logs, since):
        text = path.read_text(encoding="utf-8", errors="replace")
        if said := _FAILURE_LINE.findall(text):
            failures.append(f"{said[-1]}\n  log: {path}")
        elif not _COST_LINE.search(text):
            last = text.strip().splitlines()[-1:] or ["nothing"]
            job = path.relative_to(logs).with_suffix("")
            failures.append(f"{job}: cut off; the last it said: {last[0]}\n  log: {path}")
    return failures


def read_slurm_failures(logs: Path, since: float) -> list[str]:
    """What SLURM said of each job that it ended, and what to do; of one that ended before it could say anything, its
    last lines. For logs (RULE/WILDCARDS/JOBID.log, below the folder of the executor plugin, which keeps those of failed
    jobs) written after `since`; of the tries of one job the last."""
    tries = {path.parent: path for path in sorted(_written_since(logs, since), key=lambda p: p.stat().st_mtime)}
    failures = []
    for folder, path in sorted(tries.items()):
        text = path.read_text(encoding="utf-8", errors="replace")
        said = list(dict.fromkeys(line.strip(" *") for line in _SLURM_LINE.findall(text)))
        if not said and _SAID_BY_JOB in text:
            continue
        job = " ".join([*folder.relative_to(logs).parts, f"(SLURM job {path.stem})"])
        do = next((advice for sign, advice in _SLURM_ADVICE.items() if sign in " ".join(said)), "")
        words = "; ".join(said) or " | ".join(text.strip().splitlines()[-5:])
        failures.append("\n  ".join([f"{job}: {words}", *([f"do: {do}"] if do else []), f"log: {path}"]))
    return failures


def _written_since(logs: Path, since: float) -> list[Path]:
    return [path for path in sorted(logs.rglob("*.log")) if path.stat().st_mtime >= since]


def _log_to(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.setLevel(logging.INFO)
    log.handlers = [handler]
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(handler)


def _reporter(job: Job) -> Callable:
    """An excepthook: the whole traceback goes to the log, one readable line to the terminal."""

    def report(kind, error, trace):
        log.error("%s", "".join(traceback.format_exception(kind, error, trace)))
        known = isinstance(error, MatlasError)
        line = str(error) if known else f"unexpected {kind.__name__}: {error}".splitlines()[0]
        log.error("%s%s: %s", FAILURE_MARK, job.rule, line)
        print(f"\n{_SAID_BY_JOB}{job.rule}: {line}\n  log: {job.log}", file=sys.stderr)

    return report


def _blas_threads(n: int):
    """Limit the BLAS and OpenMP libraries that are loaded, and by environment those that an import inside the job (or
    a child process) will load."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(n)))
    return threadpool_limits(limits=n)


def _seconds_since_start() -> float:
    """How long this process has lived. On Linux psutil would be off by up to a second: it adds to the time of boot,
    which the kernel tells in whole seconds."""
    if sys.platform == "linux":
        ticks = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]  # starttime, proc_pid_stat(5)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK")
    import psutil

    return time.time() - psutil.Process().create_time()


def peak_rss_mb() -> float:
    """Largest resident memory so far of this process, or of one of its children if that is larger, in MB.

    On Linux ru_maxrss (kB; bytes on macOS) of a new process begins with what its parent held when starting it. So the
    process itself is asked by VmHWM instead, and a child's number, which may be ours, isn't added to our own.
    """
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if sys.platform == "darwin":
        return max(own, child) / 1e6
    peak = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return max(int(peak[1]) if peak else own, child) * 1024 / 1e6


def _short(path: Path, settings: dict) -> str:
    """An input's name without the results folder, so that lineage is the same wherever results stand; of an absolute
    path the last part only, as the rest is about a machine."""
    results = Path(settings.get("pathvars", {}).get("results", "results"))
    if path.is_relative_to(results):
        return path.relative_to(results).as_posix()
    return path.name if path.is_absolute() else path.as_posix()
