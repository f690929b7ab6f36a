"""Structure types of the AFLOW library, as bundled with pymatgen, and the elements that a sample crystal may put there.

Source of the structures: Mehl et al., Comput. Mater. Sci. 136 (2017) S1, doi:10.1016/j.commatsci.2017.01.017.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from pymatgen.core import Composition, Element, Structure

FARTHEST_CONTACT = 5.0  # Å, more than any atom's distance to its nearest
BONDS = (1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 2, 3, 4, 3, 2, 1)  # by group, 1 to 17: electrons or holes, a caricature

# Elements by the role they take: "+2" are cations of that charge, R large metals, T transition metals, M others.
POOLS = {role: tuple(symbols.split()) for role, symbols in {
    "+1": "Li Na K Rb Cs", "Cu": "Cu Ag", "+2": "Mg Ca Sr Ba Mn Fe Co Ni Zn Cd", "+3": "Al Ga In Sc Y La Nd Gd Er Cr",
    "+4": "Ti Zr Hf Sn Ge Si", "+5": "V Nb Ta", "P": "P As Sb", "X": "F Cl Br I", "O": "O", "Q": "S Se Te",
    "N": "N P As Sb Bi", "C": "C", "H": "H", "B": "B", "G": "Si Ge Sn", "M": "Al Ga In Zn Cd Mg Hg",
    "R": "Ca Sr Sc Y La Ce Pr Nd Sm Gd Tb Dy Ho Er Tm Lu", "T": "Ti V Cr Mn Fe Co Ni Cu Zr Nb Mo Ru Rh Pd Hf Ta W Pt",
}.items()}  # fmt: skip


@dataclass(frozen=True)
class Prototype:
    """A structure type. label : its AFLOW label; compound : the compound that stands for it in the library, elements in
    the order of the roles; chemistries : a role (of POOLS) an element each; energy : its planted part of the formation
    energy, eV/atom; drift : 1 where it grows more common with the years, -1 where less."""

    name: str
    label: str
    compound: str
    chemistries: tuple[str, ...]
    energy: float
    drift: int = 0

    @property
    def spacegroup(self) -> int:
        return int(self.label.split("_")[2])

    @property
    def cubic(self) -> bool:
        return self.spacegroup >= 195

    @property
    def n_elements(self) -> int:
        return len(self.chemistries[0].split())


PROTOTYPES = {prototype[0]: Prototype(*prototype) for prototype in (
    ("rock salt", "AB_cF8_225_a_b", "NaCl", ("+1 X", "+1 H", "+2 O", "+2 Q", "+3 N", "T C"), -0.10, -1),
    ("zincblende", "AB_cF8_216_c_a", "ZnS", ("+2 Q", "+3 N"), -0.05),
    ("wurtzite", "AB_hP4_186_b_b", "ZnS", ("+2 O", "+2 Q", "+3 N"), -0.03),
    ("CsCl", "AB_cP2_221_b_a", "CsCl", ("+1 X", "R M", "T M", "R T"), -0.06),
    ("NiAs", "AB_hP4_194_c_a", "NiAs", ("T Q", "T N"), 0.08),
    ("PbO", "AB_tP4_129_a_c", "PbO", ("+2 O", "T Q"), 0.14, 1),
    ("tungsten carbide", "AB_hP2_187_d_a", "WC", ("T C", "T N"), 0.02),
    ("CuAu", "AB_tP2_123_a_d", "CuAu", ("T M", "R M"), -0.01),
    ("CrB", "AB_oC8_63_c_c", "CrB", ("T B", "R T", "R G"), -0.12),
    ("molybdenum boride", "AB_tI16_141_e_e", "MoB", ("T B", "R T", "R G"), -0.08),
    ("fluorite", "AB2_cF12_225_a_c", "CaF2", ("+2 X", "+4 O", "R H", "O +1", "Q +1"), -0.14, -1),
    ("cotunnite", "A2B_oP12_62_2c_c", "PbCl2", ("+2 X", "R H", "Q +1"), -0.08),
    ("rutile", "A2B_tP6_136_f_a", "TiO2", ("+4 O", "+2 X"), -0.16, -1),
    ("anatase", "A2B_tI12_141_e_a", "TiO2", ("+4 O",), -0.09),
    ("baddeleyite", "A2B_mP12_14_2e_e", "ZrO2", ("+4 O",), -0.02),
    ("cadmium iodide", "AB2_hP3_164_a_d", "CdI2", ("+2 X", "+4 Q"), 0.10),
    ("molybdenite", "AB2_hP6_194_c_f", "MoS2", ("+4 Q", "T Q"), 0.16, 1),
    ("pyrite", "AB2_cP12_205_a_c", "FeS2", ("T Q", "T N"), 0.06),
    ("marcasite", "AB2_oP6_58_a_g", "FeS2", ("T Q", "T N"), 0.11),
    ("diphosphorus tetraiodide", "A2B_aP6_2_2i_i", "PI2", ("P X",), 0.25),
    ("AlB2", "AB2_hP3_191_a_d", "AlB2", ("T B", "R G", "R M"), -0.11),
    ("MoSi2", "AB2_tI6_139_a_e", "MoSi2", ("T G", "R T", "R M"), -0.04),
    ("MgCu2", "A2B_cF24_227_d_a", "MgCu2", ("R T", "R M"), -0.15),
    ("MgZn2", "AB2_hP12_194_f_ah", "MgZn2", ("R T", "R M"), -0.10),
    ("AuCu3", "AB3_cP4_221_a_c", "AuCu3", ("M T", "R M", "R G"), -0.05),
    ("TiAl3", "A3B_tI8_139_bd_a", "TiAl3", ("T M", "R M"), 0.0),
    ("Cr3Si", "A3B_cP8_223_c_a", "SiCr3", ("G T", "M T"), -0.10),
    ("cementite", "AB3_oP16_62_c_cd", "CFe3", ("C T", "B T"), 0.05),
    ("bismuth triiodide", "AB3_hR8_148_c_f", "BiI3", ("+3 X",), 0.12),
    ("aluminium trichloride", "AB3_mC16_12_g_ij", "AlCl3", ("+3 X",), 0.18),
    ("skutterudite", "A3B_cI32_204_g_c", "CoAs3", ("T N",), 0.20, 1),
    ("CaCu5", "AB5_hP6_191_a_cg", "CaCu5", ("R T", "R M"), -0.07),
    ("BaAl4", "A4B_tI10_139_de_a", "BaAl4", ("R M",), -0.16),
    ("calcium hexaboride", "A6B_cP7_221_f_a", "CaB6", ("R B",), -0.20),
    ("tetradymite", "A2B3_hR5_166_c_ac", "Bi2Te3", ("+3 Q", "P Q"), 0.04, 1),
    ("stibnite", "A3B2_oP20_62_3c_2c", "Sb2S3", ("+3 Q", "P Q"), 0.09),
    ("corundum", "A2B3_hR10_167_c_e", "Al2O3", ("+3 O",), -0.18, -1),
    ("half-Heusler", "ABC_cF12_216_b_c_a", "MgAgAs", ("R T N", "+4 T N", "+1 +2 N"), -0.13, 1),
    ("Heusler", "AB2C_cF16_225_a_c_b", "AlCu2Mn", ("M T T", "G T T", "M R R"), -0.09, 1),
    ("MAX phase", "ABC2_hP8_194_d_a_f", "AlCCr2", ("M C T", "G C T"), -0.03, 1),
    ("perovskite", "AB3C_cP5_221_a_c_b", "CaTiO3", ("+2 +4 O", "+1 +2 X", "+1 +2 H", "M C T"), -0.06),
    ("orthorhombic perovskite", "AB3C_oP20_62_c_cd_a", "CaTiO3", ("+2 +4 O", "+1 +2 X", "+3 +3 O"), -0.13, -1),
    ("ilmenite", "AB3C_hR10_148_c_f_c", "FeTiO3", ("+2 +4 O",), -0.07),
    ("lithium niobate", "ABC3_hR10_161_a_a_b", "LiNbO3", ("+1 +5 O", "+2 +4 O"), -0.01),
    ("calcite", "ABC3_hR10_167_a_b_e", "CaCO3", ("+2 C O",), 0.22, -1),
    ("spinel", "A2BC4_cF56_227_d_a_e", "MgAl2O4", ("+2 +3 O", "+2 +3 Q"), -0.12, -1),
    ("thiogallate", "A2BC4_tI14_82_bc_a_g", "CdAl2S4", ("+2 +3 Q",), -0.05),
    ("chalcopyrite", "ABC2_tI16_122_a_b_d", "CuFeS2", ("Cu +3 Q",), 0.03),
    ("caswellsilverite", "ABC2_hR4_166_a_b_c", "NaCrS2", ("+1 +3 O", "+1 +3 Q"), 0.0),
    ("matlockite", "ABC_tP6_129_c_a_c", "PbFCl", ("+3 O X", "+2 H X"), -0.04),
    ("zircon", "A4BC_tI24_141_h_b_a", "ZrSiO4", ("+4 G O", "+3 P O"), -0.02),
    # of four elements or more than 20 atoms
    ("ZrCuSiAs", "ABCD_tP8_129_c_b_a_c", "ZrSiCuAs", ("R O T N", "R H T N"), 0.02, 1),
    ("stannite", "A2BC4D_tI16_121_d_a_i_b", "Cu2FeSnS4", ("Cu +2 +4 Q",), 0.01, 1),
    ("pyroxene", "ABC6D2_mC40_15_e_e_3f_f", "CaFeSi2O6", ("+2 +2 G O", "+1 +3 G O"), -0.20, -1),
    ("Cr7C3", "A3B7_oP40_62_cd_3c2d", "Cr7C3", ("T C", "T B"), -0.06),
    ("keatite", "A2B_tP36_96_3b_ab", "SiO2", ("+4 O",), 0.04),
    ("coesite", "A2B_mC48_15_ae3f_2f", "SiO2", ("+4 O",), 0.15),
    ("chromium trichloride", "A3B_hP24_151_3c_2a", "CrCl3", ("+3 X",), 0.24),
    ("holmium trihydride", "A3B_hP24_165_adg_f", "HoH3", ("R H",), -0.05),
    ("krennerite", "AB2_oP24_28_acd_2c3d", "AuTe2", ("T Q",), 0.12),
    ("Ti2Ni", "AB2_cF96_227_e_cf", "NiTi2", ("T T", "M R"), -0.08),
    ("gamma brass", "A5B8_cI52_217_ce_cg", "Cu5Zn8", ("T M", "M T"), 0.03),
    ("MgB2C2", "A2B2C_oC80_64_efg_efg_df", "MgB2C2", ("+2 B C",), -0.02, 1),
    ("Cr23C6", "A6B23_cF116_225_e_acfh", "Cr23C6", ("T C", "T B"), -0.04),
    ("eta carbide", "AB3C3_cF112_227_c_de_f", "Fe3W3C", ("T T C", "T T N"), -0.01),
    ("indium sulfide", "A2B3_tI80_141_ceh_3h", "In2S3", ("+3 Q",), 0.17, -1),
    ("bixbyite", "AB3C6_cI80_206_a_d_e", "FeMn3O6", ("+3 +3 O",), -0.11, -1),
    ("K3AsS4", "AB3C4_oP32_33_a_3a_4a", "K3AsS4", ("+1 P Q", "Cu P Q"), 0.07, 1),
    ("PrPS4", "ABC4_tI96_142_e_ab_2g", "PrPS4", ("+3 P Q",), 0.13, 1),
)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Geometry:
    """lattice : (3, 3) Å, a cell vector a row; frac : (m, 3); role : (m,) which element of the chemistry is there;
    amounts : of each, in the reduced formula; contacts : (k, 3) Å vectors between first neighbours, those at most a
    tenth farther than the nearest of the site; between : (k, 2) their roles."""

    lattice: np.ndarray
    frac: np.ndarray
    role: np.ndarray
    amounts: tuple[int, ...]
    contacts: np.ndarray
    between: np.ndarray

    def lattice_for(self, radius: np.ndarray, along_z: float = 1.0) -> np.ndarray:
        """(3, 3) Å cell vectors, stretched along z, in which the tightest contact is the sum of its radii (Å, a role
        each) and no other is shorter than its own."""
        stretch = np.array([1.0, 1.0, along_z])
        length = np.linalg.norm(self.contacts * stretch, axis=1)
        return self.lattice * stretch * (radius[self.between].sum(axis=1) / length).max()


@lru_cache
def geometries() -> dict[str, Geometry]:
    """The geometry of each of PROTOTYPES."""
    # not by importing the package that holds the file: that takes 2 s
    library = (files("pymatgen.analysis") / "prototypes" / "aflow_prototypes.json.gz").read_bytes()
    labels = {prototype.label for prototype in PROTOTYPES.values()}
    structures = {}
    for entry in json.loads(gzip.decompress(library)):
        if (label := entry["tags"]["aflow"]) in labels:
            structure = Structure.from_dict(entry["snl"])
            structures[label, structure.composition.reduced_composition] = structure
    return {
        prototype.name: _geometry(structures[prototype.label, compound.reduced_composition], compound)
        for prototype in PROTOTYPES.values()
        for compound in [Composition(prototype.compound)]
    }


def _geometry(structure: Structure, compound: Composition) -> Geometry:
    frac, lattice = structure.frac_coords.round(10) % 1, structure.lattice.matrix
    structure = Structure(lattice, structure.species, frac)
    role = np.array([list(compound).index(site.specie) for site in structure])
    start, end, image, distance = structure.get_neighbor_list(FARTHEST_CONTACT)
    nearest = np.full(len(role), np.inf)
    np.minimum.at(nearest, start, distance)
    first = distance <= 1.1 * nearest[start]
    start, end, image = start[first], end[first], image[first]
    amounts = np.bincount(role)
    return Geometry(
        lattice=lattice,
        frac=frac,
        role=role,
        amounts=tuple((amounts // np.gcd.reduce(amounts)).tolist()),
        contacts=(frac[end] + image - frac[start]) @ lattice,
        between=np.stack([role[start], role[end]], axis=1),
    )


@dataclass(frozen=True)
class Atom:
    """electronegativity : Pauling's; radius : Slater's (J. Chem. Phys. 41 (1964) 3199), Å; bonds : electrons that can
    bond, of BONDS."""

    electronegativity: float
    radius: float
    bonds: int


@lru_cache
def atom(symbol: str) -> Atom:
    element = Element(symbol)
    return Atom(element.X, float(element.atomic_radius), BONDS[element.group - 1])
