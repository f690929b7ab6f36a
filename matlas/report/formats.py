"""Numbers, shares, durations and citations as a reader expects them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Integral, Real

from markupsafe import Markup, escape

MISSING = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LINKS = re.compile(
    r"(?P<url>https?://[^\s<>\"']+)|(?P<doi>\b10\.\d{4,9}/[^\s<>\"',;]+)|(?P<arxiv>\barXiv:\d{4}\.\d{4,5})"
)
_ORIGINS = {"url": "", "doi": "https://doi.org/", "arxiv": "https://arxiv.org/abs/"}


def number(value: float | None, *, signed: bool = False) -> str:
    """A number to 4 significant digits with thousands separators; digits before the point are never rounded away.

    0.29512 -> 0.2951; 5205 -> 5,205; 93456.7 -> 93,457; 2e-7 -> 2 × 10⁻⁷; None and NaN -> –. `signed` adds the plus.
    """
    if value is None or math.isnan(value):
        return MISSING
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if value == int(value) and (size < 1e12 or isinstance(value, Integral)):
        return f"{sign}{int(size):,}"
    if not 1e-4 <= size < 1e7:
        mantissa, exponent = f"{size:.3e}".split("e")
        return f"{sign}{_trimmed(mantissa)} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    if size >= 1000:
        return f"{sign}{size:,.0f}"
    return sign + _trimmed(f"{float(f'{size:.4g}'):,.7f}")


def share(value: float | None) -> str:
    """A fraction as per cent: 0.0463 -> 4.63 %. What is neither none nor all never reads 0 % or 100 %."""
    if value is None or math.isnan(value):
        return MISSING
    if 0 < value < 1e-4:
        return "< 0.01 %"
    if 0.9999 < value < 1:
        return "> 99.99 %"
    return f"{_trimmed(f'{100 * value:.2f}')} %"


def score(value: float | None) -> str:
    """A score between −1 and 1 to 3 decimals, so that scores in a column compare: 0.29512 -> 0.295."""
    if value is None or math.isnan(value):
        return MISSING
    digits = f"{abs(value):.3f}"
    return f"−{digits}" if value < 0 and float(digits) else digits


def notes(measured: Mapping) -> str:
    """What a job measured of itself: {"images_per_s": 42.1} -> 42.1 images per s."""
    return ", ".join(
        f"{number(value)} {words(name)}" if isinstance(value, Real) else f"{words(name)}: {value}"
        for name, value in measured.items()
    )


def duration(seconds: float) -> str:
    """Seconds as 0.52 s, 12.3 s, 2 min 5 s or 1 h 2 min."""
    if seconds < 59.95:
        return f"{_trimmed(f'{seconds:.2f}' if seconds < 10 else f'{seconds:.1f}')} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(n_bytes: float) -> str:
    """Bytes in decimal units: 680110 -> 680 kB."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{int(n_bytes)} B"


def words(name: str) -> str:
    """A snake_case name as words."""
    return name.replace("_", " ").strip()


def instant(iso: str) -> str:
    """A time stamp in UTC to the minute: 2026-01-02T03:04:05+00:00 -> 2026-01-02 03:04."""
    return iso[:16].replace("T", " ")


def linked(text: str) -> Markup:
    """Text in which DOIs, arXiv numbers and URLs are links; all of it escaped."""
    parts, position = [], 0
    for match in _LINKS.finditer(text):
        target = match[0].rstrip(".,;:")
        while target.endswith(")") and target.count(")") > target.count("("):
            target = target[:-1].rstrip(".,;:")
        href = _ORIGINS[match.lastgroup] + target.removeprefix("arXiv:")
        link = Markup('<a href="{}" rel="noreferrer">{}</a>').format(href, target)
        parts += [escape(text[position : match.start()]), link]
        position = match.start() + len(target)
    return Markup("").join([*parts, escape(text[position:])])


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
