# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that look at the shared file system in a container, and end in time whatever that does.

A mount by NFS waits for ever when the server is gone. Three things end a command that waits for it: ``timeout`` inside
the container, this module when that did not help, and the program itself, which changes nothing after its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What `timeout` inside the container gets beyond the limit, so that the program can say by itself that it is over, plus
# its --kill-after, plus the start of a container on a busy host. Then the docker client is stopped from here.
GRACE_SECONDS = 45.0
# How long the client may take to end when it is told to, before it is killed.
STOP_SECONDS = 5.0
REMOVE_SECONDS = 30.0
# What a sentence of our programs in the image begins with.
PROGRAMS = "freehold_airflow."
# What `timeout` ends with when it stopped a program, and when it had to kill it.
OVER = (124, 137)


class CommandError(Exception):
    """A command gave no answer; the text is one sentence, ``details`` are what it ended with and printed.

    ``reason`` is what one of our programs says for itself, where it does.
    """

    def __init__(self, message: str, *, reason: str = "", **details: Any) -> None:
        """Take the sentence, and C(rc), C(stdout) and C(stderr) where they are known."""
        super().__init__(message)
        self.reason = reason
        self.details = details


@dataclass(frozen=True)
class Limit:
    """How long a command may take, and which variable says so."""

    seconds: int
    variable: str
    # What did not answer, where nothing else is known.
    what: str = "the shared file system"

    @property
    def sentence(self) -> str:
        """What is said when it took longer."""
        return f"{self.what} did not answer within {self.seconds} s ({self.variable})"


def answer(
    name: str,
    command: Sequence[str],
    limit: Limit,
    words: Mapping[str, str] | None = None,
    good: Sequence[int] = (0,),
    grace: float = GRACE_SECONDS,
) -> dict[str, Any]:
    """Run a command that prints a JSON object, and return that.

    C({container}) in the command becomes a name that nothing else has, by which the container is removed when the
    command does not end in time; ``words`` tells what else stands in braces. ``good`` lists the statuses of an answer.

    :raises CommandError: It gave none.
    """
    container = f"freehold-dags-{secrets.token_hex(6)}"
    words = {"container": container, **(words or {})}
    argv = list(command)
    for word, value in words.items():
        argv = [item.replace(f"{{{word}}}", value) for item in argv]
    # Before the command begins: on a busy machine it can be well under way when Popen comes back.
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"The command '{name}' can't be run: {error}.") from error
    try:
        out, err = process.communicate(timeout=limit.seconds + grace)
    except subprocess.TimeoutExpired as error:
        stop(process)
        left = remove(container) if any("{container}" in item for item in command) else ""
        raise CommandError(f"The command '{name}' was stopped: {limit.sentence}.{left}") from error
    said: dict[str, Any] = {"rc": process.returncode, "stdout": out, "stderr": err}
    if process.returncode in OVER and time.monotonic() - started >= limit.seconds:
        raise CommandError(f"The command '{name}' was stopped: {limit.sentence}.", **said)
    if process.returncode not in good:
        lines = (err or out).strip().splitlines() or ["it said nothing"]
        # Python may have more to say after a program's own sentence, of a file that could not be closed for one.
        last = next((line for line in reversed(lines) if line.startswith(PROGRAMS)), lines[-1])
        said["reason"] = last.partition(": ")[2] if last.startswith(PROGRAMS) else ""
        raise CommandError(f"The command '{name}' ended with status {process.returncode}: {last}", **said)
    try:
        return dict(json.loads(out))
    except ValueError as error:
        raise CommandError(f"The command '{name}' gave no answer that can be read.", **said) from error


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started, by force if need be."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=STOP_SECONDS)
            return


def remove(container: str) -> str:
    """Remove a container whose client was stopped; return what a person has to know when that was not possible."""
    command = ["docker", "container", "rm", "--force", container]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=REMOVE_SECONDS
        )
        failed = done.returncode != 0 and "no such container" not in done.stderr.lower()
        why = done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, why = True, str(error)
    return f" Its container {container} could not be removed and may still wait: {why}" if failed else ""
