"""MLflow itself, with its store in a file: what the sender says is what a reader of the store finds."""

import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mlflow.tracking import MlflowClient

from local_mode.errors import RunRefusedError, TrackingError
from local_mode.tracking import runs as module
from local_mode.tracking.runs import Runs
from local_mode.tracking.translation import ARN, RunPlan

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")


def plan(name="job", params=None):
    return RunPlan(
        experiment="exp", name=name, began=100.5, params=params or {"lr": "0.1"}, tags={ARN: f"arn/{name}"},
        request={"TrainingJobName": name},
    )  # fmt: skip


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow/mlflow.db"


@pytest.fixture(scope="module")
def runs(uri):
    return Runs(uri)


@pytest.fixture(scope="module")
def client(runs, uri):
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_run_has_what_it_was_given(runs, client, tmp_path):
    target = tmp_path / "model.tar.gz"
    target.write_bytes(b"model")
    run = runs.begin(plan())
    runs.points(run, [("validation:accuracy", 0.5, 101.0, 1), ("validation:accuracy", 0.75, 102.0, 2)])
    runs.tag(run, {"a": "b"})
    runs.link(run, {"model.tar.gz": target, "logs/algo-1.log": target})
    runs.end(run, "FAILED", 160.0)

    found = client.get_run(run)
    assert (found.info.status, found.info.start_time, found.info.end_time) == ("FAILED", 100500, 160000)
    assert found.data.params == {"lr": "0.1"}
    history = client.get_metric_history(run, "validation:accuracy")
    assert [(point.step, point.timestamp, point.value) for point in history] == [(1, 101000, 0.5), (2, 102000, 0.75)]
    assert (found.data.tags["a"], found.data.tags["mlflow.runName"]) == ("b", "job")
    assert {item.path for item in client.list_artifacts(run)} == {"logs", "model.tar.gz", "request.json"}
    shown = Path(unquote(urlsplit(found.info.artifact_uri).path)) / "model.tar.gz"
    assert shown.samefile(target), "linked, not copied"
    assert not shown.is_symlink(), "which MLflow's page would not open"


def test_run_that_was_begun_before_is_found_again_and_points_twice_are_there_once(runs, client):
    first = runs.begin(plan("twice"))
    for _ in range(2):
        runs.points(first, [("loss", 0.5, 101.0, 1)])

    assert runs.begin(plan("twice")) == first
    assert len(client.get_metric_history(first, "loss")) == 1


def test_more_than_fits_one_call_is_taken(runs, client):
    run = runs.begin(plan("many", {f"p{number}": "1" for number in range(150)}))
    runs.points(run, [("loss", float(number), 100.0 + number, number) for number in range(2500)])

    assert len(client.get_run(run).data.params) == 150
    assert len(client.get_metric_history(run, "loss")) == 2500


def test_nested_run_names_its_parent(runs, client):
    parent = runs.begin(plan("parent"))

    assert client.get_run(runs.begin(plan("child"), parent=parent)).data.tags["mlflow.parentRunId"] == parent


def test_run_that_is_not_there_is_refused(runs):
    with pytest.raises(RunRefusedError, match="no-such-run"):
        runs.points("no-such-run", [("loss", 1.0, 1.0, 1)])


def test_server_that_nobody_runs_is_an_outage(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        runs = Runs(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(TrackingError, match="127.0.0.1"):
            runs.begin(plan())


def test_folder_that_cannot_be_written_is_an_outage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="file"):
        Runs(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_store_that_could_not_be_made_whole_is_made_anew(tmp_path, monkeypatch):
    place = tmp_path / "mlflow.db"

    def half_made(*_, **uris):
        Path(uris["tracking_uri"].removeprefix("sqlite:///")).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "MlflowClient", half_made)
    with pytest.raises(TrackingError, match="No space left"):
        Runs(f"sqlite:///{place}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".mlflow.db.1").write_bytes(b"half, of one who was killed")
    monkeypatch.undo()

    assert Runs(f"sqlite:///{place}").begin(plan())
