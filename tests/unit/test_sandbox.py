"""A query can read the results folder and nothing else, and can write nothing."""

import http.server
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from matlas.errors import QueryError
from matlas.sandbox import checked, lock, nearest, open_catalog, run_query
from tests.unit.results_folder import make_results

SECRET = "s3cret"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A results folder beside a secret file, with links inside that lead to it."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.csv").write_text(f"word\n{SECRET}\n")
    root = make_results(folder / "results")
    (root / "inside.csv").write_text("word\nopen\n")
    (root / "link.csv").symlink_to(folder / "outside" / "secret.csv")
    (root / "linked").symlink_to(folder / "outside")
    return root


@pytest.fixture
def ask(store):
    return lambda sql, **options: run_query(store / "matlas.duckdb", sql, store, **options)


@pytest.fixture
def files(store):
    """All files of the world, with their bytes: nothing may change."""

    def state():
        return {p: p.read_bytes() for p in store.parent.rglob("*") if p.is_file()}

    before = state()
    yield
    assert state() == before


WRITES = [
    "COPY (SELECT 1) TO '{root}/made.csv'",
    "COPY datasets.ores TO '{root}/made.parquet'",
    "COPY (SELECT 1) TO '{root}/inside.csv'",
    "WITH x AS (COPY (SELECT 1) TO '{root}/made.csv') SELECT * FROM x",
    "with X as MATERIALIZED (copy (select 1) to '{root}/made.csv') select 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/made.csv'",
    "EXPLAIN COPY (SELECT 1) TO '{root}/made.csv'",
    "/* a */ EXPLAIN -- b\n ANALYZE WITH x AS (COPY (SELECT 1) TO '{root}/made.csv') SELECT * FROM x",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
    "'WITH x AS (COPY (SELECT 1) TO ''{root}/made.csv'') SELECT * FROM x'))",
    "SELECT * FROM \"JSON_execute_serialized_SQL\"('{{}}')",
    "SELECT * FROM query('WITH x AS (COPY (SELECT 1) TO ''{root}/made.csv'') SELECT * FROM x')",
    "SELECT (SELECT count(*) FROM system.main.query('SELECT 1'))",
    "DESCRIBE FROM query('SELECT 1')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{root}/made')",
    "SELECT * FROM enable_profiling(save_location = '{root}/made.json')",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM glob('{root}/*/*')",
    "WITH x AS (INSERT INTO registry.tables SELECT * FROM registry.tables RETURNING 1) SELECT * FROM x",
    "WITH x AS (DELETE FROM registry.tables RETURNING 1) SELECT * FROM x",
    "INSERT INTO registry.tables SELECT * FROM registry.tables",
    "DELETE FROM registry.tables",
    "UPDATE registry.tables SET name = 'x'",
    "DROP VIEW claims",
    "CREATE TABLE made AS SELECT 1",
    "CREATE TEMP TABLE made AS SELECT 1",
    "CREATE TABLE memory.main.made AS SELECT 1",
    "EXPLAIN CREATE TABLE memory.main.made (a INT)",
    "ATTACH '{root}/made.duckdb' AS made",
    "ATTACH ':memory:' AS made",
    "EXPORT DATABASE '{root}/made'",
    "DETACH catalog",
    "USE memory",
    "SET threads = 1",
    "SET VARIABLE root = '/'",
    "RESET lock_configuration",
    "PRAGMA threads = 1",
    "PRAGMA database_list",
    "CHECKPOINT",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "SELECT 1; COPY (SELECT 1) TO '{root}/made.csv'",
    "SELECT 1; SELECT 2",
    "EXPLAIN SELECT 1; SELECT 2",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("sql", WRITES)
def test_what_is_not_one_reading_query_is_refused_and_writes_nothing(ask, store, files, sql):
    with pytest.raises(QueryError, match="a query may only read|not one query|not allowed in FROM"):
        ask(sql.format(root=store))


@pytest.mark.parametrize("sql", WRITES)
def test_the_list_above_is_not_empty_talk(ask, store, sql):
    """None of these fails just because its SQL is malformed: DuckDB itself parses every one."""
    assert "Parser" not in _fails_with(lambda: duckdb.extract_statements(sql.format(root=store)))


def _fails_with(action):
    try:
        action()
    except duckdb.Error as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv('{root}/../outside/secret.csv')",
        "SELECT * FROM '{root}/../outside/secret.csv'",
        "SELECT * FROM read_text('{root}/datasets/../../outside/secret.csv')",
        "SELECT * FROM read_text('{root}/link.csv')",
        "SELECT * FROM read_text('{root}/linked/secret.csv')",
        "SELECT * FROM read_csv('{root}/linked/*.csv')",
        "SELECT * FROM read_csv('{root}/*/*.csv')",
        "SELECT * FROM sniff_csv('{root}/link.csv')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM read_text('file:///etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM read_csv('/dev/stdin')",
        "EXPLAIN ANALYZE SELECT * FROM read_text('{root}/link.csv')",
        "SELECT * FROM read_json('{root}/link.csv')",
        "SELECT * FROM read_text('s3://bucket/key')",
        "SELECT * FROM read_csv('https://example.invalid/a.csv')",
        "SELECT * FROM read_text('hf://datasets/a/b')",
    ],
)
def test_a_file_outside_the_root_can_not_be_read(ask, store, sql):
    with pytest.raises(QueryError, match="below the results folder and no other|no relation named") as refused:
        ask(sql.format(root=store))
    assert SECRET not in str(refused.value)


