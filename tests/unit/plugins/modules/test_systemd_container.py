# SPDX-License-Identifier: GPL-3.0-or-later
"""The module systemd_container on a host whose docker and systemd are simulated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._container import compare
from ansible_collections.freehold.airflow.plugins.modules import systemd_container

CONTAINER = {"image": "airflow@sha256:1", "command": ["scheduler"]}
ENVIRONMENT = {"A": "1"}


class Host:
    """A docker daemon and a systemd with one unit. The unit's container is made from the label file, as by our unit."""

    def __init__(self, directory: Path) -> None:
        self.label_file = directory / "airflow-x.label"
        self.images = {"airflow@sha256:1": "sha256:aa", "airflow@sha256:2": "sha256:bb"}
        self.pullable: set[str] = set()
        self.has_docker = True
        self.enabled = False
        self.active = "inactive"
        self.fails = False
        self.needs_reload = False
        self.reloads = True
        self.container: dict[str, Any] | None = None
        self.commands: list[str] = []

    def run_command(self, command: list[str], handle_exceptions: bool) -> tuple[int, str, str]:
        """Answer as the programs do."""
        assert not handle_exceptions
        if command[0] == "docker" and not self.has_docker:
            raise FileNotFoundError("No such file or directory: 'docker'")
        line = " ".join(command)
        if command[0] == "journalctl":
            return 0, "sqlalchemy.exc.OperationalError: no database\n", ""
        if command[:3] == ["docker", "container", "inspect"]:
            return (0, json.dumps([self.container]), "") if self.container else (1, "[]", "No such container")
        if command[:3] == ["docker", "image", "inspect"]:
            image_id = self.images.get(command[-1])
            return (0, image_id + "\n", "") if image_id else (1, "", "No such image")
        if command[:2] == ["systemctl", "show"]:
            loaded = "loaded" if self.enabled or self.active != "inactive" else "not-found"
            return (
                0,
                (
                    f"LoadState={loaded}\nActiveState={self.active}\n"
                    f"UnitFileState={'enabled' if self.enabled else 'disabled'}\n"
                    f"NeedDaemonReload={'yes' if self.needs_reload else 'no'}\n"
                ),
                "",
            )
        self.commands.append(line)
        if command[:3] == ["docker", "image", "pull"]:
            if command[-1] not in self.pullable:
                return 1, "", "denied: no such repository"
            self.images[command[-1]] = "sha256:cc"
        elif command[:3] == ["docker", "container", "rm"]:
            self.container = None
        elif command[:2] == ["systemctl", "daemon-reload"] and not self.reloads:
            return 1, "", "Refusing to reload, not enough space available on /run/systemd."
        elif command[:2] == ["systemctl", "enable"]:
            self.enabled = True
        elif command[:2] == ["systemctl", "disable"]:
            self.enabled, self.active, self.container = False, "inactive", None
        elif command[:2] in (["systemctl", "start"], ["systemctl", "restart"]):
            if self.fails:
                return 1, "", "Job for airflow-x.service failed."
            if command[1] == "restart" or self.active != "active":
                label = self.label_file.read_text().rstrip("\n").split("=", 1)[1]
                self.active = "active"
                self.container = {
                    "State": {"Running": True},
                    "Image": self.images[compare.decode(label)["image"]],
                    "Config": {"Labels": {compare.SPEC_LABEL: label}},
                }
        return 0, "", ""


