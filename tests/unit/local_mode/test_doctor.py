"""The doctor: every finding has a level, what was seen and what to do; good requests have nothing to mend."""

import copy
import json

import pytest

from local_mode.__main__ import main
from local_mode.doctor import examination, image, request
from local_mode.doctor.findings import FAIL, OK, WARN
from local_mode.errors import RunnerError
from local_mode.runners.image import ImageFacts

GOOD = ImageFacts(
    name="good",
    system="linux",
    architecture="amd64",
    environment={"PATH": "/bin", "PYTHONUNBUFFERED": "1"},
    programs={"train": "/bin/train", "python3": "/bin/python3"},
)


def facts(**changes):
    return ImageFacts(**{**vars(GOOD), **changes})


def test_good_image_has_nothing_but_ok():
    assert {finding.level for finding in image.examine(GOOD)} == {OK}


@pytest.mark.parametrize(
    ("changes", "level", "seen", "advice"),
    [
        ({"programs": {}}, FAIL, "no executable 'train' on PATH (/bin)", "pip install sagemaker-training"),
        ({"architecture": "arm64"}, FAIL, "linux/arm64", "--platform linux/amd64"),
        ({"system": "windows"}, FAIL, "windows/amd64", "--platform linux/amd64"),
        ({"user": "app"}, FAIL, "app", "USER root"),
        ({"baked": ("/opt/ml/code/train.py",)}, FAIL, "the image ships /opt/ml/code/train.py", "put them elsewhere"),
        ({"folder": "/opt/ml/code"}, WARN, "WORKDIR is /opt/ml/code", "take another folder"),
        ({"entrypoint": ("/bin/sh", "-c", "python3 x")}, FAIL, "shell form: ['/bin/sh', '-c', 'python3 x']", "as JSON"),
        ({"entrypoint": ("/usr/bin/tini", "--")}, WARN, "/usr/bin/tini is started first", "it is PID 1"),
        ({"entrypoint": ("run",)}, FAIL, "ENTRYPOINT starts 'run', which the image does not have", "executable"),
        ({"environment": {"PATH": "/bin"}}, WARN, "Python buffers its output", "PYTHONUNBUFFERED=1"),
        (
            {"entrypoint": ("python3",), "programs": {"python3": "/bin/python3"}},
            WARN,
            "['python3'] gets the argument 'train'",
            "docker run IMAGE train",
        ),
    ],
)
def test_fault_of_an_image_is_found_with_what_to_do(changes, level, seen, advice):
    found = [finding for finding in image.examine(facts(**changes)) if finding.level == level]
    assert [finding for finding in found if seen in finding.seen and advice in finding.advice], found


def test_entry_point_of_the_request_replaces_the_images():
    sick = facts(entrypoint=("/bin/sh", "-c", "x"), programs={"/bin/bash": "/bin/bash"})
    found = image.examine(sick, entrypoint=["/bin/bash"], arguments=["-c", "x"])

    assert {finding.level for finding in found} == {OK}


