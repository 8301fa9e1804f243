import ast
from typing import Any

import pytest

from scripts.submitting import estimator, model_trainer
from scripts.submitting.errors import SubmitError
from tests.unit.scripts.submitting.jobs import EXAMPLES, example, whole

CODES = [estimator.code, model_trainer.code]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_code_of_every_example_is_python(code: Any, name: str):
    ast.parse(code(whole(example(name))))


def called(text: str, function: str) -> dict[str, Any]:
    """Keyword arguments of a call in printed code, as far as they are literals."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if ast.unparse(node.func) == function]
    return {item.arg: item.value for item in call.keywords}


def test_estimator_says_all_that_the_request_says():
    request = whole()
    request["VpcConfig"] = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    request["OutputDataConfig"]["CompressionType"] = "NONE"

    arguments = called(estimator.code(request), "Estimator")

    said = {name: ast.unparse(value) for name, value in arguments.items()}
    assert said["instance_type"] == "'ml.g5.xlarge'"
    assert (said["use_spot_instances"], said["max_run"], said["max_wait"]) == ("True", "3600", "7200")
    assert said["disable_output_compression"] == "True"
    assert (said["subnets"], said["security_group_ids"]) == ("['subnet-1']", "['sg-1']")
    assert ast.literal_eval(arguments["hyperparameters"]) == request["HyperParameters"]
    definitions = request["AlgorithmSpecification"]["MetricDefinitions"]
    assert ast.literal_eval(arguments["metric_definitions"]) == definitions


def test_model_trainer_says_all_that_the_request_says():
    request = whole()
    request["VpcConfig"] = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    request["Tags"] = [{"Key": "team", "Value": "vision"}]

    arguments = called(model_trainer.code(request), "ModelTrainer")

    said = {name: ast.unparse(value) for name, value in arguments.items()}
    assert said["networking"] == "Networking(subnets=['subnet-1'], security_group_ids=['sg-1'])"
    assert said["tags"] == "[shapes.Tag(key='team', value='vision')]"
    assert "enable_managed_spot_training=True" in said["compute"]
    assert said["stopping_condition"].endswith("max_runtime_in_seconds=3600, max_wait_time_in_seconds=7200)")
    assert ast.literal_eval(arguments["hyperparameters"]) == request["HyperParameters"]


@pytest.mark.parametrize("code", CODES)
def test_job_has_another_name_in_each_run_of_the_code(code: Any):
    text = code(whole())

    assert 'NAME = time.strftime("a-job-%Y%m%d-%H%M%S", time.gmtime())' in text
    assert 'f"s3://mine/vision/models/{NAME}/checkpoints/"' in text
    assert "20261126" not in text


@pytest.mark.parametrize("code", CODES)
def test_name_that_was_chosen_stays(code: Any):
    text = code(whole({**example(), "TrainingJobName": "mine"}))

    assert 'NAME = "mine"' in text
    assert "import time" not in text


@pytest.mark.parametrize("code", CODES)
def test_field_that_an_sdk_cannot_say_is_refused_by_name(code: Any):
    with pytest.raises(SubmitError, match="has no way to say ExperimentConfig, ServerlessJobConfig; leave that out"):
        code({**whole(), "ExperimentConfig": {"TrialName": "x"}, "ServerlessJobConfig": {}})


def test_shuffle_of_a_channel_is_the_sdks_own_object():
    document = example()
    document["InputDataConfig"][0]["ShuffleConfig"] = {"Seed": 7}

    text = estimator.code(whole(document))

    assert "import ShuffleConfig, TrainingInput" in text
    assert "shuffle_config=ShuffleConfig(7)" in text
    assert "shuffle_config=shapes.ShuffleConfig(" in model_trainer.code(whole(document)).replace(" ", "")
