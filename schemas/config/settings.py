"""config/config.yaml, overlaid by --configfile and --config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.config.base import Model, Name
from schemas.config.simulated import SampleSource


class Pathvars(Model):
    """Where results, logs and benchmark files go; `<results>` and so on in the rules."""

    results: str = "results"
    logs: str = "logs"
    benchmarks: str = "results/benchmarks"


class Runtime(Model):
    """What every job is started with. BLAS threads are fixed here, not taken from the rule, since they change bits."""

    seed: int = 0
    blas_threads: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    shards: int = Field(default=4, ge=1)  # how many jobs share the work on the crystals of a dataset
    repetitions: int | None = Field(default=None, ge=2)  # most seeds, bootstraps and inner folds, for a quick look


class Settings(Model):
    """config/config.yaml, overlaid by --configfile and --config."""

    pathvars: Pathvars = Pathvars()
    mirror: str | None = None
    studies: list[Name] | None = None
    skip_sources: list[Name] = []
    sample_sources: dict[Name, SampleSource] = {}
    runtime: Runtime = Runtime()
