# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoting for systemd command lines."""

from __future__ import annotations

import pytest
from ansible_collections.freehold.airflow.plugins.filter.systemd_argument import systemd_argument


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("--network=host", "--network=host"),
        ("type=bind,source=/a,destination=/a,readonly", "type=bind,source=/a,destination=/a,readonly"),
        (42, "42"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("100%", "100%%"),
        ("$HOSTNAME", "$$HOSTNAME"),
        ("celery@$HOSTNAME now", '"celery@$$HOSTNAME now"'),
        ("a;b", '"a;b"'),
    ],
)
def test_a_value_is_one_word_that_systemd_does_not_expand(value: object, word: str) -> None:
    assert systemd_argument(value) == word


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_a_line_break_is_refused_because_it_would_end_the_option(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        systemd_argument(value)
