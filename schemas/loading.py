"""Reading config/: one `Atlas` in which every name points at something that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from matlas.errors import ConfigError
from schemas.config import (
    Atlas,
    Column,
    Dataset,
    Derived,
    JoinedView,
    Methods,
    NamedDataset,
    NamedJoinedView,
    Settings,
    Source,
    Study,
    View,
)


def load_atlas(settings: Mapping, root: Path = Path(".")) -> Atlas:
    """Read and check all configuration below `root`/config.

    settings : the merged config.yaml, as Snakemake hands it over. Raises ConfigError that names the key, the file
    and the nearest valid name.
    """
    config = root / "config"
    checked = _parse(Settings, dict(settings), "config/config.yaml, --configfile or --config")
    sources = _parse_each(Source, config / "sources.yaml")
    datasets = _parse_each(Dataset, config / "datasets.yaml")
    views = _parse_each(View, config / "views.yaml")
    methods = _parse(Methods, read_yaml(config / "methods.yaml"), config / "methods.yaml")
    found = {path.stem: path for path in sorted((config / "studies").glob("*.yaml"))}
    for name in checked.studies or []:
        _known(name, found, "study", "config/config.yaml: studies")
    studies = {name: _parse(Study, read_yaml(path), path) for name, path in found.items()}
    for name, study in studies.items():
        _name_is_valid(name, found[name])
        _take_own(study, datasets, views, found[name])
    for name in checked.sample_sources:
        _known(name, sources, "source", "config: sample_sources")
    for name in checked.skip_sources:
        _known(name, sources, "source", "config: skip_sources")
    for name, dataset in datasets.items():
        _check_dataset(name, dataset, sources)
    for name, view in views.items():
        _check_view(name, view, views)
    for name, study in studies.items():
        _check_study(study, found[name], datasets, views, methods)
    _claims_are_unique(studies)
    chosen = {name: studies[name] for name in (checked.studies if checked.studies is not None else studies)}
    return Atlas(settings=checked, sources=sources, datasets=datasets, views=views, methods=methods, studies=chosen)


def read_yaml(path: Path) -> dict:
    """A YAML mapping; ConfigError for a missing file, broken YAML, a key given twice, or anything but a mapping."""
    if not path.is_file():
        raise ConfigError("configuration file is missing", where=path)
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError("not valid YAML", where=f"{path}{line}", found=getattr(error, "problem", error)) from error
    if not isinstance(value, dict):
        raise ConfigError("not a mapping", where=path, expected="`key: value` lines", found=type(value).__name__)
    return value


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key may stand only once."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(model, value: object, where: object):
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise _as_config_error(model, error, where) from error


def _parse_each(model, path: Path) -> dict:
    values = read_yaml(path)
    for name in values:
        _name_is_valid(name, path)
    return {name: _parse(model, value, f"{path}: {name}") for name, value in values.items()}


def _as_config_error(model, error: ValidationError, where: object) -> ConfigError:
    """The first problem in one sentence; unknown keys come first, as they often cause the others."""
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    first = problems[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(part for part in location if part not in _tags())
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        valid = sorted(_keys_at(model, first["loc"][:-1]))
        return ConfigError(
            f"unknown key {key!r}", where=where, expected=_nearest(location[-1], valid), found=f"{location[-1]!r}{more}"
        )
    if first["type"] == "missing":
        return ConfigError(f"key {key!r} is missing{more}", where=where)
    return ConfigError(f"bad value for {key!r}", where=where, expected=first["msg"], found=f"{first['input']!r}{more}")


def _tags() -> set[str]:
    """Parts of pydantic's locations that name a union member rather than a key."""
    return {cls.__name__ for cls in (Column, Derived, NamedDataset, NamedJoinedView)} | {
        "composition", "joined", "element_fractions", "element_statistics", "kmeans", "gmm",
    }  # fmt: skip


def _keys_at(model, location: Iterable) -> set[str]:
    """The valid keys of the model that a location points into."""
    models = _models_in(model)
    for part in location:
        inner = set()
        for m in models:
            if part in m.model_fields:
                inner |= _models_in(m.model_fields[part].annotation)
        models = inner or {m for m in models if _tag_of(m, part)} or models
    return {name for m in models for name in m.model_fields}


def _tag_of(model, part) -> bool:
    if model.__name__ == part:
        return True
    return any(part in get_args(f.annotation) for f in model.model_fields.values() if get_args(f.annotation))


def _models_in(annotation) -> set:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {m for arg in get_args(annotation) for m in _models_in(arg)}


