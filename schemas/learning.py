"""Whether the probes and tests of a study make sense: splits, inputs, targets and encoders exist and fit; and whether
figures show what is probed, tested and trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from matlas.errors import ConfigError
from schemas.config.datasets import CubeTruth, Dataset
from schemas.config.methods import Autoencoder, Identity, Methods, Pca
from schemas.config.sources import Source
from schemas.config.studies import Figure, Probing, Study, StudyTable, Trial, names_of, uses
from schemas.parsing import known
from schemas.table import Field

# kinds of figures that show a test of the study, or the networks that it trains
NEEDS_TEST = {
    "width_sweep": "bottleneck", "manifold_holes": "manifold", "neighbourhoods": "neighbourhood",
    "coverage": "uncertainty", "failure_modes": "audit", "noise_sweep": "noise", "pixel_fit": "pixel_fit",
}  # fmt: skip
NEEDS_NETWORK = ("training_curves", "reconstruction_parity", "latent_map")
MANY_FOLDS = ("folds", "leave_out")  # kinds of splits; something fitted once and for all needs one fold


def check_learning(
    study: Study, path: Path, dataset: Dataset, fields: Mapping[str, Field], datasets: Mapping, views: Mapping,
    methods: Methods,
) -> None:  # fmt: skip
    """Raises ConfigError that names the key and the nearest valid name. fields : columns of the study's dataset."""
    for use in uses(study.representations):
        if split := getattr(methods.representations.get(use.name), "split", None):
            _split(split, methods, fields, f"{path}: representation {use.name}: split", one_fold=True)
    for view in names_of(study.views):
        if split := getattr(views[view], "split", None):
            _split(split, methods, fields, f"{path}: view {view}: split", one_fold=True)
    if study.probing:
        _probing(study.probing, study, f"{path}: probing", fields, methods)
    tests, where = study.tests, f"{path}: tests"
    if tests.bottleneck:
        _encoded(tests.bottleneck.view, [tests.bottleneck.encoder], "encoder", study, methods, f"{where}: bottleneck")
        _targets(tests.bottleneck.targets, study, f"{where}: bottleneck: targets")
    if tests.manifold:
        _encoded(tests.manifold.view, tests.manifold.encoders, "encoders", study, methods, f"{where}: manifold")
    if tests.neighbourhood:
        for space in tests.neighbourhood.spaces:
            _space(space, study, methods, f"{where}: neighbourhood: spaces", stored=True)
        _columns(tests.neighbourhood.labels, fields, f"{where}: neighbourhood: labels")
    if tests.uncertainty:
        _uncertainty(study, methods, f"{where}: uncertainty")
    if active := tests.active_learning:
        where_it_is = f"{where}: active_learning"
        _targets([active.target], study, f"{where_it_is}: target")
        for space in active.spaces:
            _space(space, study, methods, f"{where_it_is}: spaces", stored=True)
        _split(active.split, methods, fields, f"{where_it_is}: split", one_fold=True)
    if audit := tests.audit:
        _encoded(audit.view, [audit.encoder], "encoder", study, methods, f"{where}: audit")
        for key in ("families", "sources", "matched_by", "over"):
            _columns(getattr(audit, key), fields, f"{where}: audit: {key}")
    if tests.transfer:
        _transfer(study, f"{where}: transfer", dataset, fields, datasets, views, methods)
    for item in [*study.figures, *study.tables]:
        _shows_what_is_learned(item, study, methods, f"{path}: {item.name}")


def check_simulation_tests(
    study: Study, dataset: Dataset, sources: Mapping[str, Source], methods: Methods, where: str
) -> None:
    """Whether the tests that compare spectra with a planted truth have one. Raises ConfigError as `check_learning`."""
    if study.tests.noise:
        _noise(study, dataset, sources, methods, f"{where}: noise")
    if study.tests.pixel_fit:
        _pixel_fit(study, dataset, methods, f"{where}: pixel_fit")


