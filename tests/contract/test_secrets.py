"""What a sandboxed program must not find on this machine: keys, other jobs, and whoever makes root of its callers."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract("1.4", "U")


@pytest.mark.parametrize("kind", ["docker", "bubblewrap"], indirect=True)
def test_program_finds_no_keys_no_other_job_and_no_engine(kind, lab, monkeypatch):
    # Not in /tmp, of which every sandbox has its own.
    home = Path(f"/var/tmp/local-mode-secrets-{os.getpid()}")
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text("[default]")
    (home / ".netrc").write_text("machine a")
    (home / "visible").write_text("a user's own")
    monkeypatch.setenv("HOME", str(home))
    try:
        elsewhere = replace(lab, folder=home)
        elsewhere.run(["epochs"], channels={})
        (elsewhere.root / "access_key.json").write_text(json.dumps({"secret": "x"}))
        hidden = [elsewhere.root / "access_key.json", elsewhere.root / "jobs" / "job-1", home / ".aws", home / ".netrc"]
        asked = [*hidden, "/run/docker.sock", "/var/run/docker.sock", home / "visible"]
        run = elsewhere.run(["seen", *map(str, asked)])
        # A user's other files are no secrets of local_mode's, but a container has none of them.
        assert run.report["seen"] == ([] if kind == "docker" else [str(home / "visible")])
    finally:
        shutil.rmtree(home)
