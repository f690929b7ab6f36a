"""Reading config/: one `Atlas` in which every name points at something that exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from matlas.errors import ConfigError, closest, nearest
from schemas.config import (
    CLAIM_ID,
    NAME,
    SHA256,
    Atlas,
    Claim,
    Column,
    Dataset,
    JoinedView,
    Methods,
    NamedDataset,
    NamedJoinedView,
    Settings,
    Source,
    Study,
    View,
)
from schemas.fields import FIELDS
from schemas.strict_yaml import read_yaml
from schemas.table import Field
from schemas.tables.dataset import IDENTITY, dataset_schema


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
    files = _study_files(config / "studies")
    _names_of_rules_are_refused(files, root / "rules")
    for key, names, what, valid in (
        ("studies", checked.studies or [], "study", files),
        ("sample_sources", checked.sample_sources, "source", sources),
        ("skip_sources", checked.skip_sources, "source", sources),
    ):
        for name in names:
            _known(name, valid, what, f"config/config.yaml, --configfile or --config: {key}")
    studies = {name: _parse(Study, read_yaml(path), path) for name, path in files.items()}
    defined_in = {("dataset", d): config / "datasets.yaml" for d in datasets}
    defined_in |= {("view", v): config / "views.yaml" for v in views}
    for name, study in studies.items():
        _take_own(study, datasets, views, defined_in, files[name])
    for name, dataset in datasets.items():
        _check_dataset(name, dataset, sources, f"{defined_in['dataset', name]}: {name}")
    for name, view in views.items():
        _check_view(view, views, f"{defined_in['view', name]}: {name}")
    for name, study in studies.items():
        _check_study(study, files[name], datasets, views, methods)
    _claims_are_unique(studies, files)
    for name in checked.studies if checked.studies is not None else studies:
        _own_file_is_there(studies[name], datasets, files[name], root)
    chosen = {name: studies[name] for name in (checked.studies if checked.studies is not None else studies)}
    return Atlas(settings=checked, sources=sources, datasets=datasets, views=views, methods=methods, studies=chosen)


def _study_files(folder: Path) -> dict[str, Path]:
    for path in folder.glob("*.yml"):
        raise ConfigError("a study file ends in .yaml", where=path, do=f"rename it to {path.stem}.yaml")
    found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name, path in found.items():
        _name_is_valid(name, path)
    return found


def _names_of_rules_are_refused(files: Mapping[str, Path], rules: Path) -> None:
    """A study is a target by its name, so it can't bear the name of a rule."""
    taken = {"all"}.union(*(re.findall(r"^rule (\w+):", f.read_text(encoding="utf-8"), re.M) for f in rules.glob("*")))
    for study, path in files.items():
        if study in taken or study.startswith("figures_"):
            raise ConfigError("the study has the name of a rule", where=path, found=repr(study), do="rename the file")


