"""Encoders trained again for a test, on altered rows or on some of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matlas.encoders import Encoder
from matlas.represent import Representation
from matlas.trained import train_on

EPOCHS = 60  # at most, of an encoder that is trained only to be looked at


def retrained(
    features: pd.DataFrame, parts: pd.DataFrame, spec: Mapping, *, epochs: int = EPOCHS, device: str = "auto"
) -> tuple[Encoder, Representation, pd.Series]:
    """`trained.train_on`, for at most `epochs`. device : of a network; other encoders have none."""
    network = spec["algorithm"] == "autoencoder"
    capped = {**spec, "epochs": min(spec.get("epochs", epochs), epochs)} if network else spec
    return train_on(features, parts, capped, **({"device": device} if network else {}))
