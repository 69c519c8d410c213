#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold every role's argument specs against its defaults.

Three differences fail, each with the file and the name:

* a variable with a default that no entry point of ``meta/argument_specs.yml`` describes, or that one describes with
  another or, where it is a number, a word or empty, with none;
* an option described with a default, or not marked required, that ``defaults/main.yml`` does not give
  (an option without a sane default is ``required: true`` and stands commented out in the defaults);
* an entry point that the role's README has a playbook for, and that is not described.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml


def load(path: Path) -> dict[str, Any]:
    """Return the YAML mapping in ``path``; an absent or empty file is an empty mapping."""
    if not path.is_file():
        return {}
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded or {}


def is_short(value: Any) -> bool:
    """Return whether a default is no expression, and no list or mapping that is read where it stands."""
    return value in ([], {}) if isinstance(value, list | dict) else "{{" not in str(value)


def differences(role: Path) -> list[str]:
    """Return one sentence for each difference found in ``role``."""
    if not (role / "meta" / "argument_specs.yml").is_file():
        return [f"{role.name}: meta/argument_specs.yml is missing"]
    found: list[str] = []
    defaults = load(role / "defaults" / "main.yml")
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    options = [item for entry_point in specs.values() for item in (entry_point.get("options") or {}).items()]
    for name in sorted(defaults.keys() - {name for name, _option in options}):
        if name.startswith("__"):
            found.append(f"{role.name}: {name} is internal and belongs in vars/, not in defaults/")
        else:
            found.append(f"{role.name}: {name} has a default but no entry in meta/argument_specs.yml")
    for name, option in options:
        if name not in defaults:
            if not option.get("required"):
                found.append(f"{role.name}: {name} is not required, but defaults/main.yml does not give it")
        elif option.get("required"):
            found.append(f"{role.name}: {name} is required, so its default is never used")
        elif is_short(defaults[name]) and "default" not in option:
            found.append(f"{role.name}: {name} has the default {defaults[name]!r}, which its spec does not say")
        elif "default" in option and option["default"] != defaults[name]:
            found.append(
                f"{role.name}: {name} has the default {defaults[name]!r}, but its spec says {option['default']!r}"
            )
    readme = role / "README.md"
    told = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    use = rf"^ *name: freehold\.airflow\.{role.name}\n *tasks_from: (\w+)$"
    for entry_point in re.findall(use, told, re.MULTILINE):
        if entry_point not in specs:
            found.append(f"{role.name}: README.md uses {entry_point}, which meta/argument_specs.yml does not describe")
    return found


def main(root: Path) -> int:
    """Print the differences of all roles below ``root``; return the number of roles that have one, at most 1."""
    found = [line for role in sorted((root / "roles").iterdir()) if role.is_dir() for line in differences(role)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent))
