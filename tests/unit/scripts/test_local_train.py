import json
import tarfile
from functools import partial, partialmethod
from pathlib import Path

import pytest

from local_mode.jobs.rules import parse
from local_mode.runners.stand_in import read_stand_ins
from scripts import local_job, local_train
from scripts.datasets import cifar10, cub200, drawing
from scripts.datasets.archive import Archive
from scripts.datasets.forms import FIXED, FORMS, JPEG, RECORDIO, TFRECORD
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
        (["--dataset", "mnist"], "DATASET=mnist is unknown; it can be: cifar10, cub200\n"),
        (["--input-mode", "pipe"], "INPUT_MODE=pipe is unknown; it can be: File, FastFile, Pipe"),
        (["--format", "parquet"], "FORMAT=parquet is unknown; it can be: fixed, tfrecord, recordio"),
        (["--dataset", "cub200", "--format", "fixed"], "FORMAT=fixed is unknown; it can be: jpeg, recordio, tfrecord"),
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


@pytest.fixture
def few_birds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn sample of photographs that is drawn in less time."""
    monkeypatch.setattr(cub200.birds, "write", partial(cub200.birds.write, photographs=10))


def planned_birds(state: Path, *arguments: str) -> LocalJob:
    return local_train.plan(local_train._parse(["--dataset", "cub200", "--state", str(state), *arguments]))


@pytest.mark.usefixtures("few_birds")
def test_photographs_are_streamed_by_their_augmented_manifests(tmp_path: Path):
    document = build_request(planned_birds(tmp_path / "state"), "a-name")

    assert parse(document).TrainingJobName == "a-name"
    assert [channel["ChannelName"] for channel in document["InputDataConfig"]] == ["train", "validation", "test"]
    for channel in document["InputDataConfig"]:
        manifest = tmp_path / "state" / "data" / "cub200-sample" / f"{channel['ChannelName']}.manifest"
        assert channel["DataSource"]["S3DataSource"] == {
            "S3DataType": "AugmentedManifestFile",
            "S3Uri": manifest.as_uri(),
            "AttributeNames": ["source-ref", "label", "box", "key"],
        }
        assert manifest.is_file()
        assert (channel["InputMode"], channel["RecordWrapperType"]) == ("Pipe", "RecordIO")
        assert channel["ContentType"] == "application/x-recordio"


@pytest.mark.usefixtures("few_birds")
@pytest.mark.parametrize(
    ("mode", "form", "suffix", "content_type"),
    [
        ("File", "", ".jpg", "application/x-image"),
        ("FastFile", "jpeg", ".jpg", "application/x-image"),
        ("Pipe", "recordio", ".rec", "application/x-recordio"),
        ("FastFile", "tfrecord", ".tfrecord", "application/x-tfrecord"),
    ],
)
def test_photographs_come_as_folders_or_shards_in_every_mode(
    mode: str, form: str, suffix: str, content_type: str, tmp_path: Path
):
    planned = planned_birds(tmp_path / "state", "--input-mode", mode, "--format", form)

    document = build_request(planned, "a-name")
    assert parse(document).AlgorithmSpecification.TrainingInputMode == mode
    for channel in document["InputDataConfig"]:
        assert channel["DataSource"]["S3DataSource"]["S3DataType"] == "S3Prefix"
        assert channel["ContentType"] == content_type
    for folder in planned.channels.values():
        assert suffix in {path.suffix for path in folder.rglob("*")}


@pytest.mark.usefixtures("few_birds")
def test_program_for_photographs_is_told_classes_and_the_recipe_of_the_sample_unless_the_user_tells_them(
    tmp_path: Path,
):
    recipe = {"image_size": "64", "learning_rate": "0.05"}
    alone = planned_birds(tmp_path / "state")
    assert alone.hyperparameters == {"dataset": "cub200", "classes": "10", "epochs": "6", **recipe}
    told = planned_birds(tmp_path / "state", "--hyperparameters", "classes=12", "--epochs", "3")
    assert told.hyperparameters == {"dataset": "cub200", "classes": "12", "epochs": "3", **recipe}


@pytest.mark.usefixtures("few_birds")
def test_metrics_of_photographs_are_found_in_the_log(tmp_path: Path):
    document = build_request(planned_birds(tmp_path / "state"), "a-name")

    assert {metric["Name"] for metric in document["AlgorithmSpecification"]["MetricDefinitions"]} == {
        *("train:loss", "train:accuracy", "validation:loss", "validation:accuracy"),
        *("validation:top5_accuracy", "test:loss", "test:accuracy", "test:top5_accuracy"),
    }


@pytest.mark.usefixtures("few_birds")
def test_sample_of_photographs_is_announced_as_the_other_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = find_data("cub200", "", tmp_path / "state")

    assert (data / "train" / "index.jsonl").exists()
    said = "data: a drawn sample, not cub200 itself (`make data` downloads that, DATA=DIR takes its files from DIR): "
    assert f"{said}40 + 10 + 50 records" in capsys.readouterr().err


def test_photographs_given_go_before_those_that_make_data_left(
    drawn: Path, empty_data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    left = empty_data_folder.with_name("cub200")
    cub200.prepare(cub200.Published(drawn), left, Sharding(form=JPEG))

    assert find_data("cub200", "", tmp_path / "state") == left
    given = find_data("cub200", str(drawn.parent), tmp_path / "state")
    assert given.parent == tmp_path / "state" / "data"
    assert f"data: the published files in {drawn.parent}: 40 + 10 + 50 records" in capsys.readouterr().err


def test_folder_prepared_from_another_data_set_is_refused(drawn: Path, tmp_path: Path):
    cub200.prepare(cub200.Published(drawn), tmp_path / "prepared", Sharding(form=RECORDIO))

    with pytest.raises(
        UsageError, match="DATASET=cifar10, but .*prepared was prepared from cub200; give DATASET=cub200"
    ):
        find_data("cifar10", str(tmp_path / "prepared"), tmp_path / "state", RECORDIO)


@pytest.mark.parametrize("moved", [True, False])
def test_manifests_that_refer_to_another_place_are_refused_in_pipe_mode_alone(moved: bool, drawn: Path, tmp_path: Path):
    uri = None if moved else "s3://bucket/birds"
    cub200.prepare(cub200.Published(drawn), tmp_path / "first", Sharding(form=JPEG), cub200.Treatment(uri=uri))
    (tmp_path / "first").rename(tmp_path / "prepared")
    given = ("--data", str(tmp_path / "prepared"))

    with pytest.raises(UsageError, match=f"manifests in .*/prepared refer to {uri or 'file://.*/first'}, not to that"):
        planned_birds(tmp_path / "state", *given)

    assert planned_birds(tmp_path / "state", *given, "--input-mode", "File").channels["test"].is_dir()
