"""The doctor on s3:// places of a request: in the endpoint that runs, in the caller's own S3, or said to be unseen."""

import json

import pytest

from local_mode.__main__ import main
from tests.contract.channels import channel
from tests.contract.endpoint import BUCKET, Server, request

pytestmark = pytest.mark.contract("command line", "U")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    s3 = made.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for key, body in {"in/a.csv": b"1\n", "in/b.csv": b"2\n", "in-old/c.csv": b"3\n", "open/a.csv": b"no end"}.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    s3.put_object(Bucket=BUCKET, Key="open/b.csv", Body=b"4\n")
    yield made
    assert made.end() == 0


@pytest.fixture
def doctor(tmp_path, capsys, monkeypatch):
    """What the command says of a request whose one channel is at `uri`, and its exit code."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    monkeypatch.setenv("LC_ALL", "C")

    def ask(uri, *options, **fields):
        document = request("looked-at", ["look"], **fields)
        document["InputDataConfig"] = [channel("train", uri)]
        (tmp_path / "request.json").write_text(json.dumps(document))
        code = main(["doctor", str(tmp_path / "request.json"), *options])
        return code, [line for line in capsys.readouterr().out.splitlines() if "train" in line or "output" in line]

    return ask


def test_channel_of_the_endpoint_is_looked_at_with_its_objects(server, doctor):
    code, lines = doctor(f"s3://{BUCKET}/in/", "--root", str(server.root))

    assert code == 0
    assert lines == [
        "ok    channel train: Pipe, 2 objects, 0.0 MB",
        f"ok    output: there is the bucket of s3://{BUCKET}/out",
    ]


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("in", "warn  channel train: the prefix s3://a-bucket/in also matches in-old"),
        ("open/", "warn  channel train: a.csv does not end with a line end"),
        (
            "nothing/",
            "fail  channel train: Channel 'train': No S3 objects found under S3 URL \"s3://a-bucket/nothing/\"",
        ),
    ],
)
def test_surprises_of_a_prefix_in_s3_are_told(server, doctor, key, seen):
    code, lines = doctor(f"s3://{BUCKET}/{key}", "--root", str(server.root))

    assert [line for line in lines if line.startswith(seen)], lines
    assert code == (1 if seen.startswith("fail") else 0)


def test_buckets_that_are_not_there_are_told_of_channels_outputs_and_checkpoints(server, doctor):
    output = {
        "OutputDataConfig": {"S3OutputPath": "s3://no-bucket/out"},
        "CheckpointConfig": {"S3Uri": "s3://nor-this"},
    }
    code, lines = doctor("s3://lost-bucket/in/", "--root", str(server.root), **output)

    assert code == 1
    assert [line.startswith("fail") for line in lines] == [True] * 3
    assert "NoSuchBucket" in lines[0]
    assert lines[1].startswith("fail  output: Cannot write to s3://no-bucket/out: there is no bucket 'no-bucket'")
    assert "there is no bucket 'nor-this'; create it first." in lines[2]


def test_places_in_s3_are_said_to_be_unseen_where_no_endpoint_runs(doctor, tmp_path):
    code, lines = doctor(f"s3://{BUCKET}/in/", "--root", str(tmp_path))

    assert code == 0
    assert len(lines) == 2
    for line, uri in zip(lines, (f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out"), strict=True):
        assert f"{uri} was not looked at: No endpoint runs in {tmp_path}" in line
        assert line.startswith("warn")
        assert "--aws" in line


def test_places_in_s3_are_looked_at_by_the_callers_own_settings(server, doctor, tmp_path, monkeypatch):
    found = server.found
    settings = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": found["access_key"], "AWS_REGION": found["region"]}
    for name, value in (settings | {"AWS_SECRET_ACCESS_KEY": found["secret"]}).items():
        monkeypatch.setenv(name, value)
    code, lines = doctor(f"s3://{BUCKET}/in/", "--aws", "--root", str(tmp_path))

    assert (code, [line[:2] for line in lines]) == (0, ["ok", "ok"])
