# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles' templates say, option by option: the fast judge of every line that decides how a host behaves.

The same options are looked at as systemd, docker and the programs themselves see them by the tests in molecule/.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = ("component", "webserver", "scheduler", "worker", "efs", "docker", "time", "valkey", "authorized_keys")
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
IMAGE = "registry.example/airflow@sha256:" + "0" * 64
GIVEN = {
    "component_image": IMAGE,
    "component_region": "eu-west-1",
    "component_secrets_prefix": "freehold/prod",
    "component_base_url": "https://airflow.example.com",
    "component_execution_api_url": "http://api-server.prod.internal:8080/execution/",
    "component_hostname": "prod-host-1.prod.internal",
    "component_host_memory_mib": 4000,
    "component_log_url": "s3://bucket/logs",
    "worker_name": "prod-host-1",
    "worker_host_memory_mib": 4000,
    "scheduler_worker_hosts": ["prod-worker-1", "prod-worker-2"],
    "efs_file_system": "fs-1.efs.eu-west-1.amazonaws.com",
    "docker_ecr_registries": ["1.dkr.ecr.eu-west-1.amazonaws.com/freehold-prod/airflow"],
    "valkey_name": "broker.prod.internal",
    "valkey_password_sha256": "a" * 64,
    "valkey_addresses": ["10.20.0.5"],
    "valkey_certificate": "a certificate\n",
    "time_fallback_servers": [],
}

Options = dict[str, list[str]]
Play = Callable[..., None]


class Rendered:
    """The files that the roles would write with some variables, and the values that stand behind them."""

    def __init__(self, path: Path, play: Play, **variables: Any) -> None:
        self.path = path
        values = [
            "__component_container",
            "__component_environment",
            "__component_command_argv",
            "component.probe",
        ]
        tasks: list[dict[str, Any]] = [
            self._write("{{ component.name }}.json", f"{{{{ [{', '.join(values)}] | to_json }}}}", components=True),
            self._write("efs.unit", "{{ __efs_unit }}"),
            self._write("docker.json", "{{ [__docker_daemon, __docker_client] | to_json }}"),
            self._write("sysctl.json", "{{ __component_sysctl_load | to_json }}"),
            self._write("{{ component.name }}.service", self._template("component/component.service"), components=True),
        ]
        for name in (
            "component/freehold-dags.service",
            "efs/efs.mount",
            "efs/tunnel.conf",
            "efs/tunnel.service.conf",
            "time/chrony.conf",
            "valkey/valkey.conf",
            "valkey/users.acl",
            "authorized_keys/authorized_keys",
        ):
            tasks.append(self._write(name.partition("/")[2], self._template(name)))
        files = [ROOT / "roles" / role / part / "main.yml" for role in ROLES for part in ("defaults", "vars")]
        play(path, tasks, files, **{**GIVEN, **variables})

    def _template(self, name: str) -> str:
        role, _slash, file = name.partition("/")
        return f"{{{{ lookup('ansible.builtin.template', '{ROOT}/roles/{role}/templates/{file}.j2') }}}}"

    def _write(self, name: str, content: str, components: bool = False) -> dict[str, Any]:
        task: dict[str, Any] = {
            "ansible.builtin.copy": {"dest": f"{self.path}/{name}", "content": content, "mode": "0600"},
        }
        if components:
            task["loop"] = "{{ __webserver_units + __scheduler_units + __worker_units }}"
            task["loop_control"] = {"loop_var": "component"}
        return task

    def text(self, name: str) -> str:
        """Return a file, without its comments."""
        lines = (self.path / name).read_text().splitlines()
        return "\n".join(line for line in lines if line.strip() and line.strip()[0] not in "#;")

    def unit(self, name: str) -> dict[str, Options]:
        """Return the options of a unit by section and name, in their order."""
        sections: dict[str, Options] = {}
        options: Options = {}
        for line in self.text(name).replace("\\\n", " ").splitlines():
            if line.startswith("["):
                options = sections.setdefault(line.strip("[]"), {})
            else:
                key, _equals, value = line.partition("=")
                options.setdefault(key, []).append(" ".join(value.split()))
        return sections

    def values(self, component: str) -> tuple[dict[str, Any], dict[str, str], list[str], list[str]]:
        """Return container, environment, the argv of a single command, and the probe of a component."""
        container, environment, argv, probe = json.loads((self.path / f"{component}.json").read_text())
        return container, environment, argv, probe

    def environment(self, component: str) -> dict[str, str]:
        """Return the environment of a component."""
        return self.values(component)[1]

    def settings(self, name: str) -> dict[str, list[str]]:
        """Return a file of lines ``name value``, by name."""
        found: dict[str, list[str]] = {}
        for line in self.text(name).splitlines():
            key, _space, value = line.partition(" ")
            found.setdefault(key, []).append(value)
        return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, play: Play) -> Rendered:
    """What the roles write with nothing but their wiring."""
    return Rendered(tmp_path_factory.mktemp("rendered"), play)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, play: Play) -> Rendered:
    """What the roles write with many variables changed."""
    return Rendered(
        tmp_path_factory.mktemp("changed"),
        play,
        component_dags_mount="",
        component_log_url="",
        component_ready_seconds=30,
        component_extra_environment={"EXTRA": "50 %", "AIRFLOW__CORE__LOAD_EXAMPLES": "True"},
        component_extra_mounts=["type=bind,source=/opt/more,target=/opt/more,readonly"],
        worker_stop_grace_seconds=90,
        worker_queues=["default", "large"],
        efs_path="/mnt/shared-dags",
        efs_tunnel_port=20050,
        time_server="192.0.2.1",
        time_fallback_servers=["192.0.2.2", "192.0.2.3"],
        valkey_memory_mib=64,
        valkey_addresses=["10.20.0.5", "10.20.0.6"],
        docker_ecr_registries=[],
        docker_log_driver="local",
        authorized_keys_public_keys=["ssh-ed25519 BBBB second", "ssh-ed25519 AAAA first"],
    )