def _nearest(name: str, valid: Iterable[str]) -> str:
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"{close[0]!r} (nearest)" if close else f"one of {valid}"


def _known(name: str, valid: Mapping, what: str, where: object) -> None:
    if name not in valid:
        raise ConfigError(f"unknown {what}", where=where, expected=_nearest(name, valid), found=repr(name))


def _name_is_valid(name: object, where: object) -> None:
    if not isinstance(name, str) or not name.isascii() or not name.islower() or not name.isidentifier():
        raise ConfigError(
            "bad name", where=where, expected="snake_case: lower-case letters, digits, _", found=repr(name)
        )


def _take_own(study: Study, datasets: dict, views: dict, path: Path) -> None:
    """Add the dataset and views that a study defines itself to the common ones."""
    own = [(study.dataset, Dataset, datasets)] if isinstance(study.dataset, NamedDataset) else []
    own += [(v, JoinedView, views) for v in study.views if isinstance(v, NamedJoinedView)]
    for item, model, registry in own:
        if item.name in registry:
            raise ConfigError(
                f"{model.__name__.lower()} {item.name!r} is defined twice", where=path, do="choose another name"
            )
        registry[item.name] = model(**item.model_dump(exclude={"name"}))


def _check_dataset(name: str, dataset: Dataset, sources: Mapping[str, Source]) -> None:
    where = f"dataset {name}"
    if dataset.source is not None:
        _known(dataset.source, sources, "source", f"{where}: source")
        files = sources[dataset.source].files
        if dataset.file is None and len(files) > 1:
            raise ConfigError("which file of the source?", where=f"{where}: file", expected=f"one of {sorted(files)}")
        if dataset.file is not None:
            _known(dataset.file, files, "file", f"{where}: file")
    reserved = {dataset.key, "composition", "formula", "reduced_formula", "n_elements", "chemical_family", "repeated",
                "dominant_element"}  # fmt: skip
    names = [*dataset.columns, *dataset.derived, *dataset.flags]
    for column in names:
        if column in reserved or names.count(column) > 1:
            raise ConfigError(f"column {column!r} is defined twice", where=where, do="choose another name")
    for column in dataset.repeats:
        _known(column, {*dataset.columns, "composition"}, "column", f"{where}: repeats")


def _check_view(name: str, view: object, views: Mapping) -> None:
    if isinstance(view, JoinedView):
        for part in view.of:
            _known(part, views, "view", f"view {name}: of")
            if isinstance(views[part], JoinedView):
                raise ConfigError("a joined view can't join another", where=f"view {name}: of", found=repr(part))


def _check_study(study: Study, path: Path, datasets: Mapping, views: Mapping, methods: Methods) -> None:
    dataset = study.dataset if isinstance(study.dataset, str) else study.dataset.name
    _known(dataset, datasets, "dataset", f"{path}: dataset")
    definition = datasets[dataset]
    columns = {definition.key, "composition", "reduced_formula", "n_elements", "chemical_family", "dominant_element"}
    columns |= {*definition.columns, *definition.derived, *definition.flags}
    for view in study.views:
        name = view if isinstance(view, str) else view.name
        _known(name, views, "view", f"{path}: views")
        for column in getattr(views[name], "columns", []):
            _known(column, columns, f"column of dataset {dataset}", f"{path}: view {name}: columns")
    for name in study.representations:
        _known(name, methods.representations, "representation", f"{path}: representations")
    for name in study.clusterings:
        _known(name, methods.clusterings, "clustering", f"{path}: clusterings")
        _known(methods.clusterings[name].stability.group, columns, f"column of dataset {dataset}", f"{path}: {name}")
    own = {name: None for name in study.clusterings}
    for item in [*study.figures, *study.tables]:
        where = f"{path}: {item.name}"
        if item.clustering is not None:
            _known(item.clustering, own, "clustering of this study", where)
        named = [getattr(item, a, None) for a in ("property", "against", "rank_by", "window")]
        for column in [*filter(None, named), *getattr(item, "properties", []), *getattr(item, "log", [])]:
            _known(column, columns, f"column of dataset {dataset}", where)
    names = [item.name for item in [*study.figures, *study.tables]]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"figure or table {name!r} is defined twice", where=path)


def _claims_are_unique(studies: Mapping[str, Study]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, study in studies.items():
        for claim in study.claims:
            other = seen.setdefault((claim.id, claim.variant), name)
            if other != name or sum((c.id, c.variant) == (claim.id, claim.variant) for c in study.claims) > 1:
                raise ConfigError(f"claim {claim.id!r} is defined twice", where=f"studies {other} and {name}")
