"""Loading config/: a good tree resolves; every slip is one error that names the key, the file and the nearest name."""

import pytest
import yaml

from matlas.errors import ConfigError
from schemas.fields import FIELDS
from schemas.loading import load_atlas
from schemas.tables.dataset import dataset_schema

TREE = {
    "config.yaml": """
runtime: {seed: 3, blas_threads: 1}
studies: null
sample_sources: {lab: {generator: thermoelectrics, rows: 40}}
""",
    "sources.yaml": """
lab:
  title: Laboratory
  licence: CC0
  citation: none
  files:
    lab.csv:
      urls: [https://example.org/lab.csv]
      mirror: lab/lab.csv
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      bytes: 10
archive:
  title: Archive
  licence: CC0
  citation: none
  files:
    a.zip: &file
      mirror: a.zip
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      bytes: 10
      unpack: zip
    b.zip:
      <<: *file
      mirror: b.zip
""",
    "datasets.yaml": """
alloys:
  title: Alloys
  source: lab
  formula: Formula
  columns:
    temperature: T
    zt: {source: ZT, nullable: true}
    hardness: {source: HV, unit: GPa, description: Vickers hardness, minimum: 0}
  derived:
    zt_per_kelvin: zt / temperature
  flags:
    hot: {sql: temperature > 300, description: Above room temperature}
  repeats: [composition, temperature]
""",
    "views.yaml": """
fractions: {kind: composition, features: element_fractions}
magpie: {kind: composition, features: element_statistics, table: magpie, statistics: [mean]}
fractions_temperature: {kind: joined, of: [fractions], columns: [temperature]}
""",
    "methods.yaml": """
representations:
  pca: {algorithm: pca, n_components: 2}
clusterings:
  kmeans: {algorithm: kmeans, k: [2, 3], stability: {seeds: 2}}
  gmm: {algorithm: gmm, k: [2, 3]}
""",
    "studies/heat.yaml": """
title: Heat
dataset: alloys
views: [fractions_temperature, magpie]
representations: [pca]
clusterings: [kmeans]
figures:
  - {name: map, kind: property_map, property: zt}
tables:
  - {name: ranking, kind: cluster_ranking, clustering: kmeans, rank_by: zt, window: temperature}
claims:
  - {id: best-k, says: Two, cites: none, sql: SELECT 2, expect: 2}
""",
    "studies/own.yaml": """
title: A dataset and a view of its own
dataset:
  name: mine
  title: Mine
  path: data/mine.csv
  formula: formula
  columns: {zt: ZT}
views:
  - {name: both, kind: joined, of: [fractions, magpie], columns: [zt]}
representations: [pca]
claims:
  - {id: best-k, variant: mine, says: Two, cites: none, sql: SELECT true, expect: true}
""",
}


@pytest.fixture
def load(tmp_path):
    """A function that writes the tree, with one text replaced in one file, and loads it."""

    def load(file=None, old="", new=""):
        for name, text in TREE.items():
            if name == file:
                assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
                text = text.replace(old, new)
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "mine.csv").write_text("formula,ZT\n")
        return load_atlas(yaml.safe_load((tmp_path / "config/config.yaml").read_text()) or {}, tmp_path)

    return load


def test_a_good_tree_resolves_to_what_its_files_say(load):
    atlas = load()
    assert (atlas.settings.runtime.seed, atlas.settings.runtime.device) == (3, "auto")
    assert atlas.sources["archive"].files["b.zip"].unpack == "zip"
    assert (atlas.dataset_of("heat"), atlas.dataset_of("own")) == ("alloys", "mine")
    assert atlas.views_of("own") == ["both"]
    assert atlas.stored_views("both") == ["fractions", "magpie"]
    assert atlas.stored_views("magpie") == ["magpie"]
    assert atlas.datasets["mine"].path == "data/mine.csv"
    assert atlas.methods.clusterings["gmm"].init_params == "random_from_data"
    assert [c.expect for s in ("heat", "own") for c in atlas.studies[s].claims] == [2.0, True]
    assert isinstance(atlas.studies["own"].claims[0].expect, bool)


def test_settings_choose_studies_and_tell_which_miss_their_source(load):
    atlas = load("config.yaml", "studies: null", "studies: [heat]\nskip_sources: [lab]")
    assert list(atlas.studies) == ["heat"]
    assert atlas.skipped("heat") == "lab"


