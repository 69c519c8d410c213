# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller reads out of Git and sends: exactly the commit, or a sentence that says why not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._dags.git_tree import TreeError, build
from freehold_airflow.copies import Copies
from freehold_airflow.publish import publish
from freehold_airflow.release import Store, read_tree, tree_hash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Clone:
    """A repository with DAGs, and a shared folder to publish them into."""

    def __init__(self, folder: Path) -> None:
        self.path, self.shared, self.hosts = folder / "clone", folder / "shared", folder / "hosts"
        self.sent = folder / "stream"
        self.path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write({"dags/first.py": "print(1)\n", "README.md": "not a DAG\n"})
        self.commit()

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        command = ["git", "-C", str(self.path), *identity, *arguments]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")
        return self.git("rev-parse", "HEAD")

    def build(self, **params: Any) -> dict[str, Any]:
        return build(
            {
                "repository": str(self.path),
                "folder": "dags",
                "revision": "HEAD",
                "allow_dirty": False,
                "file_mib_max": 50,
                "base": "",
                "base_tree": "",
                "dest": str(self.sent),
                **params,
            }
        )

    def sync(self, **params: Any) -> dict[str, Any]:
        """Build against what is published, publish, and read the release back as a host does."""
        store = Store(self.shared)
        if (self.shared / "current").exists():
            pointer = store.pointer()
            params = {"base": pointer.release, "base_tree": pointer.tree, **params}
        done = self.build(**params)
        with self.sent.open("rb") as stream:
            published = publish(self.shared, stream)
        assert published.tree == done["tree"]
        copy = Copies(self.hosts, "dags").ensure(store, done["release"])
        assert tree_hash(read_tree(copy)) == done["tree"]
        return {**done, "copy": copy}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: the content of files, the target of links."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_every_kind_of_file_arrives(clone: Clone) -> None:
    clone.write(
        {
            "dags/with space/ä ☃.sql": "select 1;\n",
            "dags/empty": "",
            "dags/.airflowignore": "drafts/\n",
            "dags/nested/deep/er/__init__.py": "",
            "dags/binary.bin": bytes(range(256)),
            "dags/crlf.txt": b"one\r\ntwo\r\n",
            "dags/run.sh": "#!/bin/sh\n",
            'dags/quote"and\\back\tslash.py': "",
            "dags/-dash.py": "",
        }
    )
    (clone.path / "dags/run.sh").chmod(0o755)
    (clone.path / "dags/link.py").symlink_to("first.py")
    (clone.path / "dags/nested/up.py").symlink_to("../first.py")
    # A file whose content is a link's target is the same object to Git.
    clone.write({"dags/target.txt": "first.py"})
    clone.commit()
    copy = clone.sync()["copy"]
    assert contents(copy) == contents(clone.path / "dags")
    assert os.access(copy / "run.sh", os.X_OK)
    assert not os.access(copy / "first.py", os.X_OK)


def test_attributes_of_git_change_nothing(clone: Clone) -> None:
    clone.write(
        {
            "dags/.gitattributes": "hidden.py export-ignore\nstamp.py export-subst\n*.txt text eol=crlf\n",
            "dags/hidden.py": "print('hidden')\n",
            "dags/stamp.py": "VERSION = '$Format:%H$'\n",
            "dags/lines.txt": "one\ntwo\n",
        }
    )
    clone.commit()
    copy = clone.sync()["copy"]
    assert (copy / "hidden.py").read_text() == "print('hidden')\n"
    assert (copy / "stamp.py").read_text() == "VERSION = '$Format:%H$'\n"
    assert (copy / "lines.txt").read_bytes() == b"one\ntwo\n"


def test_what_git_ignores_stays_here(clone: Clone) -> None:
    clone.write({".gitignore": "*.log\n__pycache__/\n", "dags/noise.log": "noise", "dags/__pycache__/x.pyc": "x"})
    clone.commit()
    assert contents(clone.sync()["copy"]) == {"first.py": b"print(1)\n"}


