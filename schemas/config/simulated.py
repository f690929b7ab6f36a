"""What generators of simulated data (matlas/simulate) are told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.base import Model


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


class SimulatedDuplexSteel(Model):
    """Low-loss spectra (EELS) of a duplex steel: ferrite, austenite and sigma precipitates. `rows` is the number of
    pixels, of a square image; `dose` the counts of a mean pixel; `contrast` how far the plasmons of the phases lie
    apart, 1 as they do."""

    generator: Literal["duplex_steel"]
    rows: int = Field(default=10_000, ge=100)
    seed: int = 0
    dose: float = Field(default=100_000.0, gt=0)
    contrast: float = Field(default=1.0, ge=0, le=5)


class SimulatedMineralMap(Model):
    """X-ray spectra (STEM-EDXS) of three minerals of the lower mantle. `rows` is the number of pixels, of a square
    image; `dose` the counts of a mean pixel; `samarium_ppm` (by mass) what is planted in bridgmanite, ferropericlase
    and davemaoite."""

    generator: Literal["mineral_map"]
    rows: int = Field(default=6400, ge=100)
    seed: int = 0
    dose: float = Field(default=112.0, gt=0)
    samarium_ppm: tuple[float, float, float] = (2000.0, 0.0, 30000.0)


# What a generator writes: in place of a source, or as the source itself.
SampleSource = Annotated[
    SampleTable
    | SampleMicrographs
    | SampleNetwork
    | SampleCrystals
    | SampleSpectrumImage
    | SimulatedDuplexSteel
    | SimulatedMineralMap,
    Field(discriminator="generator"),
]
