# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls, and what the caller's policies allow."""
