"""Section 1 of the platform contract, over every runner: how a program is started and what surrounds it.

Most rows look at one job.
"""

import pytest

from tests.contract.conformance import not_enforced
from tests.contract.lab import IMAGE

SAID = "a 'b' \"c\" $HOME * ; é"
MINE = {"EMPTY": "", "EQUALS": "a=b=c", "LINES": "two\nlines", "_lower": "kept", "ACCENT": "é", "FROM_IMAGE": "mine"}
OF_CALLER = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "SECRET")


@pytest.fixture(scope="module")
def seen(shared_lab):
    """What one program sees; its job's name has capitals."""
    return shared_lab.run(["look"], TrainingJobName="Job-With-Capitals", Environment=MINE).report


def environment_row(statement, grade="D"):
    return pytest.mark.contract("1.2", grade, statement)


@environment_row("TRAINING_JOB_NAME keeps its case")
def test_job_name_keeps_its_case(seen):
    assert seen["environment"]["TRAINING_JOB_NAME"] == "Job-With-Capitals"


@environment_row("TRAINING_JOB_ARN has the name in lower case", "O")
def test_arn_has_the_name_in_lower_case(seen):
    arn = seen["environment"]["TRAINING_JOB_ARN"]
    assert arn == "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job-with-capitals"


@environment_row("AWS_REGION is set and AWS_DEFAULT_REGION is not", "O")
def test_region_is_told_in_one_variable(seen):
    assert seen["environment"]["AWS_REGION"] == "eu-west-1"
    assert "AWS_DEFAULT_REGION" not in seen["environment"]


@environment_row("no SM_ variable is set by the platform")
def test_no_variable_of_the_toolkit_is_set(seen):
    assert [name for name in seen["environment"] if name.startswith("SM_")] == []


@environment_row("no key of the caller's environment is handed on", "O")
def test_no_key_of_the_caller_is_handed_on(seen):
    assert [name for name in OF_CALLER if name in seen["environment"]] == []


@environment_row("Environment's entry {name} arrives as it was written: {value!r}")
@pytest.mark.parametrize(("name", "value"), list(MINE.items())[:5])
def test_entry_of_environment_arrives_verbatim(seen, name, value):
    assert seen["environment"][name] == value


@environment_row("an entry of Environment wins over the image's ENV")
def test_request_wins_over_the_image(seen):
    assert seen["environment"]["FROM_IMAGE"] == "mine"


@pytest.mark.contract("1.1", "O", "the program runs as the image's user, root unless it says otherwise")
def test_program_runs_as_the_user_of_the_image(seen, kind):
    if kind != "docker":
        not_enforced("a process runs as the user who started local_mode")
    assert seen["user"] == 0


@pytest.mark.contract("1.1", "O", "stdin is empty and at its end: a program that asks does not hang")
def test_stdin_is_at_its_end(seen):
    assert seen["stdin"] == ""


@pytest.mark.contract("1.1", "O", "stdout and stderr are no terminal")
def test_output_is_no_terminal(seen):
    assert seen["tty"] == [False, False, False]


@pytest.mark.contract("1.3", "O", "the host's own name is not algo-1: programs must read resourceconfig.json")
def test_hostname_is_not_the_name_of_the_contract(seen):
    assert seen["hostname"] != "algo-1"


@pytest.mark.contract("1.3", "D", "network_interface_name is an interface that the program has")
def test_interface_that_is_told_is_there(seen):
    assert seen["files"]["resourceconfig.json"]["network_interface_name"] in seen["interfaces"]


@pytest.mark.contract("1.5", "D", "/tmp can be written")
def test_tmp_can_be_written(seen):
    assert "/tmp" in seen["can_write"]


@pytest.mark.contract("4.5", "U", "a job that keeps its instance leaves the next one a fresh /tmp and /opt/ml")
def test_job_after_one_that_keeps_its_instance_starts_afresh(lab):
    resources = {
        "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "KeepAlivePeriodInSeconds": 600,
    }  # fmt: skip
    leave = 'cd "${TMPDIR:-/tmp}" && ls && touch left && cd "${SAGEMAKER_BASE_DIR:-/opt/ml}" && ls && touch left'
    shell = {"ContainerEntrypoint": ["/bin/sh", "-c", leave]}
    first, second = (lab.run(["look"], algorithm=shell, ResourceConfig=resources).recorder.lines for _ in range(2))

    assert "input\n" in first
    assert second == first


@pytest.mark.contract("1.1", "I", "model/, output/ and output/data/ are there and can be written")
def test_places_for_results_can_be_written(seen):
    assert len(seen["can_write"]) == 4, seen["can_write"]


@pytest.mark.contract("1.1", "D", "an entry point alone is started without the word train")
def test_entry_point_alone_is_not_given_the_word_train(lab):
    run = lab.run(["look"], algorithm={"ContainerEntrypoint": ["/bin/sh", "-c", 'echo "$# $0"', "name"]})

    assert run.recorder.lines == ["0 name\n"]


@pytest.mark.contract("1.1", "D", "arguments reach the program as they are: no shell splits or expands them")
def test_arguments_reach_the_program_as_they_are(lab):
    code = "import json, sys; print(json.dumps(sys.argv[1:]), ascii(sys.argv[1]))"
    run = lab.run(
        ["look"], algorithm={"ContainerEntrypoint": ["python3", "-c"], "ContainerArguments": [code, SAID, ""]}
    )

    assert run.recorder.lines[0].endswith(f"{SAID!a}\n")
    assert ', ""]' in run.recorder.lines[0]


@pytest.mark.contract("1.4", "D", "an isolated job still gets its channels and leaves its artifacts")
def test_isolated_job_gets_channels_and_leaves_artifacts(lab, source):
    if lab.kind == "plain":
        not_enforced("EnableNetworkIsolation is refused, as a plain process cannot be isolated")
    run = lab.run(["epochs"], channels={"train": source}, EnableNetworkIsolation=True)

    assert run.status == "Completed"
    assert list(run.packed("model.tar.gz")) == ["report.json"]


@pytest.mark.contract("1.2", "D", "no variables but the platform's, the image's and the request's")
def test_no_other_variable_is_there(seen, kind, request):
    ours = {"TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "AWS_REGION", *MINE}
    if kind == "docker":
        image = request.getfixturevalue("docker_client").images.get(IMAGE).attrs["Config"]["Env"]
        allowed = {"HOSTNAME", "HOME", "PATH", "PWD", *(entry.partition("=")[0] for entry in image)}
    else:
        allowed = {"PATH", "HOME", "LANG", "PIP_CERT", *(("SAGEMAKER_BASE_DIR", "TMPDIR") if kind == "plain" else ())}
    assert set(seen["environment"]) - ours - allowed - {"LC_CTYPE"} == set()