def test_no_request_leaves_the_machine(ask):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)

        do_HEAD = do_GET

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(QueryError):
            ask(f"SELECT * FROM read_csv('http://127.0.0.1:{server.server_port}/a.csv')")
        server.shutdown()
    assert asked == []


def test_the_environment_can_not_be_read(ask):
    with pytest.raises(QueryError, match="getenv does not exist"):
        ask("SELECT getenv('HOME')")


def test_variables_of_the_program_are_not_tables(ask):
    frame = pd.DataFrame({"a": [1]})
    with duckdb.connect() as unlocked:  # DuckDB by itself finds it
        assert unlocked.execute("SELECT count(*) FROM frame").fetchall() == [(len(frame),)]
    with pytest.raises(QueryError, match="no relation named 'frame'"):
        ask("SELECT * FROM frame")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) AS n FROM datasets.ores", [{"n": 5}]),
        ("FROM datasets.ores SELECT max(zt) AS n", [{"n": 1.2}]),
        ("WITH a AS (SELECT 1 AS n) SELECT * FROM a UNION ALL VALUES (2);", [{"n": 1}, {"n": 2}]),
        ("WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a WHERE n < 3) SELECT max(n) AS n FROM a",
         [{"n": 3}]),
        ("SELECT word FROM read_csv('{root}/inside.csv')", [{"word": "open"}]),
        ("SELECT word FROM '{root}/inside.csv'", [{"word": "open"}]),
        ("SELECT count(*) AS n FROM '{root}/datasets/*.parquet'", [{"n": 5}]),
        ("SELECT sum(i) AS n FROM range(4) r(i)", [{"n": 6}]),
        ("PIVOT datasets.ores ON composition IN ('PbTe') USING count(*) GROUP BY temperature "
         "ORDER BY temperature LIMIT 1", [{"temperature": 300.0, "PbTe": 0}]),
        ("SELECT column_name FROM (DESCRIBE datasets.ores) LIMIT 1", [{"column_name": "row_id"}]),
        ("SELECT 'COPY x TO y; --' AS n", [{"n": "COPY x TO y; --"}]),
        ("SELECT row_id AS n FROM datasets.ores ORDER BY zt DESC NULLS LAST LIMIT 2", [{"n": 5}, {"n": 2}]),
    ],
)  # fmt: skip
def test_reading_works(ask, store, sql, expected):
    assert ask(sql.format(root=store)).to_pylist() == expected


@pytest.mark.parametrize("prefix", ["EXPLAIN", "explain analyze", "-- why\nEXPLAIN /* slow? */ ANALYZE"])
def test_a_plan_can_be_asked_for(ask, prefix):
    (plan,) = ask(f"{prefix} SELECT * FROM datasets.ores WHERE zt > 1").to_pylist()
    assert "READ_PARQUET" in plan["explain_value"]
    assert plan["explain_key"] == ("analyzed_plan" if "analyze" in prefix.lower() else "physical_plan")


def test_describe_and_show_work(ask):
    assert ask("DESCRIBE claims")["column_name"].to_pylist()[:2] == ["id", "variant"]
    assert "ores" in ask("SHOW ALL TABLES")["name"].to_pylist()
    assert ask("SUMMARIZE datasets.ores").num_rows == 4


def test_exact_numbers_come_as_plain_ones(ask):
    sql = "SELECT sum(i) AS s, 1.5 AS d, 1e30::HUGEINT AS h, NULL::DECIMAL(4, 0) AS e FROM range(3) r(i)"
    (row,) = ask(sql).to_pylist()
    assert row == {"s": 3, "d": 1.5, "h": pytest.approx(1e30), "e": None}
    assert type(row["s"]) is int and type(row["h"]) is float


