"""The runner: what a job leaves in its log and on the terminal, and under which conditions it computes."""

import json
import os
import subprocess
import sys
import time

import pandas as pd
import pytest

from matlas.files import sha256_of
from matlas.jobs import read_costs, read_failures, read_slurm_failures
from matlas.lineage import Lineage
from matlas.tables import table_info, write_table
from schemas.table import Field, TableSchema

# A script as Snakemake starts one, with what it hands over; `BODY` is the work.
SCRIPT = """
import json, sys, types
IMPORTS
from matlas.jobs import log, run

class Named(list):
    def __init__(self, items):
        super().__init__(items.values())
        self._items = items
    def get(self, name, default=None):
        return self._items.get(name, default)
    def items(self):
        return self._items.items()

given = json.loads(sys.argv[1])
snakemake = types.SimpleNamespace(
    rule="smelt", log=["logs/smelt/iron.log"], config=given.get("config", {}),
    **{name: Named(given.get(name, {})) for name in ("input", "output", "params", "wildcards")},
)

def main(job):
    BODY

run(main, snakemake)
"""


@pytest.fixture
def start(tmp_path, repository):
    """A function that runs a job in `tmp_path` and returns the finished process."""

    def start(body: str, imports: str = "", **given):
        script = SCRIPT.replace("IMPORTS", imports).replace("BODY", body.replace("\n", "\n    "))
        (tmp_path / "script.py").write_text(script)
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        return subprocess.run(
            [sys.executable, "script.py", json.dumps(given)], cwd=tmp_path, capture_output=True, text=True,
            env=environment | {"PYTHONPATH": str(repository)},
        )  # fmt: skip

    return start


def read_log(folder) -> str:
    return (folder / "logs/smelt/iron.log").read_text()


def test_a_finished_job_is_silent_and_logs_what_it_cost(start, tmp_path):
    began = time.monotonic()
    job = start("import time; time.sleep(0.3); a = bytearray(200_000_000); log.info('done')", wildcards={"ore": "iron"})
    elapsed = time.monotonic() - began
    assert (job.returncode, job.stdout, job.stderr) == (0, "", "")
    assert "INFO done" in read_log(tmp_path)
    (cost,) = read_costs(tmp_path / "logs")
    assert (cost["rule"], cost["wildcards"]) == ("smelt", {"ore": "iron"})
    assert cost["work_s"] >= 0.3
    assert cost["startup_s"] > 0 and cost["startup_s"] + cost["work_s"] < elapsed + 0.02  # start is in ticks of 0.01 s
    assert 200 < cost["peak_rss_mb"] < 400


CHILD = "import subprocess; subprocess.run([sys.executable, '-c', 'bytearray(SIZE)'], check=True)"


def test_memory_is_that_of_the_largest_process_of_the_job_whatever_its_parent_holds(start, tmp_path):
    def peak(body):
        start(body)
        return read_costs(tmp_path / "logs")[0]["peak_rss_mb"]

    ballast = bytearray(400_000_000)
    assert peak("pass") < 200
    assert 200 < peak(CHILD.replace("SIZE", "200_000_000")) < 400
    assert 200 < peak("a = bytearray(200_000_000); " + CHILD.replace("SIZE", "1")) < 400
    del ballast


def test_bad_input_is_one_line_on_the_terminal_and_a_traceback_in_the_log(start, tmp_path):
    job = start("from matlas.errors import DataError\nraise DataError('ore is wet', where='pit 7', do='dry it')")
    assert job.returncode == 1
    assert job.stderr.split("\n") == [
        "", "matlas: smelt: ore is wet (pit 7). Dry it.", "  log: logs/smelt/iron.log", ""
    ]  # fmt: skip
    log = read_log(tmp_path)
    assert "Traceback" in log and "in main" in log and "DataError: ore is wet" in log
    assert read_costs(tmp_path / "logs") == []


def test_a_fault_of_ours_is_called_unexpected_and_keeps_to_one_line(start, tmp_path):
    job = start("raise ValueError('first line\\nsecond line')")
    assert job.returncode == 1
    assert job.stderr.split("\n")[1:3] == [
        "matlas: smelt: unexpected ValueError: first line",
        "  log: logs/smelt/iron.log",
    ]
    assert "Traceback" not in job.stderr
    assert "Traceback" in read_log(tmp_path) and "second line" in read_log(tmp_path)


