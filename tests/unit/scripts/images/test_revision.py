import subprocess
from pathlib import Path

import pytest

from scripts.images import revision

IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
EPOCH = "1700000000"


def git(folder: Path, *arguments: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": f"{EPOCH} +0000", "HOME": str(folder)}
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20, env=environment).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_tag_is_of_version_and_commit(tree: Path):
    commit = git(tree, "rev-parse", "HEAD").strip()

    found = revision.read(tree)

    assert found.tag == f"1.2.3-{commit[:12]}"
    assert str(found) == commit


def test_dirty_tree_is_marked_in_tag_and_revision(tree: Path):
    (tree / "new").write_text("")

    found = revision.read(tree)

    assert found.tag.endswith("-dirty")
    assert str(found).endswith("-dirty")


def test_time_is_the_commits_own(tree: Path):
    found = revision.read(tree)

    assert found.time == int(EPOCH)
    assert found.created == "2023-11-14T22:13:20Z"


def test_tree_outside_git_has_a_version_and_no_commit(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')

    found = revision.read(tmp_path)

    assert (found.tag, str(found), found.time) == ("1.2.3-unknown", "unknown", 0)


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://user:secret@example.com:8443/team/repo.git", "https://example.com:8443/team/repo.git"),
        ("https://example.com/repo", "https://example.com/repo"),
        ("/srv/repo.git", ""),
        ("git@example.com:team/repo.git", ""),
    ],
)
def test_source_is_the_remotes_address_without_anybodys_password(tree: Path, remote: str, source: str):
    git(tree, "remote", "add", "origin", remote)

    assert revision.read(tree).source == source
