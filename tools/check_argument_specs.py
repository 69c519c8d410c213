#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold every role's argument specs against its defaults, and its defaults against what it reads.

Three differences fail, each with the file and the variable:

* a variable with a default that no entry point of ``meta/argument_specs.yml`` describes, or describes with another;
* an option described with a default, or not marked required, that ``defaults/main.yml`` does not give
  (an option without a sane default is ``required: true`` and stands commented out in the defaults);
* a default that nothing in the role reads.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

READERS = ("tasks", "templates", "handlers", "vars", "defaults", "meta", "files")


def load(path: Path) -> dict[str, Any]:
    """Return the YAML mapping in ``path``; an absent or empty file is an empty mapping."""
    if not path.is_file():
        return {}
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded or {}


def options_of(role: Path) -> dict[str, dict[str, Any]]:
    """Return all options of all entry points of ``role``, by name."""
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    options: dict[str, dict[str, Any]] = {}
    for entry_point in specs.values():
        options.update(entry_point.get("options") or {})
    return options


def text_of(role: Path) -> str:
    """Return everything in ``role`` that may read a variable, without the defaults' own left-hand sides."""
    parts: list[str] = []
    for folder in READERS:
        for path in sorted((role / folder).rglob("*")):
            if not path.is_file() or path.name == "argument_specs.yml":
                continue
            content = path.read_text(encoding="utf-8", errors="replace")
            if folder == "defaults":
                content = re.sub(r"^[a-z_0-9]+:", "", content, flags=re.MULTILINE)
            parts.append(content)
    return "\n".join(parts)


def differences(role: Path) -> list[str]:
    """Return one sentence for each difference found in ``role``."""
    found: list[str] = []
    if not (role / "meta" / "argument_specs.yml").is_file():
        return [f"{role.name}: meta/argument_specs.yml is missing"]
    defaults = load(role / "defaults" / "main.yml")
    options = options_of(role)
    for name, value in defaults.items():
        if name.startswith("__"):
            found.append(f"{role.name}: {name} is internal and belongs in vars/, not in defaults/")
        elif name not in options:
            found.append(f"{role.name}: {name} has a default but no entry in meta/argument_specs.yml")
        elif "default" in options[name] and options[name]["default"] != value:
            found.append(
                f"{role.name}: {name} has the default {value!r}, but its spec says {options[name]['default']!r}"
            )
        elif options[name].get("required"):
            found.append(f"{role.name}: {name} is required, so its default is never used")
    for name, option in options.items():
        if name not in defaults and not option.get("required"):
            found.append(f"{role.name}: {name} is not required, but defaults/main.yml does not give it")
    text = text_of(role)
    for name in defaults:
        if not re.search(rf"\b{re.escape(name)}\b", text):
            found.append(f"{role.name}: {name} is read by nothing")
    return found


def main(root: Path) -> int:
    """Print the differences of all roles below ``root``; return the number of roles that have one, at most 1."""
    found = [line for role in sorted((root / "roles").iterdir()) if role.is_dir() for line in differences(role)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent))
