"""Whether a job waited for its input: a slow channel and a slow program, told apart (not of the contract: ours)."""

import base64
import gzip
import os
import re

import pytest

from tests.contract.lab import document

pytestmark = pytest.mark.contract("endpoint", "U")

LINE = re.compile(r"waited at most (\d+)% of (\d+) s for channel (\w+)")


@pytest.fixture
def slow_source(tmp_path):
    """Gzip, which is inflated far slower than a program reads."""
    folder = tmp_path / "slow"
    folder.mkdir()
    shard = gzip.compress(base64.b64encode(os.urandom(3 << 20)), 1)
    for number in range(30):
        (folder / f"{number:02}.gz").write_bytes(shard)
    return folder


def verdict(run):
    assert run.status == "Completed", run.description
    return run.description["LocalMode"]["Verdict"]


def start(lab, act, source, **channel):
    fields = document("unused", act, lab.folder, channels={"train": source})
    (config,) = fields["InputDataConfig"]
    return lab.run(act, InputDataConfig=[{**config, **channel}])


def test_program_that_waits_for_a_slow_channel_is_told_so_and_what_to_change(lab, slow_source):
    run = start(lab, ["drain", 2], slow_source, CompressionType="Gzip")
    text = verdict(run)

    assert int(LINE.search(text)[1]) >= 40, text
    got, could = map(
        float, re.search(r"it got ([\d.e+]+) MB/s and could have taken (?:about )?([\d.e+]+)", text).groups()
    )
    assert could > got
    assert "inflating costs most: ship it without Gzip" in text
    log = (run.folder / "logs" / "algo-1.log").read_text()
    assert log.endswith(f"\n[local_mode] verdict: {text}\n")
    assert f"verdict: {text}" in run.recorder.notes


def test_program_that_is_the_slow_part_is_not_told_to_change_its_input(lab, tmp_path):
    folder = tmp_path / "fast"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(100 << 20))
    text = verdict(start(lab, ["drain", 1, 1 << 18, 0.005], folder))

    assert text.startswith("input kept up"), text
    assert int(LINE.search(text)[1]) < 10
    assert "a faster program or device" in text


def test_job_that_copies_its_input_is_told_how_long_that_took(lab, source):
    text = verdict(lab.run(["tree"], channels={"train": source}, mode="File"))

    assert re.match(r"input was brought in \d+ s before \d+ s of training", text)


def test_job_without_input_or_training_says_so(lab):
    assert "no input channels" in lab.run(["end", 1]).description["LocalMode"]["Verdict"]
