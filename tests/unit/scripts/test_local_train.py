import json
import tarfile
from functools import partialmethod
from pathlib import Path

import pytest

from local_mode.jobs.rules import parse
from local_mode.runners.stand_in import read_stand_ins
from scripts import local_job, local_train
from scripts.datasets import cifar10, drawing
from scripts.datasets.archive import Archive
from scripts.datasets.forms import FIXED, FORMS, TFRECORD
from scripts.datasets.shards import Sharding
from scripts.local_job import LocalJob, build_request
from scripts.local_train import UsageError, find_data, read_hyperparameters


@pytest.fixture(autouse=True)
def empty_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose data/ holds nothing yet."""
    monkeypatch.setattr(local_train, "ROOT", tmp_path / "project")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "images.json").write_text('{"pytorch": {}}')
    return tmp_path / "project" / "data" / "cifar10"


def job(tmp_path: Path, **changes: object) -> LocalJob:
    given = {
        "framework": "pytorch",
        "label": "a-label",
        "input_mode": "Pipe",
        "channels": {"train": tmp_path / "a b" / "train", "validation": tmp_path / "a b" / "validation"},
        "hyperparameters": {"epochs": "2"},
        "state": tmp_path / "state",
    }
    return LocalJob(**(given | changes))


def test_request_is_one_that_create_training_job_accepts(tmp_path: Path):
    request = parse(build_request(job(tmp_path), "a-name"))

    assert request.AlgorithmSpecification.TrainingImage == "vision-training-pytorch:dev"
    assert [request.input_mode(channel) for channel in request.InputDataConfig] == ["Pipe", "Pipe"]
    names = {metric.Name for metric in request.AlgorithmSpecification.MetricDefinitions}
    assert names == {"train:loss", "train:accuracy", "validation:loss", "validation:accuracy"}


def test_request_names_folders_by_uris_that_end_in_a_slash(tmp_path: Path):
    document = build_request(job(tmp_path), "a-name")

    uris = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in document["InputDataConfig"]]
    assert uris == [f"file://{tmp_path}/a%20b/train/", f"file://{tmp_path}/a%20b/validation/"]
    assert document["CheckpointConfig"]["S3Uri"] == f"file://{tmp_path}/state/jobs/a-name/checkpoints/"


def test_code_comes_in_file_mode_beside_channels_in_pipe_mode(tmp_path: Path):
    request = parse(build_request(job(tmp_path, code=tmp_path / "code"), "a-name"))

    modes = {channel.ChannelName: request.input_mode(channel) for channel in request.InputDataConfig}
    assert modes == {"train": "Pipe", "validation": "Pipe", "code": "File"}


@pytest.mark.parametrize("content_type", ["application/x-tfrecord", None])
def test_channels_of_data_declare_their_content_type(content_type: str | None, tmp_path: Path):
    document = build_request(job(tmp_path, code=tmp_path / "code", content_type=content_type), "a-name")

    declared = {channel["ChannelName"]: channel.get("ContentType") for channel in document["InputDataConfig"]}
    assert declared == {"train": content_type, "validation": content_type, "code": None}
    assert parse(document)


@pytest.mark.parametrize(
    ("name", "content_type", "suffix"),
    [
        ("fixed", None, ".bin"),
        ("tfrecord", "application/x-tfrecord", ".tfrecord"),
        ("recordio", "application/x-recordio", ".rec"),
    ],
)
def test_format_decides_what_the_channels_hold_and_declare(
    name: str, content_type: str | None, suffix: str, tmp_path: Path
):
    planned = local_train.plan(local_train._parse(["--format", name, "--state", str(tmp_path / "state")]))

    assert planned.content_type == content_type
    assert {path.suffix for folder in planned.channels.values() for path in folder.iterdir()} == {suffix}


def test_stand_in_of_another_framework_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_job.interpreter, "find", lambda framework, python: Path("/bin/sh"))
    monkeypatch.setattr(local_job.os, "chdir", lambda folder: None)
    monkeypatch.setattr(local_job.os, "execv", lambda program, arguments: None)
    images = {framework: local_job.image_name(framework) for framework in ("pytorch", "keras")}
    for framework in images:
        job = LocalJob(
            framework=framework, label="x", input_mode="File", channels={}, hyperparameters={}, state=tmp_path
        )
        local_job.hand_over(job, "process", None)

    assert set(read_stand_ins(tmp_path / "stand-ins.json")) == set(images.values())


def test_stand_in_is_one_that_local_mode_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_job.interpreter, "find", lambda framework, python: Path("/bin/sh"))
    (tmp_path / "stand-ins.json").write_text(json.dumps({"an-image": local_job.stand_in("pytorch", None)}))

    (stand_in,) = read_stand_ins(tmp_path / "stand-ins.json").values()

    assert stand_in.environment["TRAINJOB_PROGRAMS"] == "pytorch_job"
    assert {(folder / "trainjob").is_dir() or (folder / "pytorch_job").is_dir() for folder in stand_in.python_path} == {
        True
    }


def test_hyperparameters_are_quoted_as_in_a_shell():
    assert read_hyperparameters("a=1 b='two words' c=x=y d=") == {"a": "1", "b": "two words", "c": "x=y", "d": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs", "HP holds 'epochs', which is not key=value"),
        ("=3", "HP holds '=3', which is not key=value"),
        ("a='b", "HP=a='b cannot be read: No closing quotation"),
        ("a=1 a=2", "HP gives a twice, 1 and 2"),
    ],
)
def test_hyperparameters_that_cannot_be_read_are_quoted_back(text: str, said: str):
    with pytest.raises(UsageError, match=said):
        read_hyperparameters(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--framework", "keras"], "FRAMEWORK=keras is unknown; it can be: pytorch"),
        (["--dataset", "mnist"], "DATASET=mnist is unknown; it can be: cifar10"),
        (["--input-mode", "pipe"], "INPUT_MODE=pipe is unknown; it can be: File, FastFile, Pipe"),
        (["--format", "parquet"], "FORMAT=parquet is unknown; it can be: fixed, tfrecord, recordio"),
        (["--runtime", "podman"], "RUNTIME=podman is unknown; it can be: auto, docker, process"),
        (["--epochs", "2", "--hyperparameters", "epochs=3"], "EPOCHS=2, and HP gives epochs=3; give one"),
        (["--data", "/nowhere"], "There is no folder /nowhere"),
    ],
)
def test_wrong_argument_ends_in_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert local_train.main([*arguments, "--state", str(tmp_path / "state")]) == 1

    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not (tmp_path / "state" / "jobs").exists()


def test_sample_is_drawn_where_there_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = find_data("cifar10", "", tmp_path / "state")

    assert (data / "train" / "part-000.bin").exists()
    assert "data: a drawn sample, not cifar10 itself" in capsys.readouterr().err


def test_downloaded_data_goes_before_the_sample(
    empty_data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cifar10.prepare(cifar10.Drawn(), empty_data_folder, Sharding(shards=1))

    assert find_data("cifar10", "", tmp_path / "state") == empty_data_folder
    assert "as `make data` left it" in capsys.readouterr().err


def test_folder_given_goes_before_downloaded_data(
    empty_data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cifar10.prepare(cifar10.Drawn(), empty_data_folder, Sharding(shards=1))
    cifar10.drawing.write(tmp_path / "published")

    data = find_data("cifar10", str(tmp_path / "published"), tmp_path / "state")

    assert data.parent == tmp_path / "state" / "data"
    assert f"data: the published files in {tmp_path}/published: 10,000 + 2,000 records" in capsys.readouterr().err


def test_two_folders_of_data_do_not_share_their_shards(tmp_path: Path):
    for name in ("one", "two"):
        cifar10.drawing.write(tmp_path / name)

    folders = {find_data("cifar10", str(tmp_path / name), tmp_path / "state") for name in ("one", "two")}

    assert len(folders) == 2


def test_folder_prepared_before_is_used_as_it_is(tmp_path: Path):
    cifar10.prepare(cifar10.Drawn(), tmp_path / "prepared", Sharding(shards=2))

    assert find_data("cifar10", str(tmp_path / "prepared"), tmp_path / "state") == tmp_path / "prepared"


def test_folder_prepared_before_in_another_form_is_refused_and_its_form_named(tmp_path: Path):
    cifar10.prepare(cifar10.Drawn(), tmp_path / "prepared", Sharding(form=TFRECORD))

    with pytest.raises(UsageError, match="FORMAT=fixed, but .*prepared was prepared as tfrecord; give FORMAT=tfrecord"):
        find_data("cifar10", str(tmp_path / "prepared"), tmp_path / "state", FIXED)


@pytest.mark.parametrize("given", [True, False])
def test_forms_do_not_share_a_folder(given: bool, tmp_path: Path):
    drawing.write(tmp_path / "published")
    data = str(tmp_path / "published") if given else ""

    folders = {find_data("cifar10", data, tmp_path / "state", form) for form in FORMS.values()}

    assert len(folders) == len(FORMS)


def test_archive_that_was_downloaded_serves_every_form(
    empty_data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    archive = Archive(address="http://127.0.0.1:9/c.tar.gz", md5="of no use: it lies there")
    monkeypatch.setattr(cifar10, "ARCHIVE", archive)
    monkeypatch.setattr(cifar10.Downloaded, "__init__", partialmethod(cifar10.Downloaded.__init__, archive=archive))
    drawing.write(tmp_path / "published")
    empty_data_folder.parent.mkdir()
    with tarfile.open(empty_data_folder.parent / archive.name, "w:gz", compresslevel=1) as tar:
        tar.add(tmp_path / "published", cifar10.FOLDER)

    data = find_data("cifar10", "", tmp_path / "state", TFRECORD)

    assert data == empty_data_folder.with_name("cifar10-tfrecord")
    assert "data: the archive that `make data` left: 10,000 + 2,000 records" in capsys.readouterr().err
