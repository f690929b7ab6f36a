"""Errors that a user can act on: one sentence that says what, where, expected, found and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MatlasError(Exception):
    """Bad input or a state that the user can mend; shown without a traceback.

    what : the thing that is wrong, as a short clause; where : file, table, key or row; expected, found : the two
    sides of the disagreement; do : the next step.
    """

    def __init__(self, what: str, *, where: object = None, expected: object = None, found: object = None, do: str = ""):
        self.what, self.where, self.expected, self.found, self.do = what, where, expected, found, do
        place = f" ({where})" if where is not None else ""
        sides = []
        if expected is not None:
            sides.append(f"expected {expected}")
        if found is not None:
            sides.append(f"found {found}")
        detail = f": {', '.join(sides)}".rstrip(". \n") if sides else ""
        advice = f". {do[0].upper()}{do[1:]}" if do else ""
        sentence = f"{what}{place}{detail}{advice}".rstrip(".")
        super().__init__(sentence if sentence.endswith(("?", "!", "…")) else f"{sentence}.")

    def __reduce__(self):  # keyword arguments survive a trip through a process pool
        return _rebuild, (type(self), self.what, self.where, self.expected, self.found, self.do)


def _rebuild(kind, what, where, expected, found, do):
    return kind(what, where=where, expected=expected, found=found, do=do)


class ConfigError(MatlasError):
    """A configuration file names something unknown or gives it the wrong type."""


class SourceError(MatlasError):
    """A source can't be fetched, or is not what it should be."""


class DataError(MatlasError):
    """A table or file breaks its contract."""


class QueryError(MatlasError):
    """A question to the store that it can't or won't answer."""


def closest(name: object, valid: Iterable[str]) -> str | None:
    """The valid name most like a misspelt one, if any is."""
    by_lower = {str(known).lower(): known for known in sorted(valid, reverse=True)}
    found = difflib.get_close_matches(str(name).lower(), sorted(by_lower), n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def nearest(name: object, valid: Iterable[str]) -> str:
    """What was expected in place of a misspelt name: the valid one most like it; where none is, all of them."""
    valid = sorted(valid)
    if near := closest(name, valid):
        return f"{near!r} (nearest)"
    return f"one of {valid}" if valid else "none, as none is defined"
