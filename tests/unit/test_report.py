"""The report is one page that needs nothing else, says what the tables say, and never passes samples off as data."""

import base64
import json
import re

import lxml.html
import numpy as np
import pandas as pd
import pytest

from matlas.catalog import build_catalog
from matlas.cluster.verdict import verdict
from matlas.errors import DataError
from matlas.lineage import SCRIPTS, Lineage, import_closure
from matlas.report import svg
from matlas.report.build import render
from matlas.report.formats import duration, linked, notes, number, score, share, size
from matlas.report.provenance import busy_seconds
from matlas.report.restrictions import grouped
from matlas.report.spaces import sweep_of
from matlas.store import open_store
from matlas.tables import read_table, write_table
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import CLAIMS, METRICS, cluster_schema, representation_schema
from schemas.tables.dataset import REJECTS
from schemas.tables.features import feature_schema
from tests.unit import results_folder
from tests.unit.results_folder import FOUND, IMAGE_STUDY, IMAGES

SCRIPT = "<script>alert('{}')</script>"
ROWS = pd.DataFrame({
    "row_id": [1, 2, 3, 5], "composition": ["SnSe", "Bi2Te3", "SnSe", "PbTe"],
    "temperature": [300.0, 300.0, 500.0, 12345.6], "zt": [0.1, 0.9, None, 1.2],
    "odd": [False, True, True, True], "repeated": [False, False, False, True],
})  # fmt: skip
REFUSED = pd.DataFrame({  # row 4 is refused for two reasons
    "row": [4, 4, 6], "reason": ["missing value", "not a number", "missing value"], "column": ["T", "ZT", "T"],
    "value": [None, SCRIPT.format("cell"), None], "raw": "{}",
})  # fmt: skip
SILHOUETTE = {2: 0.3, 3: 0.5, 4: 0.41}
SEEDS = {1: 2.0, 2: 3.0, 3: 3.0}
FIGURE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 400 300"
     width="400pt" height="300pt"><metadata about="http://example.org"/><defs><clipPath id="clip"><rect id="box"/>
