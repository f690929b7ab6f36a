"""Formulas are read as pymatgen reads them, and refused with a reason in words."""

import os
import random

import numpy as np
import pytest
from pymatgen.core import Composition, Element

from matlas.composition import (
    ANION_FORMERS,
    SYMBOLS,
    chemical_family,
    dominant_element,
    n_elements,
    parse_formulas,
    reduced_formulas,
)
from schemas.fields import FAMILIES

ACCEPTED = [
    *("H", "Og", "Fe2O3", "Li0.95Mn1.05O2", "CH3CH2OH", "NaN", "CoC", "CCo", "SiS", "NoNO", "PbTe", "C60"),
    *("Fe2.O3", "Fe.5O.5", "Fe02O3", "Fe0O3", "Fe0.000000001O", "Fe0.1Fe0.2O", "Bi0.4Sb1.6Te3", "Fe1000000O"),
    *("Ca(OH)2", "Mg[OH]2", "K4{Fe(CN)6}", "Al2((SO4)3)", "((Fe2)3O)0.5", "(PbTe)0.05(Ag2Te)0.95", "Fe(OH)", "(OH)2Ca"),
    *("(Fe0.3Fe0.3O)3", "(Fe0.00001O)0.5", "(Ag0.05Sb0.05Sn0.9)(S0.05Se0.05Te0.9)", "LaCo0.5(Ni0.5Fe0.5)0.5O3"),
    *("Fe2 O3", " Fe2O3 ", "Ca (OH) 2", "Y3N@C80", "Fe2e-1O3", "Fe1e2O", "Fe-1e-9O", "(Fe0.1O0.7)0.3(Ti0.1O0.7)0.7"),
]


def amounts(formula):
    compositions, refused = parse_formulas([formula])
    assert refused == {}
    return [(SYMBOLS[z], amount) for z, amount in zip(compositions.z, compositions.amount, strict=True)]


def peer_amounts(formula):
    return [(element.symbol, amount) for element, amount in Composition(formula).items()]


@pytest.mark.parametrize("formula", ACCEPTED)
def test_amounts_are_pymatgens_to_the_bit_and_in_its_order(formula):
    assert amounts(formula) == peer_amounts(formula)


def test_random_nested_formulas_have_pymatgens_amounts():
    draw = random.Random(7)

    def formula(depth):
        text = ""
        for _ in range(draw.randint(1, 4)):
            if depth and draw.random() < 0.4:
                opening, closing = draw.choice(["()", "[]", "{}"])
                text += opening + formula(depth - 1) + closing
            else:
                text += draw.choice(SYMBOLS[1:])
            text += draw.choice(["", "2", "0.3", ".25", "3.", str(draw.random()), "0.00002", "123456789012"])
        return text

    drawn = [formula(3) for _ in range(1500)]
    read = 0
    for text in drawn:
        try:
            expected = peer_amounts(text)
        except ValueError:  # pymatgen can't read the 1e+16 that it writes itself
            assert parse_formulas([text])[1]
            continue
        assert amounts(text) == expected, text
        read += 1
    assert read > 1000


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        (None, "empty"),
        ("  ", "empty"),
        (float("nan"), "not text but float: nan"),
        (26, "not text but int: 26"),
        ("Xx2O3", "unknown element 'Xx'"),
        ("Fee2", "unknown element 'Fee'"),
        ("D2O", "unknown element 'D' (an isotope of H)"),
        ("Ca(TO)2", "unknown element 'T' (an isotope of H)"),
        ("Fe0O0", "no positive amount"),
        ("Fe0.000000001", "no positive amount"),
        ("Fe-2O3", "a negative amount: '-2'"),
        ("Ca(OH)-2", "a negative amount: '-2'"),
        ("Fe2+", "a charge or oxidation state: '2+'"),
        ("Fe2O2-", "a charge or oxidation state: '2-'"),
        ("Na+Cl-", "a charge or oxidation state: '+'"),
        ("Fe1e999", "an amount that is not finite"),
        ("Fe" + "9" * 400, "an amount that is not finite"),
        ("Feinf", "unknown element 'Feinf'"),
        ("nan", "unparseable from 'nan' on"),
        ("YBa2Cu3O7-x", "unparseable from '-x' on"),
        ("CuSO4·5H2O", "unparseable from '·5H2O' on"),
        ("Fe₂O₃", "unparseable from '₂O₃' on"),
        ("Ca(OH", "unparseable from '(OH' on"),
        ("Ca(OH)1e-3", "unparseable from '(OH)1e-3' on"),
        ("2H2O", "unparseable from '2H2O' on"),
        ("Fe1.2.3", "unparseable from '.3' on"),
        ("()", "unparseable from '()' on"),
    ],
)
def test_a_bad_formula_is_refused_with_its_reason(formula, reason):
    compositions, refused = parse_formulas([formula])
    assert len(compositions) == 0
    assert refused[0].startswith(reason)


