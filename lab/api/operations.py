# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab steps in: operations that it answers itself, refuses beforehand, or completes afterwards.

A service module registers its functions by decorators; the gateway calls them. Everything else is moto's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lab.api.request import AwsRequest

# Returns the operation's result in the shape of the service model, or NotImplemented to leave this request to moto;
# raises AwsError.
Answer = Callable[[AwsRequest], object]
# Raises AwsError where AWS would refuse and moto does not.
Check = Callable[[AwsRequest], None]
# Completes moto's models after a call that succeeded.
Completion = Callable[[AwsRequest], None]

F = TypeVar("F", bound=Callable[..., Any])

ANSWERS: dict[tuple[str, str], Answer] = {}
CHECKS: dict[tuple[str, str], list[Check]] = {}
COMPLETIONS: dict[tuple[str, str], list[Completion]] = {}
# These talk to somebody else and must not hold up all others meanwhile.
UNLOCKED: set[tuple[str, str]] = set()


def answers(service: str, *operations: str, unlocked: bool = False) -> Callable[[F], F]:
    """Answer these operations instead of moto."""

    def register(function: F) -> F:
        for operation in operations:
            ANSWERS[service, operation] = function
            if unlocked:
                UNLOCKED.add((service, operation))
        return function

    return register


def checks(service: str, *operations: str) -> Callable[[F], F]:
    """Look at these operations before moto does."""

    def register(function: F) -> F:
        for operation in operations:
            CHECKS.setdefault((service, operation), []).append(function)
        return function

    return register


def completes(service: str, *operations: str) -> Callable[[F], F]:
    """Act after moto did these operations with success."""

    def register(function: F) -> F:
        for operation in operations:
            COMPLETIONS.setdefault((service, operation), []).append(function)
        return function

    return register
