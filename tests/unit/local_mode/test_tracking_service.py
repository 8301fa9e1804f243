"""How tracking is switched on, what programs are told of it, and what is found out beside a record."""

import subprocess

import pytest

from local_mode.errors import LocalModeError
from local_mode.jobs.store import Store
from local_mode.tracking import service as module
from local_mode.tracking.service import Tracking, commit, local_store, shared, where
from local_mode.tracking.spool import entries
from tests.contract.lab import eventually
from tests.unit.local_mode.test_tracking_sender import record


def test_runs_go_nowhere_unless_that_is_asked_for(tmp_path):
    assert where(None, tmp_path, {"MLFLOW_TRACKING_URI": "http://there"}) == ""


def test_named_place_goes_before_the_variable_and_that_before_the_file(tmp_path):
    caller = {"MLFLOW_TRACKING_URI": "http://there"}

    assert where("http://named", tmp_path, caller) == "http://named"
    assert where("", tmp_path, caller) == "http://there"
    assert where("", tmp_path, {}) == local_store(tmp_path) == f"sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_arn_without_its_package_is_refused_with_what_to_install(tmp_path):
    with pytest.raises(LocalModeError, match=r"arn:aws:sagemaker:.* needs sagemaker-mlflow, .*pip install"):
        where("arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/x", tmp_path, {})


def test_mlflow_that_is_not_installed_is_told_and_nothing_is_lost_by_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(LocalModeError, match="needs mlflow, which is not installed.*make experiments"):
        where("", tmp_path, {})


def test_programs_are_told_of_servers_and_not_of_files(tmp_path):
    assert shared("http://there") == {"MLFLOW_TRACKING_URI": "http://there"}
    assert shared(local_store(tmp_path)) == shared("") == {}


def test_facts_and_the_machine_are_written_down_beside_points(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_SAMPLE_SECONDS", 0.0)
    tracking = Tracking(tmp_path, uri="", note=print, image_id=lambda image: f"{image}@sha256:1")
    Store(tmp_path).put(record())
    recorder = tracking.follow("job", "image")
    recorder.status("Starting", "")

    def found():
        return entries(tmp_path)[0].read(0)[0]

    eventually(lambda: any("metric" in line for line in found()))
    tracking.close()
    facts = [line["facts"] for line in found() if "facts" in line]
    assert facts[0]["sagemaker.image_digest"] == "image@sha256:1"
    assert {line["metric"] for line in found() if "metric" in line} >= {"system/system_memory_usage_percentage"}


def test_commit_says_whether_the_tree_is_that_commit(tmp_path):
    def git(*words):
        return subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words],
                              check=True, capture_output=True, text=True, timeout=20).stdout.strip()  # fmt: skip

    assert commit(tmp_path) == ""
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    git("tag", "v1")
    assert commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == f"{git('rev-parse', 'HEAD')}-dirty"
