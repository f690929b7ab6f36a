"""A function that writes the small configuration, with one text replaced, and loads it."""

from functools import cache

import pytest
import yaml

from schemas.loading import load_atlas
from tests.schemas.tree import TREE


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch):
    """What is left out depends on the mirror, which a test names itself."""
    monkeypatch.delenv("MATLAS_MIRROR", raising=False)


_read = yaml.load
_read_once = cache(_read)


@pytest.fixture(autouse=True)
def _good_files_are_read_once(monkeypatch):
    """Reading YAML is most of the work of loading. The file with the slip is read as ever; models change no value."""
    good = set(TREE.values())
    monkeypatch.setattr(yaml, "load", lambda text, Loader: (_read_once if text in good else _read)(text, Loader))


@pytest.fixture
def load(tmp_path):
    def load(file=None, old="", new=""):
        for name, text in TREE.items():
            if name == file:
                assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
                text = text.replace(old, new)
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (tmp_path / "data/steel").mkdir(parents=True, exist_ok=True)
        for name in ("mine.csv", "ores.zip", "labels.csv"):
            (tmp_path / "data" / name).touch()
        return load_atlas(yaml.safe_load((tmp_path / "config/config.yaml").read_text()) or {}, tmp_path)

    return load
