"""config/datasets.yaml: what a clean table is read from, by kind of entity."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from schemas.config.base import Model, Name


class Column(Model):
    """A column of the dataset: where it comes from in the raw file, and what it means.

    `unit` and `description` may be left out when the data dictionary (schemas/fields.py) knows the name. `scale`
    and `offset` convert into `unit`: value = raw * scale + offset.
    """

    source: str
    unit: str | None = None
    description: str | None = None
    dtype: Literal["float64", "string"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False


class Derived(Model):
    """A column computed from the others by a DuckDB expression."""

    sql: str
    unit: str | None = None
    description: str | None = None


class Entities(Model):
    """What every dataset has, whatever its entities are."""

    title: str
    source: Name | None = None
    path: str | None = None
    query: None = None
    file: str | None = None
    derived: dict[Name, str | Derived] = {}
    flags: dict[Name, str | Derived] = {}
    max_reject_share: float = Field(default=0.02, ge=0, le=1)
    licence: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _one_origin(self):
        if [self.source, self.path, self.query].count(None) != 2:
            raise ValueError(
                "either `source` (an id of config/sources.yaml), `path` (a file or folder of yours) or, of crystals, "
                "`query` (what the Materials Project is asked)"
            )
        if self.file and not self.source:
            raise ValueError("no `file` beside `path` or `query`: it says which file of a `source` is meant")
        return self

    @property
    def provider(self) -> str:
        """Where the entities come from: a pinned snapshot, a database that is asked, or the user's own file."""
        return "snapshot" if self.source else "file" if self.path else "api"

    @property
    def resampled_by(self) -> str | None:
        """Column whose values are drawn whole where rows are resampled; None: single rows are."""
        return None


class CompositionDataset(Entities):
    """One row a measurement of a composition."""

    kind: Literal["composition"]
    sheet: str | None = None
    key: Name = "row_id"
    formula: str
    columns: dict[Name, str | Column] = {}
    repeats: list[Name] = []

    @property
    def resampled_by(self) -> str:
        """Column whose rows belong together: a bootstrap draws them together or not at all."""
        return "composition"

    @property
    def described_by(self) -> str:
        """Column that says in a word what kind of entity a row is."""
        return "dominant_element"


class FolderLabels(Model):
    """The folder that an image lies in is its label."""

    by: Literal["folder"]


