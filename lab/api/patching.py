# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the lab's behaviour around moto's models, which are pinned to one version for this reason."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def wraps(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace a method of a moto class, or a function of a moto module, by one that gets the original first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name)

        @functools.wraps(original)
        def replaced(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        setattr(owner, name, replaced)
        return function

    return decorate
