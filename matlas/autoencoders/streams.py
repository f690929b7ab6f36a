"""Random numbers of a training: streams that follow from a key, so that a resumed one draws what it would have."""

from __future__ import annotations

import numpy as np
import torch

ORDER, DRAWS, HELD_OUT_DRAWS = range(3)


def generator_of(device: torch.device, *key: int) -> torch.Generator:
    """Random numbers that follow from a key; streams of different keys are independent."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(seed))