def _noise(study: Study, dataset: Dataset, sources: Mapping[str, Source], methods: Methods, where: str) -> None:
    test = study.tests.noise
    files = sources[dataset.source].simulated if dataset.source else {}
    simulation = files.get(dataset.file or next(iter(files), None))
    if simulation is None:
        raise ConfigError(
            "only a simulation can be made again at other doses", where=where, expected="a dataset of a source with "
            "`simulated`", found=f"source {dataset.source}" if dataset.source else f"path {dataset.path}",
        )  # fmt: skip
    for key, parameter in (("doses", "dose"), ("contrasts", "contrast")):
        if getattr(test, key) and not hasattr(simulation, parameter):
            raise ConfigError(f"generator {simulation.generator} has no {parameter}", where=f"{where}: {key}",
                              do="leave them out, or take another simulation")  # fmt: skip
    truth = _truth(dataset, where)
    if bool(test.spaces) != bool(test.clusterings) or not (test.spaces or test.unmixings):
        raise ConfigError("nothing is found of the simulations", where=where, expected="spaces and clusterings, or "
                          "unmixings", found=sorted(test.model_fields_set))  # fmt: skip
    for space in test.spaces:
        _space(space, study, methods, f"{where}: spaces", stored=True)
        if not isinstance(made := methods.representations[space.split("/")[1]], Identity | Pca):
            raise ConfigError(f"{made.algorithm} is not trained again for each simulation", where=f"{where}: spaces",
                              expected="a representation by identity or pca", found=space)  # fmt: skip
    for name in test.clusterings:
        known(name, names_of(study.clusterings), "clustering of this study", f"{where}: clusterings")
        if (k := len(truth.materials)) not in (swept := getattr(methods.clusterings[name], "k", [])):
            raise ConfigError(
                f"clustering {name} does not sweep the number of materials", where=f"{where}: clusterings",
                expected=f"K = {k} among those swept", found=swept or "a clustering that finds its own number",
            )  # fmt: skip
    for space in test.unmixings:
        view, name = space.split("/")
        known(view, names_of(study.views), "view of this study", f"{where}: unmixings")
        known(name, names_of(study.unmixings), "unmixing of this study", f"{where}: unmixings")
        if not any(use.name == name and use.fits(view) for use in uses(study.unmixings)):
            do = f"name {name} in unmixings, on view {view}"
            raise ConfigError("the study has no such shares", where=f"{where}: unmixings", found=space, do=do)
        if isinstance(getattr(methods.unmixings[name], "endmembers", None), str):
            raise ConfigError("endmembers are not counted again for each simulation", where=f"{where}: unmixings",
                              expected=f"a number as `endmembers` of {name}")  # fmt: skip


def _pixel_fit(study: Study, dataset: Dataset, methods: Methods, where: str) -> None:
    test = study.tests.pixel_fit
    truth = _truth(dataset, where)
    for phase in test.phases:
        known(phase, truth.materials, "material of the dataset", f"{where}: phases")
    for space in test.spaces:
        _space(space, study, methods, f"{where}: spaces", stored=True)
    known(test.clustering, names_of(study.clusterings), "clustering of this study", f"{where}: clustering")
    if not hasattr(methods.clusterings[test.clustering], "k"):
        raise ConfigError(f"clustering {test.clustering} finds its own number of clusters", where=where,
                          expected="one that takes `k`")  # fmt: skip


def _truth(dataset: Dataset, where: str) -> CubeTruth:
    if getattr(dataset, "truth", None) is None:
        raise ConfigError("the dataset has no true shares to judge by", where=where, do="add `truth` to the dataset")
    return dataset.truth


def _uncertainty(study: Study, methods: Methods, where: str) -> None:
    test = study.tests.uncertainty
    _targets([test.target], study, f"{where}: target")
    for name in test.inputs:
        known(name, study.probing.inputs, "input of this study", f"{where}: inputs")
    known(test.head, methods.heads, "head", f"{where}: head")
    known(test.split, {trial.split: None for trial in study.probing.trials}, "split of the trials", f"{where}: split")
    if not getattr(methods.splits[test.split], "validation", 0):
        raise ConfigError(
            f"split {test.split} keeps no rows to calibrate intervals on", where=f"{where}: split",
            expected="a split with `validation` above 0",
        )  # fmt: skip


