# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of each host role's README, from the installed collection: it works as it stands there, and again.

After that one variable or another is changed, and what the change says is in effect when the run ends: the host is
not rebooted here. Only what names somebody else's own things is given other names. The roles of the controller have
the same test without hosts, in tests/integration/provisioning/test_readmes.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from components import container, running

from tests.installed import ROOT, build, examples, install, run

UNITS = (
    "airflow-api-server.service", "airflow-scheduler.service", "airflow-worker.service", "valkey-server.service",
    "stunnel@efs.service", "srv-freehold.mount",
)  # fmt: skip
# In this order, because each stands on some before it. The examples of one entry are one playbook: what the broker
# makes is known to that run alone.
STEPS = [
    *(("time",), ("docker",), ("valkey", "trust"), ("efs",), ("authorized_keys",), ("image",), ("migrate",)),
    *(("webserver",), ("scheduler",), ("worker",), ("dags",), ("verification",)),
]
# The image is there; what others would change is known only with what a run has found.
NOTHING_ON_A_CHECK_RUN = {"image", "migrate", "dags", "verification"}


class User:
    """Somebody with an empty directory, the archive of the collection, and an inventory of their own."""

    def __init__(self, folder: Path, machine: Any, aws: Callable[[str], Any], account: dict[str, str]) -> None:
        self.folder = folder
        self.names = self._names(aws)
        # Nothing of this checkout.
        self.environment = account
        self.collection = install(build(folder / "archive"), folder)
        images = ["docker", "images", "--quiet", "--no-trunc", "freehold-lab/airflow-base:latest"]
        base = subprocess.run(images, check=True, capture_output=True, text=True).stdout.strip()
        (folder / "hosts.yml").write_text(f"""
all:
  vars:
    ansible_user: admin
    ansible_ssh_common_args: -F {machine.way}
    # As group_vars/env_lab: the lab's authority is on the hosts and in no list that Python brings along.
    component_extra_environment: {{AWS_CA_BUNDLE: /etc/ssl/certs/ca-certificates.crt}}
    component_extra_mounts: ["type=bind,source=/etc/ssl/certs,target=/etc/ssl/certs,readonly"]
    component_host_memory_mib: 4096
    image_base: {base}
    image_build_network: host
    image_push_registry: 127.0.0.1:4567
  hosts:
    {machine.name}:
  children:
    webserver: {{hosts: {{{machine.name}: }}}}
    scheduler: {{hosts: {{{machine.name}: }}}}
    worker: {{hosts: {{{machine.name}: }}}}
""")
        dags = folder / "dags"
        dags.mkdir()
        (dags / "hello.py").write_text(
            "from airflow.sdk import dag, task\n\n\n"
            "@dag(schedule=None)\ndef hello():\n    task(lambda: None, task_id='nothing')()\n\n\nhello()\n"
        )
        git = ["git", "-c", "user.name=User", "-c", "user.email=user@example.com", "-C", str(folder)]
        for command in (["init", "--quiet"], ["add", "dags"], ["commit", "--quiet", "--message", "One DAG"]):
            subprocess.run([*git, *command], check=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ci")], check=True)

    @staticmethod
    def _names(aws: Callable[[str], Any]) -> dict[str, str]:
        """What is somebody else's in the READMEs, and what stands for it here."""
        [repository] = [
            one for one in aws("ecr").describe_repositories()["repositories"] if "molecule" in one["repositoryName"]
        ]
        images = aws("ecr").describe_images(repositoryName=repository["repositoryName"])["imageDetails"]
        image = max(images, key=lambda one: one["imagePushedAt"])
        [files] = [
            one["FileSystemId"]
            for one in aws("efs").describe_file_systems()["FileSystems"]
            if {"Key": "freehold:environment", "Value": "molecule"} in one["Tags"]
        ]
        uri = repository["repositoryUri"]
        return {
            rf"111122223333\.dkr\S+@sha256:{'0123456789abcdef' * 4}": f"{uri}@{image['imageDigest']}",
            r"111122223333\.dkr\.ecr\.eu-west-1\.amazonaws\.com": uri.partition("/")[0],
            r"fs-0123\.": f"{files}.",
            r"freehold/prod\b": "freehold/molecule",
            r"prod\.internal": "molecule.internal",
            r"environment_name: prod": "environment_name: molecule",
        }

    def example(self, role: str, section: str = "Example") -> str:
        """Return the playbook in a section of an installed role's README, with this account's names in it."""
        readme = self.collection / "roles" / role / "README.md"
        text = "".join(examples(readme, section)).replace("/home/you/dags", str(self.folder))
        for theirs, ours in self.names.items():
            text = re.sub(theirs, ours, text)
        assert "prod" not in text and "111122223333" not in text
        return text

    def play(self, *roles: str, check: bool = False, refused: bool = False, text: str = "", **changed: Any) -> str:
        """Run the examples of some roles, or the text given, with some variables changed, and return what is said.

        Fail when that ends badly, or well where it is to be refused.
        """
        book = self.folder / f"{roles[0]}.yml"
        book.write_text(text or "".join(self.example(role) for role in roles))
        options = ["--extra-vars", json.dumps(changed), *(["--check"] if check else [])]
        done = run(self.folder, "ansible-playbook", "-i", "hosts.yml", *options, book.name, **self.environment)
        assert (done.returncode != 0) is refused, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def user(
    machine: Any, aws: Callable[[str], Any], account: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> User:
    """The user, whose work goes on from test to test."""
    return User(tmp_path_factory.mktemp("user"), machine, aws, account)


def test_a_check_run_tells_what_would_come_where_nothing_is_yet(machine: Any, user: User) -> None:
    bare = "test ! -e /etc/docker -a ! -e /etc/airflow || { echo 'not bare: `molecule destroy -s readmes`'; false; }"
    machine.run(bare)
    state = "dpkg-query --show; find /etc /usr/local /srv -printf '%p %m %u %T@\\n' | sort"
    before = machine.run(state).splitlines()
    for roles in STEPS:
        if not NOTHING_ON_A_CHECK_RUN.intersection(roles):
            told = user.play(*roles, check=True)
            [changed] = re.findall(r"changed=(\d+)", told)
            assert int(changed), told
    assert sorted(set(machine.run(state).splitlines()) ^ set(before)) == []


@pytest.mark.parametrize("roles", STEPS, ids="+".join)
def test_the_example_of_a_readme_works_and_changes_nothing_the_second_time(user: User, roles: tuple[str, ...]) -> None:
    user.play(*roles)
    again = user.play(*roles)
    if roles != ("verification",):  # which runs a DAG each time
        assert re.findall(r"changed=(\d+)", again) == ["0"]


def test_a_first_run_is_in_effect_when_it_ends(machine: Any, user: User) -> None:
    assert machine.run("sysctl --values net.ipv4.tcp_keepalive_time") == "30"
    assert "max 1G" in journal_sizes(machine)
    way = re.sub("IdentityFile .*", f"IdentityFile {user.folder}/ci", machine.way.read_text())
    (user.folder / "ssh_config").write_text(way)
    login = ["ssh", "-F", user.folder / "ssh_config", "-o", "BatchMode=yes", machine.name, "id", "--user", "--name"]
    done = subprocess.run(login, capture_output=True, text=True)
    assert done.stdout.strip() == "admin", done.stderr


def test_changed_settings_of_docker_are_in_effect_and_stop_no_container(machine: Any, user: User) -> None:
    before, engine = running(machine, "worker"), machine.unit("docker.service", "MainPID")
    # It is installed again in the same run; that the engine itself ran already must be seen nevertheless.
    machine.run("dpkg --remove amazon-ecr-credential-helper")
    user.play("docker", docker_journal_mib=512, docker_daemon_extra={"labels": ["changed=yes"]})
    assert machine.unit("docker.service", "MainPID") != engine
    assert machine.run("docker info --format %s", "{{json .Labels}}") == '["changed=yes"]'
    assert "max 512M" in journal_sizes(machine).splitlines()[-1]
    assert running(machine, "worker") == before


def test_settings_that_docker_does_not_know_are_refused_and_never_get_there(machine: Any, user: User) -> None:
    before = machine.run("cat /etc/docker/daemon.json")
    assert "no-such-setting" in user.play("docker", refused=True, docker_daemon_extra={"no-such-setting": True})
    assert machine.run("cat /etc/docker/daemon.json") == before


def test_a_changed_setting_restarts_the_component_that_has_it_and_no_other(machine: Any, user: User) -> None:
    before = {name: running(machine, name) for name in ("dag-processor", "triggerer", "worker")}
    user.play("scheduler", scheduler_parallelism=31)
    assert "AIRFLOW__CORE__PARALLELISM=31" in container(machine, "scheduler")["Config"]["Env"]
    assert machine.is_active("airflow-scheduler.service")
    assert {name: running(machine, name) for name in before} == before


def test_a_changed_tunnel_is_what_the_file_system_is_mounted_through(machine: Any, user: User) -> None:
    mounted = "journalctl --boot --unit=srv-freehold.mount --grep '^Mounting ' --output=cat"
    before = machine.run(mounted).splitlines()
    user.play("efs", efs_tunnel_port=20050)
    ports = {address.rpartition(":")[2] for address in machine.listening()}
    assert "20050" in ports and "20049" not in ports
    assert machine.unit("srv-freehold.mount", "NeedDaemonReload") == {"NeedDaemonReload": "no"}
    # Once: a second time would kill the first where that is slow.
    assert len(machine.run(mounted).splitlines()) == len(before) + 1
    assert machine.run("ls /srv/freehold/dags")


def test_a_broker_has_its_changed_settings_and_shows_the_certificate_that_is_pinned(machine: Any, user: User) -> None:
    before = machine.unit("valkey-server.service", "MainPID")
    user.play("valkey", valkey_memory_mib=300)
    assert machine.unit("valkey-server.service", "MainPID") != before
    user.play("valkey", "trust", valkey_name="other.molecule.internal", valkey_memory_mib=300)
    shown = "openssl s_client -connect 127.0.0.1:6379 </dev/null 2>/dev/null | openssl x509"
    assert "DNS:other.molecule.internal" in machine.run(f"{shown} -noout -ext subjectAltName")
    assert machine.run(shown) == machine.run("openssl x509 -in /etc/freehold/broker-ca.pem")


def test_a_wrong_name_of_the_file_system_is_forgotten_by_the_run_that_has_the_right_one(
    machine: Any, user: User
) -> None:
    user.play("efs", refused=True, efs_file_system="fs-0.efs.eu-west-1.amazonaws.com")
    user.play("efs")
    assert machine.run("ls /srv/freehold/dags")


@pytest.mark.parametrize(
    ("roles", "file", "unit"),
    [
        (("docker",), "/etc/docker/daemon.json", "docker.service"),
        (("valkey", "trust"), "/etc/valkey/valkey.conf", "valkey-server.service"),
        (("efs",), "/etc/stunnel/efs.conf", "stunnel@efs.service"),
        (("authorized_keys",), "/etc/ssh/sshd_config.d/freehold.conf", "ssh.service"),
    ],
)
def test_settings_that_an_interrupted_run_has_only_written_take_effect_with_the_next(
    machine: Any, user: User, roles: tuple[str, ...], file: str, unit: str
) -> None:
    user.play(*roles)
    before = machine.unit(unit, "StateChangeTimestampMonotonic")
    machine.run("touch %s", file)
    user.play(*roles)
    assert machine.unit(unit, "StateChangeTimestampMonotonic") != before
    assert re.findall(r"changed=(\d+)", user.play(*roles)) == ["0"]


def test_several_duties_in_one_play_have_what_they_share(machine: Any, user: User) -> None:
    machine.run("rm /etc/sysctl.d/60-airflow-network.conf; sysctl --quiet --write net.ipv4.tcp_retries2=15")
    machine.run("echo >> /usr/local/libexec/freehold-dags")
    fetcher = machine.unit("freehold-dags.service", "MainPID")
    both = user.example("worker").replace("roles:", "roles:\n    - role: freehold.airflow.scheduler")
    user.play("worker", text=both, scheduler_parallelism=31)
    assert machine.run("sysctl --values net.ipv4.tcp_retries2") == "6"
    assert machine.unit("freehold-dags.service", "MainPID") != fetcher


def test_what_duties_share_stays_while_one_of_them_does(machine: Any, user: User) -> None:
    user.play("worker", text=user.example("worker", "Removal"))
    assert not machine.host.run("systemctl cat airflow-worker.service").stdout
    assert machine.is_active("freehold-dags.service")
    machine.run("systemctl restart airflow-triggerer.service")
    assert machine.run("sysctl --values net.ipv4.tcp_retries2") == "6"


def test_what_the_host_itself_says_of_the_kernel_counts_before_and_after_components(machine: Any, user: User) -> None:
    own = "/etc/sysctl.d/99-own.conf"
    probes = "sysctl --values net.ipv4.tcp_keepalive_probes"
    machine.run(f"echo net.ipv4.tcp_keepalive_probes=4 >{own}")
    user.play("worker")
    assert machine.run(probes) == "4"
    for role in ("worker", "scheduler", "webserver"):
        user.play(role, text=user.example(role, "Removal"))
    assert machine.run(probes) == "4"
    assert machine.run("sysctl --values net.ipv4.tcp_retries2") == "15"


@pytest.mark.parametrize("role", ["worker", "scheduler", "webserver", "efs", "valkey"])
def test_what_a_readme_takes_away_is_gone_and_a_second_run_changes_nothing(user: User, role: str) -> None:
    user.play(role, text=user.example(role, "Removal"))
    again = user.play(role, text=user.example(role, "Removal"))
    assert re.findall(r"changed=(\d+)", again) == ["0"]


def test_where_all_was_taken_away_nothing_but_ssh_can_be_reached(machine: Any) -> None:
    assert machine.exposed() == {"0.0.0.0:22", "[::]:22"}


def journal_sizes(machine: Any) -> str:
    """What the journal has said, since the boot and each time it began, that it holds itself to."""
    said = "journalctl --boot --unit=systemd-journald.service --grep 'System Journal' --output=cat"
    return str(machine.run(said))


def test_no_role_of_the_hosts_is_left_out() -> None:
    ours = {role for step in STEPS for role in step}
    controllers = {
        *("access", "broker", "certificate", "ci_access", "database", "dns", "environment", "filesystem", "hosts"),
        *("identity", "load_balancer", "log_bucket", "network", "registry", "secrets", "teardown"),
    }
    # The one refuses direct use, the other is a playbook: make plan.
    internal = {"component", "reservations"}
    assert {path.name for path in (ROOT / "roles").iterdir()} == ours | controllers | internal
