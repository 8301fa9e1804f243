import subprocess
import sys
from pathlib import Path

import pytest

from scripts import prepare_data

SCRIPT = Path(prepare_data.__file__)


def test_sample_is_prepared_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert prepare_data.main(["cifar10", "--sample", "--out", str(tmp_path / "out"), "--shards", "4"]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/out/train/: 10,000 records of 3,073 bytes in 4 file(s)"
    assert second == f"{tmp_path}/out/validation/: 2,000 records of 3,073 bytes in 1 file(s)"


def test_folder_that_is_no_data_set_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert prepare_data.main(["cifar10", "--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 1

    assert capsys.readouterr().err.startswith(f"error: {tmp_path} lacks data_batch_1.bin")


def test_script_runs_from_any_folder(tmp_path: Path):
    command = [sys.executable, SCRIPT, "cifar10", "--from", "nowhere"]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr.splitlines()[0][:30]) == (1, "error: There is no folder nowh")


def test_killed_command_leaves_nothing_that_looks_whole(tmp_path: Path):
    command = [sys.executable, SCRIPT, "cifar10", "--sample", "--out", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / ".out.unfinished" / "train").exists() and process.poll() is None:
            pass
        process.kill()
    assert not (tmp_path / "out" / "manifest.json").exists() or process.returncode == 0

    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0

    assert (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / ".out.unfinished").exists()
