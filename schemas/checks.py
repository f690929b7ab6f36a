"""Whether a dataset, a view and a study make sense among the others: names exist, kinds fit, columns are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matlas.errors import ConfigError, closest
from schemas.config.datasets import Column, CompositionDataset, CrystalDataset, Dataset, Eds
from schemas.config.methods import Methods
from schemas.config.sources import Source
from schemas.config.studies import Claim, Figure, Study, Use, names_of, uses
from schemas.config.views import JoinedView, NetworkView, SelectedView, SpectrumView
from schemas.fields import FIELDS
from schemas.learning import check_learning, check_simulation_tests
from schemas.parsing import known
from schemas.table import Field
from schemas.tables.dataset import crystal_columns, dataset_schema, fixed_columns

# kinds of figures that show what not every study has
NEEDS_LABEL = ("label_map", "score_summary", "score_by_stage", "contingency")
NEEDS_IMAGES = ("sensitivity", "image_examples", "exemplars", "outliers")
# steps of a preparation after which counts are counts, and references can be prepared (matlas.cubes.prepare.PIXELWISE)
_LEAVE_COUNTS = {"crop", "rebin"}
_LEAVE_REFERENCES = {"crop", "rebin", "scaled", "anscombe"}
NEEDS_CUBE = ("phase_map", "cube_overview", "centroid_spectra")
NEEDS_UNMIXING = ("abundance_maps", "endmembers", "residual_maps", "unmixing_scores")


def check_dataset(name: str, dataset: Dataset, sources: Mapping[str, Source], where: str) -> None:
    if dataset.source is not None:
        known(dataset.source, sources, "source", f"{where}: source")
        files = sources[dataset.source].file_names
        tables = getattr(dataset, "tables", {})
        for table, definition in tables.items():
            for file in definition.files:
                known(file, files, f"file of source {dataset.source}", f"{where}: tables: {table}: files")
            if not definition.files and dataset.file is None and len(files) > 1:
                what, place = "which files of the source?", f"{where}: tables: {table}: files"
                raise ConfigError(what, where=place, expected=f"some of {sorted(files)}")
        if dataset.file is None and len(files) > 1 and not tables:
            raise ConfigError("which file of the source?", where=f"{where}: file", expected=f"one of {sorted(files)}")
        if dataset.file is not None:
            known(dataset.file, files, f"file of source {dataset.source}", f"{where}: file")
    reserved = fixed_columns(dataset)
    columns = {}
    if isinstance(dataset, CompositionDataset):
        columns = dataset.columns
    if isinstance(dataset, CrystalDataset):
        columns = crystal_columns(dataset)
    names = [*columns, *dataset.derived, *dataset.flags]
    for column in names:
        if column in reserved or names.count(column) > 1:
            raise ConfigError(f"column {column!r} is defined twice", where=where, do="choose another name")
    for column, definition in columns.items():
        said = definition if isinstance(definition, Column) else Column(source=definition)
        if column in FIELDS and said.unit not in (None, FIELDS[column].unit):
            raise ConfigError(
                f"column {column!r} has another unit than the data dictionary gives it", where=f"{where}: columns",
                expected=repr(FIELDS[column].unit), found=repr(said.unit),
                do="convert it with `scale` and `offset`, or choose another name and describe it",
            )  # fmt: skip
        described = said.description is not None and (said.unit is not None or said.dtype == "string")
        if column not in FIELDS and not described:
            raise ConfigError(
                f"column {column!r} is not in the data dictionary", where=f"{where}: columns",
                expected="`source`, `unit` and `description` of a new column (for text `source`, `dtype: string` and "
                f"`description`), or a name of docs/data-dictionary.md{_maybe(column)}",
            )  # fmt: skip
    if eds := getattr(dataset, "eds", None):
        _check_eds(eds, f"{where}: eds")
    _check_steps(getattr(dataset, "steps", []), f"{where}: steps")
    for column in getattr(dataset, "repeats", []):
        known(column, {*columns, "composition"}, "column", f"{where}: repeats")
    try:
        dataset_schema(name, dataset)
    except ValueError as error:  # a definition that contradicts the dictionary or itself
        raise ConfigError("no table can be made of this dataset", where=where, found=error) from error


def _check_eds(eds: Eds, where: str) -> None:
    from matlas.composition import SYMBOLS, parse_formulas  # numpy, which not every configuration needs

    symbols = SYMBOLS[3:99]
    for element in eds.elements:
        if element not in symbols:
            near = closest(element, [symbol.lower() for symbol in symbols])
            expected = f"{near.capitalize()!r} (nearest)" if near else "a symbol from Li to Cf"
            raise ConfigError("not an element with X-ray lines", where=f"{where}.elements", expected=expected,
                              found=repr(element))  # fmt: skip
    for phase, formula in eds.phases.items():
        if reason := parse_formulas([formula])[1].get(0):
            raise ConfigError(f"formula of phase {phase} can't be read", where=f"{where}.phases", found=reason)


def _maybe(column: str) -> str:
    near = closest(column, FIELDS)
    return f", such as {near!r}" if near else ""


def check_methods(methods: Methods, path: Path) -> None:
    """One name, one method: results are filed by it, whatever kind of method it is."""
    seen: dict[str, str] = {}
    for key in Methods.model_fields:
        for name in getattr(methods, key):
            if name in seen:
                where = f"{path}: {seen[name]} and {key}"
                raise ConfigError(f"method {name!r} is defined twice", where=where, do="choose another name")
            seen[name] = key
    for name, unmixing in methods.unmixings.items():
        if isinstance(number := getattr(unmixing, "endmembers", None), str):
            known(number, methods.endmember_counts, "count", f"{path}: unmixings: {name}: endmembers")
    for name, drawn in methods.maps.items():
        if drawn.of:
            known(drawn.of, methods.representations, "representation", f"{path}: maps: {name}: of")


def check_view(view: object, views: Mapping, sources: Mapping[str, Source], methods: Methods, where: str) -> None:
    if isinstance(view, JoinedView | SelectedView):
        for part in view.of:
            known(part, views, "view", f"{where}: of")
            if isinstance(views[part], JoinedView | SelectedView):
                what = f"a {view.kind} view can't be made of a {views[part].kind} view"
                raise ConfigError(what, where=f"{where}: of", found=repr(part), do="name the views that it is made of")
    if isinstance(view, SelectedView):
        known(view.split, methods.splits, "split", f"{where}: split")
    if isinstance(view, SpectrumView):
        _check_steps(view.steps, f"{where}: steps")
    if isinstance(view, NetworkView):
        known(view.weights, sources, "source", f"{where}: weights")
        if len(files := sources[view.weights].file_names) > 1:
            found = f"{len(files)} files in source {view.weights}"
            raise ConfigError("which file holds the weights?", where=f"{where}: weights", found=found)


def _check_steps(steps: list, where: str) -> None:
    if not steps:
        return
    from matlas.cubes.prepare import check_steps  # here, since it takes a third of a second to import

    try:
        check_steps(steps)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, expected=error.expected, found=error.found) from error


def check_study(
    study: Study, path: Path, datasets: Mapping, views: Mapping, sources: Mapping[str, Source], methods: Methods
) -> None:
    (name,) = names_of([study.dataset])
    known(name, datasets, "dataset", f"{path}: dataset")
    dataset = datasets[name]
    fields = {f.name: f for f in dataset_schema(name, dataset).fields}
    of_dataset = f"column of dataset {name}"
    for view in names_of(study.views):
        known(view, views, "view", f"{path}: views")
        fits(view, views, dataset.kind, f"{path}: views")
        for column in getattr(views[view], "columns", []):
            known(column, fields, of_dataset, f"{path}: view {view}: columns")
            _is_feature(column, fields[column], dataset, f"{path}: view {view}: columns")
    for key in ("representations", "maps", "clusterings", "endmember_counts", "unmixings", "inspections"):
        _check_uses(getattr(study, key), key, study, methods, f"{path}: {key}")
    if study.inspections and dataset.kind != "image":
        raise ConfigError("outliers are planted in images only", where=f"{path}: inspections", found=dataset.kind)
    for key in ("endmember_counts", "unmixings"):
        if getattr(study, key) and dataset.kind != "cube":
            raise ConfigError("only spectra of pixels are unmixed", where=f"{path}: {key}", found=dataset.kind)
    if study.quantification:
        _check_quantification(study, dataset, f"{path}: quantification")
    _check_unmixing(study, dataset, views, methods, path)
    for clustering in names_of(study.clusterings):
        stability = getattr(methods.clusterings[clustering], "stability", None)
        if stability and stability.group:
            known(stability.group, fields, of_dataset, f"{path}: clustering {clustering}: stability.group")
            if stability.group == study.evaluation.label:
                raise ConfigError(
                    "classes can't group the resampling that judges clusters",
                    where=f"{path}: clustering {clustering}: stability.group", found=repr(stability.group),
                )  # fmt: skip
    if study.evaluation.label == "label" and "label" not in fields and dataset.kind == "image":
        raise ConfigError(
            "the dataset has no labels", where=f"{path}: evaluation.label", found="'label'",
            do="add `labels:` to the definition of the dataset, or leave out evaluation.label",
        )  # fmt: skip
    if study.evaluation.label:
        known(study.evaluation.label, fields, of_dataset, f"{path}: evaluation.label")
        _has_dtype(fields[study.evaluation.label], ("string",), f"{path}: evaluation.label", "be a class")
    for column in study.evaluation.conditions:
        known(column, fields, of_dataset, f"{path}: evaluation.conditions")
        _has_dtype(fields[column], ("float64", "int64"), f"{path}: evaluation.conditions", "be a condition")
    for item in [*study.figures, *study.tables]:
        _check_item(item, study, fields, of_dataset, f"{path}: {item.name}")
    for figure in study.figures:
        _has_what_it_shows(figure, study, dataset, f"{path}: {figure.name}")
        _has_its_k(figure, methods, f"{path}: {figure.name}: k")
    for claim in study.claims:
        _check_claim(claim, study, f"{path}: claim {claim.id}")
    check_learning(study, path, dataset, fields, datasets, views, methods)
    check_simulation_tests(study, dataset, sources, methods, f"{path}: tests")
    names = [item.name for item in [*study.figures, *study.tables]]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"figure or table {name!r} is defined twice", where=path, do="choose another name")


# what can be said of the entities of a dataset: crystals have a composition too
DESCRIBED_BY = {"composition": ("composition",), "crystal": ("crystal", "composition"), "image": ("image",),
                "cube": ("cube",)}  # fmt: skip


def fits(view: str, views: Mapping, kind: str, where: str) -> None:
    """A view of images needs a dataset of images, and so on."""
    parts = views[view].of if isinstance(views[view], JoinedView | SelectedView) else [view]
    for part in parts:
        if views[part].kind not in DESCRIBED_BY[kind]:
            raise ConfigError(
                f"view {part!r} does not fit the dataset", where=where,
                expected=f"a view of kind {' or '.join(DESCRIBED_BY[kind])}", found=f"kind {views[part].kind}",
            )  # fmt: skip


def _check_uses(items: list[str | Use], key: str, study: Study, methods: Methods, where: str) -> None:
    for use in uses(items):
        for other in Methods.model_fields:
            if other != key and use.name in getattr(methods, other):
                place = "in the trials of `probing`" if other in ("splits", "heads") else f"under {other}"
                raise ConfigError(f"{use.name!r} is one of the {other}", where=where, do=f"name it {place}")
        known(use.name, getattr(methods, key), key.removesuffix("s"), where)
        for view in use.views:
            known(view, names_of(study.views), "view of this study", f"{where}: {use.name}: views")
        for representation in use.representations:
            if key != "clusterings":
                raise ConfigError(f"{key} don't take representations", where=f"{where}: {use.name}")
            known(
                representation, names_of(study.representations), "representation of this study",
                f"{where}: {use.name}: representations",
            )  # fmt: skip
        if key == "maps" and (of := methods.maps[use.name].of):
            there = [r for r in uses(study.representations) if r.name == of]
            for view in use.views or names_of(study.views):
                if not any(r.fits(view) for r in there):
                    raise ConfigError(
                        f"map {use.name!r} is drawn of representation {of!r}, which the study lacks on view {view!r}",
                        where=f"{where}: {use.name}", do=f"name it under representations, or leave view {view!r} out",
                    )  # fmt: skip
        if key == "clusterings" and not any(
            r.fits(view) and use.fits(view, r.name)
            for view in names_of(study.views)
            for r in uses(study.representations)
        ):
            raise ConfigError(
                "nothing is clustered by this", where=f"{where}: {use.name}",
                do="choose representations that are used on its views",
            )  # fmt: skip


def _check_quantification(study: Study, dataset: Dataset, where: str) -> None:
    asked = study.quantification
    if getattr(dataset, "eds", None) is None:
        raise ConfigError("only X-ray spectra are quantified", where=where, do="add `eds` to the dataset")
    known(asked.view, names_of(study.views), "view of this study", f"{where}.view")
    known(asked.unmixing, names_of(study.unmixings), "unmixing of this study", f"{where}.unmixing")
    if not any(use.name == asked.unmixing and use.fits(asked.view) for use in uses(study.unmixings)):
        raise ConfigError("the study has no such shares", where=where, found=f"{asked.view}/{asked.unmixing}",
                          do=f"name {asked.unmixing} in unmixings, on view {asked.view}")  # fmt: skip
    named = {f"ratios: {ratio.name}": [*ratio.above, *ratio.below] for ratio in asked.ratios}
    named |= {f"windows[{i}]": window.elements for i, window in enumerate(asked.windows)}
    for key, elements in (named | {"stated_ppm": asked.stated_ppm}).items():
        for element in elements:
            known(element, dataset.eds.elements, "element of `eds.elements`", f"{where}.{key}")
    phases = [*dataset.eds.phases, *(dataset.truth.materials if dataset.truth else [])]
    stated = {f"ratios: {ratio.name}: stated": ratio.stated for ratio in asked.ratios}
    stated |= {f"stated_ppm: {element}": by_phase for element, by_phase in asked.stated_ppm.items()}
    for key, by_phase in stated.items():
        for phase in by_phase:
            known(phase, phases, "phase of the dataset", f"{where}.{key}")


def _check_unmixing(study: Study, dataset: Dataset, views: Mapping, methods: Methods, path: Path) -> None:
    """Endmembers are counted by counting noise, and given ones must be there, on each view that a method is used on."""
    for key in ("endmember_counts", "unmixings"):
        for use in uses(getattr(study, key)):
            for view in filter(use.fits, names_of(study.views)):
                steps = [name for step in [*dataset.steps, *views[view].steps] for name in step]
                counted = key == "endmember_counts" or isinstance(
                    getattr(methods.unmixings[use.name], "endmembers", None), str
                )
                where, one = f"{path}: {key}: {use.name}", f"{{name: {use.name}, views: [...]}}"
                if counted and not (dataset.counts and set(steps) <= _LEAVE_COUNTS):
                    raise ConfigError(
                        f"endmembers are counted by counting noise, and view {view!r} holds no counts", where=where,
                        expected="a dataset with `counts: true`, and steps that leave counts (crop, rebin)",
                        found=f"counts: {str(dataset.counts).lower()}, steps {steps}", do=f"name other views: {one}",
                    )  # fmt: skip
                given = key == "unmixings" and methods.unmixings[use.name].algorithm == "given"
                there = (dataset.truth and dataset.truth.spectra) or (dataset.eds and dataset.eds.phases)
                if given and not (there and set(steps) <= _LEAVE_REFERENCES):
                    raise ConfigError(
                        f"view {view!r} has no reference spectra to unmix by", where=where, found=f"steps {steps}",
                        expected="a dataset with `truth.spectra` or `eds.phases`, and steps that look at one spectrum "
                        f"at a time ({', '.join(sorted(_LEAVE_REFERENCES))})", do=f"name other views: {one}",
                    )  # fmt: skip


def _check_item(item: object, study: Study, fields: Mapping[str, Field], of_dataset: str, where: str) -> None:
    """A figure or table names things that the study has."""
    for key, valid, what in (
        ("clustering", study.clusterings, "clustering"), ("clusterings", study.clusterings, "clustering"),
        ("views", study.views, "view"), ("representations", study.representations, "representation"),
        ("map", study.maps, "map"), ("unmixing", study.unmixings, "unmixing"),
        ("unmixings", study.unmixings, "unmixing"),
    ):  # fmt: skip
        for name in _listed(getattr(item, key, None)):
            known(name, names_of(valid), f"{what} of this study", f"{where}: {key}")
    for key in ("property", "against", "rank_by", "window", "properties", "log"):
        for column in _listed(getattr(item, key, None)):
            known(column, fields, of_dataset, f"{where}: {key}")
            if getattr(item, "kind", None) != "latent_map":  # which colours classes too
                _has_dtype(fields[column], ("float64", "int64"), f"{where}: {key}", "be drawn")


def _has_what_it_shows(figure: Figure, study: Study, dataset: Dataset, where: str) -> None:
    for kinds, there, what, do in (
        (NEEDS_LABEL, study.evaluation.label, "classes", "name the column in evaluation.label"),
        (("condition_effects",), study.evaluation.conditions, "conditions", "name columns in evaluation.conditions"),
        (("outlier_recall",), study.inspections, "a search for outliers", "name one in inspections"),
        (NEEDS_IMAGES, dataset.kind == "image", "a dataset of images", "leave it out"),
        (NEEDS_CUBE, dataset.kind == "cube", "a dataset of pixels (kind cube)", "leave it out"),
        (NEEDS_UNMIXING, study.unmixings, "an unmixing", "name one in unmixings"),
        (("quantities",), study.quantification, "a quantification", "add `quantification:`"),
    ):
        if figure.kind in kinds and not there:
            raise ConfigError(f"a figure of kind {figure.kind} needs {what}", where=where, do=do)


def _has_its_k(figure: Figure, methods: Methods, where: str) -> None:
    """A clustering that finds its own number of clusters is drawn with it, whatever the figure says."""
    swept = getattr(methods.clusterings.get(figure.clustering), "k", None)
    if figure.k is not None and swept is not None and figure.k not in swept:
        what = f"K = {figure.k} is not swept by clustering {figure.clustering}"
        raise ConfigError(what, where=where, expected=f"one of {swept}")


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _has_dtype(field: Field, dtypes: tuple[str, ...], where: str, to: str) -> None:
    if field.dtype not in dtypes:
        expected = "text" if dtypes == ("string",) else "numbers"
        raise ConfigError(f"column {field.name!r} can't {to}", where=where, expected=expected, found=field.dtype)


def _is_feature(name: str, field: Field, dataset: Dataset, where: str) -> None:
    """A column that a view takes in must be a number in every row, since no value is ever filled in silently."""
    said = getattr(dataset, "columns", {}).get(name)
    may_be_empty = isinstance(said, Column) and said.nullable
    if field.dtype not in ("float64", "int64") or may_be_empty:
        found = "a nullable column" if may_be_empty else f"{field.dtype}"
        raise ConfigError(
            f"column {name!r} can't be a feature", where=where, expected="a number in every row", found=found,
            do="leave it out of the view, or let rows without it be refused (nullable: false)",
        )  # fmt: skip


def _check_claim(claim: Claim, study: Study, where: str) -> None:
    """The SQL of a claim can be read before anything is computed; whether its names exist shows when it is measured."""
    import duckdb

    for variant in claim.variants:
        known(variant, names_of(study.views), "view of this study", f"{where}: variants")
        if claim.variants.count(variant) > 1:
            raise ConfigError(f"variant {variant!r} is named twice", where=f"{where}: variants", do="name it once")
    if ("{variant}" in claim.sql) != bool(claim.variants):
        found = "`variants` without {variant}" if claim.variants else "{variant} without `variants`"
        raise ConfigError(
            "`variants` and {variant} in the SQL go together", where=where, found=found,
            do="name views in `variants`, and write {variant} where the SQL names the view",
        )  # fmt: skip
    where = f"{where}: sql"
    try:
        statements = duckdb.extract_statements(claim.sql.replace("{variant}", "x"))
    except duckdb.Error as error:
        raise ConfigError("not valid SQL", where=where, found=str(error).splitlines()[0]) from error
    if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
        raise ConfigError("the SQL of a claim must be one SELECT", where=where, found=f"{len(statements)} statements")