def _transfer(
    study: Study, where: str, dataset: Dataset, fields: Mapping[str, Field], datasets: Mapping, views: Mapping,
    methods: Methods,
) -> None:  # fmt: skip
    test = study.tests.transfer
    known(test.source, datasets, "dataset", f"{where}: source")
    known(test.view, views, "view", f"{where}: view")
    if views[test.view].kind != "composition":
        raise ConfigError(
            "what two datasets share is their compositions", where=f"{where}: view",
            expected="a view of kind composition", found=f"kind {views[test.view].kind}",
        )  # fmt: skip
    if "image" in (dataset.kind, datasets[test.source].kind):
        raise ConfigError(
            "what two datasets share is their compositions", where=f"{where}: source",
            expected="two datasets of kind composition or crystal", found="kind image",
        )  # fmt: skip
    _is_encoder(test.encoder, methods, f"{where}: encoder")
    _columns([test.group], fields, f"{where}: group")
    _columns(test.columns, fields, f"{where}: columns")
    _targets(test.targets, study, f"{where}: targets")
    for head in test.heads:
        known(head, methods.heads, "head", f"{where}: heads")


def _probing(probing: Probing, study: Study, where: str, fields: Mapping[str, Field], methods: Methods) -> None:
    for name, spaces in probing.inputs.items():
        if not spaces:
            raise ConfigError(
                f"input {name} is made of nothing", where=f"{where}: inputs", expected="view/representation"
            )
        for space in spaces:
            _space(space, study, methods, f"{where}: inputs: {name}")
    for name, target in probing.targets.items():
        field = fields.get(target.sql.strip())  # of a bare column the unit is known
        if field is not None and field.dtype == "float64" and target.unit != field.unit:
            raise ConfigError(
                f"target {name} has another unit than its column", where=f"{where}: targets: {name}: unit",
                expected=repr(field.unit), found=repr(target.unit), do="convert in `sql`, or give the column's unit",
            )  # fmt: skip
    for trial in probing.trials:
        _split(trial.split, methods, fields, f"{where}: trials: split")
        if [t.split for t in probing.trials].count(trial.split) > 1:
            what, do = f"split {trial.split} is tried twice", "put all of its heads into one trial"
            raise ConfigError(what, where=f"{where}: trials", do=do)
        for key, valid, what in (
            ("heads", methods.heads, "head"), ("inputs", probing.inputs, "input of this study"),
            ("targets", probing.targets, "target of this study"),
        ):  # fmt: skip
            for name in getattr(trial, key):
                known(name, valid, what, f"{where}: trials: {trial.split}: {key}")
    for pair in probing.compare:
        for name in pair:
            known(name, probing.inputs, "input of this study", f"{where}: compare")
    for key in ("resampled_by", "families"):
        _columns(getattr(probing, key), fields, f"{where}: {key}")


def _split(name: str, methods: Methods, fields: Mapping[str, Field], where: str, *, one_fold: bool = False) -> None:
    """one_fold : whether something is fitted on the training rows of the split once and for all."""
    known(name, methods.splits, "split", where)
    split = methods.splits[name]
    for key in ("by", "validation_by"):
        _columns(getattr(split, key, None), fields, f"{where}: {name}: {key}")
    if one_fold and split.kind in MANY_FOLDS:
        raise ConfigError(
            f"split {name} has several folds", where=where, expected="a split of kind holdout, ordered or extremes",
            found=f"kind {split.kind}",
        )  # fmt: skip


def _space(space: str, study: Study, methods: Methods, where: str, *, stored: bool = False) -> None:
    """stored : whether the study must have computed the space itself."""
    view, representation = space.split("/")
    known(view, names_of(study.views), "view of this study", where)
    known(representation, methods.representations, "representation", where)
    if stored and not any(u.name == representation and u.fits(view) for u in uses(study.representations)):
        do = f"name {representation} in representations, on view {view}"
        raise ConfigError("the study has no such space", where=where, found=space, do=do)


