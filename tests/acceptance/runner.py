# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the steps of a workflow's job as GitHub's runner does.

A ``run`` step becomes a script that ``bash -e`` executes, with the environment of job and step, in its working
directory, with the files through which steps speak to the runner. A ``uses`` step is done by a function of the
caller's, because what it stands for is elsewhere. Of GitHub's expressions only what workflows here need is known;
anything else is an error rather than a guess.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_NAME = re.compile(r"[a-z]+(\.[A-Za-z_][A-Za-z0-9_-]*)+")

# Does what an action does: gets the runner and the step's evaluated inputs.
Action = Callable[["Runner", dict[str, str]], None]


class UnknownExpression(Exception):
    """An expression or condition that this runner does not know."""


@dataclass
class Ended:
    """How one step ended; a step that was not run has no return code."""

    name: str
    returncode: int | None
    output: str = ""


@dataclass
class Runner:
    """One runner with its workspace, for one job."""

    root: Path
    # What expressions may name: github, inputs, vars, secrets, each a mapping.
    contexts: Mapping[str, Mapping[str, str]]
    actions: Mapping[str, Action]
    # What a machine of GitHub's has in its environment before any step.
    environment: dict[str, str]
    timeout: float = 900
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in (self.workspace, self.files):
            path.mkdir(parents=True)
        for name in ("env", "output", "path", "step_summary"):
            (self.files / name).touch()

    @property
    def workspace(self) -> Path:
        return self.root / "work"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def summary(self) -> str:
        """What steps wrote into the job's summary."""
        return (self.files / "step_summary").read_text()

    def export(self, **variables: str) -> None:
        """Set variables for the steps that follow, as an action does."""
        with (self.files / "env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())

    def evaluate(self, value: Any) -> str:
        """A value of the workflow with its expressions replaced."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return _EXPRESSION.sub(lambda match: self._expression(match.group(1)), text)

    def _expression(self, text: str) -> str:
        """A chain of names and ||, which is the first that is not empty."""
        for operand in text.split("||"):
            name = operand.strip()
            if not _NAME.fullmatch(name):
                raise UnknownExpression(text)
            context, _, key = name.partition(".")
            if context not in self.contexts:
                raise UnknownExpression(f"{text}: no context {context}")
            found = self.contexts[context].get(key, "")
            if found:
                return found
        return ""

    def run_job(self, job: Mapping[str, Any]) -> bool:
        """Run all steps of a job; True when all that were run ended well."""
        job_environment = {name: self.evaluate(value) for name, value in (job.get("env") or {}).items()}
        folder = ((job.get("defaults") or {}).get("run") or {}).get("working-directory", "")
        good = True
        for number, step in enumerate(job["steps"], 1):
            name = str(step.get("name") or step.get("uses") or f"step {number}")
            if not self._wanted(step, good):
                self.ended.append(Ended(name, None))
                continue
            own = {key: self.evaluate(value) for key, value in (step.get("env") or {}).items()}
            ended = (
                self._use(name, step)
                if "uses" in step
                else self._run(name, step, {**job_environment, **own}, step.get("working-directory", folder))
            )
            self.ended.append(ended)
            good = good and ended.returncode == 0
        return good

    @staticmethod
    def _wanted(step: Mapping[str, Any], good: bool) -> bool:
        condition = step.get("if")
        if condition is None:
            return good
        if condition == "always()":
            return True
        raise UnknownExpression(str(condition))

    def _use(self, name: str, step: Mapping[str, Any]) -> Ended:
        action = str(step["uses"]).partition("@")[0]
        inputs = {key: self.evaluate(value) for key, value in (step.get("with") or {}).items()}
        self.actions[action](self, inputs)
        return Ended(name, 0)

    def _run(self, name: str, step: Mapping[str, Any], variables: dict[str, str], folder: str) -> Ended:
        if _EXPRESSION.search(step["run"]):
            raise UnknownExpression(f"{name}: an expression in a script lets whoever fills it in write the script")
        script = self.root / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "-e", script],
            cwd=self.workspace / folder,
            env={**self.environment, **self._standard(), **self._exported(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.timeout,
            check=False,
        )
        return Ended(name, done.returncode, done.stdout)

    def _standard(self) -> dict[str, str]:
        """What the runner sets for every step."""
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ENV": str(self.files / "env"),
            "GITHUB_OUTPUT": str(self.files / "output"),
            "GITHUB_PATH": str(self.files / "path"),
            "GITHUB_STEP_SUMMARY": str(self.files / "step_summary"),
            "RUNNER_TEMP": str(self.files),
        }

    def _exported(self) -> dict[str, str]:
        lines = (self.files / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line)


def load(path: Path) -> dict[str, Any]:
    """A workflow's content; YAML takes its key ``on`` for a truth value."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else str(key): value for key, value in content.items()}
