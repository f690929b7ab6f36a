"""The generators of sample data by name."""

from __future__ import annotations

from collections.abc import Callable

from matlas.errors import ConfigError


# Each is imported when asked for: a spreadsheet needs no torch.
def _thermoelectrics() -> Callable[..., None]:
    from matlas.simulate.thermoelectrics import write_thermoelectrics

    return write_thermoelectrics


def _micrographs() -> Callable[..., None]:
    from matlas.simulate.micrographs import write_micrographs

    return write_micrographs


def _crystals() -> Callable[..., None]:
    from matlas.simulate.crystals import write_crystals

    return write_crystals


def _quantised_resnet18() -> Callable[..., None]:
    from matlas.simulate.network_weights import write_quantised_resnet18

    return write_quantised_resnet18


def _spectrum_image() -> Callable[..., None]:
    from matlas.simulate.spectrum_images import write_spectrum_image

    return write_spectrum_image


def _duplex_steel() -> Callable[..., None]:
    from matlas.simulate.duplex_steel import write_duplex_steel

    return write_duplex_steel


def _mineral_map() -> Callable[..., None]:
    from matlas.simulate.mineral_map import write_mineral_map

    return write_mineral_map


GENERATORS = {
    "thermoelectrics": _thermoelectrics,
    "micrographs": _micrographs,
    "crystals": _crystals,
    "quantised_resnet18": _quantised_resnet18,
    "spectrum_image": _spectrum_image,
    "duplex_steel": _duplex_steel,
    "mineral_map": _mineral_map,
}


def generate(*, generator: str, path: str, **parameters) -> None:
    """Write the sample file `path` by the generator of that name. Raises ConfigError for an unknown name."""
    if generator not in GENERATORS:
        raise ConfigError("unknown generator of sample data", expected=f"one of {sorted(GENERATORS)}", found=generator)
    write = GENERATORS[generator]()
    write(path, **parameters)
