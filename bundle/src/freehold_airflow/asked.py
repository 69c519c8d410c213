# SPDX-License-Identifier: GPL-3.0-or-later
"""A secrets backend that holds nothing and remembers that it was asked.

The check imports DAGs without any database or secrets first, because the way to them costs Airflow seconds. Whatever a
file asks for there shows that it has to be looked at with everything in place.
"""

from __future__ import annotations

from airflow.secrets.base_secrets import BaseSecretsBackend

# What was asked for, in this process.
asked: list[str] = []


class Asked(BaseSecretsBackend):  # type: ignore[misc]  # Airflow isn't installed where types are checked
    """Says no to everything."""

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """Remember the name of a connection."""
        asked.append(f"connection {conn_id}")
        return None

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        """Remember the name of a variable."""
        asked.append(f"variable {key}")
        return None
