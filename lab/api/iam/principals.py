# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers by access key: users and role sessions with their policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.api import backends
from lab.api.iam.policy import Document, parse
from lab.api.settings import ACCOUNT


@dataclass(frozen=True)
class Principal:
    """A caller: who it is, what proves it, and what its policies say."""

    arn: str
    # Every name by which a resource's policy can mean this caller by itself.
    names: frozenset[str]
    secret_key: str
    session_token: str | None
    expires: datetime | None
    policies: tuple[Document, ...]
    # Each of these must allow as well: a permissions boundary, a session policy.
    limits: tuple[tuple[Document, ...], ...] = ()
    context: dict[str, str] = field(default_factory=dict)


def find(access_key: str) -> Principal | None:
    """The caller who owns an access key; None where nobody does."""
    iam = backends.iam()
    for assumed in backends.sts().assumed_roles:
        if assumed.access_key_id == access_key:
            return _session(assumed)
    key = iam.access_keys.get(access_key)
    if key is None or key.status != "Active" or key.user_name not in {u.name for u in iam.users.values()}:
        return None
    return _user(next(user for user in iam.users.values() if user.name == key.user_name), key)


def _user(user: Any, key: Any) -> Principal:
    iam = backends.iam()
    documents = _documents(user)
    for group in iam.get_groups_for_user(user.name):
        documents += _documents(group)
    return Principal(
        arn=user.arn,
        names=frozenset({user.arn}),
        secret_key=key.secret_access_key,
        session_token=None,
        expires=None,
        policies=tuple(documents),
        limits=_boundary(user),
        context={"aws:username": user.name, "aws:userid": user.id, "aws:PrincipalArn": user.arn, **_tags(user)},
    )


def _session(assumed: Any) -> Principal:
    iam = backends.iam()
    role = next((role for role in iam.roles.values() if role.arn == assumed.role_arn), None)
    name = assumed.role_arn.rpartition("/")[2]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{assumed.session_name}"
    limits = _boundary(role) if role is not None else ()
    if assumed.policy:
        limits = (*limits, (parse(assumed.policy),))
    role_id = role.id if role is not None else ""
    return Principal(
        arn=arn,
        names=frozenset({arn, assumed.role_arn}),
        secret_key=assumed.secret_access_key,
        session_token=assumed.session_token,
        expires=assumed.expiration.replace(tzinfo=UTC),
        policies=tuple(_documents(role)) if role is not None else (),
        limits=limits,
        context={
            "aws:userid": f"{role_id}:{assumed.session_name}",
            "aws:PrincipalArn": assumed.role_arn,
            **(_tags(role) if role is not None else {}),
        },
    )


def _documents(holder: Any) -> list[Document]:
    """Inline and attached policies of a user, group or role."""
    found = [parse(text) for text in holder.policies.values()]
    return found + [_document(policy) for policy in holder.managed_policies.values()]


def _document(policy: Any) -> Document:
    """The default version of a managed policy."""
    text = next((v.document for v in policy.versions if v.version_id == policy.default_version_id), "")
    return text if isinstance(text, dict) else parse(str(text))


def _boundary(holder: Any) -> tuple[tuple[Document, ...], ...]:
    arn = getattr(holder, "permissions_boundary_arn", None) or getattr(holder, "permissions_boundary", None)
    if not arn:
        return ()
    name = arn.get("PermissionsBoundaryArn") if isinstance(arn, dict) else str(arn)
    policy = backends.iam().managed_policies.get(name)
    # A boundary that is gone allows nothing.
    return ((_document(policy),),) if policy is not None else (({},),)


def _tags(holder: Any) -> dict[str, str]:
    tags = getattr(holder, "tags", None) or {}
    entries = tags.values() if isinstance(tags, dict) else tags
    return {f"aws:PrincipalTag/{tag['Key']}": str(tag["Value"]) for tag in entries if isinstance(tag, dict)}