class Runner:
    """Runs the module on one host."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., Any]) -> None:
        self.tmp_path = tmp_path
        self.run_module = run_module
        self.host = Host(tmp_path / "etc")
        monkeypatch.setattr(
            AnsibleModule, "run_command", lambda _module, command, **options: self.host.run_command(command, **options)
        )
        original = systemd_container.UnitContainer.__init__

        def with_units_here(unit: Any, module: Any) -> None:
            original(unit, module)
            unit.unit_path = tmp_path / "units" / unit.unit_name

        monkeypatch.setattr(systemd_container.UnitContainer, "__init__", with_units_here)

    def __call__(self, state: str = "present", *, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        params: dict[str, Any] = {
            "name": "airflow-x",
            "state": state,
            "unit": "[Service]\n",
            "container": CONTAINER,
            "environment": ENVIRONMENT,
            "wait": True,
            "directory": str(self.tmp_path / "etc"),
            **changes,
        }
        self.host.commands.clear()
        result: dict[str, Any] = self.run_module(systemd_container, check_mode, **params)
        return result


@pytest.fixture(name="run")
def fixture_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., Any]) -> Runner:
    return Runner(tmp_path, monkeypatch, run_module)


def test_a_first_run_writes_enables_and_starts(run: Runner) -> None:
    result = run()
    assert result["changed"]
    assert [action.split()[0] for action in result["actions"]] == ["write", "write", "write", "enable", "start"]
    assert result["differences"] == []
    assert (run.tmp_path / "etc" / "airflow-x.env").read_text() == "A=1\n"
    assert (run.tmp_path / "etc" / "airflow-x.env").stat().st_mode & 0o777 == 0o640


def test_a_second_run_changes_nothing_and_runs_no_changing_command(run: Runner) -> None:
    run()
    result = run()
    assert not result["changed"]
    assert run.host.commands == []


def test_a_check_run_on_a_new_host_says_what_it_would_do_and_does_nothing(run: Runner) -> None:
    result = run(check_mode=True)
    assert result["changed"]
    assert run.host.commands == []
    assert not (run.tmp_path / "etc").exists()


def test_a_check_run_needs_no_docker_on_a_host_that_will_have_one(run: Runner) -> None:
    run.host.has_docker = False
    assert run(check_mode=True)["changed"]


def test_a_running_container_is_not_touched_and_the_result_says_in_what_it_differs(run: Runner) -> None:
    run()
    result = run(environment={"A": "2"})
    assert result["changed"]
    assert result["differences"] == [{"name": "environment.A", "current": "1", "desired": "2"}]
    assert run.host.commands == ["systemctl daemon-reload"]


def test_a_restart_makes_the_container_the_wanted_one_once(run: Runner) -> None:
    run()
    run(environment={"A": "2"})
    first = run("restarted")
    assert first["changed"]
    assert first["differences"] == [{"name": "environment.A", "current": "1", "desired": "2"}]
    second = run("restarted")
    assert not second["changed"]
    assert run.host.commands == []


def test_a_check_run_says_that_it_would_restart_and_why_and_restarts_nothing(run: Runner) -> None:
    run()
    assert not run("restarted", check_mode=True)["changed"]
    run(environment={"A": "2"})
    before = run.host.container
    result = run("restarted", check_mode=True)
    assert result["changed"]
    assert result["actions"] == ["restart"]
    assert result["differences"] == [{"name": "environment.A", "current": "1", "desired": "2"}]
    assert run.host.commands == []
    assert run.host.container is before


def test_an_interrupted_run_is_found_out_although_no_file_differs_any_more(run: Runner) -> None:
    run()
    run(environment={"A": "2"})  # the run ends here, before its handlers
    result = run(environment={"A": "2"})
    assert result["changed"]
    assert result["actions"] == []
    assert [item["name"] for item in result["differences"]] == ["environment.A"]


def test_a_unit_that_differs_in_words_only_is_written_and_nothing_is_restarted(run: Runner) -> None:
    run()
    assert run(unit="# why\n[Service]\n")["differences"] == []
    assert not run("restarted")["changed"]


def test_a_container_that_somebody_else_made_differs(run: Runner) -> None:
    run()
    assert run.host.container is not None
    run.host.container["Config"]["Labels"] = None
    assert {item["name"] for item in run()["differences"]} == {"image", "command", "environment"}


def test_a_tag_that_now_means_another_image_differs(run: Runner) -> None:
    run()
    run.host.images["airflow@sha256:1"] = "sha256:dd"
    assert run()["differences"] == [{"name": "image_id", "current": "sha256:aa", "desired": "sha256:dd"}]


def test_a_new_image_is_pulled_while_the_old_container_runs(run: Runner) -> None:
    run()
    run.host.pullable.add("airflow@sha256:3")
    new = {**CONTAINER, "image": "airflow@sha256:3"}
    assert run(container=new)["actions"][0] == "pull airflow@sha256:3"
    assert run.host.active == "active"
    assert run.host.commands == ["docker image pull --quiet airflow@sha256:3", "systemctl daemon-reload"]
    run("restarted")
    assert not run(container=new)["changed"]
    assert run.host.commands == []


def test_an_image_that_can_not_be_pulled_fails_before_anything_is_written(run: Runner) -> None:
    result = run(container={**CONTAINER, "image": "airflow@sha256:9"})
    assert result["failed"]
    assert "can't pull airflow@sha256:9: denied" in result["msg"]
    assert not (run.tmp_path / "etc").exists()


def test_a_stopped_unit_is_started_and_not_restarted_as_well(run: Runner) -> None:
    run()
    run.host.active, run.host.container = "failed", None
    result = run(environment={"A": "2"})
    assert result["actions"][-1] == "start"
    assert result["differences"] == []
    assert not run("restarted")["changed"]


def test_a_start_under_way_is_joined_and_is_no_change_of_ours(run: Runner) -> None:
    run()
    run.host.active = "activating"
    assert not run("started")["changed"]
    assert run.host.commands == ["systemctl start airflow-x.service"]


def test_without_waiting_the_start_is_only_asked_for(run: Runner) -> None:
    run(wait=False)
    assert run.host.commands[-1] == "systemctl start --no-block airflow-x.service"


def test_a_unit_that_is_still_starting_is_not_ready(run: Runner) -> None:
    assert run(wait=False)["ready"] is False
    assert run(wait=False)["ready"] is True
    run.host.active = "activating"
    result = run(wait=False)
    assert result["ready"] is False
    assert not result["changed"]


def test_a_unit_that_fails_is_reported_with_its_journal(run: Runner) -> None:
    run.host.fails = True
    result = run()
    assert result["failed"]
    assert "systemctl start airflow-x.service failed" in result["msg"]
    assert "OperationalError: no database" in result["msg"]


def test_a_restart_that_fails_is_reported_with_the_journal(run: Runner) -> None:
    run()
    run(environment={"A": "2"})
    run.host.fails = True
    result = run("restarted")
    assert result["failed"]
    assert "systemctl restart airflow-x.service failed: Job for airflow-x.service failed." in result["msg"]
    assert "OperationalError: no database" in result["msg"]
    assert result["actions"] == ["restart"]


def test_a_line_break_in_the_environment_is_refused_before_anything_is_written(run: Runner) -> None:
    result = run(environment={"PEM": "a\nb"})
    assert result["failed"]
    assert "airflow-x: the environment variable PEM" in result["msg"]
    assert not (run.tmp_path / "etc").exists()


def test_a_container_without_an_image_is_refused(run: Runner) -> None:
    assert "has no image" in run(container={"command": []})["msg"]


def test_removing_takes_unit_files_and_container_and_a_second_time_nothing(run: Runner) -> None:
    run()
    result = run("absent")
    assert result["changed"]
    assert run.host.container is None
    assert list((run.tmp_path / "etc").iterdir()) == []
    assert not run("absent")["changed"]


def test_a_unit_that_was_stopped_by_hand_is_started_once(run: Runner) -> None:
    run()
    run.host.active, run.host.container = "inactive", None
    assert run("started", check_mode=True)["actions"] == ["start"]
    assert run.host.commands == []
    assert run("started")["actions"] == ["start"]
    assert run.host.active == "active"
    assert not run("started")["changed"]


def test_a_check_run_pulls_and_removes_nothing(run: Runner) -> None:
    run()
    result = run(container={**CONTAINER, "image": "airflow@sha256:3"}, check_mode=True)
    assert "pull airflow@sha256:3" in result["actions"]
    assert run("absent", check_mode=True)["actions"][-1] == "remove the container"
    assert run.host.commands == []
    assert run.host.container is not None
    assert not run()["changed"]


def test_a_unit_that_systemd_has_read_before_it_was_written_is_read_again(run: Runner) -> None:
    run()
    run.host.needs_reload = True
    run()
    assert run.host.commands == ["systemctl daemon-reload"]


def test_a_systemd_that_can_not_read_units_is_said_with_the_journal(run: Runner) -> None:
    run.host.reloads = False
    message = run()["msg"]
    assert "systemctl daemon-reload failed: Refusing to reload" in message
    assert "OperationalError: no database" in message


def test_a_unit_that_nobody_wrote_but_whose_container_is_left_loses_it(run: Runner) -> None:
    run()
    run.host.enabled, run.host.active = False, "inactive"
    assert "disable and stop" not in run("absent")["actions"]
    assert run.host.container is None
