"""Section 4.1 of the platform contract: what a request must be, told in AWS's words by the endpoint's validation.

No server and no job: what is refused here never reaches one.
"""

import copy
import re

import pytest

from local_mode.api.validation import check
from local_mode.api.wire import ApiError
from local_mode.errors import ValidationError
from local_mode.jobs.rules import parse
from tests.contract.channels import channel
from tests.contract.endpoint import request

PREFIX = "failed to satisfy constraint: Member must "


def changed(changes):
    """The request with places set; numbers in a path are indexes, None removes."""
    document = copy.deepcopy(request("job", ["look"], channels={"train": "s3://bucket/in/"}))
    for where, value in changes.items():
        *path, last = where.split("/")
        place = document
        for part in path:
            place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[int(last) if last.isdigit() else last] = value
    return document


def refusal(document):
    with pytest.raises(ApiError, match=".") as caught:
        check("CreateTrainingJob", document)
        parse(document)
    return caught.value


def refused(what, changes, message, section="4.1"):
    return pytest.param(changes, message, marks=pytest.mark.contract(section, "D", f"refused: {what}"))


SOURCE = "InputDataConfig/0/DataSource/S3DataSource"
MODEL = [
    refused("no TrainingJobName", {"TrainingJobName": None}, f"'trainingJobName' {PREFIX}not be null"),
    refused("a job name with an underscore", {"TrainingJobName": "a_b"}, "Value 'a_b' at 'trainingJobName'"),
    refused("a job name that ends in a hyphen", {"TrainingJobName": "a-"}, "Value 'a-' at 'trainingJobName'"),
    refused("a job name of 64 characters", {"TrainingJobName": "x" * 64}, "regular expression pattern: [a-zA-Z0-9]"),
    refused("no RoleArn", {"RoleArn": None}, f"'roleArn' {PREFIX}not be null"),
    refused("a RoleArn that is none", {"RoleArn": "arn:aws:iam::1:user/me-and-you"}, "at 'roleArn'"),
    refused("no OutputDataConfig", {"OutputDataConfig": None}, f"'outputDataConfig' {PREFIX}not be null"),
    refused("no S3OutputPath", {"OutputDataConfig": {}}, "'outputDataConfig.s3OutputPath'"),
    refused("no TrainingInputMode", {"AlgorithmSpecification/TrainingInputMode": None}, ".trainingInputMode'"),
    refused(
        "an input mode that is none", {"AlgorithmSpecification/TrainingInputMode": "pipe"}, "satisfy enum value set: ["
    ),
    refused(
        "a hyperparameter's name of 257 characters", {"HyperParameters": {"k" * 257: "v"}}, "Map keys must satisfy"
    ),
    refused(
        "a hyperparameter of 2,501 characters", {"HyperParameters": {"k": "v" * 2501}}, "Map value must satisfy", "2.2"
    ),
    refused(
        "101 hyperparameters", {"HyperParameters": {str(n): "" for n in range(101)}}, "at 'hyperParameters'", "2.2"
    ),
    refused(
        "an Environment key that begins with a digit", {"Environment": {"1A": "x"}}, "at 'environment' failed", "1.2"
    ),
    refused("an Environment value of 513 characters", {"Environment": {"A": "x" * 513}}, "at 'environment'", "1.2"),
    refused("101 Environment entries", {"Environment": {f"A{n}": "" for n in range(101)}}, "at 'environment'", "1.2"),
    refused("21 channels", {"InputDataConfig": [channel("c", "s3://b/p")] * 21}, "at 'inputDataConfig'", "3.1"),
    refused("a channel name with a space", {"InputDataConfig/0/ChannelName": "a b"}, "inputDataConfig.1.member", "3.1"),
    refused("a channel name of 65 characters", {"InputDataConfig/0/ChannelName": "c" * 65}, "channelName'", "3.1"),
    refused("a channel without a DataSource", {"InputDataConfig/0/DataSource": None}, "dataSource' failed", "3.1"),
    refused("an S3DataType that is none", {f"{SOURCE}/S3DataType": "Prefix"}, "s3DataType'", "3.1"),
    refused(
        "a distribution that is none", {f"{SOURCE}/S3DataDistributionType": "Sharded"}, "s3DataDistributionType'", "3.1"
    ),
    refused("an S3Uri that is none", {f"{SOURCE}/S3Uri": "bucket/prefix"}, "s3Uri' failed", "3.1"),
    refused("a compression that is none", {"InputDataConfig/0/CompressionType": "gzip"}, "compressionType'", "3.1"),
    refused("a record wrapper that is none", {"InputDataConfig/0/RecordWrapperType": "x"}, "recordWrapperType'", "3.1"),
    refused("a shuffle without a seed", {"InputDataConfig/0/ShuffleConfig": {}}, "shuffleConfig.seed'", "3.1"),
    refused("17 AttributeNames", {f"{SOURCE}/AttributeNames": ["a"] * 17}, "attributeNames'", "3.1"),
    refused(
        "an empty ContainerEntrypoint",
        {"AlgorithmSpecification/ContainerEntrypoint": []},
        "containerEntrypoint'",
        "1.1",
    ),
    refused(
        "an argument of 257 characters", {"AlgorithmSpecification/ContainerArguments": ["x" * 257]}, "member'", "1.1"
    ),
    refused("MaxRuntimeInSeconds of 0", {"StoppingCondition/MaxRuntimeInSeconds": 0}, "greater than or equal to 1"),
    refused(
        "41 MetricDefinitions",
        {"AlgorithmSpecification/MetricDefinitions": [{"Name": "m", "Regex": "(.)"}] * 41},
        "metricDefinitions'",
        "4.6",
    ),
    refused(
        "a metric without a Regex",
        {"AlgorithmSpecification/MetricDefinitions": [{"Name": "m"}]},
        "metricDefinitions.1.member.regex'",
        "4.6",
    ),
    refused("51 tags", {"Tags": [{"Key": str(n), "Value": ""} for n in range(51)]}, "at 'tags'"),
    refused("RetryStrategy of 31 attempts", {"RetryStrategy": {"MaximumRetryAttempts": 31}}, "maximumRetryAttempts'"),
]