def test_only_the_difference_is_sent(clone: Clone) -> None:
    clone.write({f"dags/dag_{number}.py": os.urandom(3000) for number in range(100)})
    clone.commit()
    first = clone.sync()
    clone.write({"dags/dag_5.py": "changed\n"})
    clone.commit()
    second = clone.sync()
    assert (first["difference"], second["difference"]) == (False, True)
    assert first["sent"] > 200_000
    assert second["sent"] < 1000
    assert second["changes"] == {"added": [], "changed": ["dag_5.py"], "removed": []}
    assert second["files"] == 101


@pytest.mark.parametrize("edit", ["same size", "same size and time", "mode", "rename", "remove", "link", "swap"])
def test_changes_that_others_miss_arrive(clone: Clone, edit: str) -> None:
    clone.write({"dags/a.py": "aaaa\n", "dags/b.py": "bbbb\n"})
    clone.commit()
    before = clone.sync()
    path = clone.path / "dags/a.py"
    status = path.stat()
    if edit.startswith("same size"):
        path.write_text("cccc\n")
        if edit.endswith("time"):
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            # Git compares times too; its own documentation names this as the remedy.
            clone.git("update-index", "--force-remove", "dags/a.py")
    elif edit == "mode":
        path.chmod(0o755)
    elif edit == "rename":
        path.rename(path.with_name("z.py"))
    elif edit == "remove":
        path.unlink()
    elif edit == "link":
        path.unlink()
        path.symlink_to("b.py")
    else:
        clone.write({"dags/a.py": "bbbb\n", "dags/b.py": "aaaa\n"})
    clone.commit()
    after = clone.sync()
    assert after["difference"] and after["tree"] != before["tree"]
    assert contents(after["copy"]) == contents(clone.path / "dags")


def test_another_commit_than_the_one_checked_out(clone: Clone) -> None:
    old = clone.git("rev-parse", "HEAD")
    clone.write({"dags/second.py": ""})
    clone.commit()
    clone.write({"dags/not committed.py": ""})
    done = clone.sync(revision=old)
    assert done["release"] == done["commit"] == old
    assert set(contents(done["copy"])) == {"first.py"}


def test_a_whole_repository_can_be_the_folder(clone: Clone) -> None:
    done = clone.sync(folder=".")
    assert set(contents(done["copy"])) == {"README.md", "dags/first.py"}


def test_a_shallow_clone_sends_everything(clone: Clone, tmp_path: Path) -> None:
    clone.sync()
    clone.write({"dags/second.py": ""})
    clone.commit()
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{clone.path}", shallow], check=True)
    pointer = Store(clone.shared).pointer()
    done = clone.build(repository=str(shallow), base=pointer.release, base_tree=pointer.tree)
    assert not done["difference"]
    assert done["repository"] == f"file://{clone.path}"


def test_a_base_that_is_another_tree_than_here_is_not_built_upon(clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    assert not clone.build(base=head, base_tree="0" * 64)["difference"]


@pytest.mark.parametrize("change", ["changed", "untracked", "removed", "staged"])
def test_a_dirty_folder_is_refused_unless_asked_for(clone: Clone, change: str) -> None:
    path = clone.path / "dags" / ("first.py" if change in ("changed", "removed") else "new.py")
    path.unlink() if change == "removed" else path.write_text("print(2)\n")
    clone.write({"dags/more.py": ""})
    if change == "staged":
        clone.git("add", "dags/new.py")
    with pytest.raises(TreeError, match=rf"{path.name}.* differ from the commit.*dags_allow_dirty"):
        clone.build()
    objects = contents(clone.path / ".git" / "objects")
    done = clone.sync(allow_dirty=True)
    assert done["release"] == f"{done['commit']}-dirty-{done['tree'][:12]}"
    assert contents(done["copy"]) == contents(clone.path / "dags")
    assert contents(clone.path / ".git" / "objects") == objects, "nothing is written into the repository"


def test_what_is_dirty_elsewhere_does_not_matter(clone: Clone) -> None:
    clone.write({"README.md": "changed\n", "elsewhere.py": ""})
    assert clone.build()["release"] == clone.git("rev-parse", "HEAD")


def test_allowing_dirt_on_a_clean_tree_gives_a_clean_name(clone: Clone) -> None:
    assert clone.build(allow_dirty=True)["release"] == clone.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"folder": "nowhere"}, "has no folder nowhere: correct dags_folder"),
        ({"folder": "README.md"}, "has no folder README.md"),
        ({"folder": "../dags"}, "dags_folder .* is not inside the repository"),
        ({"folder": "/etc"}, "dags_folder .* is not inside the repository"),
        ({"repository": "/nowhere"}, "dags_repository .* is no directory"),
        ({"repository": "/"}, "dags_repository .* is no Git work tree"),
        ({"revision": "nothing"}, "dags_revision .* names no commit"),
        ({"revision": "--all"}, "dags_revision .* names no commit"),
        ({"file_mib_max": 0}, "dags_file_mib_max"),
    ],
)
def test_what_cannot_be_published_is_refused(clone: Clone, params: dict[str, Any], message: str) -> None:
    with pytest.raises(TreeError, match=message):
        clone.build(**params)
    assert not clone.sent.exists()


