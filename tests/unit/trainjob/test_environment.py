import json
from pathlib import Path

import pytest
from trainjob import environment
from trainjob.contract import Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.errors import EnvironmentFileError


def write(base: Path, **files: object) -> dict[str, str]:
    folder = base / "input" / "config"
    folder.mkdir(parents=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "job-7"}


def test_a_job_as_the_platform_writes_it_is_read_whole(tmp_path: Path) -> None:
    resource = {
        "current_host": "algo-2",
        "hosts": ["algo-1", "algo-10", "algo-2"],
        "network_interface_name": "eth1",
        "current_instance_type": "ml.g5.2xlarge",
    }
    train = {"TrainingInputMode": "Pipe", "S3DistributionType": "ShardedByS3Key", "RecordWrapperType": "RecordIO"}
    channels = {"train": {**train, "ContentType": "image/jpeg"}, "validation": {"TrainingInputMode": "File"}}
    environ = write(
        tmp_path, hyperparameters={"lr": '"0.1"'}, inputdataconfig=channels, resourceconfig=resource, debughookconfig=[]
    )
    env = environment.read(environ)
    assert env.paths == Paths(tmp_path)
    assert env.job_name == "job-7"
    assert env.hyperparameters == {"lr": '"0.1"'}
    assert env.channels["train"] == ChannelConfig(
        name="train",
        input_mode="Pipe",
        content_type="image/jpeg",
        distribution="ShardedByS3Key",
        record_wrapper="RecordIO",
    )
    assert env.channels["validation"].content_type is None
    assert env.network_interface == "eth1"
    assert env.resource_config["current_instance_type"] == "ml.g5.2xlarge"


def test_rank_is_the_position_among_the_hosts_and_not_the_digit_in_the_name(tmp_path: Path) -> None:
    hosts = ["algo-1", "algo-10", "algo-11", "algo-2"]
    env = environment.read(write(tmp_path, resourceconfig={"current_host": "algo-2", "hosts": hosts}))
    assert (env.host_index, env.rank, env.ranks) == (3, 3, 4)


def test_process_that_shares_its_host_counts_those_of_the_hosts_before_and_finds_its_own_fifos(tmp_path: Path) -> None:
    environ = write(tmp_path, resourceconfig={"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})
    env = environment.read({**environ, "TRAINJOB_LOCAL_RANK": "1/4", "TRAINJOB_FIFOS": "/fifos/1"})
    assert (env.host_index, env.local_rank, env.local_ranks, env.rank, env.ranks) == (1, 1, 4, 5, 8)
    assert env.paths.fifo("train", 2) == Path("/fifos/1/train_2")
    assert env.paths.channel("train") == tmp_path / "input" / "data" / "train"


@pytest.mark.parametrize("place", ["2/2", "1", "", "a/b", "-1/2"])
def test_place_that_is_none_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(EnvironmentFileError, match=f"TRAINJOB_LOCAL_RANK is '{place}'; it must be as in 0/2"):
        environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path), "TRAINJOB_LOCAL_RANK": place})


def test_missing_files_stand_for_one_host_without_channels_or_hyperparameters(tmp_path: Path) -> None:
    env = environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert (env.hosts, env.current_host, env.rank, env.network_interface) == (("algo-1",), "algo-1", 0, "eth0")
    assert env.channels == {}
    assert env.hyperparameters == {}


def test_without_a_base_folder_the_platforms_own_tree_is_meant() -> None:
    assert environment.paths({}) == Paths()


def test_hyperparameters_that_are_no_strings_are_turned_back_into_json(tmp_path: Path) -> None:
    env = environment.read(write(tmp_path, hyperparameters={"epochs": 5, "layers": [1, 2], "flag": True, "name": "x"}))
    assert env.hyperparameters == {"epochs": "5", "layers": "[1, 2]", "flag": "true", "name": "x"}


@pytest.mark.parametrize(
    ("written", "mode"), [("pipe", "Pipe"), ("FASTFILE", "FastFile"), ("file", "File"), ("Tape", "Tape")]
)
def test_the_input_mode_is_compared_without_regard_to_case(tmp_path: Path, written: str, mode: str) -> None:
    env = environment.read(write(tmp_path, inputdataconfig={"train": {"TrainingInputMode": written}}))
    assert env.channels["train"].input_mode == mode


def test_a_file_that_is_not_json_is_named_with_the_position_of_the_mistake(tmp_path: Path) -> None:
    environ = write(tmp_path, hyperparameters='{"epochs": "1",\n "lr" "2"}')
    with pytest.raises(EnvironmentFileError, match=r"hyperparameters\.json is not JSON: .* at line 2, column 7"):
        environment.read(environ)


def test_a_file_in_another_encoding_is_named_with_the_byte(tmp_path: Path) -> None:
    environ = write(tmp_path, hyperparameters="{}")
    Paths(tmp_path).hyperparameters.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(EnvironmentFileError, match=r"hyperparameters\.json is not UTF-8: byte 7"):
        environment.read(environ)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"hyperparameters": []}, r"holds a JSON list; it must hold one object"),
        ({"inputdataconfig": {"train": "Pipe"}}, r"channel 'train' is \"Pipe\"; it must be an object"),
        ({"inputdataconfig": {"train": {"TrainingInputMode": 3}}}, r"'TrainingInputMode' is 3; it must be a string"),
        ({"resourceconfig": {"hosts": []}}, r"'hosts' is \[\]; it must be a list of names"),
        ({"resourceconfig": {"hosts": "algo-1"}}, r"'hosts' is \"algo-1\"; it must be a list of names"),
        ({"resourceconfig": {"hosts": ["algo-1"], "current_host": "algo-3"}}, r"'algo-3' is not among the hosts"),
    ],
)
def test_what_is_not_as_the_contract_says_is_refused(tmp_path: Path, files: dict[str, object], message: str) -> None:
    environ = write(tmp_path, **files)
    with pytest.raises(EnvironmentFileError, match=message):
        environment.read(environ)


def test_a_folder_in_place_of_a_file_is_a_clear_error(tmp_path: Path) -> None:
    Paths(tmp_path).hyperparameters.mkdir(parents=True)
    with pytest.raises(EnvironmentFileError, match=r"hyperparameters\.json cannot be read: Is a directory"):
        environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path)})


def test_a_job_environment_cannot_be_changed_after_it_was_read(tmp_path: Path) -> None:
    env: JobEnvironment = environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    with pytest.raises(AttributeError, match="cannot assign to field 'job_name'"):
        env.job_name = "other"  # type: ignore[misc]
