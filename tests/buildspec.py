"""Runs a buildspec.yml as CodeBuild does, phase by phase, on this machine.

Of the language it knows what ours uses and refuses the rest, so that nothing in the file goes unread.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
KNOWN = {
    "": {"version", "env", "phases", "reports", "artifacts", "cache"},
    "env": {"variables"},
    "phase": {"commands", "finally", "on-failure", "runtime-versions"},
}
COMMAND_SECONDS = 1_800

Run = Callable[[str, Mapping[str, str]], int]
"""Runs one command in an environment; its exit code."""


@dataclass(frozen=True, kw_only=True)
class Buildspec:
    """A buildspec that was read."""

    variables: Mapping[str, str]
    phases: Mapping[str, Mapping[str, Any]]
    document: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> "Buildspec":
        document = yaml.safe_load(text)
        if str(document.get("version")) != "0.2":
            raise ValueError(f"this knows version 0.2 alone, not {document.get('version')}")
        _refuse_unknown(document, "")
        _refuse_unknown(document.get("env", {}), "env")
        for name, phase in document["phases"].items():
            if name not in PHASES:
                raise ValueError(f"there is no phase '{name}'")
            _refuse_unknown(phase, "phase")
        return cls(variables=document.get("env", {}).get("variables", {}), phases=document["phases"], document=document)


@dataclass(kw_only=True)
class Build:
    """How a build went."""

    ran: list[tuple[str, str, int]] = field(default_factory=list)
    """Phase, command, exit code."""
    failed: list[str] = field(default_factory=list)
    """Phases."""

    @property
    def succeeded(self) -> bool:
        return not self.failed


def execute(spec: Buildspec, run: Run, environment: Mapping[str, str]) -> Build:
    """All phases in their order.

    A command that fails ends its phase, but for `finally`. After install or pre_build nothing else comes then; after
    build post_build comes all the same, unless build says ABORT. The project's own variables go before the file's.
    """
    build = Build()
    variables = {**spec.variables, **environment, "CODEBUILD_BUILD_SUCCEEDING": "1"}
    for name in PHASES:
        phase = spec.phases.get(name)
        if phase is None:
            continue
        if not _run_phase(name, phase, run, variables, build):
            build.failed.append(name)
            variables["CODEBUILD_BUILD_SUCCEEDING"] = "0"
            action = phase.get("on-failure")
            if action == "ABORT" or (action is None and name in ("install", "pre_build")):
                break
    return build


def in_shell(folder: Path, log: Path) -> Run:
    """Runs commands by sh in a folder, their output into a file."""

    def run(command: str, variables: Mapping[str, str]) -> int:
        with log.open("ab") as output:
            output.write(f"\n$ {command}\n".encode())
            output.flush()
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=folder,
                env=os.environ | variables,
                stdout=output,
                stderr=output,
                check=False,
                timeout=COMMAND_SECONDS,
            )
        return done.returncode

    return run


def _run_phase(name: str, phase: Mapping[str, Any], run: Run, variables: Mapping[str, str], build: Build) -> bool:
    good = True
    for commands in (phase.get("commands", []), phase.get("finally", [])):
        for command in commands:
            code = run(command, variables)
            build.ran.append((name, command, code))
            if code:
                good = False
                break
    return good


def _refuse_unknown(given: Mapping[str, Any], kind: str) -> None:
    if unknown := sorted(set(given) - KNOWN[kind]):
        raise ValueError(f"this does not know '{unknown[0]}' of {kind or 'a buildspec'}")
