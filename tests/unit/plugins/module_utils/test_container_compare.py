# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container was made from, against what is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._container import compare


def test_what_was_encoded_is_decoded_again() -> None:
    spec = compare.decode(compare.encode({"image": "a@sha256:1", "options": {"mount": ["x", "y"]}}, {"A": "1"}))
    assert spec == {"image": "a@sha256:1", "options": {"mount": ["x", "y"]}, "environment": {"A": "1"}}


def test_equal_descriptions_are_equal_lines_whatever_their_order() -> None:
    assert compare.encode({"a": 1, "b": 2}, {"X": "1", "Y": "2"}) == compare.encode(
        {"b": 2, "a": 1}, {"Y": "2", "X": "1"}
    )


@pytest.mark.parametrize("label", [None, "", "not json", "[]", "null"])
def test_a_container_that_somebody_else_made_is_an_empty_description(label: str | None) -> None:
    assert compare.decode(label) == {}


@pytest.mark.parametrize(
    ("current", "desired", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [{"name": "a", "current": 1, "desired": 2}]),
        ({}, {"a": 1}, [{"name": "a", "current": None, "desired": 1}]),
        ({"a": 1}, {}, [{"name": "a", "current": 1, "desired": None}]),
        (
            {"environment": {"X": "1", "Y": "1"}},
            {"environment": {"X": "1", "Y": "2"}},
            [{"name": "environment.Y", "current": "1", "desired": "2"}],
        ),
        ({"m": ["a"]}, {"m": ["a", "b"]}, [{"name": "m", "current": ["a"], "desired": ["a", "b"]}]),
        (
            {"b": 1, "a": 1},
            {"b": 2, "a": 2},
            [{"name": "a", "current": 1, "desired": 2}, {"name": "b", "current": 1, "desired": 2}],
        ),
    ],
)
def test_differences_name_the_leaf_and_both_values(current: Any, desired: Any, expected: list[dict[str, Any]]) -> None:
    assert compare.differences(current, desired) == expected


def test_the_env_file_has_a_sorted_line_per_variable_and_takes_values_as_they_are() -> None:
    assert compare.environment_file({"B": '{"a": "b c"}', "A": ""}) == 'A=\nB={"a": "b c"}\n'


def test_a_value_with_a_line_break_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="PEM holds a line break"):
        compare.environment_file({"PEM": "a\nb"})
