# SPDX-License-Identifier: GPL-3.0-or-later
"""Airflow's own example DAGs, as DAGs that nobody here wrote.

The installed packages of the image carry them: ``airflow.example_dags`` of the core and ``example_dags`` of the
standard provider. ``collect`` copies them out of an image into a folder that can be published like any other;
``RUNNABLE`` names those that need no outside service and were seen to succeed with 3.3.2 when triggered by hand.

As a program: ``python tests/acceptance/example_dags.py IMAGE FOLDER`` fills the folder and prints the DAG ids.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tarfile
from pathlib import Path

# Where the packages lie in the image, below its site-packages.
PACKAGES = ("airflow/example_dags", "airflow/providers/standard/example_dags")

RUNNABLE = (
    "example_bash_operator",
    "example_branch_labels",
    "example_display_name",
    "example_dynamic_task_mapping",
    "example_nested_branch_dag",
    "example_setup_teardown_taskflow",
    "example_short_circuit_decorator",
    "example_short_circuit_operator",
    "example_simplest_dag",
    "example_skip_dag",
    "example_task_group",
    "example_task_group_decorator",
    "example_xcom",
    "example_xcom_args",
    "tutorial_dag",
)

# These need plug-ins, which Airflow loads from its plug-ins folder only; without them they are import errors.
LEFT_OUT = ("example_custom_weight.py", "example_workday_timetable.py")

PACK = """
import io, pathlib, sys, tarfile, airflow
root = pathlib.Path(airflow.__file__).parent.parent
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
    for package in sys.argv[1:]:
        archive.add(root / package, arcname=package.replace("/", "_"),
                    filter=lambda item: None if "__pycache__" in item.name else item)
"""


def collect(image: str, folder: Path) -> list[Path]:
    """Copy the example DAGs of ``image`` into ``folder``, one folder for each package, and return the DAG files."""
    command = ["docker", "run", "--rm", "--network", "none", "--env", "CONNECTION_CHECK_MAX_COUNT=0", image]
    packed = subprocess.run(
        [*command, "python", "-c", PACK, *PACKAGES], stdout=subprocess.PIPE, check=True, timeout=120
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        members = [member for member in archive if Path(member.name).name not in LEFT_OUT]
        archive.extractall(folder, members, filter="data")
    return sorted(path for path in folder.rglob("*.py") if path.name.startswith(("example_", "tutorial")))


def main() -> None:
    """Fill the folder and print the ids of the DAGs that can be run."""
    parser = argparse.ArgumentParser(description="Copy Airflow's example DAGs out of an image.")
    parser.add_argument("image")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    collect(arguments.image, arguments.folder)
    print("\n".join(RUNNABLE))


if __name__ == "__main__":
    main()
