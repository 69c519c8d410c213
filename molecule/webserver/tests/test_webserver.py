# SPDX-License-Identifier: GPL-3.0-or-later
"""The api-server: it answers on every address of its host, for its health does not need the database."""

from __future__ import annotations

import json
from typing import Any

UNITS = ("airflow-api-server.service",)


def test_it_answers_on_every_address(machine: Any) -> None:
    machine.until("the api-server is ready", lambda: machine.is_active(UNITS[0]), 240)
    assert {address for address in machine.listening() if address.endswith(":8080")} == {"0.0.0.0:8080"}
    assert "version" in json.loads(machine.run("curl --silent --fail http://127.0.0.1:8080/api/v2/version"))


def test_its_health_is_the_databases_too(machine: Any) -> None:
    health = json.loads(machine.run("curl --silent --fail http://127.0.0.1:8080/api/v2/monitor/health"))
    assert health["metadatabase"]["status"] == "healthy"


def test_nobody_gets_in_without_a_token(machine: Any) -> None:
    code = "curl --silent --output /dev/null --write-out '%%{http_code}' http://127.0.0.1:8080/api/v2/dags"
    assert machine.host.run(code.replace("%%", "%")).stdout == "401"


def test_it_has_no_word_about_the_broker(machine: Any) -> None:
    environment = machine.run("docker container inspect --format '{{json .Config.Env}}' airflow-api-server")
    assert "CELERY__BROKER_URL" not in environment


def test_it_stops_within_its_grace(machine: Any) -> None:
    machine.run("systemctl stop airflow-api-server.service")
    unit = machine.unit(UNITS[0], "ActiveState", "Result")
    assert unit == {"ActiveState": "inactive", "Result": "success"}
    machine.run("systemctl start airflow-api-server.service")
