# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules that talk to AWS agree on: how they call it, whose a resource is, and how an error ends a run."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

ENVIRONMENT_TAG = "freehold:environment"

P = ParamSpec("P")
R = TypeVar("R")


class FreeholdError(AnsibleAWSError):  # type: ignore[misc]
    """Ends a module with one sentence; C(exception), when given, is the AWS error behind it."""


class ForeignResourceError(FreeholdError):
    """A resource with the wanted name exists, and its tags say that it is not ours."""


def aws_call(
    description: str, *, missing: tuple[str, ...] = (), default: Any = None, retry: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that calls AWS: retry what is temporary, end in FreeholdError, say what was being done.

    What amazon.aws' AWSErrorHandler and AWSRetry do together, in one typed line. Error codes in ``missing`` mean that
    the thing is not there: the function then returns ``default``. Codes in ``retry`` are temporary as well.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        patient: Callable[P, R] = AWSRetry.jittered_backoff(catch_extra_error_codes=list(retry))(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return patient(*args, **kwargs)
            except WaiterError as error:
                raise FreeholdError(message=f"Timeout trying to {description}", exception=error) from error
            except (ClientError, BotoCoreError) as error:
                if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in missing:
                    result: R = default
                    return result
                raise FreeholdError(message=f"Failed to {description}", exception=error) from error

        return call

    return decorate


def refuse_foreign(what: str, existing_tags: Mapping[str, str], wanted_tags: Mapping[str, str] | None) -> None:
    """Raise ForeignResourceError unless the existing resource carries the environment tag that we would give it.

    Nothing untagged is ever adopted: a resource that merely has the right name may be somebody's data.
    """
    wanted = (wanted_tags or {}).get(ENVIRONMENT_TAG)
    if wanted is None:
        return
    existing = existing_tags.get(ENVIRONMENT_TAG)
    if existing == wanted:
        return
    owner = f"belongs to the environment '{existing}'" if existing else f"does not carry the tag {ENVIRONMENT_TAG}"
    raise ForeignResourceError(
        message=(
            f"{what} exists already and {owner}, so it is left alone; choose another name for the environment"
            f" ('{wanted}'), or tag it {ENVIRONMENT_TAG}={wanted} if it is really yours."
        )
    )


def missing_tags(existing: Mapping[str, str], wanted: Mapping[str, str] | None) -> dict[str, str]:
    """The wanted tags that are absent or different; tags of others are never taken away."""
    return {key: value for key, value in (wanted or {}).items() if existing.get(key) != value}


def tag_dict(tags: list[dict[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """AWS's list of tags as a dict."""
    return {tag[key]: tag[value] for tag in tags or []}


def tag_list(tags: Mapping[str, str] | None, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """A dict of tags as AWS's list."""
    return [{key: name, value: content} for name, content in (tags or {}).items()]


def difference(name: str, current: Any, desired: Any) -> dict[str, Any]:
    """One line of a result's C(differences): why the module changed something."""
    return {"name": name, "current": current, "desired": desired}


def unready(what: str, status: str | None, broken: Collection[str], seconds: int, variable: str) -> FreeholdError:
    """The error that ends a wait for a resource: it is gone, it is broken, or I(variable) can give it longer."""
    if status is None or status in broken:
        said = f"is {status or 'gone'} instead of available; its events say why"
    else:
        said = f"is still {status} after {seconds} seconds; raise {variable}"
    return FreeholdError(message=f"{what} {said}.")
