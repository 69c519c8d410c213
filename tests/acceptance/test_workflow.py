# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow's own steps publish DAGs, with nothing but what a runner of GitHub's would have.

The repository of DAGs is another one than ours; ours is a clone whose inventory names no keys, as a user's would. What
GitHub does is done here: checking out, and changing its token for the role's temporary credentials.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore
import docker
import pytest
import requests
from botocore.config import Config

from .conftest import ENDPOINT, ROOT, Requests, Site, run, until
from .runner import Runner, load

WORKFLOW = load(ROOT / ".github" / "workflows" / "dag-sync-reusable.yml")
ROLE = "arn:aws:iam::123456789012:role/freehold/lab/lab-dag-sync"
# As group_vars/env_lab trusts it.
REPOSITORY = "freehold/dags"
PACKAGES = re.compile(r"(PIP|UV)_.*|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|.*_(proxy|PROXY)")
DAG = "from_a_workflow"
SOURCE = f"""\
from airflow.sdk import dag, task


@dag(dag_id="{DAG}", schedule=None)
def pipeline():
    @task
    def say():
        print("published by a workflow")

    say()


pipeline()
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def dag_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of DAGs: ours, and one more."""
    path: Path = tmp_path_factory.mktemp("dag-repository")
    shutil.copytree(ROOT / "dags", path / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (path / "dags" / f"{DAG}.py").write_text(SOURCE)
    git(path, "init", "--quiet")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message", "DAGs")
    return path


def without(path: Path, *starts: str) -> None:
    """Take lines out of a file, each of which must be there."""
    lines = path.read_text().splitlines(keepends=True)
    for start in starts:
        assert any(line.strip().startswith(start) for line in lines), f"{path} has no line {start}"
    path.write_text("".join(line for line in lines if not line.strip().startswith(starts)))


def a_users_clone(target: Path) -> None:
    """Our repository as a user has it: the inventory says where AWS is, and nobody's keys."""
    subprocess.run(["git", "clone", "--quiet", ROOT, target], check=True)
    without(target / "inventories" / "lab" / "aws_ec2.yml", "access_key:", "secret_key:")
    without(
        target / "group_vars" / "env_lab" / "main.yml",
        "access_key:",
        "secret_key:",
        "access_private_key:",
        "access_credentials_file:",
    )
    # What `make setup` finds nothing left to install into.
    (target / ".venv").symlink_to(ROOT / ".venv")


def session_of(token: str, inputs: dict[str, str]) -> dict[str, str]:
    """Change GitHub's token for the role, as aws-actions/configure-aws-credentials does."""
    sts = boto3.client(
        "sts",
        region_name=inputs["aws-region"],
        endpoint_url=ENDPOINT,
        config=Config(signature_version=botocore.UNSIGNED),
    )
    got = sts.assume_role_with_web_identity(
        RoleArn=inputs["role-to-assume"],
        RoleSessionName=inputs["role-session-name"],
        DurationSeconds=int(inputs["role-duration-seconds"]),
        WebIdentityToken=token,
    )["Credentials"]
    return {
        "AWS_REGION": inputs["aws-region"],
        "AWS_DEFAULT_REGION": inputs["aws-region"],
        "AWS_ACCESS_KEY_ID": got["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
        "AWS_SESSION_TOKEN": got["SessionToken"],
    }


def make_runner(root: Path, dag_repository: Path, engine: docker.DockerClient) -> Runner:
    """A runner for a job of the repository in its environment `lab`."""
    code, output = engine.containers.get("freehold-lab-api").exec_run(["cat", "/state/admin-token"])
    assert code == 0 and isinstance(output, bytes)
    admin = {"X-Freehold-Lab-Token": output.decode().strip()}

    def checkout(runner: Runner, inputs: dict[str, str]) -> None:
        target = runner.workspace / inputs["path"]
        if inputs.get("repository") == "freehold/airflow":
            a_users_clone(target)
        else:
            subprocess.run(["git", "clone", "--quiet", dag_repository, target], check=True)

    def configure_credentials(runner: Runner, inputs: dict[str, str]) -> None:
        claims = {"sub": f"repo:{REPOSITORY}:environment:lab", "aud": "sts.amazonaws.com"}
        answer = requests.post(f"{ENDPOINT}/_lab/identity-token", json=claims, headers=admin, timeout=10)
        answer.raise_for_status()
        runner.export(**session_of(answer.json()["value"], inputs))

    def upload(runner: Runner, inputs: dict[str, str]) -> None:
        kept = runner.workspace / inputs["path"]
        if kept.exists():
            shutil.copy(kept, runner.root / inputs["name"])

    home = root / "home"
    home.mkdir()
    return Runner(
        root=root / "runner",
        contexts={
            "github": {
                "workspace": str(root / "runner" / "work"),
                "token": "none",
                "run_id": "1",
                "event_name": "push",
            },
            "inputs": {
                "environment": "lab",
                "dags_folder": "dags",
                "freehold": "freehold/airflow",
                "freehold_ref": "HEAD",
            },
            "vars": {"FREEHOLD_ROLE_ARN": ROLE, "FREEHOLD_REGION": "eu-west-1"},
            "secrets": {},
        },
        actions={
            "actions/checkout": checkout,
            "aws-actions/configure-aws-credentials": configure_credentials,
            "actions/upload-artifact": upload,
        },
        environment={
            # How this machine reaches packages, and has them already; GitHub's machines reach them by themselves.
            **{name: value for name, value in os.environ.items() if PACKAGES.match(name)},
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            # A runner of GitHub's asks AWS where it is; this one's AWS is the lab.
            "AWS_ENDPOINT_URL": ENDPOINT,
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANSIBLE_NOCOLOR": "1",
        },
    )


@pytest.fixture(scope="module")
def job(
    site: Site,
    dag_repository: Path,
    engine: docker.DockerClient,
    requests_log: Requests,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Runner, list[dict[str, Any]]]]:
    """The runner after the job that publishes, and the AWS requests of that time; afterwards our own DAGs are back."""
    runner = make_runner(tmp_path_factory.mktemp("job"), dag_repository, engine)
    mark = requests_log.mark()
    good = runner.run_job(WORKFLOW["jobs"]["sync"])
    assert good, "\n".join(f"## {step.name}: {step.returncode}\n{step.output[-4000:]}" for step in runner.ended)
    yield runner, requests_log.since(mark)
    run("ansible-playbook", "playbooks/dag-sync.yml")


def test_what_the_job_published_arrives_in_airflow(job: tuple[Runner, Any], site: Site) -> None:
    def parsed() -> bool:
        return DAG in {dag["dag_id"] for dag in site.api("GET", "dags?limit=200")["dags"]}

    until("Airflow has parsed the DAG", parsed, 240)


def test_only_the_roles_credentials_were_used(job: tuple[Runner, list[dict[str, Any]]]) -> None:
    runner, asked = job
    key = next(
        line for line in (runner.files / "env").read_text().splitlines() if line.startswith("AWS_ACCESS_KEY_ID=")
    )
    mine = [request for request in asked if request["access_key"] == key.partition("=")[2]]
    operations = {request["operation"] for request in mine}
    assert {"GetSecretValue", "DescribeInstances", "DescribeInstanceConnectEndpoints"} <= operations
    assert [request for request in mine if request["write"]] == []
    # Nobody used the operator's keys meanwhile for anything that the job needs.
    others = {request["operation"] for request in asked if request["access_key"] == "AKIAIOSFODNN7EXAMPLE"}
    assert others & {"GetSecretValue", "DescribeInstanceConnectEndpoints"} == set()


def test_the_report_is_the_summary_and_an_artifact(job: tuple[Runner, Any]) -> None:
    runner, _ = job
    report = json.loads((runner.root / "dag-report").read_text())
    assert report["exact"], report["problems"]
    assert runner.summary.startswith(
        f"## DAG sync: exact in {len(report['containers'])} of {len(report['containers'])}"
    )


def test_no_key_is_left_behind(job: tuple[Runner, Any]) -> None:
    runner, _ = job
    for folder in (runner.root, runner.root.parent / "home"):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1_000_000:
                assert b"BEGIN OPENSSH PRIVATE KEY-----\nb3" not in path.read_bytes(), path
    listed = subprocess.run(["pgrep", "-u", str(os.getuid()), "-f", "^ssh-agent -s"], capture_output=True, text=True)
    homes = [Path(f"/proc/{pid}/environ") for pid in listed.stdout.split()]
    assert [home for home in homes if home.exists() and str(runner.root).encode() in home.read_bytes()] == []


def test_a_pull_request_with_a_broken_dag_is_red_beside_its_line(
    site: Site, dag_repository: Path, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """In the image that runs in the lab, which GitHub would build first; without any credentials."""
    image = max(engine.images.list("freehold-lab/airflow"), key=lambda image: str(image.attrs["Created"]))
    broken = tmp_path / "broken"
    shutil.copytree(dag_repository, broken)
    (broken / "dags" / "broken.py").write_text("from airflow.sdk import dag\nimport not_in_the_image\n")
    git(broken, "add", ".")
    git(broken, "commit", "--quiet", "--message", "Break it")
    answers = {}
    for name, repository in (("good", dag_repository), ("bad", broken)):
        (tmp_path / name).mkdir()
        runner = make_runner(tmp_path / name, repository, engine)
        runner.environment["IMAGE"] = str(image.id)
        answers[name] = (runner.run_job(WORKFLOW["jobs"]["check"]), runner.ended[-1].output)
        assert "AWS_ACCESS_KEY_ID" not in (runner.files / "env").read_text()
    assert answers["good"][0], answers["good"][1]
    assert not answers["bad"][0]
    assert "::error file=dags/broken.py,line=2::" in answers["bad"][1]


def test_a_sync_that_is_refused_is_red_and_still_says_so(
    site: Site, dag_repository: Path, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """A folder that the commit does not have: the job fails, and the steps after it speak."""
    runner = make_runner(tmp_path, dag_repository, engine)
    runner.contexts = {**runner.contexts, "inputs": {**runner.contexts["inputs"], "dags_folder": "none"}}
    assert not runner.run_job(WORKFLOW["jobs"]["sync"])
    codes = {step.name: step.returncode for step in runner.ended}
    assert codes["Publish the DAGs and prove that they arrived"] not in (0, None)
    assert codes["Show the report"] == 0
    assert runner.summary.startswith("## DAG sync: **failed**")
