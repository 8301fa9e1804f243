"""Section 2 of the platform contract, over every runner: /opt/ml before the program starts, and what is packed."""

import json
import tarfile

import pytest

from tests.contract.channels import channel
from tests.contract.conformance import not_enforced

VALUES = {
    "number": "5",
    "quoted": '"5"',
    "word": "adam",
    "quoted_word": '"adam"',
    "list": "[64, 32]",
    "python_bool": "True",
    "json_bool": "true",
    "none": "null",
    "empty": "",
    "lines": "a\nb\t",
    "accent": "é 漢字 😀",
    "key with spaces/é": "kept",
    "long": "x" * 2500,
}
SHOW = 'cat "${SAGEMAKER_BASE_DIR:-/opt/ml}/input/config/'


@pytest.fixture(scope="module")
def seen(shared_lab, tmp_path_factory):
    """What a program finds whose job has a channel of each mode."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.txt").write_text("alpha")
    entries = [
        channel("piped", f"{folder}/", InputMode="Pipe", ContentType="text/csv", ShuffleConfig={"Seed": 1}),
        channel("filed", f"{folder}/", InputMode="File"),
        channel("fast", f"{folder}/", InputMode="FastFile", distribution="ShardedByS3Key"),
        channel("wrapped.a-b_c", f"{folder}/", InputMode="Pipe", RecordWrapperType="RecordIO"),
    ]
    return shared_lab.run(["look"], InputDataConfig=entries, hyperparameters=VALUES).report


@pytest.mark.contract("2.2", "D", "the hyperparameter {name} reaches the program as the text it was")
@pytest.mark.parametrize("name", VALUES)
def test_hyperparameter_passes_through_untouched(seen, name):
    assert seen["files"]["hyperparameters.json"][name] == VALUES[name]


@pytest.mark.contract("2.2", "O", "{name} is an object without members when the request has none")
@pytest.mark.parametrize(
    ("name", "without"),
    [("hyperparameters.json", {"HyperParameters": None}), ("inputdataconfig.json", {"InputDataConfig": None})],
)
def test_config_file_of_nothing_is_an_empty_object(shared_lab, name, without):
    run = shared_lab.run(["look"], algorithm={"ContainerEntrypoint": ["/bin/sh", "-c", f'{SHOW}{name}"']}, **without)

    assert run.status == "Completed"
    assert run.recorder.lines == ["{}"]


@pytest.mark.contract("2.2", "D", "input/config has the three documented files and no other")
def test_documented_files_and_no_others(seen):
    assert set(seen["files"]) == {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"}


@pytest.mark.contract("2.2", "D", "inputdataconfig.json has each channel with its own TrainingInputMode")
def test_every_channel_is_told_with_its_mode(seen):
    told = {name: entry["TrainingInputMode"] for name, entry in seen["files"]["inputdataconfig.json"].items()}
    assert told == {"piped": "Pipe", "filed": "File", "fast": "FastFile", "wrapped.a-b_c": "Pipe"}


@pytest.mark.contract("2.2", "O", "ContentType is told where the request gives one, and only there")
def test_content_type_is_told_where_it_is_given(seen):
    told = {name: entry.get("ContentType", "absent") for name, entry in seen["files"]["inputdataconfig.json"].items()}
    assert told == {"piped": "text/csv", "filed": "absent", "fast": "absent", "wrapped.a-b_c": "absent"}


@pytest.mark.contract("2.2", "D", "S3DistributionType and RecordWrapperType are told, with their defaults")
def test_distribution_and_wrapper_are_told(seen):
    told = seen["files"]["inputdataconfig.json"]
    pairs = {name: (entry["S3DistributionType"], entry["RecordWrapperType"]) for name, entry in told.items()}
    assert pairs == {
        "piped": ("FullyReplicated", "None"),
        "filed": ("FullyReplicated", "None"),
        "fast": ("ShardedByS3Key", "None"),
        "wrapped.a-b_c": ("FullyReplicated", "RecordIO"),
    }


@pytest.mark.contract("2.2", "O", "S3Uri, S3DataType, shuffle and compression are not told to the program")
def test_nothing_else_of_a_channel_is_told(seen):
    keys = {"TrainingInputMode", "S3DistributionType", "RecordWrapperType", "ContentType"}
    assert {key for entry in seen["files"]["inputdataconfig.json"].values() for key in entry} == keys


@pytest.mark.contract("2.2", "D", "resourceconfig.json names the current host, all hosts and the interface")
def test_resources_name_hosts_and_interface(seen):
    told = seen["files"]["resourceconfig.json"]
    assert (told["current_host"], told["hosts"]) == ("algo-1", ["algo-1"])
    assert told["network_interface_name"]


@pytest.mark.contract("2.2", "O", "a homogeneous job is one instance group, homogeneousCluster")
def test_homogeneous_job_is_one_group(seen):
    told = seen["files"]["resourceconfig.json"]
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
    assert (told["current_group_name"], told["instance_groups"]) == ("homogeneousCluster", [group])
    assert told["current_instance_type"] == "ml.m5.large"


@pytest.mark.contract("2.1", "D", "a Pipe channel is a FIFO <channel>_0 at the start, and no folder")
def test_pipe_channel_is_a_fifo_and_no_folder(seen):
    paths = seen["paths"]
    assert paths["input/data/piped_0"] == paths["input/data/wrapped.a-b_c_0"] == "FIFO"
    assert "input/data/piped" not in paths


@pytest.mark.contract("2.1", "D", "a File or FastFile channel is a folder, whole before the program starts")
def test_file_channels_are_folders_and_whole(seen):
    assert seen["paths"]["input/data/filed/a.txt"] == seen["paths"]["input/data/fast/a.txt"] == "file"


@pytest.mark.contract("3.1", "R", "a channel that is not in the request has no folder, no FIFO and no key")
def test_channel_that_is_not_asked_for_does_not_exist(seen):
    found = {path.split("/")[2] for path in seen["paths"] if path.startswith("input/data/")}
    assert found == {"piped_0", "filed", "fast", "wrapped.a-b_c_0"}


@pytest.mark.contract("2.1", "D", "model/ and output/data/ are there and empty")
def test_places_for_results_are_there_and_empty(seen):
    assert seen["paths"]["model"] == seen["paths"]["output/data"] == "folder"
    assert [path for path in seen["paths"] if path.startswith(("model/", "output/data/"))] == []


@pytest.mark.contract("2.1", "D", "there is no output/failure before the program writes one")
def test_no_failure_before_there_is_one(seen):
    assert "output/failure" not in seen["paths"]


@pytest.mark.contract("2.1", "C", "/opt/ml/code is left to the toolkit: a folder there would keep it from unpacking")
def test_code_is_left_to_the_toolkit(seen):
    assert [path for path in seen["paths"] if path.split("/")[0] == "code"] == []


@pytest.mark.contract("2.3", "U", "no checkpointconfig.json without a CheckpointConfig")
def test_no_checkpoint_config_without_checkpoints(seen):
    assert "checkpointconfig.json" not in seen["files"]


# --- 2.4 what is packed ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def left(shared_lab):
    """A job that left files of every sort."""
    return shared_lab.run(["leave"])


@pytest.mark.contract("2.4", "O", "output.tar.gz holds output/data and nothing else of output/")
def test_output_holds_output_data_alone(left):
    assert left.packed("output.tar.gz") == {"inner/curve.csv": b"loss\n"}


@pytest.mark.contract("2.4", "O", "model.tar.gz has the contents of model/ at its root, folders in it kept")
def test_model_has_the_contents_of_its_folder(left):
    assert set(left.packed("model.tar.gz")) == {"1/saved model.pb", "run.sh", "é.txt"}


@pytest.mark.contract("2.4", "I", "bytes, executable bits and links of model/ survive the archive")
def test_archive_keeps_bytes_modes_and_links(left):
    with tarfile.open(left.folder / "model.tar.gz") as archive:
        members = {item.name: item for item in archive}
        assert archive.extractfile("1/saved model.pb").read() == bytes(range(256))
    assert members["run.sh"].mode & 0o111
    assert (members["link"].issym(), members["link"].linkname) == (True, "run.sh")


@pytest.mark.contract("2.4", "D", "both archives lie below S3OutputPath/<job>/output/")
def test_archives_lie_below_the_output_path(left):
    folder = left.lab.folder / "out" / left.description["TrainingJobName"] / "output"
    assert sorted(path.name for path in folder.iterdir()) == ["model.tar.gz", "output.tar.gz"]


@pytest.mark.contract("2.4", "U", "an empty model/ gives an empty model.tar.gz, and is said to")
def test_empty_model_gives_an_empty_archive(shared_lab):
    run = shared_lab.run(["say", [1, "no model\n"]])

    assert run.status == "Completed"
    assert run.packed("model.tar.gz") == {}
    assert [note for note in run.recorder.notes if "left nothing in model/" in note]


@pytest.mark.contract("2.4", "D", "ModelArtifacts is described while the job runs")
def test_place_of_the_model_is_described_while_the_job_runs(lab):
    run = lab.start(["end_when_stopped", 0])
    assert run.recorder.ready.wait(30)
    assert run.description["ModelArtifacts"]["S3ModelArtifacts"].endswith("/out/job-1/output/model.tar.gz")
    run.job.stop()

    assert run.end().packed("model.tar.gz") == {"early.bin": b"early"}


@pytest.mark.contract("3.5", "U", "a user's own folder, bound in place of a copy, cannot be changed by the program")
@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_channel_folder_is_read_only(lab, source, mode):
    if lab.kind == "plain":
        not_enforced("channels of a plain process are copies that it can write")
    run = lab.run(["write_channel"], channels={"train": source}, mode=mode)

    assert json.dumps(run.report["seen"]) == json.dumps({"write": "EROFS", "remove": "EROFS", "add": "EROFS"})