# ---- the unit of a component --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_starts_after_what_it_needs_and_outlives_it(rendered: Rendered, name: str) -> None:
    unit = rendered.unit(f"{name}.service")["Unit"]
    assert unit["Wants"] == ["docker.service network-online.target"]
    assert unit["After"] == ["docker.service network-online.target time-sync.target"]
    assert unit["WantsMountsFor"] == ["/srv/freehold"]
    # A requirement that failed once would keep the unit down for good (docs/decisions/0003).
    assert not {"Requires", "RequiresMountsFor", "PartOf", "BindsTo", "Requisite"} & set(unit)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_tried_again_for_ever(rendered: Rendered, name: str) -> None:
    unit = rendered.unit(f"{name}.service")
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit["Service"]["Restart"] == ["always"]
    assert unit["Service"]["RestartSec"] == ["5"]
    assert unit["Install"] == {"WantedBy": ["multi-user.target"]}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_unit_says_what_it_is(rendered: Rendered, name: str) -> None:
    unit = rendered.unit(f"{name}.service")
    assert unit["Unit"]["Description"] == [f"Airflow {name}"]
    assert unit["Unit"]["Documentation"] == ["https://airflow.apache.org/docs/apache-airflow/stable/"]
    assert unit["Service"]["SyslogIdentifier"] == [f"airflow-{name}"]
    assert unit["Service"]["LogRateLimitIntervalSec"] == ["0"]
    # Docker's client looks for its settings, and so for the registry's helper, in its home.
    assert unit["Service"]["Environment"] == ["HOME=/root"]
    assert unit["Service"]["Type"] == ["exec"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_directories_a_container_writes_are_made_for_its_group(rendered: Rendered, name: str) -> None:
    service = rendered.unit(f"{name}.service")["Service"]
    assert service["LogsDirectory"] == [f"airflow/{name}"]
    assert service["LogsDirectoryMode"] == ["0775"]
    assert service["StateDirectory"] == ["airflow"]
    assert service["StateDirectoryMode"] == ["0775"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_starts_only_on_the_mounted_file_system(rendered: Rendered, name: str) -> None:
    before = rendered.unit(f"{name}.service")["Service"]["ExecStartPre"]
    assert before[0] == "/usr/bin/mountpoint --quiet /srv/freehold"
    assert len(before) == 2


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_container_is_made_as_described_and_the_unit_attaches_to_it(rendered: Rendered, name: str) -> None:
    service = rendered.unit(f"{name}.service")["Service"]
    container = rendered.values(name)[0]
    create = shlex.split(service["ExecStartPre"][1])
    assert create[:4] == [
        "/usr/local/libexec/freehold-container", "create", f"airflow-{name}", f"/etc/airflow/airflow-{name}.label",
    ]  # fmt: skip
    assert create[4] == f"--env-file=/etc/airflow/airflow-{name}.env"
    options = [item for item in create[5:] if item.startswith("--") and "=" in item]
    wanted = [
        f"--{option}={value}"
        for option, values in sorted(container["options"].items())
        for value in (values if isinstance(values, list) else [values])
    ]
    assert options[: len(wanted)] == wanted
    assert create[5 + len(wanted) :][:2] == [IMAGE, container["command"][0]]
    assert service["ExecStart"] == [f"/usr/bin/docker container start --attach airflow-{name}"]


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("api-server", "http://127.0.0.1:8080/api/v2/version"),
        ("scheduler", "http://127.0.0.1:8974/health"),
        ("dag-processor", "airflow jobs check --job-type DagProcessorJob --local"),
        ("triggerer", "airflow jobs check --job-type TriggererJob --local"),
    ],
)
def test_a_start_lasts_until_the_component_is_ready(rendered: Rendered, name: str, probe: str) -> None:
    service = rendered.unit(f"{name}.service")["Service"]
    assert service["ExecStartPost"] == [f"/usr/local/libexec/freehold-container await airflow-{name} 240 {probe}"]
    assert service["TimeoutStartSec"] == ["360"]


