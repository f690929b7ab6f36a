"""An error says what, where, expected, found and what to do, in one sentence, also from another process."""

import pickle

import pytest

from matlas.errors import ConfigError, DataError, MatlasError, QueryError, SourceError


def test_a_full_message_reads_as_a_sentence_and_advice():
    error = DataError("bad value", where="a.csv, row 3", expected="a number", found="'x'", do="mend the source")
    assert str(error) == "bad value (a.csv, row 3): expected a number, found 'x'. Mend the source."


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "bad."),
        ({"where": 0}, "bad (0)."),
        ({"expected": 0}, "bad: expected 0."),
        ({"found": "''"}, "bad: found ''."),
        ({"do": "rerun"}, "bad. Rerun."),
        ({"do": "rerun."}, "bad. Rerun."),
        ({"found": "a sentence."}, "bad: found a sentence."),
        ({"found": "a sentence.", "do": "rerun"}, "bad: found a sentence. Rerun."),
        ({"expected": "x", "do": "use V, not v"}, "bad: expected x. Use V, not v."),
    ],
)
def test_parts_that_are_left_out_leave_no_trace(parts, message):
    assert str(MatlasError("bad", **parts)) == message


@pytest.mark.parametrize("kind", [MatlasError, ConfigError, DataError, QueryError, SourceError])
def test_an_error_survives_the_way_back_from_a_worker_process(kind):
    error = pickle.loads(pickle.dumps(kind("bad", where="here", expected=1, found=2, do="rerun")))
    assert type(error) is kind and isinstance(error, MatlasError)
    assert str(error) == "bad (here): expected 1, found 2. Rerun."
    assert (error.what, error.where, error.expected, error.found, error.do) == ("bad", "here", 1, 2, "rerun")
