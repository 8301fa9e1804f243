import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = {"host", "serving", "tuning", "testing", "pytest"}
"""What verbs stand on; not to be typed."""


def test_plain_make_lists_every_verb_with_a_line_of_help():
    targets = re.findall(r"^([a-z][a-z0-9_%/-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)

    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  make (\S+) +\w.*", listed, re.MULTILINE)) == set(targets) - HIDDEN
    assert "local-train" in targets


def test_values_reach_a_script_without_a_shell_reading_them(tmp_path: Path):
    (tmp_path / "python").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    hyperparameters = "note='`id` $$HOME \"*\"; true'"

    values = [f"HP={hyperparameters}", "DATA=a  b", "FORMAT=tfrecord", "PYTHON3=true", f"VENV={tmp_path}"]
    command = ["make", "local-train", *values]
    arguments = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    assert arguments[arguments.index("--hyperparameters") + 1] == hyperparameters.replace("$$", "$")
    assert arguments[arguments.index("--data") + 1] == "a  b"
    assert arguments[arguments.index("--input-mode") + 1] == "Pipe"
    assert arguments[arguments.index("--format") + 1] == "tfrecord"


def test_data_are_prepared_in_the_form_given_or_else_in_their_own(tmp_path: Path):
    (tmp_path / "python").write_text("#!/bin/sh\nprintf '%s\\n' \"$*\"\n")
    (tmp_path / "python").chmod(0o755)

    def run(*values: str) -> str:
        command = ["make", "data", *values, "PYTHON3=true", f"VENV={tmp_path}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert run("DATASET=cub200") == "scripts/prepare_data.py cub200"
    assert run("FORMAT=tfrecord") == "scripts/prepare_data.py cifar10 --format tfrecord"


@pytest.mark.parametrize(
    ("typed", "handed"),
    [
        ([], []),
        (["TRACK=1"], ["--track"]),
        (["TRACK=http://there a"], ["--track", "http://there a"]),
        (["MLFLOW_TRACKING_URI=http://there"], ["--track"]),
        (["TRACK=http://here", "MLFLOW_TRACKING_URI=http://there"], ["--track", "http://here"]),
    ],
)
@pytest.mark.parametrize("verb", ["local-train", "local-up"])
def test_jobs_are_sent_to_mlflow_where_that_is_typed_or_set(
    tmp_path: Path, verb: str, typed: list[str], handed: list[str]
):
    (tmp_path / "python").write_text("#!/bin/sh\n[ $3 = serve ] || [ $1 != -m ] && printf '%s|' \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = ["make", verb, *typed, "PYTHON3=true", f"VENV={tmp_path}", "STAND_INS=none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=settings)
    arguments = done.stdout.split("|")[:-1]

    assert arguments, done.stderr
    assert (arguments[arguments.index("--track") :] if "--track" in arguments else []) == handed


def test_job_is_submitted_with_what_was_typed_and_nothing_else(tmp_path: Path):
    (tmp_path / "python").write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n")
    (tmp_path / "python").chmod(0o755)

    def run(verb: str, *values: str) -> list[str]:
        command = ["make", verb, "JOB=a job.yaml", *values, "PYTHON3=true", f"VENV={tmp_path}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split("|")[:-1]

    handed = ["scripts/submit_training.py", "a job.yaml", "--bucket", "", "--set", "", "--role", ""]
    assert run("estimate") == [*handed, "--estimate"]
    assert run("submit") == [*handed, "--max-usd", "5"]
    typed = run("submit", "BUCKET=s3://b", "HP=note='a b'", "UPLOAD=a dir", "WAIT=1", "CODE=estimator", "MAX_USD=9")
    assert typed[2:6] == ["--bucket", "s3://b", "--set", "note='a b'"]
    assert typed[8:] == ["--max-usd", "9", "--upload", "a dir", "--wait", "--as", "estimator"]