def test_a_worker_is_ready_when_it_answers_over_the_broker(rendered: Rendered) -> None:
    probe = rendered.values("worker")[3]
    assert probe[:2] == ["sh", "-c"]
    assert 'inspect ping --destination "celery@$HOSTNAME"' in probe[2]
    # systemd takes `$` for a variable of its own unless it is doubled.
    assert "celery@$$HOSTNAME" in rendered.unit("worker.service")["Service"]["ExecStartPost"][0]


@pytest.mark.parametrize(
    ("name", "grace"),
    [("api-server", 60), ("scheduler", 60), ("dag-processor", 60), ("triggerer", 60), ("worker", 3600)],
)
def test_a_component_has_its_whole_grace_to_stop(rendered: Rendered, name: str, grace: int) -> None:
    service = rendered.unit(f"{name}.service")["Service"]
    assert service["ExecStop"] == [f"/usr/bin/docker container stop --time={grace} airflow-{name}"]
    assert service["TimeoutStopSec"] == [str(grace + 30)]
    assert service["SuccessExitStatus"] == ["143"]


def test_what_is_set_otherwise_is_said_otherwise(changed: Rendered) -> None:
    unit = changed.unit("worker.service")
    # DAGs in the image: there is no mount to wait for.
    assert "WantsMountsFor" not in unit["Unit"]
    assert len(unit["Service"]["ExecStartPre"]) == 1
    assert unit["Service"]["ExecStop"] == ["/usr/bin/docker container stop --time=90 airflow-worker"]
    assert unit["Service"]["TimeoutStopSec"] == ["120"]
    assert " 30 sh -c " in unit["Service"]["ExecStartPost"][0]
    assert unit["Service"]["TimeoutStartSec"] == ["150"]
    assert changed.values("worker")[0]["command"][-1] == "default,large,prod-host-1"
    environment = changed.environment("worker")
    assert environment["EXTRA"] == "50 %"
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "True"
    assert not {name for name in environment if "REMOTE" in name}
    mounts = changed.values("worker")[0]["options"]["mount"]
    assert mounts[-1] == "type=bind,source=/opt/more,target=/opt/more,readonly"
    assert not [mount for mount in mounts if "/srv/freehold" in mount]
    # A command in a container of its own sees what its component sees.
    assert "--mount=type=bind,source=/opt/more,target=/opt/more,readonly" in changed.values("worker")[2]


