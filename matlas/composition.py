"""Chemical formulas as arrays: parsing, element counts, and the chemical family that names a compound.

The amounts are those of pymatgen's `Composition(formula)`, to the bit and in its element order. Flat formulas and plain
brackets are read here, without pymatgen; whatever else pymatgen accepts (blanks, exponents, `@`) is passed on to it.
Like pymatgen, an element whose amount is below 1e-8 is left out. Unlike pymatgen, nothing but the 118 elements is
read: no `D` and `T` (which pymatgen takes for H), no dummy species, no charges, no infinite amount.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_PERIODIC_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""  # IUPAC, 2022
SYMBOLS = ("", *_PERIODIC_TABLE.split())  # by atomic number Z; SYMBOLS[0] is empty
ATOMIC_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS) if z}
AMOUNT_TOLERANCE = 1e-8  # pymatgen's Composition.amount_tolerance

# The elements that name a compound as its "-ide", most electronegative first (IUPAC Red Book 2005, IR-5.2), with
# their electronegativities on the Pauling scale (Allred 1961, as in the CRC Handbook of Chemistry and Physics) and the
# family each names. C and Se tie at 2.55: Se comes first, as in the Red Book's element sequence (table VI).
ANION_FORMERS = (
    ("F", 3.98, "halide"),
    ("O", 3.44, "oxide"),
    ("Cl", 3.16, "halide"),
    ("N", 3.04, "pnictide"),
    ("Br", 2.96, "halide"),
    ("I", 2.66, "halide"),
    ("S", 2.58, "chalcogenide"),
    ("Se", 2.55, "chalcogenide"),
    ("C", 2.55, "carbide"),
    ("H", 2.20, "hydride"),
    ("P", 2.19, "pnictide"),
    ("As", 2.18, "pnictide"),
    ("Te", 2.10, "chalcogenide"),
    ("Sb", 2.05, "pnictide"),
    ("B", 2.04, "boride"),
    ("Bi", 2.02, "pnictide"),
    ("Ge", 2.01, "tetrelide"),
    ("Sn", 1.96, "tetrelide"),
    ("Si", 1.90, "tetrelide"),
)
NAMING_SHARE = 0.10  # our threshold: a constituent below a tenth of the atoms is a dopant and names nothing

_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_TERM = rf"[A-Z][a-z]?{_NUMBER}?"
_FLAT = re.compile(rf"(?:{_TERM})+", re.ASCII)
_TERMS = re.compile(rf"([A-Z][a-z]?)({_NUMBER})?", re.ASCII)
_INNERMOST_GROUP = re.compile(rf"\(((?:{_TERM})+)\)({_NUMBER})?", re.ASCII)
_ROUND_BRACKETS = str.maketrans("[]{}", "()()")
_CHARGE = re.compile(r"\d*\+|\d+-(?![\d.a-z])|-$")
_NEGATIVE = re.compile(r"(?<=[A-Za-z)\]}])(?<!\de)\s*-[\d.]+")


@dataclass(frozen=True, eq=False)
class Compositions:
    """n compositions in compressed rows: row i holds the entries indptr[i]:indptr[i + 1], at least one.

    formulas : (n,) object, as written; indptr : (n + 1,) int64; z : (nnz,) int16 atomic numbers, each once a row, in
    the order of first mention; amount : (nnz,) float64, positive and finite, as written (not normalised).
    """

    formulas: np.ndarray
    indptr: np.ndarray
    z: np.ndarray
    amount: np.ndarray

    def __len__(self) -> int:
        return len(self.formulas)

    def fractions(self) -> np.ndarray:
        """(nnz,) atomic fractions: each row sums to 1."""
        if not len(self):
            return np.empty(0)
        return self.amount / np.repeat(np.add.reduceat(self.amount, self.indptr[:-1]), np.diff(self.indptr))


class _Refused(Exception):
    """Why one formula is not a composition, in words."""


def parse_formulas(formulas: Sequence[str]) -> tuple[Compositions, dict[int, str]]:
    """The compositions of the parseable formulas, in order, and {position: reason} for the others."""
    kept, refused = [], {}
    indptr, z, amount = array("q", [0]), array("h"), array("d")
    for position, formula in enumerate(formulas):
        try:
            numbers, amounts = _parse(formula)
        except _Refused as reason:
            refused[position] = str(reason)
            continue
        kept.append(formula)
        z.extend(numbers)
        amount.extend(amounts)
        indptr.append(len(z))
    names = np.empty(len(kept), dtype=object)
    names[:] = kept
    return Compositions(names, np.array(indptr, np.int64), np.array(z, np.int16), np.array(amount, np.float64)), refused


def _parse(formula: object) -> tuple[list[int], list[float]]:
    """Atomic numbers and amounts of one formula; raises _Refused."""
    if formula is None or (isinstance(formula, str) and not formula.strip()):
        raise _Refused("empty")
    if not isinstance(formula, str):
        raise _Refused(f"not text but {type(formula).__name__}: {formula!r}")
    if _FLAT.fullmatch(formula):
        amounts = _sum_terms(formula)
    elif _FLAT.fullmatch(expanded := _expand_groups(formula)):
        amounts = _sum_terms(expanded)
    else:
        amounts = _by_pymatgen(formula)
    try:
        numbers = [ATOMIC_NUMBER[symbol] for symbol in amounts]
    except KeyError as error:
        raise _Refused(_unknown_element(error.args[0])) from None
    values = list(amounts.values())
    if not math.isfinite(sum(values)):
        raise _Refused("an amount that is not finite")
    if min(values, default=0.0) < AMOUNT_TOLERANCE:
        present = [(number, value) for number, value in zip(numbers, values, strict=True) if value >= AMOUNT_TOLERANCE]
        if not present:
            raise _Refused("no positive amount")
        numbers, values = map(list, zip(*present, strict=True))
    return numbers, values


def _sum_terms(flat: str, factor: float = 1.0) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for symbol, number in _TERMS.findall(flat):
        amounts[symbol] = amounts.get(symbol, 0.0) + (float(number) if number else 1.0) * factor
    return amounts


def _expand_groups(formula: str) -> str:
    """Multiply out brackets from the inside, in text, as pymatgen does; `repr` of a float loses nothing."""
    text = formula.translate(_ROUND_BRACKETS)
    while group := _INNERMOST_GROUP.search(text):
        amounts = _sum_terms(group[1], float(group[2]) if group[2] else 1.0)
        terms = "".join(f"{symbol}{value!r}" for symbol, value in amounts.items())
        text = text[: group.start()] + terms + text[group.end() :]
    return text


def _by_pymatgen(formula: str) -> dict[str, float]:
    if not formula.strip():
        raise _Refused("empty")
    for symbol in re.findall(r"[A-Z][a-z]*", formula):
        if symbol not in ATOMIC_NUMBER:
            raise _Refused(_unknown_element(symbol))
    from pymatgen.core import Composition

    try:
        return {str(element): float(value) for element, value in Composition(formula).items()}
    except ValueError:
        raise _Refused(_why_unparseable(formula)) from None


def _unknown_element(symbol: str) -> str:
    hint = " (an isotope of H)" if symbol in ("D", "T") else ""
    return f"unknown element {symbol!r}{hint}"


def _why_unparseable(formula: str) -> str:
    if charge := _CHARGE.search(formula):
        return f"a charge or oxidation state: {charge[0]!r} in {formula!r}"
    if negative := _NEGATIVE.search(formula):
        return f"a negative amount: {negative[0].strip()!r} in {formula!r}"
    readable = _FLAT.match(formula)
    return f"unparseable from {formula[readable.end() if readable else 0 :]!r} on, in {formula!r}"


def reduced_formulas(c: Compositions) -> list[str]:
    """pymatgen's `reduced_formula` of each composition, computed once a distinct formula."""
    from pymatgen.core import Composition

    reduced = {formula: Composition(formula).reduced_formula for formula in dict.fromkeys(c.formulas)}
    return [reduced[formula] for formula in c.formulas]


