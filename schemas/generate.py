"""Documents that derive from the contracts: `python -m schemas.generate` writes them, `--check` compares.

schemas/config.schema.json   JSON schema of every configuration file, for editors and other tools
docs/data-dictionary.md      the data dictionary as a table
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from schemas.config.base import Name
from schemas.config.datasets import Dataset
from schemas.config.methods import Methods
from schemas.config.settings import Settings
from schemas.config.sources import Source
from schemas.config.studies import Study
from schemas.config.views import View
from schemas.fields import FIELDS
from schemas.table import Field

ROOT = Path(__file__).resolve().parent.parent

# what each file under config/ holds; an editor takes `config.schema.json#/$defs/study` for a study file, and so on
CONFIG_FILES = {
    "settings": Settings,
    "sources": dict[Name, Source],
    "datasets": dict[Name, Dataset],
    "views": dict[Name, View],
    "methods": Methods,
    "study": Study,
}


def config_schema() -> str:
    """JSON schema (draft 2020-12) with one definition for each kind of configuration file, as text."""
    files = [(name, "validation", TypeAdapter(model)) for name, model in CONFIG_FILES.items()]
    by_file, shared = TypeAdapter.json_schemas(files)
    definitions = {name: by_file[name, "validation"] for name in CONFIG_FILES}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of matlas",
        "description": "config.yaml: settings; sources.yaml, datasets.yaml, views.yaml, methods.yaml: of that name; "
        "studies/*.yaml: study.",
        "$defs": {**definitions, **shared["$defs"]},
    }
    _close(schema)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _close(schema: object) -> None:
    """Refuse names beside those that match, which pydantic leaves open in a mapping from names."""
    if isinstance(schema, dict) and "patternProperties" in schema:
        schema["additionalProperties"] = False
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _close(part)


def data_dictionary() -> str:
    """The data dictionary as a Markdown table."""
    lines = [
        "# Data dictionary",
        "",
        "Columns that more than one table or study uses. Written by `python -m schemas.generate` from "
        "[schemas/fields.py](../schemas/fields.py); edit that file, not this one. Columns of feature views are "
        "described by their element tables, columns of a single dataset in its definition; the catalog lists all of "
        "them in `registry.columns`.",
        "",
        "| name | unit | dtype | range | description | citation |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for f in FIELDS.values():
        cells = (f"`{f.name}`", f.unit, f.dtype, _range(f), f.description, f.citation)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _range(f: Field) -> str:
    """Which values a field may hold, in words."""
    parts = []
    if f.minimum is not None and f.maximum is not None:
        parts.append(f"{f.minimum:g} to {f.maximum:g}")
    elif f.minimum is not None:
        parts.append(f"at least {f.minimum:g}")
    elif f.maximum is not None:
        parts.append(f"at most {f.maximum:g}")
    if f.allowed:
        parts.append(", ".join(f.allowed))
    if f.nullable:
        parts.append("may be empty")
    return "; ".join(parts)


DOCUMENTS: dict[str, Callable[[], str]] = {
    "schemas/config.schema.json": config_schema,
    "docs/data-dictionary.md": data_dictionary,
}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the documents below `root`; with --check write nothing, and return 1 if one differs from the contracts."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a document is out of step")
    check = parser.parse_args(arguments).check
    stale = []
    for name, content in DOCUMENTS.items():
        path, text = root / name, content()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if check:
            print(f"{name} is out of step with schemas/; run `python -m schemas.generate`", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
