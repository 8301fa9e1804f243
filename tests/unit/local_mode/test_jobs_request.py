"""Requests: the API's names and limits, every problem at once, and a clear word for what is not honoured yet."""

import copy

import pytest

from local_mode.errors import ValidationError
from local_mode.jobs.rules import parse
from local_mode.jobs.shapes import recorded_only, write

REQUEST = {
    "TrainingJobName": "job-1",
    "RoleArn": "arn:aws:iam::123456789012:role/service-role/any",
    "AlgorithmSpecification": {
        "TrainingImage": "image:1",
        "TrainingInputMode": "Pipe",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
    },
    "HyperParameters": {"epochs": "5"},
    "InputDataConfig": [
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "/data/train/"}}},
        {
            "ChannelName": "test",
            "InputMode": "File",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "file:///data/test/"}},
        },
    ],
    "OutputDataConfig": {"S3OutputPath": "/out"},
    "ResourceConfig": {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Environment": {"A": "1"},
}


def changed(where, value):
    """The request with one place set; numbers in the path are indexes, None removes."""
    document = copy.deepcopy(REQUEST)
    *path, last = where.split("/")
    place = document
    for part in path:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return document


def problems(document):
    with pytest.raises(ValidationError, match=".") as caught:
        parse(document)
    return list(caught.value.problems)


def test_request_is_read_and_written_back_the_same():
    request = parse(REQUEST)

    assert request.TrainingJobName == "job-1"
    assert [request.input_mode(channel) for channel in request.InputDataConfig] == ["Pipe", "File"]
    document = write(request)
    assert document["AlgorithmSpecification"] == REQUEST["AlgorithmSpecification"]
    assert document["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"] == "file:///data/test/"
    assert parse(document) == request