def test_the_cause_of_an_error_is_in_the_log(start, tmp_path):
    start("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('melted') from error")
    assert "ZeroDivisionError" in read_log(tmp_path) and "RuntimeError: melted" in read_log(tmp_path)


def test_warnings_and_messages_of_the_library_go_to_the_log(start, tmp_path):
    job = start("import logging, warnings; warnings.warn('hot'); logging.getLogger('matlas.furnace').info('lit')")
    assert (job.returncode, job.stderr) == (0, "")
    assert "UserWarning: hot" in read_log(tmp_path) and "INFO lit" in read_log(tmp_path)


def test_random_numbers_follow_the_configured_seed(start):
    def draw(seed):
        body = "import random; print(random.random(), numpy.random.rand())"
        return start(body, "import numpy", config={"runtime": {"seed": seed}}).stdout

    assert draw(1) == draw(1)
    assert set(draw(1).split()).isdisjoint(draw(2).split())


def test_blas_threads_are_limited_in_libraries_loaded_before_in_the_job_and_in_a_child(start):
    count = "sorted({p['num_threads'] for p in threadpoolctl.threadpool_info()})"
    body = (
        "import threadpoolctl, subprocess\n"
        f"print('before', {count})\n"
        "import scipy.linalg, sklearn.cluster\n"
        f"print('inside', len(threadpoolctl.threadpool_info()) > 1, {count})\n"
        f"code = \"import numpy, threadpoolctl; print('child', {count})\"\n"
        "subprocess.run([sys.executable, '-c', code], check=True)"
    )
    job = start(body, "import numpy", config={"runtime": {"blas_threads": 1}})
    assert job.stderr == ""
    assert sorted(job.stdout.splitlines()) == ["before [1]", "child [1]", "inside True [1]"]


ORES = TableSchema("ores", "test", ("id",), (Field("id", "int64", "1", "Number"),))
LINEAGE = "l = job.lineage; print(json.dumps(l.as_dict()))"


def test_lineage_holds_the_content_of_inputs_the_code_and_the_definition(start, tmp_path):
    (tmp_path / "results/ores").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    write_table(pd.DataFrame({"id": [1, 2]}), tmp_path / "results/ores/a.parquet", ORES)
    (tmp_path / "data/raw.csv").write_text("1")
    (tmp_path / "outside.csv").write_text("2")
    given = {
        "input": {"a": "results/ores/a.parquet", "b": "data/raw.csv", "c": str(tmp_path / "outside.csv")},
        "params": {"code": "c0de", "spec": {"k": 3, "random_state": 11}},
    }
    found = json.loads(start(LINEAGE, **given).stdout)
    assert found["inputs"] == {
        "ores/a.parquet": table_info(tmp_path / "results/ores/a.parquet").content_hash,
        "data/raw.csv": sha256_of(tmp_path / "data/raw.csv")[:16],
        "outside.csv": sha256_of(tmp_path / "outside.csv")[:16],
    }
    assert (found["code"], found["seed"], found["simulated"]) == ("c0de", 11, False)
    assert found["versions"]["python"].startswith("3.")

    other_code = json.loads(start(LINEAGE, **given | {"params": given["params"] | {"code": "other"}}).stdout)
    assert other_code["config"] == found["config"]
    other_spec = json.loads(start(LINEAGE, **given | {"params": {"code": "c0de", "spec": {"k": 4}}}).stdout)
    assert (other_spec["config"] != found["config"], other_spec["seed"]) == (True, None)


@pytest.mark.parametrize(("of_input", "of_job"), [(False, False), (True, False), (False, True)])
def test_what_is_made_from_simulated_data_is_simulated(start, tmp_path, of_input, of_job):
    for name, simulated in (("a", False), ("b", of_input), ("c", False)):
        write_table(pd.DataFrame({"id": [1]}), tmp_path / f"{name}.parquet", ORES, lineage=Lineage(simulated=simulated))
    inputs = {name: f"{name}.parquet" for name in "abc"}
    found = json.loads(start(LINEAGE, input=inputs, params={"simulated": of_job}).stdout)
    assert found["simulated"] is (of_input or of_job)


