#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the variables that each role reads against those it has, and its README against both.

Expressions are parsed as Jinja parses them, so a word in a text or the name of a module is no variable. These fail:

* a default, an internal or registered variable, or a fact, that nothing in the role reads (one of the last two without
  the leading ``__`` is the role's result, and its README must name it);
* a variable that is read and that the role has from nowhere: no default, no entry of ``vars/``, no argument of one of
  its entry points, nothing that its tasks register, set or loop over, nothing of a role that it includes. Defaults may
  refer to arguments and results of other roles, because whoever uses a role alone sets them;
* an argument without a default that the role's README doesn't name, and a variable of the role that only the README
  knows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, TemplateSyntaxError, nodes

# What Ansible itself gives to every expression.
ANSIBLE = re.compile(
    r"ansible_.*|item|inventory_hostname(_short)?|hostvars|groups|group_names|role_path|role_name|playbook_dir|omit"
    r"|lookup|query|q|now|range|dict|namespace|true|false|none|True|False|None"
)
# What the whole project has once: defaults of roles refer to it.
SHARED = {"environment_name", "freehold_aws_connection"}
# Keywords whose value is an expression without braces.
EXPRESSIONS = {"when", "until", "changed_when", "failed_when", "that", "var"}
INCLUDES = ("ansible.builtin.include_role", "ansible.builtin.import_role")

JINJA = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=True)


def read_by(text: str) -> set[str]:
    """Return the names that a Jinja template reads and does not set itself.

    Other than ``jinja2.meta`` does, a name counts as read in a macro or a loop too, unless it is a loop's own.
    """
    tree = JINJA.parse(text)
    names = list(tree.find_all(nodes.Name))
    own = {node.name for node in names if node.ctx in ("store", "param")}
    own |= {macro.name for macro in tree.find_all(nodes.Macro)}
    return {node.name for node in names if node.ctx == "load"} - own


def scalars(value: Any, expression: bool = False) -> Iterator[str]:
    """Yield every text in a YAML value as a template; a bare expression gets its braces."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from scalars(item, key in EXPRESSIONS)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item, expression)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if expression and "{{" not in value else value


def load(path: Path) -> Any:
    """Return the YAML in ``path``; an absent or empty file is an empty mapping."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}


def tasks_of(block: Any) -> Iterator[dict[str, Any]]:
    """Yield every task of a task file, those inside of blocks too."""
    for task in block or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part))


class Role:
    """The variables of one role: where they come from, and who reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.defaults = set(load(path / "defaults" / "main.yml"))
        self.internal = set(load(path / "vars" / "main.yml"))
        specs = load(path / "meta" / "argument_specs.yml").get("argument_specs", {})
        options = [item for entry in specs.values() for item in (entry.get("options") or {}).items()]
        self.options = {name for name, _option in options}
        self.required = {name for name, option in options if option.get("required")}
        self.registered: set[str] = set()
        self.facts: set[str] = set()
        self.local: set[str] = set()
        self.included: set[str] = set()
        self.reads: set[str] = set()
        self._read_tasks()
        self._read(load(path / "vars" / "main.yml"))
        for template in sorted((path / "templates").rglob("*.j2")):
            self.reads |= read_by(template.read_text(encoding="utf-8"))
        inside, self.reads = self.reads, set()
        self._read(load(path / "defaults" / "main.yml"))
        self.defaults_read, self.reads = self.reads, inside
        self.results = {name for name in self.facts | self.registered if not name.startswith("__")}

    def _read_tasks(self) -> None:
        for folder in ("tasks", "handlers"):
            for file in sorted((self.path / folder).rglob("*.yml")):
                content = load(file)
                self._read(content)
                for task in tasks_of(content):
                    if "register" in task:
                        self.registered.add(task["register"])
                    self.facts |= set(task.get("ansible.builtin.set_fact", {})) - {"cacheable"}
                    self.included |= {task[key]["name"].rpartition(".")[2] for key in INCLUDES if key in task}
                    self.local |= set(task.get("vars", {})) | {
                        name for key, name in task.get("loop_control", {}).items() if key in ("loop_var", "index_var")
                    }

    def _read(self, content: Any) -> None:
        for text in scalars(content):
            try:
                self.reads |= read_by(text)
            except TemplateSyntaxError as error:
                raise SystemExit(f"{self.name}: {error}: {text}") from error

    def problems(self, roles: Mapping[str, Role], modules: Set[str]) -> Iterator[str]:
        """Yield one sentence for each variable that is not as it should be, given all roles and names of modules."""
        readme = (self.path / "README.md").read_text(encoding="utf-8")
        named = set(re.findall(rf"\b(?:__)?{self.name}_[a-z0-9_]*[a-z0-9]\b(?!\*)", readme))
        for name in sorted(
            (self.internal | self.registered | self.facts) - self.results - self.reads - self.defaults_read
        ):
            yield f"{name} is set and read by nothing"
        for name in sorted(self.defaults - self.reads - self.defaults_read):
            yield f"{name} has a default and is read by nothing"
        has = self.defaults | self.internal | self.options | self.registered | self.facts | self.local | SHARED
        given = set().union(*(roles[name].options | roles[name].results for name in self.included if name in roles))
        others = set().union(*(role.options | role.results for role in roles.values()))
        for name in sorted((self.reads - has - given) | (self.defaults_read - has - others)):
            if not ANSIBLE.fullmatch(name):
                yield f"{name} is read, but the role has it from nowhere: no default, argument, result or fact"
        for name in sorted((self.required | self.results) - named):
            kind = "an argument without a default" if name in self.required else "a result"
            yield f"{name} is {kind} that README.md doesn't name"
        for name in sorted(named - has - modules):
            yield f"{name} is named in README.md, but the role has no such variable"


def main(root: Path) -> int:
    """Print what is wrong with the variables of all roles below ``root``; return 1 if anything is."""
    roles = {path.name: Role(path) for path in sorted((root / "roles").iterdir()) if path.is_dir()}
    modules = {path.stem for path in (root / "plugins" / "modules").glob("*.py")}
    found = [f"{name}: {problem}" for name, role in roles.items() for problem in role.problems(roles, modules)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent))
