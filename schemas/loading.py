"""Reading config/: one `Atlas` in which every name points at something that exists."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import BaseModel

from matlas.errors import ConfigError
from schemas.checks import check_dataset, check_methods, check_study, check_view
from schemas.config.atlas import Atlas
from schemas.config.datasets import CrystalDataset, Dataset, ImageDataset, TableLabels
from schemas.config.methods import Methods
from schemas.config.settings import Settings
from schemas.config.sources import Source
from schemas.config.studies import NamedJoinedView, NamedSelectedView, NamedSpectrumView, Study, names_of
from schemas.config.views import NETWORK_STAGES, NetworkView, StageView, View
from schemas.parsing import known, name_is_valid, parse, parse_each
from schemas.strict_yaml import read_yaml

AnyDefinition = TypeVar("AnyDefinition", bound=BaseModel)


def load_atlas(settings: Mapping, root: Path = Path(".")) -> Atlas:
    """Read and check all configuration below `root`/config.

    settings : the merged config.yaml, as Snakemake hands it over. Raises ConfigError that names the key, the file
    and the nearest valid name.
    """
    config = root / "config"
    checked = parse(Settings, dict(settings), "config/config.yaml, --configfile or --config")
    sources = parse_each(Source, config / "sources.yaml")
    datasets = parse_each(Dataset, config / "datasets.yaml")
    views = parse_each(View, config / "views.yaml")
    methods = parse(Methods, read_yaml(config / "methods.yaml"), config / "methods.yaml")
    check_methods(methods, config / "methods.yaml")
    files = _study_files(config / "studies")
    _names_of_rules_are_refused(files, root / "rules")
    for key, names, what, valid in (
        ("studies", checked.studies or [], "study", files),
        ("sample_sources", checked.sample_sources, "source", sources),
        ("skip_sources", checked.skip_sources, "source", sources),
    ):
        for name in names:
            known(name, valid, what, f"config/config.yaml, --configfile or --config: {key}")
    studies = {name: parse(Study, read_yaml(path), path) for name, path in files.items()}
    if (most := checked.runtime.repetitions) is not None:
        methods = _repeated(methods, most)
        studies = {name: _repeated(study, most) for name, study in studies.items()}
    defined_in = {("dataset", d): config / "datasets.yaml" for d in datasets}
    defined_in |= {("view", v): config / "views.yaml" for v in views}
    _add_stages(views, config / "views.yaml")
    for name, study in studies.items():
        _take_own(study, datasets, views, defined_in, files[name])
    for name, dataset in datasets.items():
        check_dataset(name, dataset, sources, f"{defined_in['dataset', name]}: {name}")
    for name, view in views.items():
        if not isinstance(view, StageView):
            check_view(view, views, sources, methods, f"{defined_in['view', name]}: {name}")
    for name, study in studies.items():
        check_study(study, files[name], datasets, views, sources, methods)
    _claims_are_unique(studies, files)
    chosen = {name: studies[name] for name in (checked.studies if checked.studies is not None else studies)}
    for study in chosen.values():
        (dataset,) = names_of([study.dataset])
        key = dataset if isinstance(study.dataset, str) else "dataset"
        _own_files_are_there(datasets[dataset], f"{defined_in['dataset', dataset]}: {key}", root)
    return Atlas(
        settings=checked, sources=sources, datasets=datasets, views=views, methods=methods, studies=chosen,
        skipped_sources=frozenset(checked.skip_sources) | _absent(sources, checked),
    )  # fmt: skip


def _absent(sources: Mapping[str, Source], settings: Settings) -> set[str]:
    """Optional sources that the mirror, where it is a folder, does not hold."""
    mirror = os.environ.get("MATLAS_MIRROR") or settings.mirror or ""
    folder = Path(url2pathname(urlsplit(mirror).path) if mirror.startswith("file://") else mirror).expanduser()
    if not mirror or not folder.is_dir():
        return set()
    wanted = {name for name, source in sources.items() if source.optional} - set(settings.sample_sources)
    return {name for name in wanted if not all((folder / f.mirror).is_file() for f in sources[name].files.values())}


def _repeated(definition: AnyDefinition, most: int) -> AnyDefinition:
    """The definition with all seeds, bootstraps and inner folds in it lowered to `most`."""

    def lowered(name: str, value):
        if name in ("seeds", "bootstraps", "inner_folds"):
            return min(value, most)
        if isinstance(value, dict):
            return {key: lowered(key, inner) for key, inner in value.items()}
        return _repeated(value, most) if isinstance(value, BaseModel) else value

    return definition.model_copy(update={name: lowered(name, value) for name, value in definition})


def _add_stages(views: dict, where: Path) -> None:
    """The views of the earlier stages of each network view."""
    for name, view in list(views.items()):
        if isinstance(view, NetworkView):
            for stage in range(1, NETWORK_STAGES[view.network]):
                if f"{name}_stage{stage}" in views:
                    raise ConfigError(
                        f"view {name}_stage{stage} is defined twice", where=where, do=f"it belongs to view {name}"
                    )
                views[f"{name}_stage{stage}"] = StageView(
                    kind="image", features="stage", of=name, stage=stage,
                    description=f"{view.description}: pooled output of stage {stage}" if view.description else "",
                )  # fmt: skip


def _study_files(folder: Path) -> dict[str, Path]:
    for path in folder.glob("*.yml"):
        raise ConfigError("a study file ends in .yaml", where=path, do=f"rename it to {path.stem}.yaml")
    found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name, path in found.items():
        name_is_valid(name, path)
    return found


def _names_of_rules_are_refused(files: Mapping[str, Path], rules: Path) -> None:
    """A study is a target by its name, so it can't bear the name of a rule."""
    named = re.compile(r"^(?:rule|use rule \w+ as) (\w+)[: ]", re.M)
    taken = {"all"}.union(*(named.findall(f.read_text(encoding="utf-8")) for f in rules.glob("*")))
    for study, path in files.items():
        if study in taken or study.startswith("figures_"):
            raise ConfigError("the study has the name of a rule", where=path, found=repr(study), do="rename the file")


