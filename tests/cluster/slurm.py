"""A real SLURM on this machine: a controller and two nodes, all of them on loopback."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ETC = Path("/etc/slurm")  # the plugin's job step drops SLURM_CONF, so the file must stand where SLURM looks for it
NODES = ("n1", "n2")
CPUS, MEMORY_MB = 2, 20_000  # of each node; more than half of the machine, which only the tests share
PORTS = {"controller": 16817, "n1": 16818, "n2": 16819}

# Accounting by polling /proc, and no cgroups: both work in a container. A job of over mem_mb is killed.
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=1,sched_min_interval=0
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
SlurmdParameters=config_overrides
MinJobAge=3600
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n1} CPUs={cpus} RealMemory={memory} Gres=gpu:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n2} CPUs={cpus} RealMemory={memory} Gres=gpu:1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
# counted, not used: each node has one
GPUS = "NodeName=n1 Name=gpu File=/dev/null\nNodeName=n2 Name=gpu File=/dev/zero\n"


class NoSlurm(Exception):
    """Why there can be no SLURM here."""


@dataclass
class Cluster:
    """A running cluster; `processes` are its daemons by name."""

    folder: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a daemon: controller or a node."""
        command = ["slurmctld", "-D"] if name == "controller" else ["slurmd", "-D", "-N", name]
        out = (self.folder / f"{name}.out").open("a")
        self.processes[name] = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def kill(self, name: str) -> None:
        """Kill a daemon as a power cut would: with a node go its jobs, and those who would report their end first."""
        jobs = self.running(name)
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        for job in jobs:
            for pid in (*_pids("cmdline", f"slurmstepd: [{job}."), *_pids("environ", f"SLURM_JOB_ID={job}")):
                _kill(pid)

    def running(self, node: str) -> list[str]:
        return _out("squeue", "--noheader", "--states=RUNNING", f"--nodelist={node}", "--format=%A").split()

    def jobs(self) -> list[dict[str, str]]:
        """What each job asked for and became, as the controller has it (scontrol show job)."""
        lines = [
            line for line in _out("scontrol", "show", "job", "--oneliner").splitlines() if line.startswith("JobId")
        ]
        return [dict(part.partition("=")[::2] for part in line.split(" ") if "=" in part) for line in lines]

    def await_nodes(self, states: Mapping[str, str], seconds: float = 60) -> None:
        """Return when each node is in its state (the beginning of what sinfo calls it)."""
        deadline, found = time.monotonic() + seconds, {}
        ask = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
        while time.monotonic() < deadline:
            # fails until the controller listens
            said = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
            found = dict(line.split() for line in said.stdout.splitlines())
            if all(found.get(name, "").startswith(state) for name, state in states.items()):
                return
            time.sleep(0.5)
        raise NoSlurm(f"nodes are {found}, expected {dict(states)}; see {self.folder}")


@contextmanager
def slurm(folder: Path) -> Iterator[Cluster]:
    """A cluster whose files are below `folder`. Raises NoSlurm where there can be none."""
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"  # daemons, which the path of a user may leave out
    _install()
    if (ETC / "slurm.conf").exists():
        raise NoSlurm(f"this machine has a SLURM of its own: {ETC} holds its configuration")
    folder.mkdir(parents=True)
    (folder / "state").mkdir()
    for node in NODES:
        (folder / f"spool-{node}").mkdir()
    cluster = Cluster(folder)
    ETC.mkdir(exist_ok=True)
    try:
        text = CONFIGURATION.format(folder=folder, cpus=CPUS, memory=MEMORY_MB, **PORTS)
        (ETC / "slurm.conf").write_text(text)
        (ETC / "gres.conf").write_text(GPUS)
        cluster.processes["munge"] = _munge(folder)
        for name in ("controller", *NODES):
            cluster.start(name)
        cluster.await_nodes(dict.fromkeys(NODES, "idle"))
        yield cluster
    finally:
        if "controller" in cluster.processes:
            subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=60, check=False)
            time.sleep(2)
        for process in reversed(cluster.processes.values()):
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)


def _install() -> None:
    """Debian's slurm-wlm and munge, if they are not there."""
    if os.geteuid() != 0:
        raise NoSlurm("only root can start a SLURM")
    if all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        return
    if not shutil.which("apt-get"):
        raise NoSlurm("SLURM is not installed, and there is no apt-get to install it")
    # RUNLEVEL: none of their services may start by itself
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"],
    ):
        try:
            run = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired as error:
            raise NoSlurm(f"{' '.join(command)} took more than 300 s") from error
        if run.returncode:
            raise NoSlurm(f"{' '.join(command)} failed: {run.stderr.strip()[-300:]}")


def _munge(folder: Path) -> subprocess.Popen:
    """munged, which must be run by the user munge and asks for folders that only that user can write."""
    run = Path("/run/munge")
    run.mkdir(exist_ok=True)
    shutil.chown(run, "munge", "munge")
    out = (folder / "munge.out").open("a")
    process = subprocess.Popen(["munged", "--foreground"], user="munge", group="munge", stdout=out, stderr=out)
    deadline = time.monotonic() + 30
    while subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline or process.poll() is not None:
            raise NoSlurm(f"munged does not answer: {(folder / 'munge.out').read_text()[-300:]}")
        time.sleep(0.2)
    return process


def _out(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _pids(file: str, start: str) -> list[int]:
    """Processes with an argument (cmdline) or variable (environ) that starts so."""
    found = []
    for path in Path("/proc").glob(f"[0-9]*/{file}"):
        try:
            if any(part.startswith(start.encode()) for part in path.read_bytes().split(b"\0")):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