def test_the_table_of_a_dataset_takes_units_from_the_dictionary_and_from_the_definition(load):
    schema = dataset_schema("alloys", load().datasets["alloys"])
    fields = {f.name: f for f in schema.fields}
    assert fields["temperature"] == FIELDS["temperature"]
    assert (fields["zt"].nullable, fields["zt"].minimum) == (True, 0.0)
    assert (fields["hardness"].unit, fields["hardness"].minimum) == ("GPa", 0.0)
    assert (fields["zt_per_kelvin"].dtype, fields["zt_per_kelvin"].nullable) == ("float64", True)
    assert (fields["hot"].dtype, fields["hot"].description) == ("bool", "Above room temperature")
    assert schema.key == ("row_id",)
    assert schema.columns[-1] == "repeated"


CONFIG, SOURCES, DATASETS, VIEWS, METHODS, HEAT, OWN = TREE
MISSPELT = [
    (CONFIG, "runtime: {seed", "runtme: {seed", "'runtme'", "'runtime'"),
    (CONFIG, "blas_threads: 1", "blas_thread: 1", "'runtime.blas_thread'", "'blas_threads'"),
    (CONFIG, "rows: 40", "row: 40", "'sample_sources.lab.row'", "'rows'"),
    (SOURCES, "title: Laboratory", "tittle: Laboratory", "'lab.tittle'", "'title'"),
    (SOURCES, "urls:", "url:", "'lab.files.lab.csv.url'", "'urls'"),
    (DATASETS, "formula: Formula", "formulas: Formula", "'alloys.formulas'", "'formula'"),
    (DATASETS, "nullable: true", "nulable: true", "'alloys.columns.zt.nulable'", "'nullable'"),
    (DATASETS, "hot: {sql", "hot: {sqll", "'alloys.flags.hot.sqll'", "'sql'"),
    (VIEWS, "columns: [temperature]", "colums: [temperature]", "'fractions_temperature.colums'", "'columns'"),
    (VIEWS, "table: magpie", "tabel: magpie", "'magpie.tabel'", "'table'"),
    (METHODS, "representations:", "representation:", "'representation'", "'representations'"),
    (METHODS, "n_components", "n_component", "'representations.pca.n_component'", "'n_components'"),
    (METHODS, "kmeans: {algorithm: kmeans, k:", "gmm2: {algorithm: gmm, covariance: full, k:",
     "'clusterings.gmm2.covariance'", "'covariance_type'"),
    (METHODS, "kmeans: {algorithm: kmeans, k:", "kmeans: {algorithm: kmeans, n_inits: 2, k:",
     "'clusterings.kmeans.n_inits'", "'n_init'"),
    (METHODS, "seeds: 2", "seed: 2", "'clusterings.kmeans.stability.seed'", "'seeds'"),
    (HEAT, "clusterings:", "clustering:", "'clustering'", "'clusterings'"),
    (HEAT, "property: zt", "propety: zt", "'figures[map].propety'", "'property'"),
    (HEAT, "rank_by", "rankby", "'tables[ranking].rankby'", "'rank_by'"),
    (HEAT, "expect: 2", "expects: 2", "'claims[best-k].expects'", "'expect'"),
    (OWN, "path: data", "pth: data", "'dataset.pth'", "'path'"),
    (OWN, "columns: [zt]", "column: [zt]", "'views[both].column'", "'columns'"),
]  # fmt: skip
WRONG_TYPE = [
    (CONFIG, "seed: 3", "seed: three", "'runtime.seed'", "a whole number", "'three'"),
    (CONFIG, "blas_threads: 1", "blas_threads: 0", "'runtime.blas_threads'", "greater than or equal to 1", "0"),
    (CONFIG, "studies: null", "studies: heat", "'studies'", "a list", "'heat'"),
    (CONFIG, "runtime: {seed: 3, blas_threads: 1}", "runtime: 3", "'runtime'", "a mapping", "3"),
    (CONFIG, "blas_threads: 1", "device: gpu", "'runtime.device'", "['auto', 'cpu', 'cuda']", "'gpu'"),
    (SOURCES, "title: Laboratory", "title: [a]", "'lab.title'", "text", "['a']"),
    (SOURCES, "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n      bytes: 10\narchive",
     "sha256: E3B0\n      bytes: 10\narchive", "'lab.files.lab.csv.sha256'", "64 hexadecimal digits", "'E3B0'"),
    (SOURCES, "mirror: lab/lab.csv", "mirror: ../lab.csv", "'lab.files.lab.csv.mirror'", "relative", "'../lab.csv'"),
    (SOURCES, "unpack: zip", "unpack: zipp", "'archive.files.a.zip.unpack'", "['none', 'zip', 'tar']", "'zipp'"),
    (SOURCES, "files:\n    lab.csv:", "files: lab.csv\n  x:\n    lab.csv:", "'lab.x'", "one of", "(1 more)"),
    (DATASETS, "minimum: 0", "minimum: low", "'alloys.columns.hardness.minimum'", "a number", "'low'"),
    (DATASETS, "temperature: T", "temperature: 5", "'alloys.columns.temperature'", "text or a mapping", "5"),
    (DATASETS, "temperature: T", "Temperature: T", "'alloys.columns.Temperature'", "a lower-case letter",
     "'Temperature'"),
    (DATASETS, "repeats: [composition, temperature]", "max_reject_share: 2", "'alloys.max_reject_share'",
     "less than or equal to 1", "2"),
    (DATASETS, "source: lab", "key: id", "'alloys'", "`source` (an id of config/sources.yaml) or `path`",
     "the keys ['title', 'key'"),
    (VIEWS, "statistics: [mean]", "statistics: [means]", "'magpie.statistics[0]'", "'mean' (nearest)", "'means'"),
    (VIEWS, "kind: joined", "kind: join", "'fractions_temperature.kind'", "'joined' (nearest)", "'join'"),
    (METHODS, "algorithm: gmm", "algorithm: gmn", "'clusterings.gmm.algorithm'", "'gmm' (nearest)", "'gmn'"),
    (METHODS, "kmeans, k: [2, 3]", "kmeans, k: [1, 3]", "'clusterings.kmeans.k[0]'", "greater than or equal to 2", "1"),
    (METHODS, "seeds: 2", "seeds: -2", "'clusterings.kmeans.stability.seeds'", "greater than or equal to 0", "-2"),
    (HEAT, "dataset: alloys", "dataset: 7", "'dataset'", "text or a mapping", "7"),
    (HEAT, "[fractions_temperature, magpie]", "[]", "'views'", "at least 1", "[]"),
    (HEAT, "kind: property_map", "kind: property_mapp", "'figures[map].kind'", "'property_map' (nearest)", "_mapp'"),
    (HEAT, "property: zt", "property: zt, quantile: 2", "'figures[map].quantile'", "less than or equal to 1", "2"),
    (HEAT, "expect: 2", "expect: two", "'claims[best-k].expect'", "true or false or a number", "'two'"),
    (HEAT, "id: best-k", "id: best_k", "'claims[best_k].id'", "lower-case words joined by -", "'best_k'"),
]  # fmt: skip
MISSING = [
    (SOURCES, "title: Laboratory", "notes: none", "'lab.title' is missing"),
    (SOURCES, "mirror: lab/lab.csv", "origin: none", "'lab.files.lab.csv.mirror' is missing"),
    (DATASETS, "formula: Formula", "sheet: a", "'alloys.formula' is missing"),
    (DATASETS, "source: ZT, nullable", "nullable", "'alloys.columns.zt.source' is missing"),
    (VIEWS, "kind: joined, of", "of", "'fractions_temperature.kind' is missing", "['composition', 'joined']"),
    (VIEWS, "features: element_fractions", "description: x", "'fractions.features' is missing", "element_statistics"),
    (METHODS, "algorithm: gmm, k", "k", "'clusterings.gmm.algorithm' is missing", "['gmm', 'kmeans']"),
    (HEAT, "kind: property_map, ", "", "'figures[map].kind' is missing"),
    (HEAT, "name: map, ", "", "'figures[0].name' is missing"),
    (HEAT, ", expect: 2", "", "'claims[best-k].expect' is missing"),
    (OWN, "  name: mine\n", "", "'dataset.name' is missing"),
]
UNKNOWN = [
    (CONFIG, "studies: null", "studies: [heatt]", "unknown study", "studies)", "'heat' (nearest)", "'heatt'"),
    (CONFIG, "{lab:", "{labb:", "unknown source", "sample_sources)", "'lab' (nearest)", "'labb'"),
    (CONFIG, "studies: null", "skip_sources: [xyz]", "unknown source", "skip_sources)", "['archive', 'lab']", "'xyz'"),
    (DATASETS, "source: lab", "source: labo", "unknown source", "alloys: source)", "'lab' (nearest)", "'labo'"),
    (DATASETS, "source: lab", "source: lab\n  file: labs.csv", "unknown file of source lab", "alloys: file)",
     "'lab.csv' (nearest)", "'labs.csv'"),
    (DATASETS, "source: lab", "source: archive", "which file of the source?", "alloys: file)", "['a.zip', 'b.zip']"),
    (DATASETS, "[composition, temperature]", "[compositions]", "unknown column", "alloys: repeats)",
     "'composition' (nearest)", "'compositions'"),
    (DATASETS, "temperature: T", "temprature: T", "column 'temprature' is not in the data dictionary",
     "alloys: columns", "such as 'temperature'"),
    (DATASETS, "unit: GPa, ", "", "column 'hardness' is not in the data dictionary", "`unit` and `description`"),
    (VIEWS, "of: [fractions]", "of: [fraction]", "unknown view", "fractions_temperature: of)", "'fractions' (nearest)"),
    (VIEWS, "of: [fractions]", "of: [fractions_temperature]", "a joined view can't join another", "_temperature: of)"),
    (VIEWS, "columns: [temperature]", "columns: [temperatur]", "unknown column of dataset alloys", HEAT,
     "view fractions_temperature: columns)", "'temperature' (nearest)", "'temperatur'"),
    (METHODS, "seeds: 2", "group: compositon", "unknown column of dataset alloys", HEAT,
     "clustering kmeans: stability.group)", "'composition' (nearest)", "'compositon'"),
    (HEAT, "dataset: alloys", "dataset: aloys", "unknown dataset", "dataset)", "'alloys' (nearest)", "'aloys'"),
    (HEAT, "_temperature, magpie]", "_temperature, magpi]", "unknown view", "views)", "'magpie' (nearest)", "'magpi'"),
    (HEAT, "representations: [pca]", "representations: [pac]", "unknown representation", "representations)",
     "'pca' (nearest)", "'pac'"),
    (HEAT, "clusterings: [kmeans]", "clusterings: [kmean]", "unknown clustering", "clusterings)", "'kmeans' (nearest)"),
    (HEAT, "clustering: kmeans", "clustering: gmm", "unknown clustering of this study", "ranking: clustering)",
     "['kmeans']", "'gmm'"),
    (HEAT, "property: zt", "property: zzt", "unknown column of dataset alloys", "map: property)", "'zt' (nearest)"),
    (HEAT, "property: zt", "property: zt, properties: [zt, zzt]", "unknown column of", "map: properties)",
     "'zt' (nearest)"),
    (HEAT, "rank_by: zt", "rank_by: zz", "unknown column of dataset alloys", "ranking: rank_by)", "'zt' (nearest)"),
    (HEAT, "window: temperature", "window: temp", "unknown column", "ranking: window)", "'temperature' (nearest)"),
]  # fmt: skip
TWICE = [
    (DATASETS, "source: lab", "source: lab\n  source: lab", "not valid YAML", "datasets.yaml:5)",
     "key 'source' given twice"),
    (HEAT, "dataset: alloys", "title: again\ndataset: alloys", "not valid YAML", "heat.yaml:3)",
     "key 'title' given twice"),
    (HEAT, "claims:", "claims:\n  - {id: best-k, says: a, cites: b, sql: SELECT 1, expect: 1}",
     "claim 'best-k' is defined", "`variant`"),
    (OWN, "variant: mine, ", "", "claim 'best-k' is defined twice", "heat.yaml and "),
    (OWN, "name: mine", "name: alloys", "dataset 'alloys' is defined twice", "datasets.yaml and "),
    (OWN, "name: both", "name: magpie", "view 'magpie' is defined twice", "views.yaml and "),
    (HEAT, "name: ranking", "name: map", "figure or table 'map' is defined twice"),
    (DATASETS, "zt_per_kelvin: zt", "zt: zt", "column 'zt' is defined twice", ": alloys)"),
    (DATASETS, "temperature: T", "row_id: T", "column 'row_id' is defined twice", ": alloys)"),
]  # fmt: skip
CONTRADICTION = [
    (OWN, "mine.csv", "mina.csv", "the file of the dataset is missing", "dataset.path", "mina.csv", "Snakefile"),
    (HEAT, "sql: SELECT 2", "sql: SELCT 2", "not valid SQL", "claim best-k: sql", "SELCT"),
    (HEAT, "sql: SELECT 2", "sql: SELECT 2; SELECT 3", "must be one SELECT", "best-k", "2 statements"),
    (HEAT, "sql: SELECT 2", "sql: CREATE TABLE t (a INT)", "must be one SELECT", "best-k"),
    (VIEWS, "columns: [temperature]", "columns: [zt]", "can't be a feature", "'zt'", "nullable", HEAT),
    (VIEWS, "columns: [temperature]", "columns: [chemical_family]", "can't be a feature", "string", HEAT),
    (DATASETS, "minimum: 0", "minimum: 2, maximum: 1", "no table", ": alloys)", "hardness: minimum 2.0 is above"),
    (DATASETS, "minimum: 0", "minimum: 0, dtype: string", "no table", ": alloys)", "hardness: a string has no minimum"),
    (DATASETS, "zt_per_kelvin: zt", "reference: zt", "no table", ": alloys)", "'reference' holds string", "float64"),
    (DATASETS, "hot: {sql", "power_factor: {sql", "no table", ": alloys)", "'power_factor' holds float64", "bool"),
    (DATASETS, "source: lab", "source: lab\n  key: reduced_formula", "no table", "'reduced_formula' holds string"),
]
BROKEN = [
    (VIEWS, "kind: joined, of: [fractions], columns: [temperature]}", "kind: joined", "not valid YAML", "views.yaml:"),
    (METHODS, TREE[METHODS], "", "not a mapping", "`key: value` lines", "nothing"),
    (METHODS, TREE[METHODS], "- a\n", "not a mapping", "`key: value` lines", "a list"),
    (VIEWS, "fractions: {", "Fractions: {", "bad name", "a lower-case letter", "'Fractions'"),
    (VIEWS, "fractions: {", "_fractions: {", "bad name", "a lower-case letter", "'_fractions'"),
    (SOURCES, "lab:\n", "5:\n", "bad name", "a lower-case letter", "5"),
    (DATASETS, "alloys:", "? [a, b]\n:", "not valid YAML", "datasets.yaml:2)", "unhashable"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "fragments"),
    [
        pytest.param(file, old, new, fragments, id=f"{kind}-{number}-{file}")
        for kind, cases in {
            "misspelt": MISSPELT, "type": WRONG_TYPE, "missing": MISSING, "unknown": UNKNOWN, "twice": TWICE,
            "contradiction": CONTRADICTION, "broken": BROKEN,
        }.items()
        for number, (file, old, new, *fragments) in enumerate(cases)
    ],
)  # fmt: skip
def test_a_slip_is_one_error_that_names_key_file_and_what_was_expected(load, file, old, new, fragments):
    with pytest.raises(ConfigError) as caught:
        load(file, old, new)
    message = str(caught.value)
    found_in = [f for f in fragments if f in TREE] or [file]  # a name can be unknown in a file that uses it
    for fragment in (*found_in, *fragments):
        assert fragment in message
    assert "\n" not in message
    assert "Input should" not in message and "Column" not in message  # words of pydantic's and of our classes


