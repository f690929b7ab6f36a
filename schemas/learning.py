"""Whether the probes and tests of a study make sense: splits, inputs, targets and encoders exist and fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matlas.errors import ConfigError
from schemas.config.datasets import Dataset
from schemas.config.methods import Autoencoder, Methods
from schemas.config.studies import Probing, Study, names_of, uses
from schemas.parsing import known
from schemas.table import Field


def check_learning(
    study: Study, path: Path, dataset: Dataset, fields: Mapping[str, Field], datasets: Mapping, views: Mapping,
    methods: Methods,
) -> None:  # fmt: skip
    """Raises ConfigError that names the key and the nearest valid name. fields : columns of the study's dataset."""
    for use in uses(study.representations):
        if split := getattr(methods.representations.get(use.name), "split", None):
            _split(split, methods, fields, f"{path}: representation {use.name}: split")
    for view in names_of(study.views):
        if split := getattr(views[view], "split", None):
            _split(split, methods, fields, f"{path}: view {view}: split")
    if study.probing:
        _probing(study.probing, study, f"{path}: probing", fields, methods)
    tests, where = study.tests, f"{path}: tests"
    if tests.bottleneck:
        _encoded(tests.bottleneck.view, [tests.bottleneck.encoder], study, methods, f"{where}: bottleneck")
        _targets(tests.bottleneck.targets, study, f"{where}: bottleneck: targets")
    if tests.manifold:
        _encoded(tests.manifold.view, tests.manifold.encoders, study, methods, f"{where}: manifold")
    if tests.neighbourhood:
        for space in tests.neighbourhood.spaces:
            _space(space, study, methods, f"{where}: neighbourhood: spaces", stored=True)
        _columns(tests.neighbourhood.labels, fields, f"{where}: neighbourhood: labels")
    if tests.uncertainty:
        _targets([tests.uncertainty.target], study, f"{where}: uncertainty: target")
        for name in tests.uncertainty.inputs:
            known(name, study.probing.inputs, "input of this study", f"{where}: uncertainty: inputs")
        known(tests.uncertainty.head, methods.heads, "head", f"{where}: uncertainty: head")
        used = {trial.split: None for trial in study.probing.trials}
        known(tests.uncertainty.split, used, "split of the probing", f"{where}: uncertainty: split")
    if active := tests.active_learning:
        where_it_is = f"{where}: active_learning"
        _targets([active.target], study, f"{where_it_is}: target")
        for space in active.spaces:
            _space(space, study, methods, f"{where_it_is}: spaces", stored=True)
        _split(active.split, methods, fields, f"{where_it_is}: split")
    if audit := tests.audit:
        _encoded(audit.view, [audit.encoder], study, methods, f"{where}: audit")
        named = [audit.families, *(audit.sources or ()), *audit.matched_by, audit.over]
        _columns([c for c in named if c], fields, f"{where}: audit")
    if transfer := tests.transfer:
        where = f"{where}: transfer"
        known(transfer.source, datasets, "dataset", f"{where}: source")
        known(transfer.view, views, "view", f"{where}: view")
        if views[transfer.view].kind != "composition":
            raise ConfigError(
                "what two datasets share is their compositions", where=f"{where}: view",
                expected="a view of kind composition", found=f"kind {views[transfer.view].kind}",
            )  # fmt: skip
        _is_encoder(transfer.encoder, methods, f"{where}: encoder")
        _columns([transfer.group, *transfer.columns], fields, where)
        _targets(transfer.targets, study, f"{where}: targets")
        for head in transfer.heads:
            known(head, methods.heads, "head", f"{where}: heads")


def _probing(probing: Probing, study: Study, where: str, fields: Mapping[str, Field], methods: Methods) -> None:
    for name, spaces in probing.inputs.items():
        for space in spaces:
            _space(space, study, methods, f"{where}: inputs: {name}")
    for trial in probing.trials:
        _split(trial.split, methods, fields, f"{where}: trials: split")
        if [t.split for t in probing.trials].count(trial.split) > 1:
            raise ConfigError("a split is tried twice", where=f"{where}: trials", found=repr(trial.split))
        for key, valid, what in (
            ("heads", methods.heads, "head"), ("inputs", probing.inputs, "input of this study"),
            ("targets", probing.targets, "target of this study"),
        ):  # fmt: skip
            for name in getattr(trial, key):
                known(name, valid, what, f"{where}: trials: {trial.split}: {key}")
    for pair in probing.compare:
        for name in pair:
            known(name, probing.inputs, "input of this study", f"{where}: compare")
    _columns([probing.resampled_by, *([probing.families] if probing.families else [])], fields, where)


def _split(name: str, methods: Methods, fields: Mapping[str, Field], where: str) -> None:
    known(name, methods.splits, "split", where)
    if by := methods.splits[name].by:
        _columns([by], fields, f"{where}: {name}: by")


def _space(space: str, study: Study, methods: Methods, where: str, *, stored: bool = False) -> None:
    """stored : whether the study must have computed the space itself."""
    view, representation = space.split("/")
    known(view, names_of(study.views), "view of this study", where)
    known(representation, methods.representations, "representation", where)
    if stored and not any(u.name == representation and u.fits(view) for u in uses(study.representations)):
        do = f"name {representation} in representations, on view {view}"
        raise ConfigError("the study has no such space", where=where, found=space, do=do)


def _encoded(view: str, encoders: list[str], study: Study, methods: Methods, where: str) -> None:
    known(view, names_of(study.views), "view of this study", f"{where}: view")
    for encoder in encoders:
        _is_encoder(encoder, methods, where)
        _space(f"{view}/{encoder}", study, methods, where, stored=True)


def _is_encoder(name: str, methods: Methods, where: str) -> None:
    encoders = {n for n, r in methods.representations.items() if isinstance(r, Autoencoder)}
    known(name, encoders, "autoencoder", where)


def _targets(names: list[str], study: Study, where: str) -> None:
    if study.probing is None:
        raise ConfigError("targets stand in `probing`, which this study lacks", where=where, do="add `probing:`")
    for name in names:
        known(name, study.probing.targets, "target of this study", where)


def _columns(names: list[str], fields: Mapping[str, Field], where: str) -> None:
    for name in names:
        known(name, fields, "column of the dataset", where)
