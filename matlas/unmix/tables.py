"""Tables that an unmixing reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike

import numpy as np
import pandas as pd

from matlas.errors import ConfigError, DataError
from matlas.tables import read_table
from matlas.unmix.rank import endmember_number
from matlas.unmix.study import Known
from schemas.tables.unmixing import ENDMEMBER_COUNTS, UNMIXINGS

_SHARE = "abundance_"  # of a material, as datasets of pixels name the shares that the source gives


def known_of(pixels: pd.DataFrame, references: pd.DataFrame) -> Known:
    """What the dataset's pixels and the view's reference spectra say of the materials, in one order."""
    shares = pixels.filter(regex=f"^{_SHARE}")
    materials = tuple(name.removeprefix(_SHARE) for name in shares.columns)
    spectra = None
    if len(references):
        wide = references.pivot(index="material", columns="channel", values="intensity")
        materials = materials or tuple(dict.fromkeys(references["material"]))
        spectra = wide.loc[list(materials)].to_numpy()
    return Known(materials, spectra, shares.to_numpy() if len(shares.columns) else None)


def number_of(spec: Mapping, counts: Sequence[str | PathLike]) -> int | None:
    """How many endmembers an unmixing has: as it says, or as the count found that it names.

    Raises DataError where no number that was tried explains the counts, or 1 does.
    """
    number = spec.get("endmembers")
    if not isinstance(number, str):
        return number
    tried = read_table(counts[0])
    accepted = tried.loc[tried["accepted"], "endmembers"]
    if not len(accepted) or accepted.iloc[0] < 2:
        found = f"{accepted.iloc[0]}" if len(accepted) else f"none up to {tried['endmembers'].max()}"
        raise DataError(
            "the counts give no number of endmembers to unmix with", where=counts[0], expected="2 or more", found=found,
            do="give `endmembers` as a number, or another `largest`",
        )  # fmt: skip
    return int(accepted.iloc[0])


def counted(spectra: np.ndarray, space: Mapping[str, str], spec: Mapping, *, are_counts: bool) -> pd.DataFrame:
    """Rows of ENDMEMBER_COUNTS, one for each number that was tried. spec : schemas.config.methods.EndmemberCount."""
    if not are_counts:
        raise ConfigError(
            "endmembers are counted by counting noise, and this view holds no counts",
            where=f"{space['dataset']}/{space['view']}",
            do="count them on a view whose steps leave counts (crop, rebin), of a dataset with counts: true",
        )
    found = endmember_number(
        spectra, spec["largest"], spec["simulations"], random_state=spec["random_state"], level=spec["level"]
    )
    frame = pd.DataFrame({
        **space, "endmembers": np.arange(1, len(found.quantiles) + 1), "singular_value": found.singular_values,
        "noise_up_to": found.quantiles,
    })  # fmt: skip
    return frame.assign(accepted=frame["endmembers"] == (found.number or 0))[ENDMEMBER_COUNTS.columns]


def unmixings_frame(space: Mapping[str, str], records: Iterable[Mapping]) -> pd.DataFrame:
    """Rows of UNMIXINGS. space : dataset, view, unmixing."""
    frame = pd.DataFrame(records).assign(**space)
    return frame[UNMIXINGS.columns].astype({"value": float, "seed": "Int64"})
