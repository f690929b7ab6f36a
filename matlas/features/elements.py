"""Element property tables: one row an element, the properties and values that matminer's presets use.

matminer is imported when a table is loaded, and only then: what comes after reads the table from the store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike

import numpy as np
import pandas as pd

from matlas.composition import SYMBOLS
from matlas.errors import ConfigError, nearest
from matlas.tables import read_table, table_info
from schemas.table import Field

# Statistics that `ElementProperty.from_preset(name)` computes, in its order.
PRESETS = {
    "magpie": ("minimum", "maximum", "range", "mean", "avg_dev", "mode"),
    "deml": ("minimum", "maximum", "range", "mean", "std_dev"),
    "matscholar_el": ("minimum", "maximum", "range", "mean", "std_dev"),
    "megnet_el": ("minimum", "maximum", "range", "mean", "std_dev"),
}

# matminer's class behind each table: the first word of its feature labels.
SOURCES = {
    "magpie": "MagpieData",
    "deml": "DemlData",
    "matscholar_el": "MatscholarElementData",
    "megnet_el": "MEGNetElementData",
}

# The works that matminer's `citations()` and docstrings name, with the DOI of the article itself (the BibTeX in
# matminer gives Ward's with a wrong year and, for Deml's, that of an abstract).
CITATIONS = {
    "magpie": "Ward, Agrawal, Choudhary, Wolverton 2016, npj Comput. Mater. 2, 16028, doi:10.1038/npjcompumats.2016.28",
    "deml": "Deml, O'Hayre, Wolverton, Stevanovic 2016, Phys. Rev. B 93, 085142, doi:10.1103/PhysRevB.93.085142",
    "matscholar_el": "Tshitoyan et al. 2019, Nature 571, 95-98, doi:10.1038/s41586-019-1335-8",
    "megnet_el": "Chen, Ye, Zuo, Zheng, Ong 2019, Chem. Mater. 31, 3564-3572, doi:10.1021/acs.chemmater.9b01294",
}

# (unit, description) by matminer's property name. Sources: matminer's magpie_elementdata_feature_descriptions.txt
# (from the supplement of Ward et al. 2016) and the comments of its deml_elementdata.py.
_MEANINGS = {
    "magpie": {
        "Number": ("1", "atomic number"),
        "MendeleevNumber": ("1", "Mendeleev number, the position in the periodic table counted column by column"),
        "AtomicWeight": ("g/mol", "atomic weight"),
        "MeltingT": ("K", "melting temperature"),
        "Column": ("1", "column of the periodic table (3 for all rare earths)"),
        "Row": ("1", "row of the periodic table"),
        "CovalentRadius": ("pm", "covalent radius"),
        "Electronegativity": ("1", "Pauling electronegativity"),
        **{
            f"N{shell}Valence": ("1", f"number of valence electrons{where}")
            for shell, where in zip(("s", "p", "d", "f", ""), (*(f" in {s} orbitals" for s in "spdf"), ""), strict=True)
        },
        **{
            f"N{shell}Unfilled": ("1", f"number of unfilled {kind}valence orbitals (0 where the shell is empty)")
            for shell, kind in zip(("s", "p", "d", "f", ""), ("s ", "p ", "d ", "f ", ""), strict=True)
        },
        "GSvolume_pa": ("Å^3/atom", "DFT volume per atom of the ground state at 0 K (OQMD)"),
        "GSbandgap": ("eV", "DFT band gap of the ground state at 0 K (OQMD)"),
        "GSmagmom": ("µ_B/atom", "DFT magnetic moment per atom of the ground state at 0 K (OQMD)"),
        "SpaceGroupNumber": ("1", "space group number of the ground state at 0 K"),
    },
    "deml": {
        "atom_num": ("1", "atomic number"),
        "atom_mass": ("g/mol", "atomic mass"),
        "row_num": ("1", "row of the periodic table"),
        "col_num": ("1", "column of the periodic table"),
        "atom_radius": ("pm", "atomic radius"),
        "molar_vol": ("cm^3/mol", "molar volume"),
        "heat_fusion": ("J/mol", "latent heat of fusion"),
        "melting_point": ("K", "melting point"),
        "boiling_point": ("K", "boiling point"),
        "heat_cap": ("J/(mol K)", "molar heat capacity at 25 °C and 1 bar"),
        "first_ioniz": ("J/mol", "first ionization energy"),
        "electronegativity": ("1", "Pauling electronegativity"),
        "electric_pol": ("Å^3", "electric dipole polarizability"),
        "GGAU_Etot": ("eV/atom", "GGA+U total energy of the element in its reference phase"),
        "mus_fere": ("eV/atom", "fitted elemental-phase reference energy (FERE chemical potential)"),
        "FERE correction": ("eV/atom", "FERE chemical potential minus GGA+U total energy"),
    },
}
_EMBEDDINGS = {"matscholar_el": "Matscholar word", "megnet_el": "MEGNet element"}


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Properties of the elements: values is (119, p) float64, row Z; row 0 is NaN, and so is what is missing."""

    name: str
    properties: tuple[Field, ...]
    values: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """One row an element: symbol, atomic_number and the properties (schemas.tables.features.element_schema)."""
        frame = pd.DataFrame(self.values[1:], columns=[f.name for f in self.properties])
        frame.insert(0, "symbol", SYMBOLS[1:])
        frame.insert(1, "atomic_number", np.arange(1, len(SYMBOLS)))
        return frame


def load_element_table(name: str, impute_nan: bool = True) -> ElementTable:
    """The table `name` (a key of PRESETS) with the values of matminer's `ElementProperty.from_preset(name)`.

    impute_nan : as in matminer, whose default it is: an element without a value gets the mean over the elements that
    have one, in every column (the `Number` of the elements that the magpie files leave out becomes 56.5). With False
    such values are NaN, and so are the features made from them.
    Raises ConfigError for an unknown name.
    """
    if name not in PRESETS:
        raise ConfigError("unknown element table", found=repr(name), expected=nearest(name, PRESETS))
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Element

    preset = ElementProperty.from_preset(name, impute_nan=impute_nan)

    def value(symbol: str, label: str) -> float:
        try:
            return float(preset.data_source.get_elemental_property(Element(symbol), label))
        except KeyError:  # matminer without imputation, for an element that a source does not hold at all
            return np.nan

    values = np.full((len(SYMBOLS), len(preset.features)), np.nan)
    for z, symbol in enumerate(SYMBOLS[1:], start=1):
        values[z] = [value(symbol, label) for label in preset.features]
    return ElementTable(name, tuple(_field(name, label) for label in preset.features), values)


def read_element_table(path: str | PathLike) -> ElementTable:
    """The table as a workflow job wrote it: matminer is not needed to read it."""
    info, frame = table_info(path), read_table(path)
    properties = tuple(f for f in info.fields if f.name not in ("symbol", "atomic_number"))
    values = np.full((len(SYMBOLS), len(properties)), np.nan)
    values[frame["atomic_number"]] = frame[[f.name for f in properties]]
    return ElementTable(info.name, properties, values)


def _field(table: str, label: str) -> Field:
    if table in _EMBEDDINGS:
        unit, description = "1", f"component {label.split()[-1]} of the {_EMBEDDINGS[table]} embedding"
    else:
        unit, description = _MEANINGS[table][label]
    return Field(snake_case(label), "float64", unit, description, citation=CITATIONS[table], nullable=True, label=label)


def snake_case(label: str) -> str:
    """A column name: `MagpieData minimum GSvolume_pa` becomes `magpie_data_minimum_gsvolume_pa`."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", label)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")
