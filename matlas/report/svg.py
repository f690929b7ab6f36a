"""SVG files made part of an HTML page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from matlas.errors import DataError

_DROPPED = ("metadata", "title", "desc")  # the page has its own words; metadata name addresses on the web
_REFUSED = ("script", "foreignObject", "a")
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
_OUTSIDE = re.compile(r"url\((?!\s*['\"]?#)|@import")
_RULE = re.compile(r"([^{}]+)(\{[^{}]*\})")


def inline(path: str | Path, prefix: str, label: str) -> Markup:
    """An SVG file as an element for a page: scales with the page, and is announced as an image named `label`.

    prefix : goes before every id, so that clip paths and glyphs of two figures don't clash; style rules are limited to
    this figure. Raises DataError when the file is missing or no SVG with a viewBox, and when it holds scripts or points
    outside itself.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("figure is missing", where=path, do="run the workflow that draws it (snakemake --cores all)")
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError("not an SVG file", where=path, found=error, do="delete it and rerun") from error
    box = root.get("viewBox", "").split()
    if _local(root.tag) != "svg" or len(box) != 4:
        raise DataError("not an SVG file", where=path, expected="an <svg> with a viewBox", do="delete it and rerun")
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        _adapt(element, prefix, path)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"id": prefix, "role": "img", "aria-label": label, "style": f"max-width: {float(box[2]):g}pt"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _adapt(element: ElementTree.Element, prefix: str, path: Path) -> None:
    """Rename ids and what refers to them, and drop namespaces, which HTML supplies by itself."""
    element.tag = _local(element.tag)
    if element.tag in _REFUSED:
        raise DataError("a figure may not hold scripts or links", where=path, found=f"<{element.tag}>")
    if element.tag == "style":
        _self_contained("style", element.text or "", path)
        element.text = _RULE.sub(lambda rule: _limited(rule, prefix), element.text or "")
    attributes = {}
    for name, value in element.attrib.items():
        name = _local(name)
        _self_contained(name, value, path)
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        attributes[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
    element.attrib.clear()
    element.attrib.update(attributes)


def _self_contained(name: str, value: str, path: Path) -> None:
    elsewhere = name == "href" and not value.startswith(("#", "data:image/"))
    if elsewhere or name.startswith("on") or _OUTSIDE.search(value):
        raise DataError("a figure must be self-contained", where=path, found=f"{name}={value[:80]!r}")


def _limited(rule: re.Match, prefix: str) -> str:
    selectors = ", ".join(f"#{prefix} {selector.strip()}" for selector in rule[1].split(","))
    return f"{selectors} {rule[2]}"


def _local(name: str) -> str:
    return name.rpartition("}")[2]
