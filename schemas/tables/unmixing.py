"""Spectra taken apart: reference spectra, endmembers, shares of pixels, and how well it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema


def _spectra(name: str, layer: str, of: Field, unit: str) -> TableSchema:
    position = replace(FIELDS["position"], unit=unit)
    return TableSchema(name, layer, (of.name, "channel"), (of, FIELDS["channel"], position, FIELDS["intensity"]))


def reference_schema(view: str, unit: str) -> TableSchema:
    """Spectra of known materials as a view has spectra; unit : of the spectral axis."""
    material = replace(FIELDS["material"], description="Material, as the source names it")
    return _spectra(view, "references", material, unit)


def endmember_schema(name: str, unit: str) -> TableSchema:
    """Endmembers as an unmixing found them; unit : of the spectral axis."""
    return _spectra(name, "endmembers", FIELDS["endmember"], unit)


def abundance_schema(name: str, key: Field, endmembers: Sequence[str]) -> TableSchema:
    """Shares of each endmember in each pixel."""
    shares = tuple(
        replace(FIELDS["share"], name=f"share_{e}", description=f"Share of endmember {e} in the pixel; all sum to 1")
        for e in endmembers
    )
    return TableSchema(name, "abundances", (key.name,), (key, *shares, FIELDS["brightness"], FIELDS["residual"]))


UNMIXINGS = TableSchema(
    "unmixings", "unmixings", ("dataset", "view", "unmixing", "endmember", "metric", "seed"),
    (*(FIELDS[f] for f in ("dataset", "view", "unmixing", "endmember", "metric")),
     replace(FIELDS["metric_value"], name="value"), FIELDS["seed"]),
    description="How well spectra were taken apart, for each seed",
)  # fmt: skip

QUANTITIES = TableSchema(
    "quantities", "quantities", ("phase", "quantity", "subject"),
    (
        FIELDS["study"], FIELDS["dataset"],
        Field("phase", "string", "", "Phase whose pixels' spectra were summed"),
        Field("quantity", "string", "", "What was measured in the phase: counts of a family of lines, atomic_fraction, "
              "mass_ppm, or a ratio of atoms", allowed=("counts", "atomic_fraction", "mass_ppm", "ratio")),
        Field("subject", "string", "", "Element, element and family of lines, or name of the ratio"),
        replace(FIELDS["metric_value"], name="value", unit="", description="The measured number, in the unit of the "
                "quantity; empty where the element is not detected"),
        Field("standard_error", "float64", "", "Standard error by counting", minimum=0.0, nullable=True),
        Field("decision_limit", "float64", "", "Above it an element counts as detected (5 % false alarms)",
              nullable=True, citation="Currie 1968, 10.1021/ac60259a007"),
        Field("detection_limit", "float64", "", "What is detected in 95 % of the cases", nullable=True,
              citation="Currie 1968, 10.1021/ac60259a007"),
        Field("detected", "bool", "", "Above the decision limit; of a ratio, an element on either side is"),
        Field("stated", "float64", "", "What the formula of the phase, or the literature, gives", nullable=True),
        Field("pixels", "int64", "px", "Pixels whose spectra were summed", minimum=0),
    ),
    description="What a joint fit of all lines says of each phase",
)  # fmt: skip

ENDMEMBER_COUNTS = TableSchema(
    "endmember_counts", "endmember_counts", ("dataset", "view", "endmember_count", "endmembers"),
    (*(FIELDS[f] for f in ("dataset", "view", "endmember_count")),
     Field("endmembers", "int64", "1", "Number of endmembers that was tried", minimum=1),
     Field("singular_value", "float64", "1", "The next singular value of counts scaled to unit noise", minimum=0.0),
     Field("noise_up_to", "float64", "1", "What that of simulated counts rarely exceeds", minimum=0.0),
     Field("accepted", "bool", "", "The number explains all but the noise: the first that does")),
    description="How many endmembers the counts support",
)  # fmt: skip
