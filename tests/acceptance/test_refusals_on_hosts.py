# SPDX-License-Identifier: GPL-3.0-or-later
"""A host or a database that can't be used ends the run in one sentence that names a variable, and nothing is changed.

Every fixture takes something away from the running environment and gives it back, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from .conftest import ENDPOINT, Run, Site, lab_session, machines, run, until

UBUNTU = r"""NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04.2 LTS"\n"""
# What was connected before would still answer: this run makes connections of its own, and few tries of few seconds.
IMPATIENT = [
    "-e",
    "ansible_ssh_args='-o ControlMaster=no -o ControlPath=none'",
    "-e",
    "ansible_ssh_timeout=10",
    "-e",
    "ansible_ssh_retries=0",
]


def refusal(done: Run) -> str:
    """Return what the task that ended the run said; earlier errors were ignored."""
    assert done.returncode != 0, done.output[-3000:]
    said = [line for line in done.output.splitlines() if "Action failed: " in line]
    assert said, done.output[-3000:]
    return said[0].partition("Action failed: ")[2]


def changed(done: Run) -> dict[str, int]:
    """Return the hosts other than the controller on which the run changed something."""
    return {
        host: figures["changed"] for host, figures in done.recap().items() if host != "localhost" and figures["changed"]
    }


def succeeds(container: Container, *command: str, user: str = "") -> bool:
    return bool(container.exec_run(list(command), user=user).exit_code == 0)


def healthy(site: Site) -> bool:
    """Whether Airflow's metadata database and its scheduler are healthy."""
    try:
        answer = site.http().request("GET", "/api/v2/monitor/health", retries=False)
    except OSError:
        return False
    if answer.status != 200:
        return False
    parts = answer.json()
    return all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler"))


# ---- another operating system ---------------------------------------------------------------------------------------


@pytest.fixture
def ubuntu(site: Site, engine: docker.DockerClient) -> Iterator[str]:
    """A worker host that says it runs Ubuntu."""
    container = machines(engine)["lab-worker-1"]
    put_back = "[ ! -L /etc/os-release.debian ] || mv -f /etc/os-release.debian /etc/os-release"
    try:
        made = container.exec_run(
            ["sh", "-ec", f"mv /etc/os-release /etc/os-release.debian; printf '{UBUNTU}' > /etc/os-release"]
        )
        assert made.exit_code == 0, made.output
        yield "lab-worker-1"
    finally:
        assert succeeds(container, "sh", "-ec", put_back)
    assert succeeds(container, "grep", "-q", "^ID=debian$", "/etc/os-release")


def test_another_operating_system_is_refused_before_anything_is_written(ubuntu: str) -> None:
    done = run("ansible-playbook", "playbooks/configure.yml", ok=False, timeout=300)
    said = refusal(done)
    for words in (ubuntu, "Ubuntu 24.04", "Debian 13", "hosts_image_name"):
        assert words in said
    assert changed(done) == {}


# ---- a host that does not answer ------------------------------------------------------------------------------------