def _encoded(view: str, encoders: list[str], key: str, study: Study, methods: Methods, where: str) -> None:
    known(view, names_of(study.views), "view of this study", f"{where}: view")
    for encoder in encoders:
        _is_encoder(encoder, methods, f"{where}: {key}")
        _space(f"{view}/{encoder}", study, methods, f"{where}: {key}", stored=True)
    splits = {encoder: methods.representations[encoder].split for encoder in encoders}
    if len(set(splits.values())) > 1:  # one's test rows are the other's training rows
        raise ConfigError(
            "encoders of one test are trained on different splits", where=f"{where}: {key}",
            expected="one split", found=", ".join(f"{encoder} on {split}" for encoder, split in splits.items()),
        )  # fmt: skip


def _is_encoder(name: str, methods: Methods, where: str) -> None:
    encoders = {n for n, r in methods.representations.items() if isinstance(r, Autoencoder)}
    known(name, encoders, "autoencoder", where)


def _targets(names: list[str], study: Study, where: str) -> None:
    if names and study.probing is None:
        raise ConfigError("targets stand in `probing`, which this study lacks", where=where, do="add `probing:`")
    for name in names:
        known(name, study.probing.targets, "target of this study", where)


def _columns(names: Iterable[str] | str | None, fields: Mapping[str, Field], where: str) -> None:
    for name in [names] if isinstance(names, str) else names or []:
        known(name, fields, "column of the dataset", where)


def _shows_what_is_learned(item: Figure | StudyTable, study: Study, methods: Methods, where: str) -> None:
    """A figure or table is about probes, tests and networks that the study has."""
    said = f"a {'figure' if isinstance(item, Figure) else 'table'} of kind {item.kind}"
    test = NEEDS_TEST.get(item.kind) or getattr(item, "test", None)
    if test and getattr(study.tests, test) is None:
        raise ConfigError(f"{said} needs the test {test}", where=where, do=f"add `{test}:` to `tests:`")
    if item.kind in NEEDS_NETWORK and not any(
        isinstance(methods.representations[use.name], Autoencoder)
        for use in uses(study.representations)
        for view in item.views or names_of(study.views)
        if use.fits(view) and use.name in (item.representations or [use.name])
    ):
        do = "name an autoencoder in representations, on a view of the figure"
        raise ConfigError(f"{said} needs a network", where=where, do=do)
    if study.probing is None and any(getattr(item, key, None) for key in ("split", "target", "head", "compare")):
        raise ConfigError(f"{said} needs probes", where=where, do="add `probing:`")
    if study.probing is not None:
        _is_probed(item, study.probing, where)


def _is_probed(item: Figure | StudyTable, probing: Probing, where: str) -> None:
    """What a figure or table of probes is about was tried together."""

    def tried(key: str, trial: Trial) -> Iterable[str]:
        return [trial.split] if key == "split" else getattr(trial, f"{key}s") or getattr(probing, f"{key}s")

    trials, with_ = probing.trials, []

    def among(key: str, name: str, at: str) -> None:
        what = f"{key} of the trials" + (f" with {' and '.join(with_)}" if with_ else "")
        known(name, {n for trial in trials for n in tried(key, trial)}, what, f"{where}: {at}")

    for key in ("split", "target", "head"):
        if name := getattr(item, key, None):
            among(key, name, key)
            trials, with_ = [trial for trial in trials if name in tried(key, trial)], [*with_, name]
    compare = getattr(item, "compare", None) or ()
    for name in compare:
        among("input", name, "compare")
    if compare and set(compare) not in [set(pair) for pair in probing.compare]:
        raise ConfigError(
            "two inputs are not compared", where=f"{where}: compare", found=list(compare),
            expected=f"one of {[list(pair) for pair in probing.compare]}", do="add the pair to probing.compare",
        )  # fmt: skip
    if item.kind == "family_benefit" and isinstance(item, Figure) and not probing.families:
        do = "name the column that holds them in probing.families"
        raise ConfigError("a figure of kind family_benefit needs families", where=where, do=do)
    if item.kind == "split_comparison" and not set.intersection(*(set(tried("input", trial)) for trial in trials)):
        do = f"name one in all trials with {' and '.join(with_)}"
        raise ConfigError("no input is tried under every split", where=where, do=do)
