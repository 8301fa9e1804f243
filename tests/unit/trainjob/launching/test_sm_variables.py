import json
import os
from pathlib import Path
from typing import Any

import pytest
from trainjob import environment
from trainjob.environment import JobEnvironment
from trainjob.launching import sm_variables


def job(base: Path, resource: Any = None, **hyperparameters: str) -> JobEnvironment:
    config = base / "input" / "config"
    config.mkdir(parents=True)
    channels = {"train": {"TrainingInputMode": "File"}, "my-val": {"TrainingInputMode": "Pipe"}}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text(json.dumps(channels))
    if resource:
        (config / "resourceconfig.json").write_text(json.dumps(resource))
    return environment.read({"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "job-7"})


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("5", "5"),
        ('"5"', "5"),
        ("adam", "adam"),
        ('"adam"', "adam"),
        ("true", "True"),
        ("True", "True"),
        ("null", ""),
        ("", ""),
        ("[1, 2]", "[1, 2]"),
        ('["a"]', "['a']"),
        ('{"b": 1, "a": "x"}', "a=x,b=1"),
        ("1e-3", "0.001"),
        ("two words", "two words"),
    ],
)
def test_a_value_becomes_the_argument_that_the_toolkit_makes_of_it(tmp_path: Path, text: str, argument: str) -> None:
    assert sm_variables.arguments(job(tmp_path, value=text)) == ["--value", argument]


def test_arguments_are_sorted_and_one_letter_names_get_one_hyphen(tmp_path: Path) -> None:
    env = job(tmp_path, zeta="1", b="2", **{"batch-size": "3"})
    assert sm_variables.arguments(env) == ["-b", "2", "--batch-size", "3", "--zeta", "1"]


def test_reserved_hyperparameters_are_withheld_from_the_script(tmp_path: Path) -> None:
    reserved = {"_tuning_objective_metric": "loss", "default_user_module_name": "x", "sagemaker_mpi_enabled": "true"}
    env = job(tmp_path, sagemaker_program="train.py", lr="0.1", **reserved)
    variables = sm_variables.variables(env, "train.py", {})
    assert sm_variables.arguments(env) == ["--lr", "0.1"]
    assert variables["SM_HPS"] == '{"lr":0.1}'
    assert variables["SM_FRAMEWORK_PARAMS"] == '{"sagemaker_mpi_enabled":true}'
    assert not [name for name in variables if name.startswith("SM_HP_SAGEMAKER")]


def test_the_variables_of_a_plain_job_are_those_of_the_toolkit(tmp_path: Path) -> None:
    env = job(tmp_path, lr="0.1", note="plain", layers="[1, 2]", flag="true", sagemaker_submit_directory='"s3://b/c"')
    variables = sm_variables.variables(env, "train.py", {"AWS_REGION": "eu-west-1"})
    expected = {
        "SM_MODEL_DIR": f"{tmp_path}/model",
        "SM_OUTPUT_DIR": f"{tmp_path}/output",
        "SM_OUTPUT_DATA_DIR": f"{tmp_path}/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": f"{tmp_path}/output/intermediate",
        "SM_INPUT_DIR": f"{tmp_path}/input",
        "SM_INPUT_CONFIG_DIR": f"{tmp_path}/input/config",
        "SM_MODULE_DIR": "s3://b/c",
        "SM_MODULE_NAME": "train",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_FRAMEWORK_MODULE": "",
        "SM_LOG_LEVEL": "20",
        "SM_CHANNELS": '["my-val","train"]',
        "SM_CHANNEL_TRAIN": f"{tmp_path}/input/data/train",
        "SM_CHANNEL_MY-VAL": f"{tmp_path}/input/data/my-val",
        "SM_HPS": '{"flag":true,"layers":[1,2],"lr":0.1,"note":"plain"}',
        "SM_HP_LR": "0.1",
        "SM_HP_NOTE": "plain",
        "SM_HP_LAYERS": "[1,2]",
        "SM_HP_FLAG": "true",
        "SM_USER_ARGS": '["--flag","True","--layers","[1, 2]","--lr","0.1","--note","plain"]',
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_CURRENT_INSTANCE_TYPE": "local",
        "SM_CURRENT_INSTANCE_GROUP": "homogeneousCluster",
        "SM_IS_HETERO": "false",
        "SM_NETWORK_INTERFACE_NAME": "eth0",
        "SM_RESOURCE_CONFIG": "{}",
        "SM_NUM_CPUS": str(len(os.sched_getaffinity(0))),
        "SM_NUM_NEURONS": "0",
        "SAGEMAKER_JOB_NAME": "job-7",
        "SAGEMAKER_REGION": "eu-west-1",
        "CURRENT_HOST": "algo-1",
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert json.loads(variables["SM_INPUT_DATA_CONFIG"])["my-val"] == {"TrainingInputMode": "Pipe"}
    assert "SM_TOPOLOGY" not in variables


def test_the_training_environment_is_one_object_under_the_toolkits_names(tmp_path: Path) -> None:
    env = job(tmp_path, lr="0.1")
    whole = json.loads(sm_variables.variables(env, "train.py", {})["SM_TRAINING_ENV"])
    assert whole["hyperparameters"] == {"lr": 0.1}
    assert whole["channel_input_dirs"]["train"] == f"{tmp_path}/input/data/train"
    assert (whole["job_name"], whole["is_master"], whole["model_dir"]) == ("job-7", True, f"{tmp_path}/model")


def test_groups_of_instances_are_told_apart(tmp_path: Path) -> None:
    groups = [
        {"instance_group_name": "gpu", "instance_type": "ml.g5.xlarge", "hosts": ["algo-3", "algo-1"]},
        {"instance_group_name": "cpu", "instance_type": "ml.m5.large", "hosts": ["algo-2"]},
    ]
    resource = {
        "current_host": "algo-2",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "current_group_name": "cpu",
        "current_instance_type": "ml.m5.large",
        "instance_groups": groups,
        "topology": [{"hostName": "algo-2"}],
    }
    variables = sm_variables.variables(job(tmp_path, resource), "train.py", {})
    assert variables["SM_CURRENT_INSTANCE_GROUP_HOSTS"] == '["algo-2"]'
    assert variables["SM_INSTANCE_GROUPS"] == '["gpu","cpu"]'
    assert json.loads(variables["SM_INSTANCE_GROUPS_DICT"])["gpu"] == groups[0]
    assert variables["SM_IS_HETERO"] == "true"
    assert variables["SM_TOPOLOGY"] == '[{"hostName":"algo-2"}]'


def test_a_name_that_no_environment_can_hold_is_left_out_of_it_but_stays_an_argument(tmp_path: Path) -> None:
    env = job(tmp_path, **{"a=b": "1"})
    assert "SM_HP_A=B" not in sm_variables.variables(env, "train.py", {})
    assert sm_variables.arguments(env) == ["--a=b", "1"]


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("echo 'GPU 0: A (UUID: x)'; echo 'GPU 1: B (UUID: y)'", "2"),
        ("echo 'No devices were found'; exit 6", "0"),
        ("exec sleep 30", "0"),
    ],
)
def test_gpus_are_counted_by_the_drivers_listing_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, count: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sm_variables, "_GPU_LISTING_SECONDS", 0.5)
    assert sm_variables.variables(job(tmp_path / "ml"), "train.py", {})["SM_NUM_GPUS"] == count


def test_without_the_drivers_tool_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sm_variables.variables(job(tmp_path / "ml"), "train.py", {})["SM_NUM_GPUS"] == "0"
