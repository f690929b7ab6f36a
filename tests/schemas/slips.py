"""A slip is one text in one file of the small configuration replaced, and what the error about it must say."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from matlas.errors import ConfigError
from tests.schemas.tree import TREE


def cases(of_kind: Mapping[str, Sequence[tuple]]) -> list:
    """A parameter set (file, old, new, fragments of the message) for each slip, by kind of slip."""
    return [
        pytest.param(file, old, new, fragments, id=f"{kind}-{number}-{file}")
        for kind, slips in of_kind.items()
        for number, (file, old, new, *fragments) in enumerate(slips)
    ]


def check_slip(load: Callable, file: str, old: str, new: str, fragments: Sequence[str]) -> None:
    """Loading fails with one sentence that holds the file and every fragment, in words of ours."""
    with pytest.raises(ConfigError) as caught:
        load(file, old, new)
    message = str(caught.value)
    found_in = [f for f in fragments if f in TREE] or [file]  # a name can be unknown in a file that uses it
    for fragment in (*found_in, *fragments):
        assert fragment in message, f"no {fragment!r} in: {message}"
    assert "\n" not in message
    for word in ("Input should", "String should", "Column"):  # words of pydantic's and of our classes
        assert word not in message, message
