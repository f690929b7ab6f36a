"""Claims as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matlas.report.formats import MISSING, number
from matlas.report.restrictions import Restriction

if TYPE_CHECKING:
    from matlas.store import Store

# verdict -> tone of its badge, and a sign that tells it apart without colour
TONES = {
    "reproduced": ("good", "✓"),
    "contradicted": ("bad", "✗"),
    "not evaluated": ("open", "○"),
    "reproduced on simulated data": ("sample", "✓"),
    "contradicted on simulated data": ("sample", "✗"),
    "agrees on simulated data": ("sample", "="),
    "differs on simulated data": ("sample", "≠"),
}


@dataclass(frozen=True)
class Claim:
    """A published statement beside what was measured, all numbers as text.

    variant : the view that it was measured on, where there are several; weights : what must be said of those behind
    that view.
    """

    id: str
    variant: str
    study: str
    says: str
    cites: str
    expected: str
    tolerance: str
    measured: str
    difference: str
    verdict: str
    detail: str
    weights: Restriction | None

    @property
    def anchor(self) -> str:
        """The id of its row in the page; no claim's id holds two hyphens in a row."""
        return "--".join(filter(None, [f"claim-{self.id}", self.variant]))


def claims(store: Store, studies: Mapping[str, Mapping], restrictions: Mapping[str, Mapping[str, str]]) -> list[Claim]:
    """Every claim once, one with variants once for each, in the order of the studies and of their files.

    restrictions : {study: {view: title and licence of its weights}}.
    """
    found = store.query(
        "SELECT c.*, d.quantity, d.difference, d.detail FROM claims c JOIN claim_details d USING (id, variant)"
    )
    order = [(s, c["id"], v) for s, spec in studies.items() for c in spec["claims"] for v in c["variants"] or [""]]
    rank = {key: position for position, key in enumerate(order)}
    rows = sorted(found.to_pylist(), key=lambda r: rank.get((r["study"], r["id"], r["variant"]), len(rank)))
    return [_claim(row, restrictions[row["study"]].get(row["variant"])) for row in rows if row["study"] in studies]


def _claim(row: Mapping, restriction: str | None) -> Claim:
    exact = row["quantity"] == "true or false"

    def shown(value: float | None) -> str:
        if exact and value is not None:
            return "true" if value else "false"
        return number(value)

    return Claim(
        **{name: row[name] for name in ("id", "variant", "study", "says", "cites", "verdict", "detail")},
        expected=shown(row["expected"]), measured=shown(row["measured"]),
        tolerance=MISSING if exact else number(row["tolerance"]),
        difference=MISSING if exact else number(row["difference"], signed=True),
        weights=Restriction([row["variant"]], restriction) if restriction else None,
    )  # fmt: skip