def test_refused_formulas_are_named_by_position_and_the_others_keep_their_order():
    compositions, refused = parse_formulas(["Fe2O3", "Xx", "C", None, "TiO2"])
    assert list(compositions.formulas) == ["Fe2O3", "C", "TiO2"]
    assert sorted(refused) == [1, 3]
    assert compositions.indptr.tolist() == [0, 2, 3, 5]
    assert compositions.z.tolist() == [26, 8, 6, 22, 8]
    assert compositions.amount.tolist() == [2, 3, 1, 1, 2]
    assert [a.dtype for a in (compositions.indptr, compositions.z, compositions.amount)] == [
        "int64",
        "int16",
        "float64",
    ]


def test_fractions_divide_by_the_atoms_of_each_formula():
    compositions, _ = parse_formulas(["Fe2O3", "C60", "Li2Li2O4"])
    np.testing.assert_allclose(compositions.fractions(), [0.4, 0.6, 1.0, 0.5, 0.5], rtol=1e-15)


def test_no_formulas_give_empty_results():
    compositions, refused = parse_formulas([])
    assert (len(compositions), refused, compositions.fractions().size) == (0, {}, 0)
    assert chemical_family(compositions) == dominant_element(compositions) == reduced_formulas(compositions) == []


def test_symbols_are_pymatgens_by_atomic_number():
    assert len(SYMBOLS) == 119
    assert [Element.from_Z(z).symbol for z in range(1, 119)] == list(SYMBOLS[1:])


def test_reduced_formulas_are_pymatgens():
    formulas = ["Fe4O6", "O3Fe2", "Li2O2", "H2", "CH3CH2OH", "Mg[OH]2", "Li0.5CoO2", "Fe4O6"]
    expected = ["Fe2O3", "Fe2O3", "Li2O2", "H2", "C2H6O", "Mg(OH)2", "Li0.5Co1O2", "Fe2O3"]
    assert [Composition(f).reduced_formula for f in formulas[4:6]] == reduced_formulas(parse_formulas(formulas)[0])[4:6]
    assert reduced_formulas(parse_formulas(formulas)[0])[:4] == expected[:4]
    assert reduced_formulas(parse_formulas(formulas)[0])[6:] == [Composition(f).reduced_formula for f in formulas[6:]]


def test_elements_are_counted_once_and_without_zero_amounts():
    assert n_elements(parse_formulas(["Fe2O3", "CH3CH3", "Fe0O2", "O"])[0]).tolist() == [2, 2, 1, 1]


def test_the_dominant_element_has_the_largest_amount_and_ties_go_to_the_lower_atomic_number():
    compositions, _ = parse_formulas(["Fe2O3", "TeBi", "BiTe", "Na0.3Cl0.2O0.3", "U"])
    assert dominant_element(compositions) == ["O", "Te", "Te", "O", "U"]


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("Fe2O3", "oxide"),
        ("BaSO4", "oxide"),
        ("CaCO3", "oxide"),
        ("H2O", "oxide"),
        ("Bi2Te3", "chalcogenide"),
        ("CSe2", "chalcogenide"),
        ("SnSe", "chalcogenide"),
        ("NH4Cl", "halide"),
        ("XeF2", "halide"),
        ("UO2F2", "halide"),
        ("CoSb3", "pnictide"),
        ("BN", "pnictide"),
        ("BiSb", "pnictide"),
        ("B4C", "carbide"),
        ("CH4", "carbide"),
        ("Mg2Si", "tetrelide"),
        ("SiGe", "tetrelide"),
        ("TiNiSn", "tetrelide"),
        ("MgB2", "boride"),
        ("LaNi5H6", "hydride"),
        ("Ni3Al", "intermetallic"),
        ("S8", "element"),
        ("O2", "element"),
        ("CH0", "element"),
        ("Pb0.95Te0.96O0.04", "chalcogenide"),  # 2 % of O is a dopant
        ("Fe9O", "oxide"),  # exactly a tenth
        ("Fe9.01O", "intermetallic"),  # just under a tenth
    ],
)
def test_the_family_is_that_of_the_most_electronegative_anion_former_above_a_tenth(formula, family):
    assert chemical_family(parse_formulas([formula])[0]) == [family]


def test_a_tenth_of_the_atoms_survives_round_off():
    formula = "Fe0.7Ni0.2O0.1"
    compositions, _ = parse_formulas(
        [formula, "Fe0.3Ni0.4Co0.2O0.1", "Fe0.1Ni0.1Co0.1Cr0.1Mn0.1V0.1Ti0.1Al0.1Cu0.1O0.1"]
    )
    assert chemical_family(compositions) == ["oxide"] * 3


def test_anion_formers_carry_pymatgens_pauling_electronegativities_in_falling_order():
    assert [x for _, x, _ in ANION_FORMERS] == [Element(symbol).X for symbol, _, _ in ANION_FORMERS]
    assert [x for _, x, _ in ANION_FORMERS] == sorted((x for _, x, _ in ANION_FORMERS), reverse=True)
    assert {family for *_, family in ANION_FORMERS} | {"intermetallic", "element"} == set(FAMILIES)


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_every_formula_of_a_published_thermoelectric_table_has_pymatgens_amounts():
    import pandas as pd

    formulas = pd.read_excel(os.path.join(os.environ["MATLAS_MIRROR"], "estm", "estm.xlsx"))["Formula"].unique()
    compositions, refused = parse_formulas(formulas)
    assert (len(compositions), refused) == (880, {})
    for formula in formulas:
        assert amounts(formula) == peer_amounts(formula), formula