def test_columns_of_one_name_are_told_apart(ask):
    assert ask("SELECT 1 AS a, 2 AS a").column_names == ["a", "a_1"]


def test_values_are_handed_over_apart_from_the_sql(ask):
    found = ask("SELECT count(*) AS n FROM datasets.ores WHERE composition = ?", parameters=["x' OR 1 = 1 --"])
    assert found.to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC".'),
        ("SELECT", "SELECT clause without selection list"),
        ("SELECT ztt FROM datasets.ores", 'Referenced column "ztt" not found in FROM clause. Candidate bindings: "zt"'),
        ("SELECT * FROM datasets.orse", "no relation named 'orse'. Did you mean 'datasets.ores'?"),
        ("SELECT * FROM dataset.ores", "no relation named 'dataset.ores'. Did you mean 'datasets.ores'?"),
        ("SELECT * FROM ores", "no relation named 'ores'. Did you mean 'datasets.ores'?"),
        ("SELECT * FROM weights", "no relation named 'weights'. Did you mean 'features.ores__weights'?"),
        ("SELECT * FROM claim", "no relation named 'claim'. Did you mean 'claims'?"),
        ("SELECT mediann(zt) FROM datasets.ores", 'Did you mean "median"?'),
        ("SELECT composition + 1 FROM datasets.ores", "No function matches"),
        ("SELECT ?", "Values were not provided"),
        ("PIVOT datasets.ores ON composition", "Name the values of a PIVOT"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_the_nearest_name(ask, sql, message):
    with pytest.raises(QueryError) as refused:
        ask(sql)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value) and "Error:" not in str(refused.value)


def test_memory_is_limited_and_nothing_is_spilled_to_disk(ask, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError, match="more memory than it may use.*matlas query --memory"):
        ask("SELECT * FROM range(20000000) r(i) ORDER BY hash(i)", memory_limit="40MB")
    with pytest.raises(QueryError, match="not an amount of memory.*found 'plenty'"):
        ask("SELECT 1", memory_limit="plenty")
    assert list(tmp_path.iterdir()) == []


def test_an_open_connection_is_locked_before_it_is_used(store):
    with duckdb.connect() as connection:
        assert run_query(connection, "SELECT 1 AS a", store).to_pylist() == [{"a": 1}]
        assert run_query(connection, "SELECT 2 AS a").to_pylist() == [{"a": 2}]
        with pytest.raises(QueryError, match="no other"):
            run_query(connection, "SELECT * FROM read_text('/etc/passwd')")
        with pytest.raises(duckdb.Error, match="locked"):
            connection.execute("SET enable_external_access = true")


def test_an_open_connection_without_a_root_is_refused():
    with duckdb.connect() as connection, pytest.raises(ValueError, match="root"):
        run_query(connection, "SELECT 1")


def test_a_relative_root_is_the_folder_it_names_now(store, monkeypatch):
    monkeypatch.chdir(store.parent)
    found = run_query(Path("results/matlas.duckdb"), "SELECT count(*) AS n FROM datasets.ores")
    assert found.to_pylist() == [{"n": 5}]


def test_a_root_with_a_quote_in_its_name_works(tmp_path):
    root = make_results(tmp_path / "it's")
    assert run_query(root / "matlas.duckdb", "SELECT count(*) AS n FROM metrics").to_pylist() == [{"n": 9}]


def test_a_catalog_that_is_no_database_is_an_error_that_says_so(tmp_path):
    (tmp_path / "matlas.duckdb").write_text("not a database, but long enough to be looked at " * 200)
    with pytest.raises(QueryError, match="the catalog can't be read.*make demo or make reproduce"):
        run_query(tmp_path / "matlas.duckdb", "SELECT 1")


def test_a_query_knows_which_tables_it_reads(store):
    with open_catalog(store / "matlas.duckdb", store) as catalog:
        sql = "WITH a AS (FROM datasets.ores) SELECT * FROM a, claims WHERE 1 IN (SELECT k FROM b.c)"
        query = checked(catalog, sql)
        assert query.relations == {"datasets.ores", "claims", "b.c"} and not query.reads_files
        assert checked(catalog, "SELECT * FROM read_parquet('x')").reads_files