def _parse(model, value: object, where: object, above: tuple[str, ...] = ()):
    """`value` as `model`; `above` are the keys under which it stands in its file."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise _as_config_error(model, error, value, where, above) from error


def _parse_each(model, path: Path) -> dict:
    values = read_yaml(path)
    for name in values:
        _name_is_valid(name, path)
    return {name: _parse(model, value, path, (name,)) for name, value in values.items()}


# what pydantic's error types expect, in words
_EXPECTED = {
    "string_type": "text", "list_type": "a list", "dict_type": "a mapping", "model_type": "a mapping",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    NAME: "a lower-case letter, then lower-case letters, digits or _", SHA256: "64 hexadecimal digits",
    CLAIM_ID: "lower-case words joined by -",
}  # fmt: skip


def _as_config_error(model, error: ValidationError, value: object, where: object, above: tuple) -> ConfigError:
    """The first problem in one sentence. Unknown keys come first, as they often cause the others; then the deepest,
    as a union (text or mapping) also complains about the alternative that wasn't meant."""
    problems = [{**p, "keys": _keys(value, p)} for p in error.errors()]
    problems.sort(key=lambda p: (p["type"] != "extra_forbidden", -len(p["keys"])))
    first = problems[0]
    key, given = _dotted(value, first["keys"], above), first["input"]
    others = {p["keys"] for p in problems if p["keys"] != first["keys"][: len(p["keys"])] and p["type"] != "missing"}
    more = f" ({len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        name = str(first["keys"][-1])
        valid = {f for m in _models_at(model, first["loc"][:-1]) for f in m.model_fields}
        return ConfigError(f"unknown key {key!r}", where=where, expected=nearest(name, valid), found=f"{name!r}{more}")
    if first["type"] in ("missing", "union_tag_not_found"):
        choices = _choices(model, first) if first["type"] == "union_tag_not_found" else ()
        expected = f"one of {sorted(choices)}" if choices else None
        return ConfigError(f"key {key!r} is missing{more}", where=where, expected=expected)
    if first["type"] == "union_tag_invalid":
        given = first["ctx"]["tag"]
    same = [p for p in problems if p["keys"] == first["keys"]]
    expected = " or ".join(dict.fromkeys(_expected(p) for p in same))
    shown = f"the keys {list(given)}" if isinstance(given, dict) else repr(given)
    shown = shown if len(shown) <= 120 else f"{shown[:120]}…"
    return ConfigError(f"bad value for {key!r}", where=where, expected=expected, found=f"{shown}{more}")


def _keys(value: object, problem: Mapping) -> tuple:
    """The configuration's own keys in a location; pydantic puts names of union members between them."""
    keys = []
    for part in problem["loc"]:
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            keys.append(part)
            value = value[part]
    if problem["type"] == "missing":
        keys.append(problem["loc"][-1])
    if problem["type"].startswith("union_tag"):
        keys.append(problem["ctx"]["discriminator"].strip("'"))
    return tuple(keys)


def _dotted(value: object, keys: tuple, above: tuple[str, ...]) -> str:
    """Keys as `figures[zt_map].kind`; an item of a list by its name where it has one, else by its number."""
    text = ".".join(above)
    for key in keys:
        value = value[key] if isinstance(value, list) or (isinstance(value, dict) and key in value) else None
        if isinstance(key, int):
            named = value if isinstance(value, dict) else {}
            text += f"[{named.get('name') or named.get('id') or key}]"
        else:
            text += f".{key}" if text else str(key)
    return text


def _expected(problem: Mapping) -> str:
    if problem["type"] == "literal_error":
        valid = re.findall("'([^']*)'", problem["ctx"]["expected"])
        return nearest(str(problem["input"]), valid) if len(valid) > 4 else f"one of {valid}"
    if problem["type"] == "union_tag_invalid":
        return nearest(str(problem["ctx"]["tag"]), re.findall("'([^']*)'", problem["ctx"]["expected_tags"]))
    context = problem.get("ctx", {})
    if problem["type"] == "too_short":
        return f"at least {context['min_length']}"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be ", "a value ")
    return _EXPECTED.get(context.get("pattern", problem["type"]), message)


def _choices(model, problem: Mapping) -> set[str]:
    """The values that may stand in the key that tells the members of a union apart."""
    key = problem["ctx"]["discriminator"].strip("'")
    return {c for m in _models_at(model, problem["loc"]) for c in get_args(m.model_fields[key].annotation)}


