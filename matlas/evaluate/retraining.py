"""Encoders trained again for a test, on altered rows or on some of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matlas.encoders import Encoder
from matlas.represent import Representation
from matlas.rows import held
from matlas.trained import train_on


def retrained(
    features: pd.DataFrame, parts: pd.DataFrame, spec: Mapping, *, device: str = "auto"
) -> tuple[Encoder, Representation, pd.Series]:
    """`trained.train_on`. device : of a network; other encoders have none."""
    return train_on(held(features), parts, spec, **({"device": device} if spec["algorithm"] == "autoencoder" else {}))
