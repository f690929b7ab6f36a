"""Slips about spectra of pixels: unmixing, quantification, simulations and what is measured on them."""

import pytest

from tests.schemas.slips import cases, check_slip
from tests.schemas.tree import TREE

_, SOURCES, DATASETS, VIEWS, METHODS, HEAT, *_ = TREE
UNMIXED = "studies/unmixed.yaml"
FOUND = "{name: nmf_found, views: [counts]}"
RATIO = "{name: Mg/Si, above: [Mg], below: [Si, Fe]}"
NOISE = "noise: {doses: [50, 100], spaces: [shape/pca], clusterings: [kmeans], unmixings: [shape/vca3]}"
ALLOYS = "clusterings: [kmeans]\nfigures"  # of the study of compositions
FIT = "{low: 1, high: 2, phases: {a: [1, 1], b: [2, 1]}, spaces: [magpie/pca], clustering: kmeans, k: 2}"
SIMULATED = """  simulated:
    map.npz: {generator: mineral_map, rows: 400}
    steel.npz: {generator: duplex_steel, rows: 900}
"""

UNMIXINGS = [
    (METHODS, "algorithm: vca, endmembers: 3", "algorithm: vca, endmembers: 1", "bad value for",
     "'unmixings.vca3.endmembers'", "2 or more, or the name of a count"),
    (METHODS, "algorithm: vca, endmembers: 3", "algorithm: vca", "key 'unmixings.vca3.endmembers' is missing"),
    (METHODS, "endmembers: bootstrap", "endmembers: bootstap", "unknown count", "unmixings: nmf_found: endmembers)",
     "'bootstrap' (nearest)", "'bootstap'"),
    (METHODS, "algorithm: vca,", "algorithm: vcaa,", "'unmixings.vca3.algorithm'", "'vca' (nearest)", "'vcaa'"),
    (METHODS, "{algorithm: given}", "{algorithm: given, endmembers: 3}", "unknown key 'unmixings.given.endmembers'"),
    (METHODS, "{largest: 5}", "{largest: 0}", "'endmember_counts.bootstrap.largest'", "greater than or equal to 1"),
    (METHODS, "{largest: 5}", "{largst: 5}", "unknown key 'endmember_counts.bootstrap.largst'", "'largest' (nearest)"),
    (METHODS, "  vca3: {", "  kmeans: {", "method 'kmeans' is defined twice", "clusterings and unmixings)"),
    (UNMIXED, FOUND, "{name: nmf_fond, views: [counts]}", "unknown unmixing", "unmixings)", "'nmf_found' (nearest)"),
    (UNMIXED, FOUND, "{name: nmf_found, views: [count]}", "unknown view of this study", "unmixings: nmf_found: views)",
     "'counts' (nearest)", "'count'"),
    (UNMIXED, FOUND, "{name: nmf_found, representations: [pca]}", "unmixings don't take representations",
     "unmixings: nmf_found)"),
    (UNMIXED, FOUND, f"{FOUND}, kmeans", "'kmeans' is one of the clusterings", "Name it under clusterings"),
    (UNMIXED, "[{name: bootstrap, views", "[{name: bootstap, views", "unknown endmember_count",
     "'bootstrap' (nearest)"),
    (UNMIXED, "unmixing: vca3}", "unmixing: nmf}", "unknown unmixing of this study", "shares: unmixing)",
     "'nmf_found' (nearest)"),
    (HEAT, ALLOYS, f"unmixings: [vca3]\n{ALLOYS}", "only spectra of pixels are unmixed", "unmixings)",
     "found composition"),
    (HEAT, ALLOYS, f"endmember_counts: [bootstrap]\n{ALLOYS}", "only spectra of pixels are unmixed",
     "endmember_counts)"),
    (HEAT, "kind: property_map, property: zt", "kind: unmixing_scores", "a figure of kind unmixing_scores needs an",
     "map)", "Name one in unmixings"),
    (HEAT, "kind: property_map, property: zt", "kind: quantities", "needs a quantification", "Add `quantification:`"),
    (HEAT, "kind: property_map, property: zt", "kind: noise_sweep", "needs the test noise", "Add `noise:` to `tests:`"),
    (HEAT, "kind: property_map, property: zt", "kind: pixel_fit", "needs the test pixel_fit"),
]  # fmt: skip
QUANTIFIED = [
    (DATASETS, "elements: [Mg, Si, Fe, Sm, Cu]", "elements: [Mg, Si, Fe, Smm, Cu]", "not an element with X-ray lines",
     "map: eds.elements)", "'Sm' (nearest)", "'Smm'"),
    (DATASETS, "not_in_sample: [Cu]", "not_in_sample: [Pt]", "'map.eds'", "`not_in_sample` among `elements`", "['Pt']"),
    (DATASETS, "{bridgmanite: MgSiO3}", "{bridgmanite: MgSyO3}", "formula of phase bridgmanite can't be read",
     "map: eds.phases)", "'Sy'"),
    (DATASETS, "beam_energy: 200", "beam_energy: 0", "'map.eds.beam_energy'", "greater than or equal to 1"),
    (DATASETS, "beam_energy: 200", "beam_energy: 200000", "'map.eds.beam_energy'", "less than or equal to 1000"),
    (DATASETS, "counts: true", "counts: false", "endmembers are counted by counting noise, and view 'counts' holds no",
     UNMIXED, "counts: false"),
    (DATASETS, "counts: true", "counts: true\n  steps: [{rebbin: {y: 2}}]", "unknown step 'rebbin'", "map: steps)",
     "'rebin' (nearest)"),
    (DATASETS, "counts: true", "counts: true\n  steps: [{denoised: {n_components: 3}}]", "holds no counts", UNMIXED,
     "denoised"),
    (DATASETS, ", elevation_deg: 22", "", "key 'map.eds.detector.elevation_deg' is missing"),
    (UNMIXED, "  view: counts\n", "  view: count\n", "unknown view of this study", "quantification.view)",
     "'counts' (nearest)"),
    (UNMIXED, "  unmixing: nmf_found", "  unmixing: nmf", "unknown unmixing of this study", "quantification.unmixing)",
     "'nmf_found' (nearest)"),
    (UNMIXED, "  view: counts\n", "  view: shape\n", "the study has no such shares", "found shape/nmf_found",
     "Name nmf_found in unmixings, on view shape"),
    (UNMIXED, RATIO, "{name: Mg/Si, above: [Mg], below: [Si], stated: {bridgmanit: 1}}", "unknown phase of the dataset",
     "quantification.ratios: Mg/Si: stated)", "'bridgmanite' (nearest)"),
    (UNMIXED, RATIO, "{name: Mg/Si, above: [Mgg], below: [Si]}", "unknown element of `eds.elements`",
     "quantification.ratios: Mg/Si)", "'Mg' (nearest)", "'Mgg'"),
    (UNMIXED, RATIO, "{name: Mg/Si, above: [Mg], below: [Ca]}", "unknown element of `eds.elements`", "'Ca'"),
    (UNMIXED, RATIO, "{name: Mg/Si, above: [Mg], below: []}", "'quantification.ratios[Mg/Si].below'", "at least 1"),
    (UNMIXED, "elements: [Sm], low", "elements: [Nd], low", "unknown element of `eds.elements`",
     "quantification.windows[0])", "'Nd'"),
    (UNMIXED, "{Sm: {bridgmanite", "{Lu: {bridgmanite", "unknown element of `eds.elements`", "stated_ppm)", "'Lu'"),
    (UNMIXED, "  stated_ppm:", "  least_share: 1.5\n  stated_ppm:", "'quantification.least_share'",
     "less than or equal to 1"),
    (UNMIXED, "dataset: map", "dataset: {name: bare, kind: cube, title: Bare, source: simulated_map, file: map.npz, "
     "counts: true, truth: {array: s, materials: [bridgmanite, davemaoite, stishovite]}}",
     "only X-ray spectra are quantified", "quantification)", "Add `eds` to the dataset"),
    (HEAT, ALLOYS, f"quantification: {{view: magpie, unmixing: vca3}}\n{ALLOYS}", "only X-ray spectra are quantified"),
]  # fmt: skip
SIMULATIONS = [
    (SOURCES, SIMULATED, f"{SIMULATED}  files: {{a.npz: {{<<: *file, mirror: a.npz}}}}\n", "bad value for",
     "'simulated_map'", "either `files` (from outside) or `simulated` (files that a generator writes)"),
    (SOURCES, SIMULATED, "", "'simulated_map'", "either `files` (from outside) or `simulated`"),
    (SOURCES, "generator: mineral_map, rows: 400", "generator: mineral_map, rows: 40",
     "'simulated_map.simulated.map.npz.rows'", "greater than or equal to 100", "40"),
    (SOURCES, "generator: mineral_map", "generator: mineral", "'simulated_map.simulated.map.npz.generator'",
     "'mineral_map' (nearest)"),
    (SOURCES, "duplex_steel, rows: 900", "duplex_steel, contrasts: 2",
     "unknown key 'simulated_map.simulated.steel.npz.contrasts'", "'contrast' (nearest)"),
    (DATASETS, "  file: map.npz\n", "", "which file of the source?", "map: file)", "['map.npz', 'steel.npz']"),
    (DATASETS, "  file: map.npz\n", "  file: maps.npz\n", "unknown file of source simulated_map",
     "'map.npz' (nearest)"),
]  # fmt: skip
NOISE_TESTS = [
    (DATASETS, "  source: simulated_map\n  file: map.npz\n", "  source: archive\n  file: a.zip\n",
     "only a simulation can be made again", UNMIXED, "tests: noise)", "of a source with `simulated`",
     "found source archive"),
    (DATASETS, "  source: simulated_map\n  file: map.npz\n", "  path: data/ores.zip\n",
     "only a simulation can be made again", UNMIXED, "found path data/ores.zip"),
    (HEAT, ALLOYS, f"tests:\n  {NOISE}\n{ALLOYS}", "only a simulation can be made again", "found source lab"),
    (UNMIXED, NOISE, NOISE.replace("doses: [50, 100]", "doses: [0]"), "'tests.noise.doses[0]'", "greater than 0"),
    (UNMIXED, NOISE, NOISE.replace("doses: [50, 100],", "doses: [50], contrasts: [1],"),
     "generator mineral_map has no contrast", "noise: contrasts)"),
    (UNMIXED, NOISE, "noise: {doses: [50], spaces: [shape/pca]}", "nothing is found of the simulations",
     "spaces and clusterings, or unmixings", "['doses', 'spaces']"),
    (UNMIXED, NOISE, "noise: {doses: [50]}", "nothing is found of the simulations", "['doses']"),
    (UNMIXED, NOISE, NOISE.replace("[shape/pca]", "[shap/pca]"), "unknown view of this study", "noise: spaces)",
     "'shape' (nearest)"),
    (UNMIXED, NOISE, NOISE.replace("[shape/pca]", "[shape/pac]"), "unknown representation", "noise: spaces)",
     "'pca' (nearest)"),
    (UNMIXED, NOISE, NOISE.replace("[shape/pca]", "[counts/pca]"), "the study has no such space", "noise: spaces)",
     "found counts/pca", "Name pca in representations, on view counts"),
    (UNMIXED, NOISE, NOISE.replace("[shape/pca]", "[shape/factors]"), "factor_analysis is not trained again",
     "noise: spaces)", "identity or pca", "found shape/factors"),
    (UNMIXED, NOISE, NOISE.replace("[shape/pca]", "[shape-pca]"), "'tests.noise.spaces[0]'", "'shape-pca'"),
    (UNMIXED, NOISE, NOISE.replace("[kmeans]", "[gmm]"), "unknown clustering of this study", "noise: clusterings)"),
    (UNMIXED, NOISE, NOISE.replace("[kmeans]", "[density]"), "density does not sweep the number of materials",
     "K = 3 among", "a clustering that finds its own number"),
    (DATASETS, "[bridgmanite, ferropericlase, davemaoite]", "[bridgmanite, ferropericlase, davemaoite, stishovite]",
     "kmeans does not sweep the number of materials", UNMIXED, "K = 4", "found [2, 3]"),
    (UNMIXED, NOISE, NOISE.replace("[shape/vca3]", "[shape/vca]"), "unknown unmixing of this study",
     "noise: unmixings)", "'vca3' (nearest)"),
    (UNMIXED, NOISE, NOISE.replace("[shape/vca3]", "[counts/vca3]"), "the study has no such shares",
     "noise: unmixings)", "found counts/vca3", "Name vca3 in unmixings, on view counts"),
    (UNMIXED, NOISE, NOISE.replace("[shape/vca3]", "[counts/nmf_found]"), "not counted again for each simulation",
     "noise: unmixings)", "a number as `endmembers` of nmf_found"),
]  # fmt: skip
PIXEL_FITS = [
    (HEAT, ALLOYS, f"tests:\n  pixel_fit: {FIT}\n{ALLOYS}", "the dataset has no true shares to judge by",
     "tests: pixel_fit)", "Add `truth`"),
    (UNMIXED, "{bridgmanite: [23, 11], davemaoite: [24, 12]}", "{bridgmanite: [23, 11], davmaoite: [24, 12]}",
     "unknown material of the dataset", "pixel_fit: phases)", "'davemaoite' (nearest)", "'davmaoite'"),
    (UNMIXED, "{bridgmanite: [23, 11], davemaoite: [24, 12]}", "{bridgmanite: [23, 11]}", "'tests.pixel_fit.phases'",
     "at least 2"),
    (UNMIXED, "{bridgmanite: [23, 11], davemaoite: [24, 12]}", "{bridgmanite: [23], davemaoite: [24, 12]}",
     "key 'tests.pixel_fit.phases.bridgmanite[1]' is missing"),
    (UNMIXED, "    spaces: [shape/pca]\n", "    spaces: [counts/pca]\n", "the study has no such space",
     "pixel_fit: spaces)", "found counts/pca"),
    (UNMIXED, "    spaces: [shape/pca]\n", "    spaces: []\n", "'tests.pixel_fit.spaces'", "at least 1"),
    (UNMIXED, "    clustering: kmeans\n", "    clustering: gmm\n", "unknown clustering of this study",
     "pixel_fit: clustering)"),
    (UNMIXED, "    clustering: kmeans\n", "    clustering: density\n", "density finds its own number of clusters",
     "one that takes `k`"),
    (UNMIXED, "    k: 3\n", "    k: 1\n", "'tests.pixel_fit.k'", "greater than or equal to 2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "fragments"),
    cases({
        "unmixing": UNMIXINGS, "quantification": QUANTIFIED, "simulation": SIMULATIONS, "noise": NOISE_TESTS,
        "pixel_fit": PIXEL_FITS,
    }),
)  # fmt: skip
def test_a_slip_is_one_error_that_names_key_file_and_what_was_expected(load, file, old, new, fragments):
    check_slip(load, file, old, new, fragments)


def test_a_study_says_what_is_counted_unmixed_and_simulated(load):
    atlas = load()
    assert atlas.unmixed_in("unmixed") == [
        ("counts", "nmf_found"), ("counts", "given"), ("shape", "vca3"), ("shape", "given")
    ]  # fmt: skip
    assert atlas.counted_in("unmixed") == [("counts", "bootstrap")]
    assert (atlas.count_of("nmf_found"), atlas.count_of("vca3"), atlas.count_of("given")) == ("bootstrap", None, None)
    assert atlas.simulated_by_design("map") and not atlas.simulated_by_design("alloys")
    assert atlas.simulation("simulated_map", "steel.npz").generator == "duplex_steel"
    assert atlas.simulation("archive", "a.zip") is None


def test_a_count_that_only_an_unmixing_needs_is_made_on_the_views_of_that_unmixing(load):
    atlas = load(UNMIXED, "endmember_counts: [{name: bootstrap, views: [counts]}]\n", "")
    assert atlas.counted_in("unmixed") == [("counts", "bootstrap")]


def test_sample_data_in_place_of_a_simulation_are_sample_data(load):
    sample = "{simulated_map: {generator: mineral_map, rows: 100, seed: 5}, lab: {generator: thermoelectrics"
    atlas = load("config.yaml", "{lab: {generator: thermoelectrics", sample)
    assert not atlas.simulated_by_design("map")
    assert atlas.simulation("simulated_map", "map.npz").seed == 5


def test_contrasts_may_be_varied_where_the_simulation_has_them(load):
    dataset = TREE[DATASETS].replace("file: map.npz", "file: steel.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TREE, DATASETS, dataset)
        atlas = load(UNMIXED, NOISE, NOISE.replace("doses: [50, 100],", "doses: [50], contrasts: [1, 2],"))
    assert atlas.simulation("simulated_map", atlas.datasets["map"].file).contrast == 1.0
    assert atlas.studies["unmixed"].tests.noise.contrasts == [1, 2]
