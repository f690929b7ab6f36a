"""config/config.yaml, overlaid by --configfile and --config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.base import Model, Name


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


class SampleTable(Model):
    """A spreadsheet of thermoelectric measurements."""

    generator: Literal["thermoelectrics"]
    rows: int = Field(default=1000, ge=20)
    seed: int = 0


class SampleMicrographs(Model):
    """An archive of micrographs of six kinds of surface texture."""

    generator: Literal["micrographs"]
    rows: int = Field(default=240, ge=60)
    seed: int = 0


class SampleNetwork(Model):
    """Weights of a product-quantised ResNet18 that has learned nothing."""

    generator: Literal["quantised_resnet18"]
    seed: int = 0


class SampleCrystals(Model):
    """The files of the Materials Project snapshot, filled with decorated structure types."""

    generator: Literal["crystals"]
    rows: int = Field(default=400, ge=60, le=4000)
    seed: int = 0


class SampleSpectrumImage(Model):
    """A MATLAB file like Samson's: a spectrum image of three materials, with their spectra and shares. `rows` is the
    number of pixels, of a square image."""

    generator: Literal["spectrum_image"]
    rows: int = Field(default=900, ge=100)
    seed: int = 0


# A source replaced by generated files of the same format.
SampleSource = Annotated[
    SampleTable | SampleMicrographs | SampleNetwork | SampleCrystals | SampleSpectrumImage,
    Field(discriminator="generator"),
]


class Settings(Model):
    """config/config.yaml, overlaid by --configfile and --config."""

    pathvars: Pathvars = Pathvars()
    mirror: str | None = None
    studies: list[Name] | None = None
    skip_sources: list[Name] = []
    sample_sources: dict[Name, SampleSource] = {}
    runtime: Runtime = Runtime()
