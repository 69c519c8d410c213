# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a trust policy names."""

from __future__ import annotations

from ansible_collections.freehold.airflow.plugins.filter.github_subjects import github_subjects


def test_a_repository_is_named_in_both_forms_for_every_environment() -> None:
    assert github_subjects([{"repository": "acme/dags", "owner_id": 1, "repository_id": 2}], ["prod", "test"]) == [
        "repo:acme/dags:environment:prod",
        "repo:acme@1/dags@2:environment:prod",
        "repo:acme/dags:environment:test",
        "repo:acme@1/dags@2:environment:test",
    ]


def test_without_ids_there_is_the_name_alone() -> None:
    assert github_subjects([{"repository": "acme/dags"}, {"repository": "acme/more"}], ["prod"]) == [
        "repo:acme/dags:environment:prod",
        "repo:acme/more:environment:prod",
    ]