def n_elements(c: Compositions) -> np.ndarray:
    """(n,) int64 number of distinct elements."""
    return np.diff(c.indptr)


def dominant_element(c: Compositions) -> list[str]:
    """Symbol of the element with the largest amount; of exactly equal amounts, the lower atomic number."""
    row = np.repeat(np.arange(len(c)), n_elements(c))
    order = np.lexsort((c.z, -c.amount, row))
    return [SYMBOLS[z] for z in c.z[order[c.indptr[:-1]]]]


def chemical_family(c: Compositions) -> list[str]:
    """The family (one of schemas.fields.FAMILIES) of each composition, named by its most electronegative anion former.

    The Red Book (IUPAC 2005, IR-5.2) names a binary compound after its more electronegative constituent, as "-ide". We
    take the most electronegative of ANION_FORMERS that makes up at least a tenth of the atoms (so that a dopant does
    not name the compound); compounds without one are "intermetallic"; one element alone is "element". Anion formers
    among themselves follow the same rule: Bi2Te3 is a chalcogenide, BiSb a pnictide, SiGe a tetrelide.
    """
    rank_of_z = np.full(len(SYMBOLS), len(ANION_FORMERS))
    for rank, (symbol, _, _) in enumerate(ANION_FORMERS):
        rank_of_z[ATOMIC_NUMBER[symbol]] = rank
    if not len(c):
        return []
    names_it = c.fractions() >= NAMING_SHARE - 1e-9  # 1e-9: fractions such as 0.1 / 1.0000000000000002
    rank = np.minimum.reduceat(np.where(names_it, rank_of_z[c.z], len(ANION_FORMERS)), c.indptr[:-1])
    families = np.array([family for *_, family in ANION_FORMERS] + ["intermetallic"], dtype=object)[rank]
    families[n_elements(c) == 1] = "element"
    return families.tolist()