</clipPath><style>*{stroke-linejoin: round}</style></defs><g clip-path="url(#clip)"><use xlink:href="#box"/>
<image id="thumbnail" width="9" height="9" xlink:href="data:image/png;base64,
iVBORw0KGgo="/><use xlink:href="#thumbnail"/>
<text style="fill: url('#box')">a &lt;script&gt; in &amp; out</text></g></svg>"""
CLAIM_NUMBERS = {
    "ores-rows": (4.0, 0.0, 4.0, "number"), "ores-spread": (0.25, 0.01, 0.26234567, "number"),
    "ores-climb": (1.0, 0.0, 0.0, "true or false"),
}  # fmt: skip


def study(dataset, **changes):
    claims = [{"id": name.replace("ores", dataset), "variants": []} for name in CLAIM_NUMBERS]
    return {
        "title": f"Study of {dataset}", "description": f"What {SCRIPT.format('description')} does",
        "cites": "A. Paper, 10.1000/a(b)c.", "dataset": dataset, "views": ["weights"], "representations": ["pca1"],
        "maps": [], "clusterings": ["kmeans"], "evaluation": {"label": None, "conditions": []},
        "figures": [
            {"name": "sweep", "caption": "Caption " + SCRIPT.format("caption")}, {"name": "map", "caption": ""}
        ],
        "tables": [{"name": "ranking", "rank_by": "zt", "caption": "Best first."}], "claims": claims,
    } | changes  # fmt: skip


STUDIES = {"first": study("ores"), "second": study("glasses"), "third": study("lost")}
STRUCTURES = {
    name: {"dataset": spec["dataset"], "views": ["weights"], "spaces": [("weights", "pca1")], "maps": [],
           "clustered": [("weights", "pca1", "kmeans")]}
    for name, spec in STUDIES.items()
}  # fmt: skip
SKIPPED = {"first": None, "second": None, "third": "far_away"}
DATASETS = {
    name: {"kind": "composition", "title": f"All {name}", "source": source, "path": path, "licence": "", "citation": ""}
    for name, source, path in [("ores", "mine", None), ("glasses", None, "my/glasses.csv"), ("lost", "far_away", None)]
}
SOURCES = {
    name: {"title": f"The {name} source", "licence": f"licence of {name}", "citation": "10.1000/xyz", "notes": notes,
           "files": {"raw.xlsx": {"bytes": 680110, "sha256": "ab" * 32}}}
    for name, notes in [("mine", "not for commercial use"), ("far_away", ""), ("unused", "")]
}  # fmt: skip
JOBS = [  # 10 s alone, then two that overlap for 5 s after a pause; the first ran before jobs took notes
    {"rule": "clean", "wildcards": {"dataset": "ores"}, "startup_s": 4.0, "work_s": 6.0, "peak_rss_mb": 100.0,
     "finished": "2026-01-01T00:00:10+00:00"},
    {"rule": "cluster", "wildcards": {"view": "a"}, "startup_s": 1.0, "work_s": 9.0, "peak_rss_mb": 1300.0,
     "finished": "2026-01-01T01:00:10+00:00", "notes": {"images_per_s": 42.1, "device": "cpu"}},
    {"rule": "cluster", "wildcards": {"view": "b"}, "startup_s": 0.5, "work_s": 9.5, "peak_rss_mb": 900.0,
     "finished": "2026-01-01T01:00:15+00:00", "notes": {}},
]  # fmt: skip


def metrics(dataset, method, records):
    rows = [
        {"dataset": dataset, "view": "weights", "representation": "pca1", "method": method, "k": k, "metric": metric,
         "value": value, "seed": seed, "split": split}
        for k, metric, value, seed, split in records
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=METRICS.columns).astype({"k": "Int64", "seed": "Int64"})


def claims_of(dataset, name, simulated):
    rows = []
    for claim, (expected, tolerance, measured, quantity) in CLAIM_NUMBERS.items():
        agrees = abs(measured - expected) <= tolerance
        judged = (
            ["differs on simulated data", "agrees on simulated data"] if simulated else ["contradicted", "reproduced"]
        )
        rows.append((claim.replace("ores", dataset), "", name, f"Says {claim} of {dataset}", "Somebody 1999", expected,
                     tolerance, measured, judged[agrees], quantity, SCRIPT.format("detail")))  # fmt: skip
    return pd.DataFrame(rows, columns=CLAIMS.columns)


def write_dataset(root, dataset, name, simulated, numpy):
    """Tables of one dataset and study; returns their paths."""
    key = FIELDS["row_id"]
    fields = (
        key, FIELDS["composition"], FIELDS["temperature"], Field("zt", "float64", "1", "Merit", nullable=True),
        Field("odd", "bool", "", "Looks odd"), FIELDS["repeated"],
    )  # fmt: skip
    rows = TableSchema(dataset, "datasets", ("row_id",), fields)
    weights = pd.DataFrame({"composition": ["Bi2Te3", "PbTe", "SnSe"], "mean_weight": [160.2, 167.4, 98.8]})
    view = feature_schema(
        "weights", FIELDS["composition"], [Field("mean_weight", "float64", "g/mol", "Mean atomic weight")]
    )
    scores = ROWS[["row_id"]].assign(z_0=0.5, reconstruction_error=0.125)
    labels = ROWS[["row_id"]].assign(cluster=0, distance=0.5)
    space = f"{dataset}/weights/pca1"
    projected = [
        (None, "n_features", 1.0, 0, "all"),
        (None, "explained_variance_ratio", 0.875, 0, "all"),
        (None, "explained_variance_ratio_0", 0.875, 0, "all"),
        (None, "reconstruction_error", 0.125, 0, "all"),
    ]
    swept = [(k, "silhouette", value, 0, "all") for k, value in SILHOUETTE.items()]
    swept += [(None, "best_k", 3.0, 0, "all"), *((None, "best_k", k, seed, "seed") for seed, k in SEEDS.items())]
    swept += [(3, "ari_to_reference", value, 1, split) for value, split in [(0.75, "seed"), (0.5, "bootstrap")]]
    tables = {
        f"datasets/{dataset}": (ROWS, rows), f"rejects/{dataset}": (REFUSED, REJECTS),
        f"features/{dataset}/weights": (weights, view),
        f"representations/{space}": (scores, representation_schema("pca1", key, 1)),
        f"clusters/{space}/kmeans": (labels, cluster_schema("kmeans", key, [])),
        f"metrics/representation/{space}": (metrics(dataset, "pca1", projected), METRICS),
        f"metrics/clustering/{space}/kmeans": (metrics(dataset, "kmeans", swept), METRICS),
        f"claims/{name}": (claims_of(dataset, name, simulated), CLAIMS),
    }  # fmt: skip
    lineage = Lineage({"sources/raw.xlsx": "0" * 16}, "c0de", "c0f1", None, simulated, {"numpy": numpy})
    for path, (frame, schema) in tables.items():
        write_table(frame, root / f"{path}.parquet", schema, lineage=lineage, attributes={"dataset": dataset})
    return [root / f"{path}.parquet" for path in tables]


def make_results(folder, simulated=()):
    root = folder / "results"
    tables = write_dataset(root, "ores", "first", "ores" in simulated, "2.0")
    tables += write_dataset(root, "glasses", "second", "glasses" in simulated, "2.1")
    lost = claims_of("lost", "third", False).assign(measured=None, verdict="not evaluated").astype({"measured": float})
    write_table(lost, root / "claims/third.parquet", CLAIMS)
    build_catalog(root / "matlas.duckdb", [*tables, root / "claims/third.parquet"], root, studies=STRUCTURES)
    ranking = pd.DataFrame({
        "view": "weights", "representation": "pca1", "clustering": "kmeans", "cluster": [1, 0], "zt_q25": [1.5, 0.25],
        "zt_median": [1.75, 0.5], "zt_q75": [2.0, 0.75], "temperature_top_median": [12345.6, 300.0],
        "compounds": [SCRIPT.format("compound"), "SnSe"],
    })  # fmt: skip
    for name in ("first", "second"):
        figures = root / "figures" / name
        figures.mkdir(parents=True)
        for figure in ("sweep", "map"):
            (figures / f"{figure}.svg").write_text(FIGURE, encoding="utf-8")
            (figures / f"{figure}.csv").write_text("k\n1\n", encoding="utf-8")
        ranking.to_csv(figures / "ranking.csv", index=False)
    for position, job in enumerate(JOBS):
        log = folder / "logs" / f"{position}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"00:00:00 INFO cost {json.dumps(job)}\n", encoding="utf-8")
    return root


def rendered(root, **changes):
    output = root / "report" / "index.html"
    about = {
        "studies": STUDIES, "structures": STRUCTURES, "skipped": SKIPPED, "left_out": {},
        "restrictions": dict.fromkeys(STUDIES, {}), "sources": SOURCES, "datasets": DATASETS,
        "logs": root.parent / "logs",
    } | changes  # fmt: skip
    render(output, root, **about)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="module")
def page(root):
    return lxml.html.document_fromstring(rendered(root))


@pytest.fixture(scope="module")
def half_simulated(tmp_path_factory):
    """The first study is on sample data, the second on measured data."""
    return rendered(make_results(tmp_path_factory.mktemp("half"), simulated={"ores"}))


def text(element):
    return " ".join(element.text_content().split())


def rows_of(page, caption):
    """The body of the table whose caption begins so, as lists of texts."""
    (table,) = [t for t in page.iter("table") if text(t.find("caption")).startswith(caption)]
    return [[text(cell) for cell in row] for row in table.find("tbody").iter("tr")]


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert not [e.tag for e in page.iter("script", "iframe", "object", "embed", "img", "base", "form")]
    for element in page.iter(lxml.etree.Element):
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "href", "action", "data", "poster") and element.tag != "a":
                assert value.startswith(("#", "data:")), (element.tag, name, value)
    styles = "".join(style.text_content() for style in page.iter("style"))
    assert "@import" not in styles and not re.search(r"url\((?!\s*['\"]?#)", styles)


def test_every_link_leads_somewhere(page, root):
    ids = {element.get("id") for element in page.iter() if element.get("id")}
    links = [a.get("href") for a in page.iter("a")]
    assert {"../figures/first/sweep.csv", "../figures/second/ranking.csv", "#claim-ores-climb"} <= set(links)
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        elif not link.startswith("https://doi.org/"):
            assert (root / "report" / link).is_file()


def test_ids_are_unique_and_each_figure_refers_to_its_own(page):
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    figures = list(page.iter("svg"))
    assert [figure.get("id") for figure in figures] == [
        f"figure-{name}-{figure}" for name in ("first", "second") for figure in ("sweep", "map")
    ]
    for figure in figures:
        own = {element.get("id") for element in figure.iter()}
        markup = lxml.html.tostring(figure, encoding="unicode")
        references = re.findall(r"url\('?#([^)']+)|href=\"#([^\"]+)", markup)
        assert len(references) == 4 and {a or b for a, b in references} <= own
        (style,) = figure.iter("style")
        assert style.text_content().startswith(f"#{figure.get('id')} *")


def test_each_figure_stands_once_with_its_name_for_those_who_cannot_see_it(page):
    labels = [figure.get("aria-label") for figure in page.iter("svg")]
    assert labels == [f"Caption {SCRIPT.format('caption')}", "Map."] * 2
    assert [text(caption).split(" Data as CSV")[0] for caption in page.iter("figcaption")] == labels
    assert all(figure.get("role") == "img" and not figure.get("width") for figure in page.iter("svg"))


def test_whatever_the_data_hold_is_shown_as_text(page):
    shown = text(page)
    for place in ("cell", "caption", "description", "detail", "compound"):
        assert SCRIPT.format(place) in shown
    assert "a <script> in & out" in shown


def test_each_claim_stands_once_with_its_numbers_and_its_verdict_in_words(page):
    rows = {row.get("id"): [text(cell) for cell in row] for row in page.iter("tr") if row.get("id")}
    names = [f"claim-{name.replace('ores', d)}" for d in ("ores", "glasses", "lost") for name in CLAIM_NUMBERS]
    assert list(rows) == names
    assert rows["claim-ores-rows"][1:] == ["4", "4", "0", "0", "✓ reproduced"]
    assert rows["claim-ores-spread"][1:] == ["0.25", "0.2623", "+0.01235", "0.01", "✗ contradicted"]
    assert rows["claim-ores-climb"][1:] == ["true", "false", "–", "–", "✗ contradicted"]
    assert rows["claim-lost-rows"][1:] == ["4", "–", "–", "0", "○ not evaluated"]
    assert "Says ores-rows of ores" in rows["claim-ores-rows"][0] and "Somebody 1999" in rows["claim-ores-rows"][0]


def test_contradicted_claims_are_listed_as_findings(page):
    (findings,) = page.find_class("findings")
    assert "4 claims contradicted" in text(findings)
    linked_claims = [a.get("href") for a in findings.iter("a")]
    assert linked_claims == [f"#claim-{d}-{name}" for d in ("ores", "glasses") for name in ("spread", "climb")]


def test_the_summary_counts_verdicts_and_says_what_was_left_out(page):
    summary = text(page.get_element_by_id("summary"))
    assert "2 ✓ reproduced 4 ✗ contradicted 3 ○ not evaluated" in summary
    assert "Study of ores: of 3 claims, 1 reproduced, 2 contradicted." in summary
    assert "Study of lost: not evaluated: source far_away left out." in summary
    left_out = page.get_element_by_id("study-third")
    assert "not evaluated: source far_away left out" in text(left_out)
    assert not left_out.findall(".//table") and not left_out.findall(".//svg")


def test_measured_data_are_never_called_sample_data(page):
    assert "SAMPLE DATA" not in text(page).upper()


def test_sample_data_are_marked_on_top_and_in_every_section_that_shows_them(half_simulated):
    page = lxml.html.document_fromstring(half_simulated)
    assert page.findtext(".//title").startswith("SAMPLE DATA")
    assert "SAMPLE DATA" in text(page.body.find_class("top")[0])
    marked = {s.get("id") for s in page.iter("section") if "SAMPLE DATA – ores: generated" in text(s)}
    unmarked = {s.get("id") for s in page.iter("section")} - marked
    assert unmarked == {"study-second", "study-third"}


def test_claims_on_sample_data_are_never_shown_as_reproduced(half_simulated, tmp_path):
    page = lxml.html.document_fromstring(half_simulated)
    rows = {row.get("id"): text(row[-1]) for row in page.iter("tr") if row.get("id")}
    assert rows["claim-ores-rows"] == "= agrees on simulated data"
    assert rows["claim-ores-climb"] == "≠ differs on simulated data"
    assert rows["claim-glasses-rows"] == "✓ reproduced"
    assert "reproduced" not in rendered(make_results(tmp_path, simulated={"ores", "glasses"}))


def test_rows_read_are_those_kept_and_those_refused(page):
    quality = text(page.get_element_by_id("quality"))
    read, kept, refused = map(int, re.search(r"(\d+) rows read = (\d+) kept \+ (\d+) refused", quality).groups())
    assert kept == len(ROWS) and refused == REFUSED["row"].nunique() and read == kept + refused == 6
    assert "3 different values of composition" in quality


def test_flags_refusals_and_gaps_are_counted(page):
    quality = page.get_element_by_id("quality")
    tables = [[[text(cell) for cell in row] for row in t.find("tbody").iter("tr")] for t in quality.iter("table")]
    flags, refused, missing = tables[:3]
    assert flags == [["odd", "Looks odd", "3", "75 %"], ["repeated", FIELDS["repeated"].description, "1", "25 %"]]
    assert refused == [
        ["missing value", "T", "2", "4: nothing, 6: nothing"],
        ["not a number", "ZT", "1", f"4: {SCRIPT.format('cell')}"],
    ]
    assert missing == [["zt", "Merit", "25 %"]]


def test_spaces_and_sweeps_say_what_the_metrics_say(page):
    section = page.get_element_by_id("study-first")
    assert rows_of(section, "Each feature view") == [["weights", "pca1", "1", "1", "87.5 %", "0.125"]]
    (sweep,) = rows_of(section, "K* is the K")
    assert sweep == ["weights", "pca1", "kmeans", "2 to 4", "3", "0.5", "2 to 3, median 3 (3 seeds)", "0.75", "0.5"]


def test_thumbnails_inside_a_figure_come_with_it_whole(page):
    images = [image for figure in page.iter("svg") for image in figure.iter("image")]
    assert len(images) == 4
    for image in images:
        assert base64.b64decode(image.get("href").removeprefix("data:image/png;base64,")) == b"\x89PNG\r\n\x1a\n"


def test_the_rule_of_thumb_is_quoted_whole(page):
    shown = text(page.get_element_by_id("study-first"))
    *said, caveat = verdict(list(SILHOUETTE), list(SILHOUETTE.values())).words.split(". ")
    assert ". ".join(said) in shown and caveat in shown
    assert "peak at k = 3" in shown


@pytest.mark.parametrize(("agreement", "warned"), [(0.49, True), (0.51, False), (float("nan"), False)])
def test_clusters_that_other_seeds_do_not_find_are_said_to_be_unreliable(agreement, warned):
    by_k = pd.DataFrame({"k": [2, 3, 4], "silhouette": [0.3, 0.6, 0.4], "seed_ari": [0.1, agreement, 0.1],
                         "bootstrap_ari": [np.nan] * 3})  # fmt: skip
    best = {"best_k": 3, "seeds": 1, "silhouette_rows": None}
    found = sweep_of(("view", "space", "kmeans"), by_k, best)
    assert ("Other seeds find other clusters there (adjusted Rand index 0.49)" in found.verdict) == warned


def test_tables_of_a_study_have_units_and_quantiles_beside_the_median(page):
    section = page.get_element_by_id("study-first")
    (table,) = [t for t in section.iter("table") if text(t.find("caption")) == "weights · pca1 · kmeans"]
    assert [text(th) for th in table.find("thead").iter("th")] == [
        "cluster", "zt median, q25 to q75", "temperature top median (K)", "compounds"
    ]  # fmt: skip
    assert rows_of(section, "weights · pca1") == [
        ["1", "1.75 (1.5 to 2)", "12,346", SCRIPT.format("compound")], ["0", "0.5 (0.25 to 0.75)", "300", "SnSe"]
    ]  # fmt: skip


def test_the_dictionary_describes_every_column_with_unit_and_range(page):
    rows = rows_of(page, "Columns of datasets.ores")
    assert [row[0] for row in rows] == list(ROWS.columns)
    assert rows[2][1:6] == ["K", FIELDS["temperature"].description, "0 %", "300 to 12,346", "float64"]
    assert rows_of(page, "Columns of features.ores__weights")[1][:2] == ["mean_weight", "g/mol"]


def test_costs_are_summed_by_rule_and_pauses_between_runs_do_not_count(page):
    assert busy_seconds(JOBS) == 25.0  # 10 s, and 15 s in which two jobs overlap
    assert rows_of(page, "Cost of each rule") == [
        ["cluster", "2", "1.50", "18.50", "1,300"], ["clean", "1", "4.00", "6.00", "100"],
        ["All", "3", "5.50", "24.50", "1,300"],
    ]  # fmt: skip
    jobs = [[row[1], row[-1]] for row in rows_of(page, "Cost of each job")]
    assert jobs == [["ores", ""], ["a", "42.1 images per s, device: cpu"], ["b", ""]]
    shown = text(page.get_element_by_id("cost"))
    assert "30 s in all: 5.5 s to start" in shown and "running for 25 s" in shown and "start-up 18.33 %" in shown


def test_versions_that_differ_between_tables_are_all_named(page):
    assert rows_of(page, "Software") == [["numpy", "2.0 (8 tables), 2.1 (8 tables)"]]
    assert rows_of(page, "Tables of the catalog")[2][:2] == ["claims.third", "3"]
    assert "sources/raw.xlsx" in text(page.get_element_by_id("lineage"))


def test_sources_come_with_licence_citation_and_conditions(page):
    used = rows_of(page, "Sources of this run")
    assert [row[4] for row in used] == ["ores", "lost", "glasses"]
    assert "not for commercial use" in used[0][0] and used[0][1:3] == ["licence of mine", "10.1000/xyz"]
    assert used[0][3] == f"raw.xlsx, 680 kB, sha256 {'ab' * 8}…"
    assert "Left out of this run" in used[1][0] and "my/glasses.csv" in used[2][0]
    assert "The unused source" in rows_of(page, "Sources that no study")[0][0]


def test_the_example_queries_answer_from_this_catalog(page, root):
    queries = [pre.text_content() for pre in page.find_class("sql")]
    answers = [open_store(root).sql(query) for query in queries]
    assert len(answers) == 3 and all(len(answer) for answer in answers)
    assert answers[2].to_dict("list") == {"cluster": [0], "rows": [4], "zt": [0.9]}


def test_headings_descend_one_level_at_a_time_and_tables_have_captions(page):
    levels = [int(e.tag[1]) for e in page.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    assert all(text(table.find("caption")) for table in page.iter("table"))
    assert all(cell.get("scope") for cell in page.iter("th"))
    assert [e.tag for e in page.iter("header", "nav", "main", "footer")] == ["header", "nav", "main", "footer"]


def test_the_same_results_give_the_same_page_and_nothing_else_beside_it(root):
    assert rendered(root) == rendered(root)
    assert [path.name for path in (root / "report").iterdir()] == ["index.html"]


def test_a_run_whose_sources_are_all_left_out_still_has_a_page(tmp_path):
    root = tmp_path / "results"
    lost = claims_of("lost", "third", False).assign(measured=None, verdict="not evaluated").astype({"measured": float})
    write_table(lost, root / "claims/third.parquet", CLAIMS)
    third = {"third": STRUCTURES["third"]}
    build_catalog(root / "matlas.duckdb", [root / "claims/third.parquet"], root, studies=third)
    page = lxml.html.document_fromstring(rendered(root, studies={"third": STUDIES["third"]}, structures=third))
    assert "No dataset was read" in text(page) and len(page.find_class("sql")) == 2
    assert all(len(open_store(root).sql(pre.text_content())) for pre in page.find_class("sql"))


@pytest.mark.parametrize("name", ["sweep.svg", "ranking.csv"])
def test_a_missing_figure_or_table_is_named(tmp_path, name):
    root = make_results(tmp_path)
    (root / "figures" / "second" / name).unlink()
    with pytest.raises(DataError, match=f"missing .*{re.escape(name)}.*Run the workflow"):
        rendered(root)
    assert not (root / "report").exists()


def test_missing_metrics_of_a_clustering_are_named(tmp_path):
    root = make_results(tmp_path)
    more = STRUCTURES["first"] | {"clustered": [("weights", "pca1", "kmeans"), ("weights", "pca1", "gmm")]}
    with pytest.raises(DataError, match="metrics of a study are missing .*first, weights / pca1 / gmm"):
        rendered(root, structures=STRUCTURES | {"first": more})


IMAGES_SPEC = {
    "cracks": study(
        "plates", views=["raw_pixels", "resnet18", "resnet18_pq"],
        representations=["as_is", {"name": "pca2", "views": ["resnet18_pq"], "representations": []}],
        maps=["tsne"], clusterings=["kmeans", "hdbscan", "ward"],
        evaluation={"label": "label", "conditions": ["brightness", "contrast"]}, figures=[], tables=[],
        claims=[{"id": "plates-ari", "variants": ["resnet18", "resnet18_pq"]}, {"id": "plates-n", "variants": []}],
    )
}  # fmt: skip
IMAGE_CLAIMS = pd.DataFrame({
    "id": ["plates-n", "plates-ari", "plates-ari"], "variant": ["", "resnet18_pq", "resnet18"], "study": "cracks",
    "says": ["There are 6 plates", "Clusters are classes", "Clusters are classes"], "cites": "Somebody 1999",
    "expected": [6.0, 0.8, 0.8], "tolerance": [0.0, 0.1, 0.1], "measured": [6.0, 0.25, None],
    "verdict": ["reproduced", "contradicted", "not evaluated"], "quantity": "number",
    "detail": ["", "", "source big_network was left out"],
})[CLAIMS.columns]  # fmt: skip
LICENCE = "ResNet18 in few bytes; licence CC-BY-NC-4.0"
WEIGHT_SOURCES = {
    name: {"title": title, "licence": "some", "citation": "", "notes": "",
           "files": {file: {"bytes": 9, "sha256": "0" * 64}}}
    for name, title, file in [("plates", "Plates", "plates.zip"), ("plate_weights", "Small weights", "weights.pth"),
                              ("big_network", "Large weights", "big.pth")]
}  # fmt: skip


def rendered_images(root, **changes):
    about = {
        "studies": IMAGES_SPEC, "structures": {"cracks": IMAGE_STUDY}, "skipped": {"cracks": None},
        "left_out": {"resnet18": "big_network"}, "restrictions": {"cracks": {"resnet18_pq": LICENCE}},
        "sources": WEIGHT_SOURCES,
        "datasets": {"plates": {"kind": "image", "title": "All plates", "source": "plates", "path": None}},
    } | changes  # fmt: skip
    return lxml.html.document_fromstring(rendered(root, **about))


@pytest.fixture(scope="module")
def images_root(tmp_path_factory):
    return results_folder.make_image_results(tmp_path_factory.mktemp("images") / "results", IMAGE_CLAIMS)


@pytest.fixture(scope="module")
def images_page(images_root):
    return rendered_images(images_root)


def three(value):
    """Written apart from matlas.report.formats."""
    return f"{value:.3f}".replace("-", "−").removeprefix("−" if abs(value) < 0.0005 else " ")


def spread_of(values):
    texts = [three(v) for v in (values.median(), values.min(), values.max())]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def at_shown_k(runs, space):
    """The rows of a clustering at K = 3, the number of classes; hdbscan found another."""
    view, representation, clustering = space
    k = FOUND if clustering == "hdbscan" else 3
    return k, runs.query(
        "view == @view and representation == @representation and clustering == @clustering and k == @k"
    )


def test_only_the_spaces_of_the_study_are_shown_and_say_what_they_have(images_page):
    assert rows_of(images_page, "Each feature view") == [
        ["raw_pixels", "as_is", "3", "3", "–", "–"], ["resnet18_pq", "as_is", "4", "4", "–", "–"],
        ["resnet18_pq", "pca2", "4", "2", "75 %", "0.25"],
    ]  # fmt: skip


def test_maps_come_with_their_trustworthiness_and_a_warning(images_page):
    assert rows_of(images_page, "2-D maps") == [["resnet18_pq", "tsne", "0.988"]]
    assert "A 2-D map is no evidence" in text(images_page.get_element_by_id("study-cracks"))


def test_a_clustering_that_finds_its_own_number_shows_it_with_its_noise(images_page, images_root):
    rows = {tuple(row[:3]): row[3:] for row in rows_of(images_page, "K* is the K")}
    assert list(rows) == IMAGE_STUDY["clustered"]
    space = ("resnet18_pq", "as_is", "hdbscan")
    metrics = read_table(images_root / "metrics/clustering/plates/resnet18_pq/as_is/hdbscan.parquet")
    (silhouette,) = metrics.query("metric == 'silhouette'")["value"]
    assert rows[space] == ["finds its own", str(FOUND), number(silhouette), "–", "–", "–", "33.33 %"]
    assert rows[*space[:2], "kmeans"][0::6] == ["2 to 3", "–"]
    assert rows[*space[:2], "kmeans"][3] == "2 to 3, median 2 (3 seeds)" and rows[*space[:2], "ward"][3] == "–"


def test_noise_is_a_column_only_where_a_clustering_leaves_some(page):
    assert "Noise" not in text(page)


def test_agreement_with_the_classes_is_the_median_and_range_over_seeds(images_page, images_root):
    scores = read_table(images_root / "scores/cracks.parquet")
    shown = rows_of(images_page, "Agreement of clusterings with the classes")
    assert [row[0] for row in shown] == [f"{v} {r} · {c}" for v, r, c in IMAGE_STUDY["clustered"]]
    for row, space in zip(shown, IMAGE_STUDY["clustered"], strict=True):
        k, here = at_shown_k(scores, space)
        values = {metric: rows["value"] for metric, rows in here.groupby("metric")}
        assert row[1:3] == [str(k), "3" if space[2] == "kmeans" else "1"] == [str(k), str(len(values["ari"]))]
        for cell, metric in zip(row[3:], ("ari", "nmi", "purity"), strict=True):
            chance = three(values[f"{metric}_chance"].median())
            assert cell == f"{spread_of(values[metric])} chance {chance}"
    said = text(images_page.get_element_by_id("study-cracks"))
    assert "No clustering has seen the 3 classes (crack, pore, scratch)" in said and "geometric mean" in said


def test_what_clusters_split_on_is_the_median_over_seeds_at_the_same_k(images_page, images_root):
    conditions = read_table(images_root / "conditions/cracks.parquet")
    shown = rows_of(images_page, "Share of the variance of each condition")
    assert [(*row[:3], row[4]) for row in shown] == [
        (*space, condition) for space in IMAGE_STUDY["clustered"] for condition in ("brightness", "contrast")
    ]
    for row in shown:
        k, here = at_shown_k(conditions[conditions["condition"] == row[4]], row[:3])
        medians = here[["effect_of_cluster", "effect_of_label", "effect_within_label"]].median()
        assert row[3] == str(k) and row[5:] == ["–" if pd.isna(m) else three(m) for m in medians]
    assert [row[-1] for row in shown if row[2] == "hdbscan"] == ["–", "–"]


def test_sensitivity_is_the_median_ratio_of_each_view_and_alteration(images_page, images_root):
    copies = read_table(images_root / "sensitivity/cracks.parquet")
    medians = copies.groupby(["view", "alteration"])["ratio"].median()
    assert rows_of(images_page, "How far an altered copy travels") == [
        [view, str(len(IMAGES)), number(medians[view, "shift_5px"]), number(medians[view, "brighter_10pct"])]
        for view in ("raw_pixels", "resnet18_pq")
    ]


def test_recall_of_planted_outliers_is_that_at_the_end_of_the_inspection(images_page, images_root):
    looked = read_table(images_root / "inspections/cracks.parquet")
    last = looked[looked["inspected"] == 3].groupby("order")["recall"]
    shown = rows_of(images_page, "Share of the planted outliers")
    expected = {order: spread_of(recall) for order, recall in last}
    assert {row[2].replace(" ", "_"): row[5] for row in shown} == expected
    assert [row[:2] + row[3:5] for row in shown] == [["resnet18_pq", "tiny clusters", "3", "3"]] * 2


def test_a_licence_stands_beside_the_view_and_in_each_claim_that_was_measured_on_it(images_page):
    (line,) = images_page.find_class("restrictions")[0]
    assert text(line) == f"resnet18_pq: weights: {LICENCE} non-commercial use only"
    assert "nc" in line.get("class").split()
    rows = {row.get("id"): text(row) for row in images_page.iter("tr") if row.get("id")}
    assert list(rows) == ["claim-plates-ari--resnet18", "claim-plates-ari--resnet18_pq", "claim-plates-n"]
    assert f"View resnet18_pq: {LICENCE} non-commercial use only" in rows["claim-plates-ari--resnet18_pq"]
    assert "non-commercial" not in rows["claim-plates-n"] + rows["claim-plates-ari--resnet18"]
    assert "view resnet18_pq, weights for non-commercial use only" in text(images_page.find_class("findings")[0])


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [("CC-BY-NC-4.0", True), ("Non-commercial research", True), ("noncommercial use", True), ("BSD-3-Clause", False),
     ("SYNC-1.0 for commercial use", False)],
)  # fmt: skip
def test_only_a_licence_that_forbids_commercial_use_is_marked_so(licence, forbids):
    said = f"Weights; licence {licence}"
    together, apart = grouped({"a": said, "b": "Other weights; licence MIT", "c": said})
    assert (together.views, together.text, together.non_commercial) == (["a", "c"], said, forbids)
    assert (apart.views, apart.non_commercial) == (["b"], False)


def test_views_whose_weights_are_left_out_are_named_with_the_source(images_page, images_root):
    assert "resnet18: source big_network left out." in text(images_page.get_element_by_id("study-cracks"))
    assert "resnet18 (left out)" in rows_of(images_page, "What was run")[0][4]
    row = [text(r) for r in images_page.iter("tr") if r.get("id") == "claim-plates-ari--resnet18"]
    assert "View resnet18" in row[0] and "source big_network was left out" in row[0] and "not evaluated" in row[0]
    unnamed = rendered_images(images_root, left_out={})
    assert "resnet18: weights left out." in text(unnamed.get_element_by_id("study-cracks"))


def test_sources_of_weights_are_used_by_views(images_page):
    used = {row[4]: row[0] for row in rows_of(images_page, "Sources of this run")}
    titles = {"plates": "Plates", "resnet18_pq": "Small weights", "resnet18": "Large weights"}
    assert used.keys() == titles.keys() and all(used[user].startswith(titles[user]) for user in used)
    assert "Left out of this run" in used["resnet18"] and "sample" not in used["resnet18_pq"]


def test_files_are_counted_as_files_and_refused_ones_named_by_their_path(images_page):
    quality = images_page.get_element_by_id("quality")
    assert "7 files read = 6 kept + 1 refused (14.29 %). 3 different values of label." in text(quality)
    assert rows_of(quality, "Refused, with the first files") == [["damaged file", "file", "1", "7: pore/3.png"]]
    flags = rows_of(quality, "Kept, but flagged")
    assert [[flag[0], *flag[2:]] for flag in flags] == [["duplicate", "0", "0 %"], ["near_duplicate", "1", "16.67 %"]]


def test_the_example_queries_answer_for_images_too(images_page, images_root):
    answers = [open_store(images_root).sql(pre.text_content()) for pre in images_page.find_class("sql")]
    assert [len(answer) > 0 for answer in answers] == [True] * 4
    assert answers[2].values.tolist() == [[i, label, 2] for i, label in enumerate(results_folder.CLASSES)]
    assert answers[3]["ari"].is_monotonic_decreasing


def test_the_example_queries_need_neither_classes_nor_properties_nor_clusters(images_root):
    bare = IMAGES_SPEC["cracks"] | {"evaluation": {"label": None, "conditions": []}}
    structure = IMAGE_STUDY | {"clustered": []}
    for clustered, columns in [(structure, list(pd.read_parquet(images_root / "datasets/plates.parquet"))),
                               (IMAGE_STUDY, ["cluster", "rows", "brightness"])]:  # fmt: skip
        page = rendered_images(images_root, studies={"cracks": bare}, structures={"cracks": clustered})
        answers = [open_store(images_root).sql(pre.text_content()) for pre in page.find_class("sql")]
        assert len(answers) == 3 and answers[2].columns.tolist() == columns and len(answers[2])
        assert "Against the classes" not in text(page) and "split on" not in text(page)


def test_missing_scores_are_named(tmp_path):
    root = tmp_path / "results"
    tables = [t for t in results_folder.write_image_results(root) if t.parent.name != "scores"]
    tables.append(results_folder.put(root, "claims/cracks.parquet", IMAGE_CLAIMS, CLAIMS))
    build_catalog(root / "matlas.duckdb", tables, root, studies={"cracks": IMAGE_STUDY})
    with pytest.raises(DataError, match="missing .*cracks, raw_pixels / as_is / kmeans"):
        rendered_images(root)


def test_generated_weights_make_sample_data_of_what_they_say_about_measured_images(tmp_path):
    root = results_folder.make_image_results(tmp_path / "results", IMAGE_CLAIMS, learned=False)
    forged = {name: about | {"files": {"weights.pth": {"bytes": 9, "sha256": "f" * 64}}} if name == "plate_weights"
              else about for name, about in WEIGHT_SOURCES.items()}  # fmt: skip
    page = rendered_images(root, sources=forged)
    assert text(page.body.find_class("top")[0]).startswith("SAMPLE DATA – plate_weights: generated, not measured.")
    assert "SAMPLE DATA – plate_weights" in text(page.get_element_by_id("study-cracks"))
    assert rows_of(page, "What was run")[0][2] == "sample data"
    used = {row[4]: row[0] for row in rows_of(page, "Sources of this run")}
    assert "sample data of the same format" in used["resnet18_pq"] and "sample" not in used["plates"]
    # where the source doesn't tell, the table itself does
    assert "SAMPLE DATA – resnet18_pq: generated" in text(rendered_images(root))


@pytest.mark.parametrize(
    "content",
    [
        '<image href="https://example.org/a.png"/>',
        '<image xlink:href="file:///etc/passwd"/>',
        "<script>alert(1)</script>",
        '<g onclick="alert(1)"/>',
        "<style>@import 'https://example.org/a.css';</style>",
        '<g style="fill: url(https://example.org/a.svg#b)"/>',
        "<foreignObject/>",
    ],
)
def test_a_figure_that_reaches_outside_or_runs_code_is_refused(tmp_path, content):
    path = tmp_path / "figure.svg"
    path.write_text(FIGURE.replace("<defs>", content + "<defs>"), encoding="utf-8")
    with pytest.raises(DataError, match="figure"):
        svg.inline(path, "figure-a", "A figure")


@pytest.mark.parametrize("content", ["", "<svg", "<html/>", '<svg xmlns="http://www.w3.org/2000/svg"/>'])
def test_a_file_that_is_no_figure_is_refused(tmp_path, content):
    path = tmp_path / "figure.svg"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="not an SVG file"):
        svg.inline(path, "figure-a", "A figure")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5205, "5,205"), (0.29512, "0.2951"), (93456.7, "93,457"), (999.96, "1,000"), (2e-7, "2 × 10⁻⁷"),
        (-0.000123456, "−0.0001235"), (1.23456789e12, "1.235 × 10¹²"), (12345678.0, "12,345,678"), (0.0, "0"),
        (1234567.8, "1,234,568"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_numbers_have_four_significant_digits_and_keep_their_whole_part(value, shown):
    assert number(value) == shown


def test_scores_have_three_decimals_and_no_negative_zero():
    assert [score(v) for v in (0.29512, 1.0, -0.0004, -0.25, None, float("nan"))] == [
        "0.295", "1.000", "0.000", "−0.250", "–", "–"
    ]  # fmt: skip
    assert notes({"images_per_s": 1234.5, "device": "cuda"}) == "1,234 images per s, device: cuda"


def test_signs_shares_durations_and_sizes_read_as_people_write_them():
    assert [number(v, signed=True) for v in (1.5, -1.5, 0.0)] == ["+1.5", "−1.5", "0"]
    assert [share(v) for v in (0, 1, 0.0463, 1e-6, 0.999999, None)] == [
        "0 %", "100 %", "4.63 %", "< 0.01 %", "> 99.99 %", "–"
    ]  # fmt: skip
    assert [duration(s) for s in (0.523, 12.34, 59.96, 125.4, 3720)] == [
        "0.52 s", "12.3 s", "1 min 0 s", "2 min 5 s", "1 h 2 min"
    ]  # fmt: skip
    assert [size(n) for n in (12, 680110, 27020806, 3e9)] == ["12 B", "680 kB", "27 MB", "3 GB"]


def test_citations_become_links_and_everything_else_text():
    assert linked("see 10.1038/s41524-022-00897-2, (10.1016/S0927-0256(96)00008-0).") == (
        'see <a href="https://doi.org/10.1038/s41524-022-00897-2" rel="noreferrer">10.1038/s41524-022-00897-2</a>, '
        '(<a href="https://doi.org/10.1016/S0927-0256(96)00008-0" rel="noreferrer">10.1016/S0927-0256(96)00008-0</a>).'
    )
    assert 'href="https://arxiv.org/abs/1708.05125"' in linked("arXiv:1708.05125")
    assert linked("<b> javascript:alert(1)") == "&lt;b&gt; javascript:alert(1)"


def test_the_code_hash_covers_template_and_style():
    names = {path.name for path in import_closure(SCRIPTS / "report" / "render_report.py")}
    modules = {"studies.py", "spaces.py", "evaluation.py", "claims.py", "provenance.py", "formats.py", "svg.py"}
    assert {"report.html", "report.css"} | modules <= names