@pytest.fixture
def document(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.csv").write_text("1,2\n")
    (tmp_path / "train" / "b.csv").write_text("3,4\n")
    return {
        "TrainingJobName": "job",
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "AlgorithmSpecification": {
            "TrainingImage": "good",
            "TrainingInputMode": "Pipe",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "HyperParameters": {"epochs": "5", "optimizer": "adam"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{tmp_path}/train/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": str(tmp_path / "out")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "CheckpointConfig": {"S3Uri": str(tmp_path / "checkpoints")},
    }


def found(document, log=("loss=0.5",)):
    accepted, findings = request.read(document)
    return findings if accepted is None else findings + request.examine(document, accepted, log)


def test_good_request_has_nothing_but_ok(document):
    assert {finding.level for finding in found(document)} == {OK}


def change(document, where, value):
    changed = copy.deepcopy(document)
    *path, last = where.split("/")
    place = changed
    for part in path:
        place = place[int(part)] if part.isdigit() else place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


SOURCE = "InputDataConfig/0/DataSource/S3DataSource/S3Uri"


@pytest.mark.parametrize(
    ("where", "value", "level", "seen", "advice"),
    [
        ("TrainingJobName", "a_b", FAIL, "TrainingJobName is 'a_b'", "refused"),
        ("HyperParameters", {"flag": "True"}, WARN, "flag in Python's spelling", "json.loads fails"),
        ("HyperParameters", {"a": '"adam"', "b": "sgd"}, WARN, 'a = "adam" has quotes of JSON, b = sgd', "both forms"),
        ("HyperParameters", {"a": "5 "}, WARN, "a with spaces", "take them out"),
        ("InputDataConfig/0/ChannelName", "my-train", WARN, "the names my-train", "use _"),
        (SOURCE, "s3://bucket/in/", WARN, "s3://bucket/in/ was not looked at", "start an endpoint"),
        (SOURCE, "/nowhere/at/all/", FAIL, "No S3 objects found", "mend S3Uri"),
        ("StoppingCondition", {}, WARN, "a day (86400 s)", "MaxRuntimeInSeconds"),
        ("CheckpointConfig", None, WARN, "no CheckpointConfig", "CheckpointConfig.S3Uri"),
        (
            "AlgorithmSpecification/MetricDefinitions",
            [{"Name": "m", "Regex": "(loss)="}],
            FAIL,
            "finds 'loss', which is no number",
            "group 1",
        ),
        (
            "AlgorithmSpecification/MetricDefinitions",
            [{"Name": "m", "Regex": "acc=(.)"}],
            FAIL,
            "matches none of 1 lines",
            "mend it",
        ),
    ],
)
def test_fault_of_a_request_is_found_with_what_to_do(document, where, value, level, seen, advice):
    findings = [finding for finding in found(change(document, where, value)) if finding.level == level]
    assert [finding for finding in findings if seen in finding.seen and advice in finding.advice], findings


def test_metrics_are_not_tried_without_a_log(document):
    assert [finding for finding in found(document, log=None) if "was not tried" in finding.seen]


@pytest.mark.parametrize(
    ("files", "uri", "seen"),
    [
        ({"train-old/c.csv": "x\n"}, "train", "also matches train-old"),
        ({}, "train", "has no slash at its end"),
        ({"train/a.csv": "no end"}, "train/", "a.csv does not end with a line end"),
        ({"train/1.jpg": "a", "train/2.jpg": "b"}, "train/", "2 files like 1.jpg as one stream"),
        ({"train/c.csv.gz": "packed"}, "train/", "c.csv.gz is streamed as it is"),
    ],
)
def test_surprise_of_a_channel_is_told(document, tmp_path, files, uri, seen):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    findings = [item for item in found(change(document, SOURCE, f"{tmp_path}/{uri}")) if item.level == WARN]

    assert [finding for finding in findings if seen in finding.seen], findings


def test_channels_that_share_a_variable_are_told(document):
    document["InputDataConfig"].append({**document["InputDataConfig"][0], "ChannelName": "Train"})

    assert [item for item in found(document) if "train, Train share the variable SM_CHANNEL_TRAIN" in item.seen]


def test_image_that_cannot_be_looked_at_is_told_and_not_passed_over(document):
    def lacks(name, programs):
        raise RunnerError(f"the Docker engine has no image {name!r}")

    silent = examination.of_request(document, log=["loss=1"], inspect=None, reason="no Docker engine answers")
    without = examination.of_request(document, log=["loss=1"], inspect=lacks, reason="")
    alone = examination.of_image("good", inspect=None, reason="no Docker engine answers")

    assert [item.level for item in silent if "was not looked at: no Docker engine answers" in item.seen] == [WARN]
    assert [item.level for item in without if "has no image 'good'" in item.seen] == [FAIL]
    assert [item.level for item in alone] == [FAIL]


def test_image_of_the_request_is_looked_at_with_the_requests_own_entry_point(document):
    asked = []

    def inspect(name, programs):
        asked.append((name, tuple(programs)))
        return facts(programs={"/bin/bash": "/bin/bash"})

    document["AlgorithmSpecification"]["ContainerEntrypoint"] = ["/bin/bash"]
    findings = examination.of_request(document, log=["loss=1"], inspect=inspect, reason="")

    assert asked == [("good", ("train", "python3", "python", "/bin/bash"))]
    assert not examination.has_failed(findings)


def test_command_line_prints_a_line_a_finding_and_ends_with_0_or_1(document, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    (tmp_path / "log").write_text("loss=0.25\n")
    (tmp_path / "request.json").write_text(json.dumps(document))
    (tmp_path / "bad.json").write_text(json.dumps(change(document, "RoleArn", "x" * 20)))

    assert main(["doctor", str(tmp_path / "request.json"), "--log", str(tmp_path / "log")]) == 0
    good = capsys.readouterr().out.splitlines()
    assert main(["doctor", str(tmp_path / "bad.json")]) == 1
    bad = capsys.readouterr().out.splitlines()

    assert {line[:4] for line in good} == {"ok  ", "warn"}
    assert any("'loss=([0-9.]+)' found 1 values, the last is 0.25" in line for line in good)
    assert len(bad) == 1
    assert bad[0].startswith("fail  request: RoleArn is ")