GROUP = {"InstanceGroupName": "cpu", "InstanceType": "ml.m5.large", "InstanceCount": 1}
CHANNEL = "InputDataConfig/0"
SOURCE = f"{CHANNEL}/DataSource/S3DataSource"


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("TrainingJobName", "-x", "TrainingJobName is '-x'; it must match"),
        ("TrainingJobName", "x" * 64, "it must match"),
        ("TrainingJobName", None, "TrainingJobName is missing; CreateTrainingJob requires it."),
        ("RoleArn", "arn:aws:iam::1:role/short", "RoleArn is 'arn:aws:iam::1:role/short'; it must match arn:aws"),
        ("OutputDataConfig", None, "OutputDataConfig is missing; CreateTrainingJob requires it."),
        ("ResourceConfig", None, "ResourceConfig is missing; only serverless jobs, which local_mode does not run"),
        ("AlgorithmSpecification/TrainingImage", None, "TrainingImage is missing; name the image: local_mode has no"),
        ("ResourceConfig/VolumeSizeInGB", -1, "VolumeSizeInGB is -1; it must be in the range 0 to any."),
        ("HyperParameters/epochs", 5, "HyperParameters['epochs'] is 5; values are strings: write \"5\"."),
        ("HyperParameters/long", "x" * 2501, "HyperParameters['long'] has 2501 characters; at most 2500"),
        ("HyperParameters", {str(n): "" for n in range(101)}, "HyperParameters has 101 entries; it must be in"),
        ("HyperParameters", {"k" * 257: ""}, "HyperParameters has a key of 257 characters; at most 256"),
        ("Environment/1A", "x", "Environment has the key '1A'; it must match"),
        ("TrainingJobNam", "x", "unknown field 'TrainingJobNam'; did you mean TrainingJobName?"),
        (f"{SOURCE}/S3URI", "x", "S3DataSource has the unknown field 'S3URI'; did you mean S3Uri?"),
        (
            f"{CHANNEL}/InputMode",
            "Pip",
            "InputDataConfig[0].InputMode is 'Pip'; it must be one of File, FastFile, Pipe.",
        ),
        (f"{CHANNEL}/ChannelName", "a b", "InputDataConfig[0].ChannelName is 'a b'; it must match"),
        (f"{CHANNEL}/ChannelName", "test", "2 channels are called 'test'; names must differ."),
        ("InputDataConfig/1/ChannelName", "train_0", "'train_0' has the name of a FIFO of the Pipe channel 'train'"),
        ("InputDataConfig", [REQUEST["InputDataConfig"][0]] * 21, "InputDataConfig has 21 entries"),
        ("ResourceConfig/InstanceCount", "1", "InstanceCount is '1'; it must be a whole number."),
        ("ResourceConfig/InstanceCount", True, "InstanceCount is True; it must be a whole number."),
        ("ResourceConfig/InstanceType", "big", "InstanceType is 'big'; it must match"),
        ("StoppingCondition/MaxRuntimeInSeconds", 0, "MaxRuntimeInSeconds is 0; it must be in the range 1 to 2419200."),
        ("EnableNetworkIsolation", "yes", "EnableNetworkIsolation is 'yes'; it must be true or false."),
        (
            "AlgorithmSpecification/MetricDefinitions/0/Regex",
            "(",
            "MetricDefinitions[0].Regex is '(', which is no regular",
        ),
        (
            "AlgorithmSpecification/MetricDefinitions/0/Regex",
            "x",
            "which has no group; put parentheses around the value",
        ),
        ("AlgorithmSpecification/ContainerEntrypoint", [], "ContainerEntrypoint has 0 entries"),
        ("AlgorithmSpecification/ContainerArguments", ["x" * 257], "ContainerArguments[0] has 257 characters"),
        ("InputDataConfig/1/CompressionType", "Gzip", "is Gzip in File mode; SageMaker inflates in Pipe mode only"),
        ("InputDataConfig/1/RecordWrapperType", "RecordIO", "is RecordIO in File mode; it must be None there"),
        (f"{CHANNEL}/ShuffleConfig", {}, "ShuffleConfig.Seed is missing; CreateTrainingJob requires it."),
        (f"{CHANNEL}/ShuffleConfig", {"Seed": 1 << 63}, "ShuffleConfig.Seed is 9223372036854775808; it must be in"),
        (
            f"{SOURCE}/S3DataType",
            "AugmentedManifestFile",
            "AttributeNames is missing; name the attributes of '/data/train/'",
        ),
        (f"{SOURCE}/AttributeNames", ["a", "b"], "AttributeNames is a, b, but S3DataType is S3Prefix; only Augmented"),
        (f"{SOURCE}/AttributeNames", ["a"] * 17, "AttributeNames has 17 entries; it must be in the range any to 16."),
        (f"{SOURCE}/S3Uri", "https://host/x", "S3Uri: local_mode does not read or write 'https://host/x' yet"),
        (
            "OutputDataConfig/S3OutputPath",
            "ftp://b/o",
            "S3OutputPath: local_mode does not read or write 'ftp://b/o' yet",
        ),
        ("OutputDataConfig/CompressionType", "ZIP", "CompressionType is 'ZIP'; it must be one of GZIP, NONE."),
        ("ResourceConfig/InstanceCount", 0, "InstanceCount is 0; it must be in the range 1 to any."),
        ("ResourceConfig/InstanceCount", None, "InstanceCount is missing; give it, or InstanceGroups."),
        ("ResourceConfig/InstanceCount", 10**9, "asks for 1000000000 hosts; local_mode runs at most 64, all on this"),
        (
            "ResourceConfig",
            {"InstanceGroups": [GROUP, GROUP], "VolumeSizeInGB": 1},
            "2 of ResourceConfig.InstanceGroups are called 'cpu'; names must differ.",
        ),
        ("EnableManagedSpotTraining", True, "MaxWaitTimeInSeconds is missing and MaxRuntimeInSeconds is"),
        (
            "ResourceConfig",
            {"InstanceGroups": [GROUP], "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            "ResourceConfig.InstanceType is 'ml.m5.large' beside InstanceGroups; give one or the other.",
        ),
        (
            "ResourceConfig",
            {"InstanceGroups": [GROUP], "InstanceCount": 1, "VolumeSizeInGB": 1},
            "ResourceConfig.InstanceCount is 1 beside InstanceGroups; give one or the other.",
        ),
        (
            "ResourceConfig",
            {"InstanceGroups": [{**GROUP, "InstanceGroupName": str(n)} for n in range(6)], "VolumeSizeInGB": 1},
            "ResourceConfig.InstanceGroups has 6 entries; it must be in the range any to 5.",
        ),
        (
            "ResourceConfig",
            {"InstanceGroups": [{**GROUP, "InstanceCount": 65}], "VolumeSizeInGB": 1},
            "ResourceConfig asks for 65 hosts",
        ),
        (f"{SOURCE}/InstanceGroupNames", ["cpu"], "has 'cpu', which is none of ResourceConfig.InstanceGroups (none)."),
        ("MlflowConfig", {}, "local_mode does not track jobs in MLflow yet; remove MlflowConfig."),
        ("DebugRuleConfigurations", [{}], "local_mode does not run Debugger's rules yet; remove DebugRuleConf"),
        ("ProfilerRuleConfigurations", [{}], "local_mode does not run Profiler's rules yet; remove ProfilerRuleConf"),
        ("TensorBoardOutputConfig", {"S3OutputPath": "http://b"}, "S3OutputPath: local_mode does not read or write"),
        *(
            ("TensorBoardOutputConfig", {"S3OutputPath": "/b", "LocalPath": path}, f"LocalPath is '{path}'; local_mode")
            for path in ("/tb", "tb", "/opt/ml/output", "/opt/ml/output/data/tb", "/opt/ml/output/x/../../model")
        ),
        ("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "state"}, "LocalPath is 'state'; give an absolute path"),
        ("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "/x/../etc"}, "is '/x/../etc'; give an absolute path"),
        ("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "/opt/ml"}, "is not to be mixed with /opt/ml/input"),
        ("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "/opt/ml/model/c"}, "not to be mixed with /opt/ml/model"),
        ("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "/usr/lib"}, "is not to be mixed with /usr"),
    ],
)
def test_problem_names_the_field_the_value_and_what_to_do(where, value, message):
    found = problems(changed(where, value))

    assert len(found) == 1
    assert message in found[0]


def test_all_problems_are_told_at_once():
    document = changed("TrainingJobName", "_")
    document["HyperParameters"] = {"a": 1, "b": True}
    found = problems(document)

    assert len(found) == 3
    with pytest.raises(ValidationError, match="3 problems in the request:\n  - TrainingJobName is '_'"):
        parse(document)


@pytest.mark.parametrize("document", [[], "x", None, 5])
def test_what_is_no_object_is_refused(document):
    assert problems(document) == [f"The request is {document!r}; it must be an object."]


def test_long_bad_values_are_not_repeated_in_full():
    assert len(problems(changed("RoleArn", "x" * 2000))[0]) < 250


def test_fields_without_effect_are_known_and_named():
    document = changed("Tags", [{"Key": "a", "Value": "b"}])
    document["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 60

    assert recorded_only(parse(document)) == ["KeepAlivePeriodInSeconds", "Tags"]


def test_default_checkpoint_path_may_have_a_slash():
    request = parse(changed("CheckpointConfig", {"S3Uri": "/c", "LocalPath": "/opt/ml/checkpoints/"}))
    assert request.CheckpointConfig.LocalPath == "/opt/ml/checkpoints/"
