# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of IAM policies: pure, without any look at moto.

The rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html. Where this module
does not know a condition operator, a statement that allows does not apply and one that denies does: never more
generous than AWS.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# Values of condition keys; several for keys such as aws:TagKeys. Names are compared without regard to case.
Context = Mapping[str, str | Sequence[str]]
Document = Mapping[str, Any]


class Verdict(enum.Enum):
    """What a set of policies says about one action on one resource."""

    ALLOWED = "allowed"
    NOT_MENTIONED = "not mentioned"
    DENIED = "denied"


@dataclass(frozen=True)
class Question:
    """May this action be done to this resource, under these conditions?"""

    action: str
    resource: str
    context: Context
    # Who asks, as the names a resource's policy may use; empty for identity policies, which have no principal.
    principals: frozenset[str] = frozenset()


def judge(documents: Iterable[Document], question: Question) -> Verdict:
    """One explicit deny decides; otherwise one allow does."""
    verdict = Verdict.NOT_MENTIONED
    for document in documents:
        for statement in _as_list(document.get("Statement")):
            if not _applies(statement, question):
                continue
            if statement.get("Effect") == "Deny":
                return Verdict.DENIED
            verdict = Verdict.ALLOWED
    return verdict


@functools.lru_cache(maxsize=512)
def parse(text: str) -> Document:
    """A policy document from its JSON; one that is no JSON allows nothing."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _applies(statement: Document, question: Question) -> bool:
    if ("Principal" in statement or "NotPrincipal" in statement) and not _principal_matches(statement, question):
        return False
    if not _listed(statement, "Action", question.action, question.context, ignore_case=True):
        return False
    if not _listed(statement, "Resource", question.resource, question.context, ignore_case=False):
        return False
    denies = statement.get("Effect") == "Deny"
    return all(
        _condition(operator, key, expected, question.context, unknown=denies)
        for operator, entries in (statement.get("Condition") or {}).items()
        for key, expected in entries.items()
    )


def _principal_matches(statement: Document, question: Question) -> bool:
    if "NotPrincipal" in statement:
        return not _principal_named(statement["NotPrincipal"], question.principals)
    return _principal_named(statement["Principal"], question.principals)


def _principal_named(named: Any, principals: frozenset[str]) -> bool:
    if named == "*":
        return True
    if not isinstance(named, Mapping):
        return False
    values = [value for entries in named.values() for value in _as_list(entries)]
    return "*" in values or any(value in principals for value in values)


def _listed(statement: Document, element: str, value: str, context: Context, *, ignore_case: bool) -> bool:
    """Whether Action (Resource) names the value, or NotAction (NotResource) does not."""
    negated = f"Not{element}"
    if negated in statement:
        return not _any_like(statement[negated], value, context, ignore_case=ignore_case)
    if element not in statement:
        # A role's trust policy names no resource.
        return element == "Resource"
    return _any_like(statement[element], value, context, ignore_case=ignore_case)


def _any_like(patterns: Any, value: str, context: Context, *, ignore_case: bool) -> bool:
    return any(_like(_fill(str(p), context), value, ignore_case=ignore_case) for p in _as_list(patterns))


@functools.lru_cache(maxsize=4096)
def _pattern(text: str, ignore_case: bool) -> re.Pattern[str]:
    translated = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in text)
    return re.compile(translated, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    return _pattern(pattern, ignore_case).fullmatch(value) is not None


def _fill(text: str, context: Context) -> str:
    """Put in policy variables such as ${aws:username}; one without a value matches nothing."""
    if "${" not in text:
        return text
    escapes = {"*": "*", "?": "?", "$": "$"}

    def value(match: re.Match[str]) -> str:
        name, _, default = match.group(1).partition(",")
        if name in escapes:
            return escapes[name]
        found = _values(context, name.strip())
        if len(found) == 1:
            return found[0]
        return default.strip().strip("'") if default else "\0"

    return re.sub(r"\$\{([^}]+)\}", value, text)


def _values(context: Context, key: str) -> list[str]:
    for name, value in context.items():
        if name.lower() == key.lower():
            return [value] if isinstance(value, str) else list(value)
    return []


def _ip(expected: str, actual: str) -> bool:
    try:
        return ipaddress.ip_address(actual) in ipaddress.ip_network(expected, strict=False)
    except ValueError:
        return False


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def test(expected: str, actual: str) -> bool:
        try:
            return compare(float(actual), float(expected))
        except ValueError:
            return False

    return test


def _date(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    def test(expected: str, actual: str) -> bool:
        try:
            return compare(datetime.fromisoformat(actual), datetime.fromisoformat(expected))
        except (ValueError, TypeError):
            return False

    return test


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda expected, actual: expected == actual,
    "StringEqualsIgnoreCase": lambda expected, actual: expected.lower() == actual.lower(),
    "StringLike": lambda expected, actual: _like(expected, actual),
    "ArnEquals": lambda expected, actual: _like(expected, actual),
    "ArnLike": lambda expected, actual: _like(expected, actual),
    "Bool": lambda expected, actual: expected.lower() == actual.lower(),
    "IpAddress": _ip,
    "NumericEquals": _number(lambda actual, expected: actual == expected),
    "NumericLessThan": _number(lambda actual, expected: actual < expected),
    "NumericLessThanEquals": _number(lambda actual, expected: actual <= expected),
    "NumericGreaterThan": _number(lambda actual, expected: actual > expected),
    "NumericGreaterThanEquals": _number(lambda actual, expected: actual >= expected),
    "DateEquals": _date(lambda actual, expected: actual == expected),
    "DateLessThan": _date(lambda actual, expected: actual < expected),
    "DateLessThanEquals": _date(lambda actual, expected: actual <= expected),
    "DateGreaterThan": _date(lambda actual, expected: actual > expected),
    "DateGreaterThanEquals": _date(lambda actual, expected: actual >= expected),
}
_NEGATIONS = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def _condition(operator: str, key: str, expected: Any, context: Context, *, unknown: bool) -> bool:
    """One key of one condition operator. `unknown` is the answer where the operator is not known here."""
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    wanted = [_fill(_text(value), context) for value in _as_list(expected)]
    actual = _values(context, key)
    if name == "Null":
        return any((value.lower() == "true") == (not actual) for value in wanted)
    negated = name in _NEGATIONS
    test = _TESTS.get(_NEGATIONS.get(name, name))
    if test is None:
        return unknown
    if not actual:
        return if_exists or negated or quantifier == "ForAllValues"
    matches = [any(test(value, given) for value in wanted) != negated for given in actual]
    # Without a quantifier a key has one value; with several, all must hold where it is negated, one where it is not.
    if quantifier == "ForAllValues" or (not quantifier and negated):
        return all(matches)
    return any(matches)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