def test_what_rests_between_two_queries_is_used_again_and_is_as_locked_as_before(ask, store):
    ask("SELECT 1")
    with open_catalog(store / "matlas.duckdb", store) as first:
        pass
    with open_catalog(store / "matlas.duckdb", store) as again:
        assert again is first
        with pytest.raises(duckdb.PermissionException):
            again.execute("SELECT * FROM read_text('/etc/passwd')")
        with pytest.raises(duckdb.Error, match="locked"):
            again.execute("SET enable_external_access = true")
    for sql in WRITES:
        ask("SELECT 1")  # so that each of them meets one that has rested
        with pytest.raises(QueryError):
            ask(sql.format(root=store))


def test_what_rests_holds_no_catalog_so_that_others_can_open_it(ask, store):
    ask("FROM datasets.ores")
    with closing(duckdb.connect(store / "matlas.duckdb")) as writer:  # DuckDB would refuse a file that is attached
        assert writer.execute("SELECT count(*) FROM registry.tables").fetchall()[0][0] > 0


def test_results_folders_that_take_turns_can_not_read_each_other(store, tmp_path):
    other = make_results(tmp_path / "results")
    for root, stranger in [(store, other), (other, store), (store, other)]:
        mine, foreign = (f"SELECT count(*) AS n FROM '{r}/datasets/ores.parquet'" for r in (root, stranger))
        for sql, allowed in [(mine, True), (foreign, False)]:
            run_query(stranger / "matlas.duckdb", "SELECT 1")  # what rests now may read the stranger's files
            if allowed:
                assert run_query(root / "matlas.duckdb", sql).to_pylist() == [{"n": 5}]
            else:
                with pytest.raises(QueryError, match="below the results folder and no other"):
                    run_query(root / "matlas.duckdb", sql)


def test_a_limit_on_memory_holds_for_its_query_and_no_other(ask):
    limits = ["500MB", "1GB", "500MB", "500MB"]
    sql = "SELECT current_setting('memory_limit') AS m"
    found = [ask(sql, memory_limit=limit).to_pylist()[0]["m"] for limit in limits]
    assert found == ["476.8 MiB", "953.6 MiB", "476.8 MiB", "476.8 MiB"]


def test_a_catalog_outside_the_results_folder_is_refused(store, tmp_path):
    elsewhere = tmp_path / "matlas.duckdb"
    elsewhere.write_bytes((store / "matlas.duckdb").read_bytes())
    with pytest.raises(QueryError, match="the catalog can't be read"):
        run_query(elsewhere, "SELECT 1", store)


def test_threads_that_ask_at_once_are_each_answered(ask):
    def asked(number):
        (row,) = ask("SELECT count(*) AS n, ? AS asked FROM datasets.ores", parameters=[number]).to_pylist()
        return row

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(asked, range(40))) == [{"n": 5, "asked": number} for number in range(40)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of a fork while threads run
def test_a_forked_process_can_ask_as_well(ask):
    sql = "SELECT count(*) AS n FROM datasets.ores a JOIN datasets.ores b USING (composition)"  # by DuckDB's threads
    expected = ask(sql).to_pylist()
    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    child = fork.Process(target=lambda: answer.put(ask(sql).to_pylist()))
    child.start()
    child.join(timeout=30)
    try:
        assert child.exitcode == 0 and answer.get() == expected == ask(sql).to_pylist()
    finally:
        child.kill()


def test_locking_twice_is_refused_by_duckdb(store):
    with duckdb.connect() as connection:
        lock(connection, store)
        with pytest.raises(duckdb.Error, match="locked|disabled"):
            lock(connection, store.parent)


def test_the_nearest_name_is_offered():
    names = ["datasets.estm", "features.estm__magpie", "claims"]
    assert nearest("datasets.etsm", names) == "did you mean 'datasets.estm'?"
    assert nearest("magpi", names) == "did you mean 'features.estm__magpie'?"
    assert nearest("zzz", names) == "one of claims, datasets.estm, features.estm__magpie"
    assert nearest("zzz", [f"table_{i}" for i in range(9)]) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{root}/linked/../outside/secret.csv', header = false)",
        "SELECT * FROM read_csv(['{root}/linked/../secret.csv'])",
        "SELECT * FROM '{root}/linked/../outside/secret.csv'",
        "SELECT * FROM read_csv('{root}/linked/.' || './outside/secret.csv')",
        "SELECT * FROM read_text(getvariable('root') || '/linked/../outside/secret.csv')",
        "SELECT * FROM pg_settings",
        "SELECT * FROM pg_catalog.pg_settings",
    ],
)
def test_no_path_steps_out_behind_a_linked_folder_and_no_setting_is_shown(ask, store, sql):
    with pytest.raises(QueryError) as caught:
        ask(sql.format(root=store))
    assert SECRET not in str(caught.value)