# ---- the container ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_container_can_change_nothing_but_its_own_directories(rendered: Rendered, name: str) -> None:
    options = rendered.values(name)[0]["options"]
    assert options["read-only"] == "true"
    assert options["cap-drop"] == "ALL"
    assert options["security-opt"] == "no-new-privileges"
    assert options["user"] == "50000:0"
    assert options["mount"] == [
        "type=volume,destination=/tmp",
        "type=volume,destination=/opt/airflow",
        f"type=bind,source=/var/log/airflow/{name},destination=/opt/airflow/logs",
        "type=bind,source=/etc/freehold,destination=/etc/freehold,readonly",
        "type=bind,source=/var/lib/airflow,destination=/var/lib/airflow",
        "type=bind,source=/srv/freehold,destination=/srv/freehold,readonly",
    ]


@pytest.mark.parametrize(
    ("name", "mib", "processes"),
    [
        ("api-server", 2800, 1024),
        ("scheduler", 1600, 1024),
        ("dag-processor", 1600, 1024),
        ("triggerer", 1200, 1024),
        ("worker", 3400, 4096),
    ],
)
def test_a_container_is_limited_in_memory_and_processes(
    rendered: Rendered, name: str, mib: int, processes: int
) -> None:
    options = rendered.values(name)[0]["options"]
    assert options["memory"] == f"{mib}m"
    assert options["memory-swap"] == options["memory"]
    assert int(options["pids-limit"]) == processes


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_container_is_systemds_alone(rendered: Rendered, name: str) -> None:
    options = rendered.values(name)[0]["options"]
    assert (options["restart"], options["log-driver"], options["network"]) == ("no", "none", "host")
    assert options["hostname"] == "prod-host-1.prod.internal"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("api-server", ["api-server", "--proxy-headers"]),
        ("scheduler", ["scheduler"]),
        ("dag-processor", ["dag-processor"]),
        ("triggerer", ["triggerer"]),
        ("worker", ["celery", "worker", "--queues", "default,prod-host-1"]),
    ],
)
def test_each_component_runs_its_command(rendered: Rendered, name: str, command: list[str]) -> None:
    assert rendered.values(name)[0]["command"] == command


# ---- the environment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("api-server", {"sql_alchemy_conn", "fernet_key", "jwt_secret", "api_secret_key"}),
        ("scheduler", {"sql_alchemy_conn", "fernet_key", "jwt_secret", "broker_url", "result_backend"}),
        ("dag-processor", {"sql_alchemy_conn", "fernet_key"}),
        ("triggerer", {"sql_alchemy_conn", "fernet_key", "api_secret_key"}),
        ("worker", {"broker_url", "result_backend", "api_secret_key"}),
    ],
)
def test_a_component_asks_for_its_own_secrets_and_no_others(rendered: Rendered, name: str, secrets: set[str]) -> None:
    options = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET": "sql_alchemy_conn",
        "AIRFLOW__CORE__FERNET_KEY_SECRET": "fernet_key",
        "AIRFLOW__API_AUTH__JWT_SECRET_SECRET": "jwt_secret",
        "AIRFLOW__API__SECRET_KEY_SECRET": "api_secret_key",
        "AIRFLOW__CELERY__BROKER_URL_SECRET": "broker_url",
        "AIRFLOW__CELERY__RESULT_BACKEND_SECRET": "result_backend",
    }
    found = {key: value for key, value in rendered.environment(name).items() if key.endswith("_SECRET")}
    assert found == {option: secret for option, secret in options.items() if secret in secrets}


def test_only_a_worker_has_no_database_and_all_others_verify_theirs(rendered: Rendered) -> None:
    for name in COMPONENTS:
        environment = rendered.environment(name)
        if name == "worker":
            assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith(".invalid/none")
            assert not [key for key in environment if key.startswith("PG")]
        else:
            assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment
            assert environment["PGSSLMODE"] == "verify-full"
            assert environment["PGSSLROOTCERT"] == "/etc/freehold/rds-ca.pem"
            assert environment["PGCONNECT_TIMEOUT"] == "10"


