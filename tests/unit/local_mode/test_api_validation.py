import pytest

from local_mode.api.validation import answered, check, has_operation
from local_mode.api.wire import ApiError

GOOD = {
    "TrainingJobName": "job-1",
    "RoleArn": "arn:aws:iam::123456789012:role/any",
    "AlgorithmSpecification": {"TrainingImage": "image:1", "TrainingInputMode": "Pipe"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
CHANNEL = {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}}}


def refusal(**changes):
    with pytest.raises(ApiError, match=".") as caught:
        check("CreateTrainingJob", {**GOOD, **changes})
    return caught.value


def test_good_request_passes_with_places_in_s3_or_on_this_machine():
    check("CreateTrainingJob", GOOD)
    check("CreateTrainingJob", {**GOOD, "OutputDataConfig": {"S3OutputPath": "file:///tmp/out"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TrainingJobName": "-x"},
            "Value '-x' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            {"TrainingJobName": "x\n"},
            "Value 'x\n' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            {"RoleArn": None},
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
            "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1",
        ),
        (
            {"InputDataConfig": [CHANNEL, {**CHANNEL, "ChannelName": "a b"}]},
            "Value 'a b' at 'inputDataConfig.2.member.channelName' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: [A-Za-z0-9\.\-_]+",
        ),
        (
            {"InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix"}}}]},
            "Value null at 'inputDataConfig.1.member.dataSource.s3DataSource.s3Uri' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"HyperParameters": {"text": "two\nlines"}},
            "Value '{text=two\nlines}' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy "
            "constraint: [Member must have length less than or equal to 2500, Member must have length greater than or "
            "equal to 0, Member must satisfy regular expression pattern: .*]",
        ),
        (
            {"Tags": [{"Key": "a;b", "Value": ""}]},
            "Value 'a;b' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression "
            r"pattern: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
        ),
    ],
)
def test_violation_is_told_as_aws_tells_it(changes, message):
    refused = refusal(**changes)

    assert (refused.code, refused.status) == ("ValidationException", 400)
    assert refused.message == f"1 validation error detected: {message}"


def test_several_violations_come_in_one_answer():
    assert refusal(TrainingJobName="a_b", RoleArn="short").message.startswith("3 validation errors detected: Value ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": 5}, "NUMBER_VALUE can not be converted to a String"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": "60"}}, "STRING_VALUE can not be converted to an Integer"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "BOOLEAN_VALUE can not be converted to an Integer"),
        ({"HyperParameters": {"epochs": 5}}, "NUMBER_VALUE can not be converted to a String"),
        ({"InputDataConfig": CHANNEL}, "OBJECT_VALUE can not be converted to a list"),
        ({"InputDataConfig": [None]}, "NULL_VALUE can not be converted to a structure"),
    ],
)
def test_wrong_type_is_a_serialization_exception(changes, message):
    refused = refusal(**changes)

    assert (refused.code, refused.message) == ("SerializationException", message)


def test_letters_of_any_script_may_stand_in_tags():
    check("CreateTrainingJob", {**GOOD, "Tags": [{"Key": "Größe", "Value": "日本 1/2=a@b"}]})


def test_answer_has_only_the_members_of_the_operation():
    shown = answered("DescribeTrainingJob", {"TrainingJobName": "a", "Tags": [], "Mine": 1})

    assert shown == {"TrainingJobName": "a"}
    assert has_operation("DescribeTrainingJob")
    assert not has_operation("MineTrainingJob")