def test_a_missing_file_is_named(load, tmp_path):
    load()
    (tmp_path / "config/views.yaml").unlink()
    with pytest.raises(ConfigError, match=r"configuration file is missing \(.*views\.yaml\)"):
        load_atlas({}, tmp_path)


def test_a_file_that_is_not_utf8_is_named(load, tmp_path):
    load()
    (tmp_path / "config/views.yaml").write_bytes("température: 1".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(.*views\.yaml\)"):
        load_atlas({}, tmp_path)


@pytest.mark.parametrize("name", ["all", "figures_heat", "clean_ores"])
def test_a_study_with_the_name_of_a_rule_is_refused(load, tmp_path, name):
    load()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "clean.smk").write_text("rule clean_ores:\n    output:\n")
    (tmp_path / "config/studies" / f"{name}.yaml").write_text(TREE[OWN].replace("name: mine", "name: other"))
    with pytest.raises(ConfigError, match=rf"name of a rule.*{name}.yaml.*[Rr]ename the file"):
        load_atlas({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("other.yml", "rename it to other"), ("My-study.yaml", "a lower-case letter")]
)
def test_a_study_file_that_would_be_overlooked_is_refused(load, tmp_path, name, message):
    load()
    (tmp_path / "config/studies" / name).write_text(TREE[HEAT])
    with pytest.raises(ConfigError, match=rf"(?i){name}.*{message}"):
        load_atlas({}, tmp_path)