COMMON = {
    "CONNECTION_CHECK_MAX_COUNT": "0",
    "DUMB_INIT_SETSID": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "XDG_CACHE_HOME": "/tmp/.cache",  # noqa: S108
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://api-server.prod.internal:8080/execution/",
    "AIRFLOW__API__BASE_URL": "https://airflow.example.com",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__SECRETS__BACKEND": "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
    "AIRFLOW__CELERY__OPERATION_TIMEOUT": "10",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": "/var/lib/airflow/bundles",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://bucket/logs",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "",
    "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "True",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__LOGGING__JSON_LOGS": "False",
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_what_all_components_are_told(rendered: Rendered, name: str) -> None:
    environment = rendered.environment(name)
    assert {key: environment.get(key) for key in COMMON} == COMMON


@pytest.mark.parametrize("name", COMPONENTS)
def test_an_outage_of_180_seconds_kills_no_task(rendered: Rendered, name: str) -> None:
    told = rendered.environment(name)
    heartbeats = int(told["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"]) * 5
    attempts = int(told["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"])
    pause = int(told["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX"])
    # 1 + 2 + 4 + 8, and then the longest pause each time, of which jitter may take half.
    assert heartbeats >= 180
    assert 15 + (attempts - 5) * pause / 2 >= 180
    assert pause <= 15
    assert int(told["AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT"]) == 15
    assert int(told["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) >= 180


@pytest.mark.parametrize("name", COMPONENTS)
def test_secrets_and_dags_are_found_where_they_are(rendered: Rendered, name: str) -> None:
    environment = rendered.environment(name)
    assert json.loads(environment["AIRFLOW__SECRETS__BACKEND_KWARGS"]) == {
        "config_prefix": "freehold/prod/config",
        "connections_prefix": "freehold/prod/connections",
        "variables_prefix": "freehold/prod/variables",
        "connections_lookup_pattern": "^(?!aws_default$).*$",
    }
    bundles = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundles == [
        {
            "name": "dags",
            "classpath": "freehold_airflow.bundle.ReleaseBundle",
            "kwargs": {"source": "/srv/freehold/dags", "view_url_template": None},
        },
        {"name": "freehold", "classpath": "freehold_airflow.bundle.OwnBundle", "kwargs": {}},
    ]


OWN = {
    "api-server": {
        "AIRFLOW__API__HOST": "0.0.0.0",  # noqa: S104
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__API__WORKERS": "1",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    },
    "scheduler": {
        "AIRFLOW__CORE__PARALLELISM": "32",
        # Ten minutes, in attempts of ten seconds.
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps(
            {
                "task_publish_retry_policy": {
                    "max_retries": None,
                    "interval_start": 0,
                    "interval_step": 0.5,
                    "interval_max": 2,
                }
            }
        ),
        "AIRFLOW__CELERY__TASK_PUBLISH_MAX_RETRIES": "60",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": "8974",
    },
    "dag-processor": {
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "5",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__LOGGING__DAG_PROCESSOR_LOG_TARGET": "stdout",
        "FREEHOLD_WORKER_HOSTS": "prod-worker-1,prod-worker-2",
    },
    "triggerer": {},
    # (4000 - 512) / 400 MiB
    "worker": {"AIRFLOW__CELERY__WORKER_CONCURRENCY": "8", "FREEHOLD_WORKER_HOSTS": "prod-host-1"},
}


@pytest.mark.parametrize("name", [name for name in COMPONENTS if OWN[name]])
def test_what_one_component_is_told(rendered: Rendered, name: str) -> None:
    environment = rendered.environment(name)
    assert {key: environment.get(key) for key in OWN[name]} == OWN[name]


def test_nothing_else_is_told(rendered: Rendered) -> None:
    """A variable without a test here is one that nobody would miss."""
    outage = {
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
    }
    elsewhere = {"AIRFLOW__SECRETS__BACKEND_KWARGS", "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"}
    for name in COMPONENTS:
        left = set(rendered.environment(name)) - set(COMMON) - set(OWN[name]) - outage - elsewhere
        left -= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "PGSSLMODE", "PGSSLROOTCERT", "PGCONNECT_TIMEOUT"}
        assert not {key for key in left if not key.endswith("_SECRET")}


def test_a_single_command_runs_as_confined_as_a_component(rendered: Rendered) -> None:
    argv = rendered.values("dag-processor")[2]
    assert argv[:3] == ["docker", "container", "run"]
    assert {
        "--rm", "--network=host", "--user=50000:0", "--cap-drop=ALL", "--security-opt=no-new-privileges",
        "--log-driver=none", "--hostname=prod-host-1.prod.internal",
        "--mount=type=bind,source=/etc/freehold,destination=/etc/freehold,readonly",
        "--env=AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET=sql_alchemy_conn",
        # Of users' code that grows without end, the kernel kills this container and not the scheduler beside it.
        "--memory=1600m", "--memory-swap=1600m", "--pids-limit=1024",
    } <= set(argv)  # fmt: skip
    options = rendered.values("dag-processor")[0]["options"]
    for name in ("memory", "memory-swap", "pids-limit"):
        assert f"--{name}={options[name]}" in argv
    assert argv[-2:] == [IMAGE, "dag-processor"]


# ---- releases -----------------------------------------------------------------------------------------------


def test_releases_are_fetched_by_a_unit_that_can_change_nothing(rendered: Rendered) -> None:
    unit = rendered.unit("freehold-dags.service")
    assert unit["Unit"] == {
        "Description": ["Fetch releases of DAGs when they are published"],
        "Wants": ["docker.service"],
        "After": ["docker.service"],
        "WantsMountsFor": ["/srv/freehold"],
    }
    assert unit["Service"] == {
        "ExecStart": ["/usr/local/libexec/freehold-dags /srv/freehold/dags /var/lib/airflow/bundles/dags 10"],
        "Restart": ["always"],
        "RestartSec": ["10"],
        "NoNewPrivileges": ["true"],
        "ProtectSystem": ["strict"],
        "ProtectHome": ["true"],
        "PrivateTmp": ["true"],
    }
    assert unit["Install"] == {"WantedBy": ["multi-user.target"]}


@pytest.mark.parametrize(
    ("written", "restarted"),
    [
        ("/usr/local/libexec/freehold-dags", True),
        ("/etc/systemd/system/freehold-dags.service", True),
        ("/etc/sysctl.d/60-airflow-network.conf", False),
    ],
)
def test_what_fetches_releases_is_started_anew_when_it_was_written(
    tmp_path: Path, play: Play, written: str, restarted: bool
) -> None:
    decision = {"dest": f"{tmp_path}/decision", "content": "{{ __component_follow_written | bool }}", "mode": "0600"}
    files = [ROOT / "roles/component/vars/main.yml"]
    play(tmp_path, [{"ansible.builtin.copy": decision}], files, __component_host_files={"written": [written]})
    assert (tmp_path / "decision").read_text() == str(restarted)


# ---- what units share ---------------------------------------------------------------------------------------


def test_a_vanished_database_is_noticed_within_half_a_minute(rendered: Rendered) -> None:
    lines = (ROOT / "roles/component/files/airflow-network.conf").read_text().splitlines()
    settings = dict(line.split(" = ") for line in lines if not line.startswith("#"))
    assert settings == {
        "net.ipv4.tcp_keepalive_time": "30",
        "net.ipv4.tcp_keepalive_intvl": "5",
        "net.ipv4.tcp_keepalive_probes": "3",
        "net.ipv4.tcp_retries2": "6",
    }
    # What is given back when the last component goes.
    variables = yaml.safe_load((ROOT / "roles/component/vars/main.yml").read_text())
    assert set(variables["__component_kernel_defaults"]) == set(settings)
    # Loaded as a boot does it, and no other setting of the host with them.
    program, *prefixes = json.loads((rendered.path / "sysctl.json").read_text())
    assert program == "/usr/lib/systemd/systemd-sysctl"
    assert sorted(prefixes) == sorted(f"--prefix={name}" for name in settings)


def test_logs_that_were_never_fetched_are_removed_after_two_weeks() -> None:
    lines = (ROOT / "roles/component/files/airflow-logs.conf").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["e /var/log/airflow/* - - - 14d"]


# ---- who may log in -----------------------------------------------------------------------------------------


def test_keys_run_commands_and_are_forwarded_and_open_nothing_else(changed: Rendered) -> None:
    assert changed.text("authorized_keys").splitlines() == [
        "restrict,port-forwarding ssh-ed25519 AAAA first",
        "restrict,port-forwarding ssh-ed25519 BBBB second",
    ]


def test_nobody_else_logs_in_where_no_key_is_given(rendered: Rendered) -> None:
    assert rendered.text("authorized_keys") == ""


# ---- the shared file system ---------------------------------------------------------------------------------


def test_the_mount_needs_its_tunnel_and_nothing_needs_the_mount(rendered: Rendered) -> None:
    unit = rendered.unit("efs.mount")
    assert unit["Unit"] == {
        "Description": ["Shared file system fs-1.efs.eu-west-1.amazonaws.com"],
        "Documentation": ["https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-nfs-mount-settings.html"],
        "Requires": ["stunnel@efs.service"],
        "Wants": ["network-online.target"],
        "After": ["network-online.target stunnel@efs.service"],
        "Before": ["remote-fs.target"],
    }
    # Wanted at boot, required by nobody: a host whose file system is away still boots.
    assert unit["Install"] == {"WantedBy": ["multi-user.target remote-fs.target"]}


def test_the_mount_has_the_options_that_aws_recommends(rendered: Rendered) -> None:
    mount = rendered.unit("efs.mount")["Mount"]
    assert mount["What"] == ["127.0.0.1:/"]
    assert mount["Where"] == ["/srv/freehold"]
    assert mount["Type"] == ["nfs4"]
    assert mount["TimeoutSec"] == ["60"]
    assert mount["Options"] == [
        "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,_netdev,port=20049"
    ]


def test_another_place_for_the_mount(changed: Rendered) -> None:
    mount = changed.unit("efs.mount")["Mount"]
    assert mount["Where"] == ["/mnt/shared-dags"]
    # systemd refuses a mount whose unit is called otherwise; systemd.mount(5).
    assert changed.text("efs.unit") == r"mnt-shared\x2ddags.mount"
    assert mount["Options"][0].endswith(",port=20050")
    assert "accept = 127.0.0.1:20050" in changed.text("tunnel.conf")


def test_the_tunnel_verifies_whom_it_speaks_with(rendered: Rendered) -> None:
    lines = [line.strip() for line in rendered.text("tunnel.conf").splitlines()]
    assert lines == [
        "foreground = yes",
        "syslog = no",
        "socket = l:SO_REUSEADDR=yes",
        "[efs]",
        "client = yes",
        "accept = 127.0.0.1:20049",
        "connect = fs-1.efs.eu-west-1.amazonaws.com:2049",
        "delay = yes",
        "sslVersionMin = TLSv1.2",
        "CAfile = /etc/ssl/certs/ca-certificates.crt",
        "verifyChain = yes",
        "checkHost = fs-1.efs.eu-west-1.amazonaws.com",
        "socket = r:SO_KEEPALIVE=yes",
        "socket = r:TCP_KEEPIDLE=30",
        "socket = r:TCP_KEEPINTVL=10",
        "socket = r:TCP_KEEPCNT=3",
        "TIMEOUTbusy = 20",
        "TIMEOUTclose = 0",
        "TIMEOUTidle = 86400",
    ]


def test_the_tunnel_never_stops_trying(rendered: Rendered) -> None:
    assert rendered.unit("tunnel.service.conf") == {
        "Unit": {
            "Wants": ["network-online.target"],
            "After": ["network-online.target"],
            "StartLimitIntervalSec": ["0"],
        },
        "Service": {"Restart": ["always"], "RestartSec": ["2"]},
    }


# ---- docker -------------------------------------------------------------------------------------------------


def test_the_engine_is_told_to_let_containers_live_and_to_confine_them(rendered: Rendered) -> None:
    daemon, client = json.loads((rendered.path / "docker.json").read_text())
    assert daemon == {
        "live-restore": True,
        "log-driver": "journald",
        "userland-proxy": False,
        "icc": False,
        "no-new-privileges": True,
    }
    assert client == {"credHelpers": {"1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login"}}


def test_an_engine_without_registries_has_no_helper(changed: Rendered) -> None:
    daemon, client = json.loads((changed.path / "docker.json").read_text())
    assert daemon["log-driver"] == "local"
    assert client == {"credHelpers": {}}


# ---- the clock ----------------------------------------------------------------------------------------------


def test_the_clock_follows_amazons_and_serves_nobody(rendered: Rendered) -> None:
    assert rendered.settings("chrony.conf") == {
        "server": ["169.254.169.123 prefer iburst minpoll 4 maxpoll 4"],
        "driftfile": ["/var/lib/chrony/chrony.drift"],
        "ntsdumpdir": ["/var/lib/chrony"],
        "makestep": ["1 3"],
        "maxupdateskew": ["100.0"],
        "rtcsync": [""],
        "port": ["0"],
        "cmdport": ["0"],
    }


def test_the_clock_of_the_machine_below_is_left_alone() -> None:
    (task, *_others) = yaml.safe_load((ROOT / "roles/time/tasks/configure.yml").read_text())
    (unit,) = [file for file in task["freehold.airflow.file_set"]["files"] if file["path"].endswith("/freehold.conf")]
    assert unit["path"] == "/etc/systemd/system/chrony.service.d/freehold.conf"
    assert unit["content"] == "[Unit]\nConditionVirtualization=!container\n"


def test_other_clocks_are_asked_besides(changed: Rendered) -> None:
    assert changed.settings("chrony.conf")["server"] == [
        "192.0.2.1 prefer iburst minpoll 4 maxpoll 4",
        "192.0.2.2 iburst",
        "192.0.2.3 iburst",
    ]


# ---- the broker ---------------------------------------------------------------------------------------------


def test_the_broker_speaks_tls_alone_and_forgets_nothing(rendered: Rendered) -> None:
    assert rendered.settings("valkey.conf") == {
        "port": ["0"],
        "tls-port": ["6379"],
        "bind": ["127.0.0.1 10.20.0.5"],
        "tls-cert-file": ["/etc/valkey/server.pem"],
        "tls-key-file": ["/etc/valkey/server.key"],
        "tls-auth-clients": ["no"],
        "tls-protocols": ['"TLSv1.2 TLSv1.3"'],
        "tcp-keepalive": ["60"],
        "timeout": ["0"],
        "aclfile": ["/etc/valkey/users.acl"],
        "maxmemory": ["256mb"],
        "maxmemory-policy": ["noeviction"],
        "appendonly": ["yes"],
        "appendfsync": ["everysec"],
        "save": ['""'],
        "dir": ["/var/lib/valkey"],
        "logfile": ['""'],
        "supervised": ["systemd"],
        "daemonize": ["no"],
    }


def test_another_certificate_of_the_broker_is_another_file_of_settings(rendered: Rendered) -> None:
    certificate = hashlib.sha256(b"a certificate\n").hexdigest()
    assert certificate in (rendered.path / "valkey.conf").read_text()


def test_the_brokers_only_user_administrates_nothing(rendered: Rendered) -> None:
    words = rendered.text("users.acl").split()
    assert words == [
        "user", "default", "on", "#" + "a" * 64, "~*", "&*",
        "+@all", "-@admin", "-flushall", "-flushdb", "-swapdb", "-keys", "+info",
    ]  # fmt: skip


def test_another_size_and_more_addresses_for_the_broker(changed: Rendered) -> None:
    settings = changed.settings("valkey.conf")
    assert settings["maxmemory"] == ["64mb"]
    assert settings["bind"] == ["127.0.0.1 10.20.0.5 10.20.0.6"]
