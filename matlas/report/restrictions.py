"""What must be said of the weights behind a view wherever its results stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NON_COMMERCIAL = re.compile(r"\bNC\b|\b[Nn]on-?[Cc]ommercial\b|\bNON-?COMMERCIAL\b")


@dataclass(frozen=True)
class Restriction:
    """Views whose weights have one origin: its title and licence."""

    views: list[str]
    text: str

    @property
    def non_commercial(self) -> bool:
        """Whether the licence, as it is stated, forbids commercial use."""
        return bool(_NON_COMMERCIAL.search(self.text))


def grouped(by_view: Mapping[str, str]) -> list[Restriction]:
    """One entry a text, in the order of the views. by_view : {view: title and licence}."""
    return [
        Restriction([view for view, said in by_view.items() if said == text], text)
        for text in dict.fromkeys(by_view.values())
    ]
