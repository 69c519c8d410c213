# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of an RDS PostgreSQL 17 parameter group: PostgreSQL's (`postgres --describe-config`) and RDS's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# What AWS manages itself; https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Parameters.html
_MANAGED = {
    "allow_system_table_mods",
    "archive_command",
    "archive_library",
    "archive_mode",
    "backtrace_functions",
    "bonjour",
    "bonjour_name",
    "cluster_name",
    "config_file",
    "data_directory",
    "data_sync_retry",
    "event_source",
    "external_pid_file",
    "fsync",
    "full_page_writes",
    "hba_file",
    "ident_file",
    "ignore_system_indexes",
    "jit_provider",
    "listen_addresses",
    "local_preload_libraries",
    "log_directory",
    "log_file_mode",
    "log_timezone",
    "logging_collector",
    "port",
    "primary_conninfo",
    "restart_after_crash",
    "restore_command",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "syslog_facility",
    "syslog_ident",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "update_process_title",
    "wal_level",
    "zero_damaged_pages",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter; a static one takes effect at the next restart."""

    name: str
    data_type: str
    static: bool
    modifiable: bool
    # What RDS sets beside the engine's own default.
    default: str | None = None


def _read() -> dict[str, Parameter]:
    listed: dict[str, list[str]] = json.loads(Path(__file__).with_name("postgresql_17.json").read_text())
    found = [
        Parameter(name, data_type, context == "postmaster", context != "internal" and name not in _MANAGED)
        for name, (context, data_type) in listed.items()
    ]
    found += [
        # Since version 15 a new group refuses connections without TLS.
        Parameter("rds.force_ssl", "boolean", static=False, modifiable=True, default="1"),
        Parameter("rds.logical_replication", "boolean", static=True, modifiable=True, default="0"),
        Parameter("rds.log_retention_period", "integer", static=False, modifiable=True, default="4320"),
        Parameter("rds.force_autovacuum_logging_level", "string", static=False, modifiable=True, default="warning"),
        Parameter("rds.restrict_password_commands", "boolean", static=True, modifiable=True),
        Parameter("rds.extensions", "string", static=False, modifiable=False),
    ]
    return {parameter.name: parameter for parameter in found}


PARAMETERS = _read()
