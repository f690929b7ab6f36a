"""A trained autoencoder as a folder: weights.safetensors and model.json, its model card; no code in them ever runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from matlas.autoencoders.estimator import Autoencoder
from matlas.autoencoders.networks import build_network
from matlas.autoencoders.ranges import TrainingRanges
from matlas.device import choose_device
from matlas.errors import ConfigError, DataError, nearest
from matlas.files import atomic_path, sha256_of, write_text
from matlas.lineage import versions

FORMAT = 1
WEIGHTS, CARD = "weights.safetensors", "model.json"

_REQUIRED = ("features", "data", "split", "lineage")
_INTENDED_USE = (
    "Codes and reconstruction errors of rows with the same features, computed in the same way, as the training rows."
)
_LIMITS = (
    "Knows nothing outside the ranges of its training rows; rows that lie there are to be told apart "
    "(outside_range) and not relied on. The axes of a code have no meaning of their own."
)
_RESULTS = ("code_width_", "active_units_", "best_epoch_", "stopped_early_", "n_train_", "n_validation_", "device_")
# not what the model is, but where and how safely it was trained
_UNRECORDED = ("device", "checkpoint", "checkpoint_every")


def save_model(folder: str | PathLike, estimator: Autoencoder, about: Mapping) -> None:
    """Write a fitted autoencoder; the same model and `about` give the same bytes.

    about : "features" (names of the p columns, in order), "data" (what the rows are), "split" (how rows were held
    back), "lineage" (digest of what the model was made from), all JSON-like; and "intended_use" and "limits" where
    there is more to say than the usual. Raises DataError where one is missing or unknown, or names don't fit p.
    """
    optional = {"intended_use": _INTENDED_USE, "limits": _LIMITS}
    missing = [name for name in _REQUIRED if name not in about]
    unknown = sorted(set(about) - {*_REQUIRED, *optional})
    if missing or unknown:
        found = f"missing {missing}, unknown {unknown}"
        raise DataError("model card is told too little or too much", expected=", ".join(_REQUIRED), found=found)
    features, network = list(about["features"]), estimator.network_
    if len(features) != estimator.n_features_in_ or len(set(features)) < len(features):
        raise DataError(
            "names don't fit the features", expected=f"{estimator.n_features_in_} different ones",
            found=f"{len(features)}, {len(set(features))} different",
        )  # fmt: skip
    weights = Path(folder) / WEIGHTS
    with atomic_path(weights) as temporary:
        save_file(_tensors(estimator), temporary)
    parameters = {k: v for k, v in estimator.get_params().items() if k not in _UNRECORDED}
    best = estimator.history_.iloc[estimator.best_epoch_ - 1]
    card = {
        "format": FORMAT,
        "model": f"{estimator.kind} autoencoder",
        "parameters": parameters,
        "architecture": _widths(estimator),
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "loss": network.formula,
        "results": {
            **{name.removesuffix("_"): getattr(estimator, name) for name in _RESULTS},
            "epochs_run": len(estimator.history_),
            "train_loss": float(best["train_loss"]),
            "validation_loss": float(best["validation_loss"]) if estimator.n_validation_ else None,
        },
        **optional,
        **about,
        "features": features,
        "versions": versions(),
        "weights_sha256": sha256_of(weights),
    }
    write_text(Path(folder) / CARD, json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load_model(folder: str | PathLike, device: str = "auto") -> tuple[Autoencoder, dict]:
    """The fitted autoencoder (without history_) and its card.

    Raises DataError when a file is missing, damaged, or does not belong to the other; and for another format.
    """
    card = _read_card(Path(folder) / CARD)
    weights = Path(folder) / WEIGHTS
    if not weights.is_file():
        raise DataError("weights of the model are missing", where=weights, do="train it again")
    if (found := sha256_of(weights)) != card["weights_sha256"]:
        raise DataError(
            "weights are not those of the model card", where=weights, expected=card["weights_sha256"], found=found,
            do="train the model again",
        )  # fmt: skip
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise DataError("not a safetensors file", where=weights, found=error, do="train the model again") from error
    estimator = Autoencoder(**card["parameters"], device=device)
    network = _network(card, Path(folder) / CARD)
    wanted = _layout(network, len(card["features"]), estimator.layers[-1])
    layout = {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}
    if layout != wanted:
        odd = sorted(name for name in wanted.keys() | layout.keys() if wanted.get(name) != layout.get(name))
        raise DataError(
            "weights don't fit the architecture of the card", where=weights, expected=wanted.get(odd[0], "none"),
            found=f"{layout.get(odd[0], 'none')} for {odd[0]}", do="train the model again",
        )  # fmt: skip
    network.load_state_dict({name: tensors[f"network.{name}"] for name in network.state_dict()})
    estimator.network_ = network.eval().to(choose_device(device))
    estimator.mean_, estimator.scale_ = tensors["mean"].numpy(), tensors["scale"].numpy()
    ranges = {n.removeprefix("ranges."): t.numpy() for n, t in tensors.items() if n.startswith("ranges.")}
    limits = {name: float(value) for name, value in ranges.items() if name.endswith("_limit")}
    estimator.ranges_ = TrainingRanges(**ranges | limits)
    estimator.n_features_in_ = len(card["features"])
    for name in _RESULTS:
        setattr(estimator, name, card["results"][name.removesuffix("_")])
    return estimator, card


def _tensors(estimator: Autoencoder) -> dict[str, torch.Tensor]:
    """Everything that a model is made of; the network float32, the rest float64."""
    numbers = {"mean": estimator.mean_, "scale": estimator.scale_}
    numbers |= {f"ranges.{name}": value for name, value in asdict(estimator.ranges_).items()}
    tensors = {name: torch.tensor(np.asarray(value), dtype=torch.float64) for name, value in numbers.items()}
    return tensors | {f"network.{n}": v.cpu().contiguous() for n, v in estimator.network_.state_dict().items()}


def _layout(network: torch.nn.Module, p: int, d: int) -> dict[str, tuple]:
    """Shape and type of each tensor of a model with p features and a code of d."""
    shapes = {
        "mean": (p,), "scale": (p,), "ranges.minimum": (p,), "ranges.maximum": (p,), "ranges.code_mean": (d,),
        "ranges.code_precision": (d, d), "ranges.error_limit": (), "ranges.distance_limit": (),
    }  # fmt: skip
    layout = {name: (shape, torch.float64) for name, shape in shapes.items()}
    return layout | {f"network.{n}": (tuple(v.shape), v.dtype) for n, v in network.state_dict().items()}


def _widths(estimator: Autoencoder) -> list[int]:
    hidden = list(estimator.layers)
    return [estimator.n_features_in_, *hidden, *hidden[-2::-1], estimator.n_features_in_]


def _read_card(path: Path) -> dict:
    if not path.is_file():
        models = sorted(p.parent.as_posix() for p in path.parent.parent.glob(f"*/{path.name}"))
        raise DataError(
            "there is no model", where=path.parent, expected=nearest(path.parent.as_posix(), models),
            do="name a folder that holds one (results/models/DATASET/VIEW/NAME), or train it",
        )  # fmt: skip
    try:
        card = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError("not a model card", where=path, found=error, do="train the model again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise DataError("model card of another format", where=path, expected=f"format {FORMAT}", found=found)
    for name, kind in (("parameters", dict), ("results", dict), ("features", list), ("weights_sha256", str)):
        if not isinstance(card.get(name), kind):
            raise DataError(f"model card lacks {name}", where=path, found=repr(card.get(name)))
    parameters, results = set(card["parameters"]), set(card["results"])
    odd = parameters ^ (set(Autoencoder().get_params()) - set(_UNRECORDED))
    odd |= {name.removesuffix("_") for name in _RESULTS} - results
    if odd:
        raise DataError("entries of the model card are missing or unknown", where=path, found=sorted(odd))
    return card


def _network(card: Mapping, path: Path) -> torch.nn.Module:
    names = ("kind", "layers", "activation", "beta", "noise", "random_state")
    settings = {name: card["parameters"][name] for name in names}
    try:
        return build_network(settings.pop("kind"), len(card["features"]), settings.pop("layers"), **settings)
    except ConfigError as error:
        raise DataError(f"model card describes no network: {error}", where=path) from error
