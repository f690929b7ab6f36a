"""The generators of sample data by name."""

from __future__ import annotations

from matlas.errors import ConfigError
from matlas.simulate.thermoelectrics import write_thermoelectrics

GENERATORS = {"thermoelectrics": write_thermoelectrics}


def generate(*, generator: str, path: str, **parameters) -> None:
    """Write the sample file `path` by the generator of that name. Raises ConfigError for an unknown name."""
    if generator not in GENERATORS:
        raise ConfigError("unknown generator of sample data", expected=f"one of {sorted(GENERATORS)}", found=generator)
    GENERATORS[generator](path, **parameters)