def _take_own(study: Study, datasets: dict, views: dict, defined_in: dict, path: Path) -> None:
    """Add the dataset and views that a study defines itself to the common ones."""
    own = [] if isinstance(study.dataset, str) else [("dataset", study.dataset, datasets)]
    own += [
        ("view", v, views)
        for v in study.views
        if isinstance(v, NamedJoinedView | NamedSelectedView | NamedSpectrumView)
    ]
    for kind, item, registry in own:
        if item.name in registry:
            raise ConfigError(
                f"{kind} {item.name!r} is defined twice",
                where=f"{defined_in.get((kind, item.name), 'config/views.yaml')} and {path}", do="choose another name",
            )  # fmt: skip
        plain = type(item).__mro__[1]  # the model without a name
        registry[item.name] = plain(**item.model_dump(exclude={"name"}))
        defined_in[kind, item.name] = path


def _own_files_are_there(dataset: Dataset, where: str, root: Path) -> None:
    if dataset.path and set(dataset.path) & set("{}<>"):
        raise ConfigError(
            "a path with a bracket that Snakemake takes for its own", where=f"{where}.path", found=dataset.path,
            do="rename the folder or file, without { } < >",
        )  # fmt: skip
    in_folder = isinstance(dataset, ImageDataset | CrystalDataset)
    found = dataset.path is None or (root / dataset.path).is_file() or (in_folder and (root / dataset.path).is_dir())
    if not found:
        raise _missing(f"{'folder or ' if in_folder else ''}file of the dataset", f"{where}.path", dataset.path)
    labels = getattr(dataset, "labels", None)
    if isinstance(labels, TableLabels) and not (root / labels.path).is_file():
        raise _missing("table of labels", f"{where}.labels.path", labels.path)


def _missing(what: str, where: str, path: str) -> ConfigError:
    do = "give its path from the folder of the Snakefile"
    return ConfigError(f"the {what} is missing", where=where, found=path, do=do)


def _claims_are_unique(studies: Mapping[str, Study], files: Mapping[str, Path]) -> None:
    seen: dict[str, Path] = {}
    for name, study in studies.items():
        for claim in study.claims:
            if claim.id in seen:
                where = " and ".join(dict.fromkeys([str(seen[claim.id]), str(files[name])]))
                raise ConfigError(f"claim {claim.id!r} is defined twice", where=where, do="choose another id")
            seen[claim.id] = files[name]