def test_only_the_last_cost_of_each_log_counts_and_talk_of_costs_does_not(tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/b.log").write_text(
        '01:02:03 INFO cost {"rule": "first", "work_s": 1}\n'
        '01:02:04 INFO cost {"rule": "last", "note": "cost {of} ore"}\n'
        '01:02:05 WARNING cost {"rule": "warned"}\n'
        "01:02:06 INFO at a cost {that is no JSON\n"
        'E   log.info("cost {}", 1)\n'
    )
    (tmp_path / "a.log").write_text('23:59:59 INFO cost {"rule": "one"}')
    (tmp_path / "failed.log").write_text("01:02:03 ERROR Traceback\n")
    (tmp_path / "binary.log").write_bytes(b"\xff\xfe")
    (tmp_path / "note.txt").write_text('01:02:03 INFO cost {"rule": "no log"}')
    assert [c["rule"] for c in read_costs(tmp_path)] == ["one", "last"]
    assert read_costs(tmp_path / "absent") == []


def test_what_failed_jobs_said_is_found_again_in_their_logs(tmp_path):
    (tmp_path / "old.log").write_text("10:00:00 ERROR failed: clean: an old mistake.\n")
    os.utime(tmp_path / "old.log", (0, 0))
    (tmp_path / "fine.log").write_text('10:00:00 INFO says "failed: nothing"\n10:00:01 INFO cost {"rule": "fine"}\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "new.log").write_text(
        "10:00:01 ERROR Traceback\n  …\n10:00:01 ERROR failed: clean: bad rows.\n"
    )
    (tmp_path / "deep" / "ore.log").write_text("10:00:00 INFO 3 of 9 shards\n10:00:05 INFO 4 of 9 shards\n")
    (tmp_path / "empty.log").write_text("")
    bad, killed, silent = read_failures(tmp_path, since=time.time() - 60)
    assert bad == f"clean: bad rows.\n  log: {tmp_path / 'deep' / 'new.log'}"
    last = "deep/ore: cut off; the last it said: 10:00:05 INFO 4 of 9 shards"
    assert killed == f"{last}\n  log: {tmp_path / 'deep' / 'ore.log'}"
    assert silent.startswith("empty: cut off; the last it said: nothing\n")


def test_what_slurm_said_of_the_jobs_that_it_ended_is_told_with_what_to_do(tmp_path):
    folder = tmp_path / "rule_smelt" / "iron"
    folder.mkdir(parents=True)
    (folder / "17.log").write_text(
        "Building DAG of jobs...\nslurmstepd: error: Exceeded job memory limit\n"
        "slurmstepd-n1: error: *** JOB 17 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***\nsrun: Job step aborted\n"
    )
    (folder / "18.log").write_text("srun: error: *** STEP 18.0 ON n2 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***\n")
    first, second = tmp_path / "rule_cast" / "bell", tmp_path / "rule_roll"
    first.mkdir(parents=True), second.mkdir()
    (first / "19.log").write_text(
        "matlas: cast: bad ore.\n  log: logs/cast/bell.log\nsrun: error: n1: task 0: Exited with exit code 1\n"
    )
    (second / "20.log").write_text("\n".join(["Building DAG of jobs...", *"abcd", "No module named 'torch'", ""]))
    silent, minutes = read_slurm_failures(tmp_path, since=time.time() - 60)
    assert silent == f"rule_roll (SLURM job 20): a | b | c | d | No module named 'torch'\n  log: {second / '20.log'}"
    (folder / "18.log").unlink()  # the second try; the last is told
    _, memory = read_slurm_failures(tmp_path, since=time.time() - 60)
    assert memory == (
        "rule_smelt iron (SLURM job 17): Exceeded job memory limit; JOB 17 ON n1 CANCELLED AT 2026-01-01T00:00:00\n"
        f"  do: allow the rule more: --set-resources RULE:mem_mb=…\n  log: {folder / '17.log'}"
    )
    assert "DUE TO TIME LIMIT\n  do: allow the rule more minutes: --set-resources RULE:runtime=…" in minutes
    assert read_slurm_failures(tmp_path, since=time.time() + 60) == []