def test_a_large_file_is_refused_by_name_and_size(clone: Clone) -> None:
    clone.write({"dags/large.bin": ""})
    os.truncate(clone.path / "dags" / "large.bin", 200 * 2**20)
    clone.commit()
    with pytest.raises(TreeError, match=r"large\.bin has 200 MiB and dags_file_mib_max allows 50: keep data in S3"):
        clone.build()
    assert not clone.sent.exists()


def test_a_folder_of_a_clone_is_no_repository(clone: Clone, tmp_path: Path) -> None:
    clone.write({"team/dags/mine.py": "print(1)\n"})
    clone.commit()
    # Git looks upward, so this would publish the clone's own folder "dags".
    with pytest.raises(TreeError, match="is not the top of its Git work tree") as caught:
        clone.build(repository=str(clone.path / "team"))
    assert f"set dags_repository to {clone.path} and dags_folder to" in str(caught.value)
    assert str(caught.value).endswith("such as team/dags")
    (tmp_path / "link").symlink_to(clone.path)
    assert clone.build(repository=str(tmp_path / "link"))["files"] == 1
    assert clone.build(repository=str(clone.path), folder="team/dags")["files"] == 1


def test_an_empty_folder_would_take_every_dag_away(clone: Clone) -> None:
    clone.git("rm", "-r", "--quiet", "dags")
    clone.commit()
    with pytest.raises(TreeError, match="has no folder dags"):
        clone.build()


def test_a_submodule_is_refused(clone: Clone) -> None:
    (clone.path / "dags" / "module").mkdir()
    clone.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},dags/module")
    clone.git("commit", "--quiet", "--message", "A submodule")
    with pytest.raises(TreeError, match="module is a submodule"):
        clone.build()


def test_a_damaged_object_is_named(clone: Clone) -> None:
    oid = clone.git("rev-parse", "HEAD:dags/first.py")
    path = clone.path / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    with pytest.raises(TreeError, match=r"git can't read first\.py"):
        clone.build()


def test_a_password_in_the_origin_stays_here(clone: Clone) -> None:
    clone.git("remote", "add", "origin", "https://me:secret@example.com/dags.git")
    assert clone.build()["repository"] == "https://example.com/dags.git"


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
NAMES = NAMES.filter(lambda name: name not in (".", "..") and name.lower() != ".git" and ".git" not in name.lower())
TREES = st.dictionaries(NAMES, st.tuples(st.binary(max_size=20), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=3))
def test_whatever_git_can_hold_arrives(trees: list[dict[str, tuple[bytes, bool]]], tmp_path_factory: Any) -> None:
    clone = Clone(tmp_path_factory.mktemp("any"))
    for tree in trees:
        clone.git("rm", "-r", "--quiet", "dags")
        for name, (content, executable) in tree.items():
            clone.write({f"dags/{name}": content})
            (clone.path / "dags" / name).chmod(0o755 if executable else 0o644)
        clone.git("add", "--all", "--force")
        clone.commit()
        assert contents(clone.sync()["copy"]) == {name: content for name, (content, _) in tree.items()}