class NameLabels(Model):
    """The group `label` of a regular expression, searched in the image's path, is its label."""

    by: Literal["name"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _has_a_label(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"a regular expression that compiles ({error})") from error
        if "label" not in groups:
            raise ValueError("a regular expression with a group named label: (?P<label>…)")
        return pattern


class TableLabels(Model):
    """A CSV with the path (or the bare name) of each image in column `file` and its label in column `label`."""

    by: Literal["table"]
    path: str
    file: str = "file"
    label: str = "label"


Labels = Annotated[FolderLabels | NameLabels | TableLabels, Field(discriminator="by")]


class ImageDataset(Entities):
    """One row an image: PNG, JPEG or TIFF below a folder or in an archive (ZIP, TAR).

    `images` picks the files; `size` (width, height in pixels) refuses images of another size; `white_level` is the
    value shown as white, where it isn't the largest that the file can hold (4095 for 12 bits stored in 16).
    """

    kind: Literal["image"]
    key: Name = "image_id"
    max_reject_share: float = Field(default=0.1, ge=0, le=1)  # folders often hold a file or two that are no image
    images: str = "**/*"
    labels: Labels | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    white_level: float | None = Field(default=None, gt=0)

    @property
    def described_by(self) -> str | None:
        return "label" if self.labels else None


# what every row of crystals is known by until it is clean
PLACE = ("table", "file", "row", "id", "structure")


def _not_a_place(name: str) -> str:
    if name in PLACE:
        raise ValueError(f"a name other than {', '.join(PLACE)}")
    return name


ColumnOfCrystals = Annotated[Name, AfterValidator(_not_a_place)]


class CrystalTable(Model):
    """One table of crystals: in which column of the source the identifier and the structure stand (CIF or POSCAR as
    text, pymatgen's JSON, or the path of a file, from the folder of the table), and its other columns. `files` are
    those of the source; a folder of CIF or POSCAR files is a table too, whose identifiers are the names of its files.
    """

    files: list[str] = []
    id: str = "material_id"
    structure: str = "cif"
    columns: dict[ColumnOfCrystals, str | Column] = {}


class CrystalDataset(Entities):
    """One row a crystal, whichever of the `tables` hold it: the first that has a value for a column gives it, and a
    flag in_<table> says for each whether it holds the crystal. With `path` or `query` there is one table, described
    by `id`, `structure` and `columns`. `query` asks the Materials Project, with the key in MP_API_KEY, for what
    `columns` names; `release` and `retrieved` say what a snapshot or a file is a copy of.
    """

    kind: Literal["crystal"]
    key: Name = "material_id"
    query: dict[str, str | float | bool | list[str | float]] | None = None
    id: str = "material_id"
    structure: str = "cif"
    columns: dict[ColumnOfCrystals, str | Column] = {}
    tables: dict[Name, CrystalTable] = {}
    release: str = ""
    retrieved: str = ""
    shortest_distance: float = Field(default=0.5, gt=0)  # Å; closer atoms are a mistake
    volume_per_atom: tuple[float, float] = (2.0, 400.0)  # Å³; outside is a mistake
    symmetry_tolerance: float = Field(default=0.01, gt=0)  # Å, spglib's symprec
    seconds_per_crystal: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _described_once(self):
        # by value: read back from plain values, every field is set
        one = any(
            getattr(self, key) != CrystalTable.model_fields[key].default for key in ("id", "structure", "columns")
        )
        if self.tables and (self.source is None or one):
            raise ValueError("`tables` with a source, or `id`, `structure` and `columns` of the one table there is")
        return self

    @property
    def parts(self) -> dict[str, CrystalTable]:
        """The tables by name; "" is the name of an only one."""
        if self.tables:
            return self.tables
        files = [self.file] if self.file else []
        return {"": CrystalTable(files=files, id=self.id, structure=self.structure, columns=self.columns)}

    @property
    def raw_columns(self) -> list[str]:
        """The names in the source of everything but the identifier and the structure."""
        named = [c if isinstance(c, str) else c.source for t in self.parts.values() for c in t.columns.values()]
        return list(dict.fromkeys(named))

    @property
    def resampled_by(self) -> str:
        return "chemical_system"

    @property
    def described_by(self) -> str:
        return "chemical_family"


class CubeTruth(Model):
    """Abundances of each pixel that the file of a cube gives too: which array, the order of its axes (`signal` runs
    over the materials), and what the materials are called; `spectra`: the array (material, channel) with the spectrum
    of each, if there is one."""

    array: str
    axes: list[Literal["y", "x", "pixel", "signal"]] = ["y", "x", "signal"]
    materials: list[Name] = Field(min_length=2)
    spectra: str | None = None


class SignalAxis(Model):
    """The spectral axis of a file that has none: channel i stands at offset + scale * i, in `unit`."""

    unit: str
    offset: float
    scale: float


class EdsDetector(Model):
    """A silicon drift detector: the variance of a peak is variance_offset (keV²) + variance_slope (keV) times its
    energy; thickness of the silicon and of the dead layer before it; take-off angle."""

    variance_offset: float = Field(ge=0)
    variance_slope: float = Field(ge=0)
    thickness_mm: float = Field(default=0.45, gt=0)
    dead_layer_nm: float = Field(default=10.0, ge=0)
    elevation_deg: float = Field(gt=0, le=90)


class Eds(Model):
    """How X-ray spectra of a thin foil were measured: `beam_energy` in keV, the `elements` whose lines may be in them
    (those of grid and holder too, which are `not_in_sample`), and the `phases` that may be there, each with its
    formula, whose computed spectra are what endmembers are matched with."""

    beam_energy: float = Field(ge=1, le=1000)  # keV: eV would be far beyond
    elements: list[str] = Field(min_length=1)
    not_in_sample: list[str] = []
    detector: EdsDetector
    phases: dict[Name, str] = {}

    @model_validator(mode="after")
    def _listed(self):
        if missing := set(self.not_in_sample) - set(self.elements):
            raise ValueError(f"`not_in_sample` among `elements`: {sorted(missing)} are not")
        return self


class CubeDataset(Entities):
    """One row a pixel of a spectrum image: NumPy's .npy and .npz, MATLAB's .mat, or a format that HyperSpy reads.

    `array` names the array (or the signal) where the file holds several; `axes` the order of its axes where the file
    doesn't say, `pixel` standing for an image laid out in one line, with its `shape` (height, width) and
    `pixel_order`: "row" where neighbours in the line are neighbours in x. `counts`: the numbers are counts, with
    Poisson noise. `unit` of the spectral axis; `pixel_size`: the step between pixels and its unit.
    `eds`: how X-ray spectra were measured, for their lines. `steps`: what is done to the cube before anything else, as
    in views, but pixels may be binned too (`rebin: {y: 2, x: 2}`). `mask`: an array (y, x) of the file that is 0 where
    a pixel is to be left out.
    """

    kind: Literal["cube"]
    key: Name = "pixel_id"
    array: str | None = None
    axes: list[Literal["y", "x", "pixel", "signal"]] | None = None
    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    pixel_order: Literal["row", "column"] | None = None
    counts: bool
    unit: str | None = None
    signal: SignalAxis | None = None
    pixel_size: tuple[Annotated[float, Field(gt=0)], str] | None = None
    reader: str | None = None
    steps: list[dict[str, dict[str, float | int | str] | None]] = []
    mask: str | None = None
    truth: CubeTruth | None = None
    eds: Eds | None = None

    @property
    def described_by(self) -> str | None:
        return "material" if self.truth else None


Dataset = Annotated[CompositionDataset | ImageDataset | CrystalDataset | CubeDataset, Field(discriminator="kind")]
