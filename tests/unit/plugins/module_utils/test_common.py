# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a resource is, and how an error of AWS ends a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    aws_call,
    missing_tags,
    refuse_foreign,
)
from botocore.exceptions import ClientError, WaiterError

TAGS = {"freehold:environment": "lab"}


def raise_code(code: str) -> None:
    error: Any = {"Error": {"Code": code, "Message": "no"}}
    raise ClientError(error, "DescribeThing")


def test_an_error_says_what_was_being_done() -> None:
    with pytest.raises(FreeholdError, match="Failed to find the thing") as raised:
        aws_call("find the thing")(raise_code)("AccessDenied")
    assert isinstance(raised.value.exception, ClientError)


def test_only_the_codes_that_mean_absence_give_the_default() -> None:
    find = aws_call("find the thing", missing=("NoSuchThing",), default={})(raise_code)
    assert find("NoSuchThing") == {}
    with pytest.raises(FreeholdError):
        find("NoSuchOther")


def test_waiting_in_vain_is_said_as_such() -> None:
    def wait() -> None:
        raise WaiterError("thing_ready", "Max attempts exceeded", {})

    with pytest.raises(FreeholdError, match="Timeout trying to wait for the thing"):
        aws_call("wait for the thing")(wait)()


@pytest.mark.parametrize("wanted", [None, {}, {"Name": "x"}])
def test_without_an_environment_nothing_is_foreign(wanted: dict[str, str] | None) -> None:
    refuse_foreign("The thing", {"freehold:environment": "prod"}, wanted)


@pytest.mark.parametrize(
    ("existing", "words"),
    [({}, "does not carry the tag freehold:environment"), ({"freehold:environment": "prod"}, "environment 'prod'")],
)
def test_what_is_not_tagged_as_ours_is_refused(existing: dict[str, str], words: str) -> None:
    with pytest.raises(FreeholdError, match=words):
        refuse_foreign("The thing", existing, TAGS)


def test_tags_of_others_are_not_missing() -> None:
    assert missing_tags({"team": "data", "Name": "old"}, {"Name": "new", **TAGS}) == {"Name": "new", **TAGS}
    assert missing_tags({"team": "data"}, None) == {}