@pytest.mark.parametrize(("changes", "message"), MODEL)
def test_breach_of_the_model_is_refused_in_the_words_of_aws(changes, message):
    error = refusal(changed(changes))

    assert error.code == "ValidationException"
    assert re.match(r"\d validation errors? detected: Value ", error.message)
    assert message in error.message


@pytest.mark.contract("4.1", "D", "refused: {what} in the place of another type")
@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a number", {"HyperParameters": {"epochs": 5}}),
        ("a text", {"ResourceConfig/InstanceCount": "1"}),
        ("true", {"StoppingCondition/MaxRuntimeInSeconds": True}),
        ("an object", {"InputDataConfig": {}}),
    ],
)
def test_wrong_type_is_a_serialization_exception(what, changes):
    assert refusal(changed(changes)).code == "SerializationException"


def rule(what, changes, message, section="3.1", grade="D"):
    return pytest.param(changes, message, marks=pytest.mark.contract(section, grade, f"refused: {what}"))


RULES = [
    rule(
        "two channels of one name",
        {"InputDataConfig": [channel("a", "s3://b/p"), channel("a", "s3://b/q")]},
        "2 channels are called 'a'",
    ),
    rule(
        "a channel named like another's FIFO",
        {"InputDataConfig": [channel("a", "s3://b/p"), channel("a_0", "s3://b/q", InputMode="File")]},
        "'a_0' has the name of a FIFO of the Pipe channel 'a'",
        grade="U",
    ),
    rule("a channel named ..", {"InputDataConfig/0/ChannelName": ".."}, "'..' cannot be a folder", "security", "U"),
    rule(
        "a Regex that is no regular expression",
        {"AlgorithmSpecification/MetricDefinitions": [{"Name": "m", "Regex": "("}]},
        "which is no regular expression",
        "4.6",
        "U",
    ),
    rule(
        "a Regex without a group",
        {"AlgorithmSpecification/MetricDefinitions": [{"Name": "m", "Regex": "loss"}]},
        "which has no group; put parentheses around the value",
        "4.6",
        "U",
    ),
    rule("a field the API does not have", {"StopingCondition": {}}, "did you mean StoppingCondition?", "4.1", "U"),
    rule(
        "what local_mode does not do yet, by name",
        {"DebugRuleConfigurations": []},
        "does not run Debugger's rules",
        "4.1",
        "U",
    ),
]


@pytest.mark.parametrize(("changes", "message"), RULES)
def test_broken_rule_is_told_with_the_value_and_what_to_do(changes, message):
    with pytest.raises(ValidationError, match=".") as caught:
        parse(changed(changes))
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def accepted(what, changes, section="4.1"):
    return pytest.param(changes, marks=pytest.mark.contract(section, "D", f"accepted: {what}"))


@pytest.mark.parametrize(
    "changes",
    [
        accepted("a job name of 63 characters", {"TrainingJobName": "x" * 63}),
        accepted("a request without InputDataConfig", {"InputDataConfig": None}, "3.1"),
        accepted("a request without HyperParameters", {"HyperParameters": None}, "2.2"),
        accepted("a hyperparameter of 2,500 characters", {"HyperParameters": {"k": "v" * 2500}}, "2.2"),
        accepted("an empty hyperparameter", {"HyperParameters": {"k": ""}}, "2.2"),
        accepted("an Environment value with line ends", {"Environment": {"A": "a\nb"}}, "1.2"),
        accepted("a negative shuffle seed", {"InputDataConfig/0/ShuffleConfig": {"Seed": -(1 << 63)}}, "3.1"),
        accepted("28 days of MaxRuntimeInSeconds", {"StoppingCondition": {"MaxRuntimeInSeconds": 28 * 86_400}}),
        accepted("a request without StoppingCondition: a day", {"StoppingCondition": None}),
        accepted("a ResourceConfig without VolumeSizeInGB", {"ResourceConfig/VolumeSizeInGB": None}),
        accepted("a VolumeSizeInGB of 0", {"ResourceConfig/VolumeSizeInGB": 0}),
        accepted("a StoppingCondition without MaxRuntimeInSeconds: a day", {"StoppingCondition": {}}),
    ],
)
def test_what_the_model_allows_is_accepted(changes):
    document = changed(changes)
    check("CreateTrainingJob", document)

    assert parse(document).StoppingCondition.MaxRuntimeInSeconds >= 600
