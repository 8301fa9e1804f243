"""What a request's job may reach in S3."""

import json

import pytest

from local_mode.jobs.door import Scope, open_door, scope
from local_mode.jobs.rules import parse
from local_mode.runners.protocol import Network


def request(tmp_path, **fields):
    channel = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/tra"}}
    return parse(
        {
            "TrainingJobName": "mine",
            "RoleArn": "arn:aws:iam::123456789012:role/any",
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": channel}],
            "OutputDataConfig": {"S3OutputPath": "s3://results/out/"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            **fields,
        }
    )


def test_scope_is_what_the_request_names(tmp_path):
    parameters = {
        "sagemaker_submit_directory": json.dumps("s3://code/a/sourcedir.tar.gz"),
        "plain": "s3://plain/with space/x",
        "list": json.dumps([{"deep": "s3://listed/y"}]),
        "other": "mention of s3://nothing here",
        "no_bucket": "s3://",
        "number": "3",
    }
    found = scope(
        request(tmp_path, HyperParameters=parameters, CheckpointConfig={"S3Uri": "s3://results/ckpt"})
    )  # fmt: skip

    assert set(found.read) == {
        ("data", "in/tra"), ("code", "a/sourcedir.tar.gz"), ("plain", "with space/x"), ("listed", "y"),
    }  # fmt: skip
    assert set(found.write) == {("results", "out/mine/"), ("results", "ckpt/")}


def test_scope_ends_at_a_jobs_own_folder():
    found = Scope(read=(("data", "in"),), write=(("results", "out/mine/"),))

    assert found.may_read("data", "in/x")
    assert found.may_read("data", "inner")  # a prefix is text, as a channel's is
    assert found.may_read("results", "out/mine/x")
    assert found.may_write("results", "out/mine/x")
    assert not found.may_write("data", "in/x")
    assert not found.may_write("results", "out/mine-too/x")
    assert not found.may_read("results", "out/mine")
    assert not found.may_read("dat", "in/x")
    assert found.names("data")
    assert not found.names("other")


def test_places_on_this_machine_open_nothing(tmp_path):
    found = scope(request(tmp_path, InputDataConfig=[], OutputDataConfig={"S3OutputPath": str(tmp_path / "out")}))
    assert found == Scope(read=(), write=())


class Notes:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.mark.parametrize(
    ("fields", "gateway"), [({"EnableNetworkIsolation": True}, "127.0.0.1"), ({}, "")], ids=["isolated", "no gateway"]
)
def test_no_door_is_opened_where_nobody_could_come(tmp_path, fields, gateway):
    network = Network(hosts=("algo-1",), gateway=gateway)

    def opens(found, address):
        raise AssertionError("opened")

    assert open_door(request(tmp_path, **fields), network, opens, Notes()) is None
    assert open_door(request(tmp_path), Network(hosts=("algo-1",), gateway="127.0.0.1"), None, Notes()) is None


def test_address_of_another_machine_is_told_and_the_job_goes_on(tmp_path):
    notes = Notes()

    def opens(found, address):
        raise OSError(99, "Cannot assign requested address")

    assert open_door(request(tmp_path), Network(hosts=("algo-1",), gateway="172.17.0.1"), opens, notes) is None
    assert "cannot reach S3: 172.17.0.1" in notes.notes[0]
    assert "Cannot assign requested address" in notes.notes[0]
