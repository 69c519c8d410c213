# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret values: their shape, and how they are put together."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager import values


@pytest.mark.parametrize("kind", ["password", "fernet_key", "hex", "base64", "ssh_key"])
def test_no_value_is_made_twice(kind: str) -> None:
    assert values.generate(kind, 24) != values.generate(kind, 24)


def test_a_length_counts_letters_or_bytes() -> None:
    assert len(values.generate("password", 24)) == 24
    assert len(bytes.fromhex(values.generate("hex", 24))) == 24
    assert len(base64.b64decode(values.generate("base64", 24))) == 24
    assert len(base64.urlsafe_b64decode(values.generate("fernet_key", 24))) == 32


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of secret: pin"):
        values.generate("pin", 4)


def test_a_template_is_filled_with_quoted_values() -> None:
    template = "redis://:${a/b}@cache/${n}?${a/b}"
    assert values.placeholders(template) == ["a/b", "n"]
    assert values.compose(template, {"a/b": "p@/", "n": "0"}) == "redis://:p%40%2F@cache/0?p%40%2F"
    with pytest.raises(KeyError, match="n"):
        values.compose(template, {"a/b": "x"})
