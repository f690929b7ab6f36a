"""YAML mappings in which every key stands once."""

from __future__ import annotations

from pathlib import Path

import yaml

from matlas.errors import ConfigError


def read_yaml(path: Path) -> dict:
    """A YAML mapping; ConfigError for a missing file, broken YAML, a key given twice, or anything but a mapping."""
    if not path.is_file():
        raise ConfigError("configuration file is missing", where=path)
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found = str(getattr(error, "problem", error)).removeprefix("found ")
        raise ConfigError("not valid YAML", where=f"{path}{line}", found=found) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=path, found=error) from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise ConfigError("not a mapping", where=path, expected="`key: value` lines", found=found)
    return value


# libyaml where PyYAML was built with it: every job reads the configuration again
class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Safe YAML in which a key may stand only once."""

    def construct_mapping(self, node, deep=False):
        seen = []
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *anchor`
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)
