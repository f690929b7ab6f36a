"""What stands under one heading of a study's section: sentences, tables, and cells with intervals and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from matlas.errors import DataError
from matlas.report.formats import number
from matlas.report.tables import Part

HELPS, HURTS, UNDECIDED = VERDICTS = ("helps", "hurts", "no difference shown")
TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Folded:
    """Tables behind a summary."""

    summary: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Topic:
    """said : paragraphs; points : (what, what is said of it); parts : tables with their captions as headings; folded :
    tables that are long, or of second rank."""

    title: str
    said: Sequence[str] = ()
    points: Sequence[tuple[str, str]] = ()
    parts: Sequence[Part] = ()
    folded: Sequence[Folded] = ()


def with_interval(row, shown: Callable[..., str] = number, *, beside: bool = False, **options) -> str:
    """The value of a row with its 95 % interval below (or `beside`) it, if it has one. row : value, low, high; shown,
    options : of matlas.report.formats."""
    text = shown(row.value, **options)
    if pd.isna(row.value) or pd.isna(row.low) or pd.isna(row.high):
        return text
    limits = f"({shown(row.low, **options)}{TO}{shown(row.high, **options)})"
    return Markup("{} {}").format(text, in_colour(limits, None) if beside else aside(limits))


def aside(text: str) -> Markup:
    return Markup('<span class="aside">{}</span>').format(text)


def verdict_of(row, *, falls: bool = True) -> str:
    """Whether the first of two is better, which is when the whole interval of the difference lies on its side of 0.

    row : value, low, high of the first less the second; falls : whether less is better.
    """
    if pd.isna(row.low) or pd.isna(row.high) or row.low <= 0 <= row.high:
        return UNDECIDED
    return HELPS if (row.high < 0) == falls else HURTS


def in_colour(text: str, good: bool | None) -> Markup:
    """Text that says by itself whether something is good."""
    return Markup('<span class="{}">{}</span>').format({True: "good", False: "bad", None: "muted"}[good], text)


def with_verdict(row, shown: Callable[..., str] = number, *, falls: bool = True) -> Markup:
    """A difference with its sign, interval and verdict."""
    verdict = verdict_of(row, falls=falls)
    text = with_interval(row, shown, **({"signed": True} if shown is number else {}))
    return Markup("{} {}").format(text, in_colour(verdict, {HELPS: True, HURTS: False}.get(verdict)))


def in_unit(target: Mapping) -> str:
    """The unit of a target in brackets, if it has one."""
    unit = target.get("unit", "1")
    return "" if unit in ("", "1") else f" ({unit})"


def in_order(rows: pd.DataFrame, by: str | list[str], order: Sequence) -> Iterator[tuple]:
    """Each value (tuple of values) of a column (columns) with its rows, in a given order; others come last."""
    groups = dict(iter(rows.groupby(by, sort=False)))
    rank = {key: position for position, key in enumerate(order)}
    for key in sorted(groups, key=lambda key: rank.get(key, len(rank))):
        yield key, groups[key]


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def missing(what: str, study: str, name: str) -> DataError:
    return DataError(f"{what} missing", where=f"study {study}, {name}", do="run the workflow (snakemake --cores all)")
