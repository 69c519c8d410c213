# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab says no."""

from __future__ import annotations


class Refusal(Exception):
    """The lab cannot go on; the text is one sentence that says what is wrong and what to do."""