@pytest.fixture(params=["connections are refused", "nothing is ever said"])
def silent(site: Site, engine: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """A worker host whose SSH server is stopped, or takes connections and is silent."""
    container = machines(engine)["lab-worker-2"]
    signal = ["systemctl", "kill", "--kill-whom=main"]
    try:
        if request.param == "connections are refused":
            assert succeeds(container, "systemctl", "stop", "ssh")
        else:
            assert succeeds(container, *signal, "--signal=STOP", "ssh")
        yield "lab-worker-2"
    finally:
        container.exec_run([*signal, "--signal=CONT", "ssh"])
        container.exec_run(["systemctl", "start", "ssh"])
    until("the SSH server runs", lambda: succeeds(container, "systemctl", "is-active", "ssh"), 30)


@pytest.mark.parametrize("playbook", ["configure", "deploy"])
def test_a_host_that_never_answers_is_named_before_anything_is_written(silent: str, playbook: str) -> None:
    done = run("ansible-playbook", f"playbooks/{playbook}.yml", *IMPATIENT, ok=False, timeout=300)
    said = refusal(done)
    for words in (silent, "can't be reached", "1 x 10 seconds", "ansible_ssh_timeout"):
        assert words in said
    assert changed(done) == {}


# ---- a database that refuses ----------------------------------------------------------------------------------------


def verifier(engine: docker.DockerClient) -> bytes:
    """Return what PostgreSQL keeps of the master user's password; another password, another verifier."""
    [database] = engine.containers.list(filters={"label": ["freehold.lab=1", "freehold.lab.kind=database"]})
    question = "SELECT rolpassword FROM pg_authid WHERE rolname = 'airflow'"
    psql = ["psql", "--no-psqlrc", "-tA", "--host=/run/postgresql", "--username=rdsadmin", "--dbname=postgres"]
    answer = database.exec_run([*psql, "--command", question], user="postgres")
    assert answer.exit_code == 0 and isinstance(answer.output, bytes), answer.output
    return answer.output


@pytest.fixture
def other_password(site: Site, engine: docker.DockerClient) -> Iterator[None]:
    """A database whose master password was changed in RDS, and nowhere else."""
    rds = lab_session().client("rds", endpoint_url=ENDPOINT)
    secrets = lab_session().client("secretsmanager", endpoint_url=ENDPOINT)
    password = secrets.get_secret_value(SecretId="freehold/lab/database_password")["SecretString"]

    def change(to: str) -> None:
        before = verifier(engine)
        rds.modify_db_instance(DBInstanceIdentifier="freehold-lab", MasterUserPassword=to, ApplyImmediately=True)
        until("the password is another", lambda: verifier(engine) != before, 60)

    try:
        change("changed-by-somebody-else")
        yield
    finally:
        change(password)
    until("Airflow is healthy again", lambda: healthy(site), 300)


def test_a_database_with_another_password_is_one_sentence(other_password: None) -> None:
    done = run("ansible-playbook", "playbooks/deploy.yml", ok=False, timeout=400)
    said = refusal(done)
    for words in (
        "Airflow's database does not let lab-scheduler-1 in",
        'password authentication failed for user "airflow"',
        "freehold/lab/database_password",
        "database_password_secret",
    ):
        assert words in said
    assert changed(done) == {}


@pytest.fixture
def closed_database(site: Site, engine: docker.DockerClient) -> Iterator[None]:
    """A database whose security group lets nobody in."""
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    rds = lab_session().client("rds", endpoint_url=ENDPOINT)
    [database] = rds.describe_db_instances(DBInstanceIdentifier="freehold-lab")["DBInstances"]
    groups = [group["VpcSecurityGroupId"] for group in database["VpcSecurityGroups"]]
    rules = {
        group["GroupId"]: group["IpPermissions"]
        for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        if group["IpPermissions"]
    }
    assert rules
    connect = f"</dev/tcp/{database['Endpoint']['Address']}/5432"
    scheduler = machines(engine)["lab-scheduler-1"]

    def reaches() -> bool:
        return succeeds(scheduler, "timeout", "3", "bash", "-c", connect)

    assert reaches()
    closed = []
    try:
        for group, permissions in rules.items():
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permissions)
            closed.append(group)
        until("the database is closed", lambda: not reaches(), 60)
        yield
    finally:
        for group in closed:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules[group])
    until("the database is open", reaches, 60)
    until("Airflow is healthy again", lambda: healthy(site), 300)


def test_a_database_that_can_not_be_reached_is_one_sentence(closed_database: None) -> None:
    done = run("ansible-playbook", "playbooks/deploy.yml", ok=False, timeout=400)
    said = refusal(done)
    for words in ("Airflow's database does not let lab-scheduler-1 in", "port 5432", "database_security_group_ids"):
        assert words in said
    assert changed(done) == {}


def test_everything_is_as_it_was(site: Site) -> None:
    assert healthy(site)
    run("ansible-playbook", "playbooks/verify.yml", timeout=600)