def _models_at(annotation, location: tuple) -> set[type[BaseModel]]:
    """The models that a location of pydantic's points into."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            return {annotation}
        field = annotation.model_fields.get(location[0])
        return _models_at(field.annotation, location[1:]) if field else set()
    members = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _models_at(members[0], location)
    if get_origin(annotation) in (dict, list):
        return _models_at(members[-1], location[1:]) if location else set()
    if get_origin(annotation) in (Union, UnionType):
        members = [m for m in members if m is not type(None)]
        if location and len(members) > 1:  # the location names the member
            members, location = [m for m in members if _is_called(m, str(location[0]))], location[1:]
        return {model for m in members for model in _models_at(m, location)}
    return set()


def _is_called(annotation, tag: str) -> bool:
    """Whether pydantic means this member of a union: by the name of its class (`function-after[…, Class]` for one with
    a validator), or by the value that tells it apart."""
    models = _models_at(annotation, ())
    literals = [get_args(f.annotation) for m in models for f in m.model_fields.values()]
    return any(tag == m.__name__ or tag.endswith(f", {m.__name__}]") for m in models) or any(tag in a for a in literals)


def _known(name: str, valid: Iterable[str], what: str, where: object) -> None:
    if name not in valid:
        raise ConfigError(f"unknown {what}", where=where, expected=nearest(name, valid), found=repr(name))


def _name_is_valid(name: object, where: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ConfigError("bad name", where=where, expected=_EXPECTED[NAME], found=repr(name))


def _take_own(study: Study, datasets: dict, views: dict, defined_in: dict, path: Path) -> None:
    """Add the dataset and views that a study defines itself to the common ones."""
    own = [("dataset", study.dataset, Dataset, datasets)] if isinstance(study.dataset, NamedDataset) else []
    own += [("view", v, JoinedView, views) for v in study.views if isinstance(v, NamedJoinedView)]
    for kind, item, model, registry in own:
        if item.name in registry:
            raise ConfigError(
                f"{kind} {item.name!r} is defined twice", where=f"{defined_in[kind, item.name]} and {path}",
                do="choose another name",
            )  # fmt: skip
        registry[item.name] = model(**item.model_dump(exclude={"name"}))
        defined_in[kind, item.name] = path


def _check_dataset(name: str, dataset: Dataset, sources: Mapping[str, Source], where: str) -> None:
    if dataset.source is not None:
        _known(dataset.source, sources, "source", f"{where}: source")
        files = sources[dataset.source].files
        if dataset.file is None and len(files) > 1:
            raise ConfigError("which file of the source?", where=f"{where}: file", expected=f"one of {sorted(files)}")
        if dataset.file is not None:
            _known(dataset.file, files, f"file of source {dataset.source}", f"{where}: file")
    reserved = {dataset.key, *IDENTITY, "formula", "repeated"}
    names = [*dataset.columns, *dataset.derived, *dataset.flags]
    for column in names:
        if column in reserved or names.count(column) > 1:
            raise ConfigError(f"column {column!r} is defined twice", where=where, do="choose another name")
    for column, definition in dataset.columns.items():
        said = definition if isinstance(definition, Column) else Column(source=definition)
        described = said.description is not None and (said.unit is not None or said.dtype == "string")
        if column not in FIELDS and not described:
            raise ConfigError(
                f"column {column!r} is not in the data dictionary", where=f"{where}: columns",
                expected="`source`, `unit` and `description` of a new column (for text `source`, `dtype: string` and "
                f"`description`), or a name of docs/data-dictionary.md{_maybe(column)}",
            )  # fmt: skip
    for column in dataset.repeats:
        _known(column, {*dataset.columns, "composition"}, "column", f"{where}: repeats")
    try:
        dataset_schema(name, dataset)
    except ValueError as error:  # a definition that contradicts the dictionary or itself
        raise ConfigError("no table can be made of this dataset", where=where, found=error) from error


def _maybe(column: str) -> str:
    near = closest(column, FIELDS)
    return f", such as {near!r}" if near else ""


def _check_view(view: object, views: Mapping, where: str) -> None:
    if isinstance(view, JoinedView):
        for part in view.of:
            _known(part, views, "view", f"{where}: of")
            if isinstance(views[part], JoinedView):
                raise ConfigError("a joined view can't join another", where=f"{where}: of", found=repr(part))


def _check_study(study: Study, path: Path, datasets: Mapping, views: Mapping, methods: Methods) -> None:
    dataset = study.dataset if isinstance(study.dataset, str) else study.dataset.name
    _known(dataset, datasets, "dataset", f"{path}: dataset")
    fields = {f.name: f for f in dataset_schema(dataset, datasets[dataset]).fields}
    columns, of_dataset = list(fields), f"column of dataset {dataset}"
    for view in study.views:
        name = view if isinstance(view, str) else view.name
        _known(name, views, "view", f"{path}: views")
        for column in getattr(views[name], "columns", []):
            _known(column, columns, of_dataset, f"{path}: view {name}: columns")
            _is_feature(column, fields[column], datasets[dataset], f"{path}: view {name}: columns")
    for name in study.representations:
        _known(name, methods.representations, "representation", f"{path}: representations")
    for name in study.clusterings:
        _known(name, methods.clusterings, "clustering", f"{path}: clusterings")
        group = methods.clusterings[name].stability.group
        _known(group, columns, of_dataset, f"{path}: clustering {name}: stability.group")
    for item in [*study.figures, *study.tables]:
        where = f"{path}: {item.name}"
        if item.clustering is not None:
            _known(item.clustering, study.clusterings, "clustering of this study", f"{where}: clustering")
        for key in ("property", "against", "rank_by", "window", "properties", "log"):
            named = getattr(item, key, None) or []
            for column in [named] if isinstance(named, str) else named:
                _known(column, columns, of_dataset, f"{where}: {key}")
                if fields[column].dtype not in ("float64", "int64"):
                    raise ConfigError(
                        f"column {column!r} can't be drawn", where=f"{where}: {key}", expected="numbers",
                        found=fields[column].dtype,
                    )  # fmt: skip
    for claim in study.claims:
        _check_claim(claim, f"{path}: claim {claim.id}: sql")
    names = [item.name for item in [*study.figures, *study.tables]]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"figure or table {name!r} is defined twice", where=path, do="choose another name")


def _is_feature(name: str, field: Field, dataset: Dataset, where: str) -> None:
    """A column that a view takes in must be a number in every row, since no value is ever filled in silently."""
    said = dataset.columns.get(name)
    may_be_empty = isinstance(said, Column) and said.nullable
    if field.dtype not in ("float64", "int64") or may_be_empty:
        found = "a nullable column" if may_be_empty else f"{field.dtype}"
        raise ConfigError(
            f"column {name!r} can't be a feature", where=where, expected="a number in every row", found=found,
            do="leave it out of the view, or let rows without it be refused (nullable: false)",
        )  # fmt: skip


def _own_file_is_there(study: Study, datasets: Mapping, path: Path, root: Path) -> None:
    dataset = datasets[study.dataset if isinstance(study.dataset, str) else study.dataset.name]
    if dataset.path is not None and not (root / dataset.path).is_file():
        raise ConfigError(
            "the file of the dataset is missing", where=f"{path}: dataset.path", found=dataset.path,
            do="give its path from the folder of the Snakefile",
        )  # fmt: skip


def _check_claim(claim: Claim, where: str) -> None:
    """The SQL of a claim can be read before anything is computed; whether its names exist shows when it is measured."""
    import duckdb

    try:
        statements = duckdb.extract_statements(claim.sql)
    except duckdb.Error as error:
        raise ConfigError("not valid SQL", where=where, found=str(error).splitlines()[0]) from error
    if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
        raise ConfigError("the SQL of a claim must be one SELECT", where=where, found=f"{len(statements)} statements")


def _claims_are_unique(studies: Mapping[str, Study], files: Mapping[str, Path]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for name, study in studies.items():
        for claim in study.claims:
            if (claim.id, claim.variant) in seen:
                where = " and ".join(dict.fromkeys([str(seen[claim.id, claim.variant]), str(files[name])]))
                raise ConfigError(
                    f"claim {claim.id!r} is defined twice", where=where, do="choose another id, or tell them apart by "
                    "`variant`",
                )  # fmt: skip
            seen[claim.id, claim.variant] = files[name]
