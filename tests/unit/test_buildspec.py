"""The real buildspec.yml: what it runs and in which order; and the runner that shows it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.buildspec import Build, Buildspec, execute, in_shell

ROOT = Path(__file__).resolve().parents[2]
SPEC = Buildspec.read((ROOT / "buildspec.yml").read_text())
COMMANDS = [command for phase in SPEC.phases.values() for command in phase["commands"] + phase.get("finally", [])]
PUSH = "make push"


def run(spec: Buildspec, failing: str = "") -> Build:
    return execute(spec, lambda command, _: int(command == failing), {})


def commands(build: Build) -> list[str]:
    return [command for _, command, _ in build.ran]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_make_with_goals_that_the_makefile_has(command: str):
    program, *goals = command.split()
    makefile = (ROOT / "Makefile").read_text()

    assert program == "make"
    assert goals
    assert [goal for goal in goals if not re.search(rf"^{goal}:", makefile, re.MULTILINE)] == []


def test_push_comes_last_and_alone():
    build = run(SPEC)

    assert build.succeeded
    assert commands(build) == COMMANDS
    assert [command for command in COMMANDS if "push" in command] == [COMMANDS[-1]] == [PUSH]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != PUSH])
def test_nothing_is_pushed_once_a_command_has_failed(command: str):
    build = run(SPEC, failing=command)

    assert not build.succeeded
    assert PUSH not in commands(build)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != PUSH])
def test_nothing_is_pushed_even_where_phases_go_on_after_a_failure(command: str):
    patient = {name: {**phase, "on-failure": "CONTINUE"} for name, phase in SPEC.phases.items()}
    relaxed = Buildspec(variables=SPEC.variables, phases={"build": patient["build"]}, document=SPEC.document)

    assert PUSH not in commands(run(relaxed, failing=command)) or command not in patient["build"]["commands"]


def test_tests_sizes_and_contents_are_report_groups_and_artifacts():
    reports = SPEC.document["reports"]

    assert set(reports) == {"tests", "sizes", "contents"}
    assert {group["file-format"] for group in reports.values()} == {"JUNITXML"}
    assert all(group["base-directory"] == f"{SPEC.variables['REPORTS']}/junit" for group in reports.values())
    assert "reports/**/*" in SPEC.document["artifacts"]["files"]
    assert "/root/.cache/pip/**/*" in SPEC.document["cache"]["paths"]


def test_reports_of_the_tests_are_written_where_the_report_group_looks():
    command = ["make", "--dry-run", "test", "test/image", f"REPORTS={SPEC.variables['REPORTS']}", "PYTHON3=true"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout

    written = set(re.findall(r'--junitxml "\$REPORTS/junit/(\S+)\.xml"', said))
    assert written == {"tests-unit", "tests-pytorch", "tests-keras", "tests-image"}


def test_containers_are_required_in_the_build():
    assert SPEC.variables["REQUIRE_CONTAINERS"] == "1"


def spec(**phases: dict[str, object]) -> Buildspec:
    return Buildspec(variables={"NAME": "file", "OTHER": "file"}, phases=phases, document={})


def test_failed_command_ends_its_phase_but_for_what_stands_under_finally():
    build = run(spec(build={"commands": ["a", "b"], "finally": ["c", "d"]}), failing="a")

    assert commands(build) == ["a", "c", "d"]
    assert build.failed == ["build"]


def test_failure_under_finally_fails_the_phase_too():
    build = run(spec(build={"commands": ["a"], "finally": ["c", "d"]}), failing="c")

    assert commands(build) == ["a", "c"]
    assert build.failed == ["build"]


@pytest.mark.parametrize("phase", ["install", "pre_build"])
def test_failure_before_the_build_ends_it_all(phase: str):
    build = run(spec(**{phase: {"commands": ["a"]}}, build={"commands": ["b"]}, post_build={"commands": ["c"]}), "a")

    assert commands(build) == ["a"]


def test_post_build_comes_after_a_failed_build_unless_that_aborts():
    phases = {"build": {"commands": ["a"]}, "post_build": {"commands": ["b"]}}
    aborting = {**phases, "build": {"commands": ["a"], "on-failure": "ABORT"}}

    assert commands(run(spec(**phases), "a")) == ["a", "b"]
    assert commands(run(spec(**aborting), "a")) == ["a"]


def test_phases_run_in_codebuilds_order_however_they_are_written():
    build = run(spec(post_build={"commands": ["d"]}, build={"commands": ["c"]}, install={"commands": ["a"]}))

    assert commands(build) == ["a", "c", "d"]


def test_variables_of_the_project_go_before_those_of_the_file(tmp_path: Path):
    command = 'echo "$NAME $OTHER $CODEBUILD_BUILD_SUCCEEDING" > said; false'

    build = execute(spec(build={"commands": [command]}), in_shell(tmp_path, tmp_path / "log"), {"NAME": "project"})

    assert (tmp_path / "said").read_text() == "project file 1\n"
    assert not build.succeeded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 0.1\nphases: {}", "version 0.2 alone, not 0.1"),
        ("version: 0.2\nbatch: {}\nphases: {}", "does not know 'batch'"),
        ("version: 0.2\nphases: {deploy: {}}", "no phase 'deploy'"),
        ("version: 0.2\nphases: {build: {run-as: x}}", "does not know 'run-as' of phase"),
        ("version: 0.2\nenv: {secrets-manager: {}}\nphases: {}", "does not know 'secrets-manager' of env"),
    ],
)
def test_what_the_runner_does_not_know_it_refuses(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        Buildspec.read(text)
