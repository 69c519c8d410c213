# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role reservations makes of its variables, without asking AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.buying import SPEC

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "reservations"
REPORT: dict[str, Any] = {
    "at": "2026-11-23T12:00:00+00:00",
    "closing": [],
    "rests": [],
    "paid": [],
    "services": [],
    "reservations": [],
}
PURCHASES: dict[str, Any] = {"items": [], "total": "918.04", "upfront": "0.00", "others": [], "owned": 4, "refused": []}
MISSING = {"service": "ec2", "type": "t4g.large", "product": "Linux/UNIX", "count": 4, "units": 16}
REST = {"service": "ec2", "type": "t4g.large", "product": "Linux/UNIX", "units": 3.0}


SHOWN, GATE = "__reservations_shown", "__reservations_missing"
OTHERS = "Others would take 8 of these 8 units of EC2."
REGIONS = {"eu-west-1": "USD", "us-gov-west-1": "USD", "cn-north-1": "CNY", "cn-northwest-1": "CNY"}


def case(variable: str, purchases: dict[str, Any] | None = None, **report: Any) -> tuple[str, dict[str, Any]]:
    """A variable of the role, and others that it is made of."""
    given = {"__reservations_purchases": {**PURCHASES, **(purchases or {})}}
    return variable, {**given, "__reservations_before": {**REPORT, **report}, "reservations_region": "eu-west-1"}


CASES = {
    **{region: ("reservations_currency", {"reservations_region": region}) for region in REGIONS},
    "alone": case(SHOWN, closing=[MISSING]),
    "beside others": case(SHOWN, {"others": [OTHERS]}, closing=[MISSING]),
    "nothing": case(SHOWN),
    "a rest": case(SHOWN, rests=[REST]),
    "a rest at the gate": case(GATE, rests=[REST]),
    "both at the gate": case(GATE, closing=[MISSING], rests=[REST]),
}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory, play: Callable[..., None]) -> dict[str, Any]:
    """What each case's variable is, from one play for all of them."""
    path = tmp_path_factory.mktemp("values")
    tasks = [
        {
            "name": name,
            "ansible.builtin.copy": {"content": f"{{{{ {variable} | to_json }}}}", "dest": str(path / name)},
            "vars": given,
        }
        for name, (variable, given) in CASES.items()
    ]
    play(path, tasks, [ROLE / "defaults" / "main.yml", ROLE / "vars" / "main.yml"])
    return {name: json.loads((path / name).read_text()) for name in CASES}


def test_the_currency_is_the_one_in_which_aws_sells_in_the_region(values: dict[str, Any]) -> None:
    assert {region: values[region] for region in REGIONS} == REGIONS


def test_what_is_to_be_typed_is_the_total_alone_where_nobody_competes(values: dict[str, Any]) -> None:
    assert "playbooks/reserve.yml -e reservations_total=918.04 (make reserve TOTAL=918.04)," in values["alone"][-1]


def test_what_is_to_be_typed_says_what_is_owned_where_others_take_a_part(values: dict[str, Any]) -> None:
    told, command = values["beside others"][-2:]
    assert told == OTHERS
    assert "-e reservations_total=918.04 -e reservations_owned=4 (make reserve TOTAL=918.04 OWNED=4)," in command


def test_nothing_missing_and_a_rest_are_told_apart(values: dict[str, Any]) -> None:
    assert values["nothing"] == ["No reservation is missing; nothing is to be bought."]
    assert values["a rest"][0] == "Nothing is to be bought."
    assert values["a rest"][1].startswith("3 units of EC2 stay open, less than one t4g.large,")


def test_the_gate_says_what_is_missing_only_where_something_is(values: dict[str, Any]) -> None:
    (line,) = values["a rest at the gate"]
    assert line.startswith("3 units of EC2 stay open")
    missing, rest = values["both at the gate"]
    assert missing.startswith("Missing: 4 x t4g.large (ec2, Linux/UNIX). `make reserve` (playbooks/reserve.yml)")
    assert rest == line


def test_each_purchase_says_all_that_was_confirmed() -> None:
    own: dict[str, set[str]] = {
        "freehold.airflow.ec2_reserved_instances": {"tenancy", "monthly_quota"},
        "freehold.airflow.rds_reserved_instances": {"multi_az"},
        "freehold.airflow.elasticache_reserved_nodes": set(),
    }
    # An interrupted order is settled by a task of its own; what is meant for others is in the count already.
    common = SPEC.keys() - {"state", "claimed"}
    said = []
    for task in yaml.safe_load((ROLE / "tasks" / "order.yml").read_text()):
        (module,) = own.keys() & task.keys()
        assert task[module].keys() == common | own.pop(module)
        said.append({name: task[module][name] for name in common})
    assert own == {}
    assert said[0] == said[1] == said[2]
