"""Which copy of which database a dataset is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from schemas.config.datasets import CrystalDataset


def origin_of(dataset: CrystalDataset, answers: Sequence[str | PathLike] = ()) -> dict[str, str]:
    """provider, source, release and retrieved (a date) of a dataset, for the footer of its table.

    answers : what a database said of itself when it was asked (JSON with release and retrieved), if it was. A snapshot
    or a file is of the release and date that its definition states; where a snapshot states no date, the catalog gives
    the one of its download, which the same bytes need not share.
    """
    said = {"release": dataset.release, "retrieved": dataset.retrieved}
    for answer in answers:
        told = json.loads(Path(answer).read_text(encoding="utf-8"))
        said = {name: str(told[name]) for name in said}
    return {"provider": dataset.provider, "source": dataset.source or dataset.path or "Materials Project", **said}
