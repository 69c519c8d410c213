# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: an AWS look-alike on one Linux machine, with real hosts behind it."""
