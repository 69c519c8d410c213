# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom GitHub's tokens name: the jobs of a repository that run in one of its environments."""

from __future__ import annotations

DOCUMENTATION = r"""
name: github_subjects
version_added: 0.1.0
short_description: The subjects of GitHub's tokens for jobs in an environment
description:
  - GitHub puts a repository's name into the C(sub) of its OpenID Connect tokens, and for repositories made since July
    2026 the ids of owner and repository with it, which nobody else ever gets. This returns both forms where both ids
    are known, and the first alone where they are not.
  - See U(https://docs.github.com/en/actions/reference/security/oidc).
author:
  - The Freehold authors (@freehold)
options:
  _input:
    description: Dicts with C(repository) (owner/name) and, both or none, C(owner_id) and C(repository_id).
    type: list
    elements: dict
    required: true
  environments:
    description: Names of GitHub environments.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
# [repo:acme/dags:environment:prod, repo:acme@1/dags@2:environment:prod]
subjects: "{{ repositories | freehold.airflow.github_subjects(['prod']) }}"
repositories: [{repository: acme/dags, owner_id: 1, repository_id: 2}]
"""

RETURN = r"""
_value:
  description: The subjects.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def github_subjects(repositories: Iterable[Mapping[str, Any]], environments: Iterable[str]) -> list[str]:
    """Return every subject that a job of these repositories in these environments may have."""
    names = list(environments)
    found = []
    for entry in repositories:
        owner, _slash, name = str(entry["repository"]).partition("/")
        forms = [f"{owner}/{name}"]
        if entry.get("owner_id") and entry.get("repository_id"):
            forms.append(f"{owner}@{entry['owner_id']}/{name}@{entry['repository_id']}")
        found += [f"repo:{form}:environment:{environment}" for environment in names for form in forms]
    return found


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return our one filter."""
        return {"github_subjects": github_subjects}
