# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile what Airflow's components import at their start, and no more: all of the image would cost half a gigabyte.

``precompile.py others`` compiles everything but our own package, ``precompile.py ours`` the rest: a change of ours must
not cost the minute that Airflow takes.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile

MODULES = [
    "airflow.api_fastapi.main",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.db_command",
    "airflow.cli.commands.jobs_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.dag_processing.manager",
    "airflow.dag_processing.processor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.amazon.aws.log.s3_task_handler",
    "airflow.providers.amazon.aws.secrets.secrets_manager",
    "airflow.providers.celery.cli.celery_command",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.common.compat.openlineage.check",
    "airflow.providers.fab.auth_manager.fab_auth_manager",
    "airflow.providers.fab.auth_manager.cli_commands.utils",
    "airflow.providers.fab.www.app",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.sdk",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.utils.db",
    "asyncpg",
    "boto3",
    "celery.apps.worker",
    "freehold_airflow.users",
    "freehold_airflow.bundle",
    "freehold_airflow.check",
    "freehold_airflow.releases",
    "kombu.transport.redis",
    "psycopg2",
    "redis",
    "uvicorn.workers",
]


def main(whose: str) -> int:
    """Import every module that exists in this version: Python leaves the bytecode of all that comes with it."""
    sys.dont_write_bytecode = False
    with tempfile.TemporaryDirectory() as home:
        # Importing Airflow writes its configuration file; not into the image.
        os.environ["AIRFLOW_HOME"] = home
        for name in [name for name in MODULES if name.startswith("freehold_airflow") == (whose == "ours")]:
            try:
                importlib.import_module(name)
            except ImportError as error:
                print(f"not compiled: {name}: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
