import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import prepare_data
from scripts.datasets.forms import FORMS

SCRIPT = Path(prepare_data.__file__)


def test_sample_is_prepared_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert prepare_data.main(["cifar10", "--sample", "--out", str(tmp_path / "out"), "--shards", "4"]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/out/train/: 10,000 records, fixed, 30.7 MB in 4 file(s)"
    assert second == f"{tmp_path}/out/validation/: 2,000 records, fixed, 6.1 MB in 1 file(s)"


def test_format_and_size_of_shards_are_as_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["--format", "tfrecord", "--shard-mb", "8"]

    assert prepare_data.main(["cifar10", "--sample", "--out", str(tmp_path / "out"), *asked]) == 0

    assert "10,000 records, tfrecord, 31.3 MB in 4 file(s)" in capsys.readouterr().out
    assert max(path.stat().st_size for path in (tmp_path / "out" / "train").iterdir()) <= 8_000_000


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (["--shards", "5", "--shard-mb", "2"], "--shards 5 and --shard-mb 2 are both given, .*; give one"),
        (["--shard-mb", "0"], "--shard-mb 0 is no size of a file; give a number above 0"),
        (["--shard-mb", "nan"], "--shard-mb nan is no size"),
        (["--shard-mb", "0.003"], "--shard-mb 0.003 is less than a record, which has 3,073 bytes .*give 0.003073 or"),
    ],
)
def test_impossible_size_of_shards_is_one_clear_error(
    sizes: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert prepare_data.main(["cifar10", "--sample", "--out", str(tmp_path / "out"), *sizes]) == 1

    assert re.match(f"error: {said}", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_formats_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(prepare_data, "ROOT", tmp_path)

    for name in FORMS:
        assert prepare_data.main(["cifar10", "--sample", "--format", name]) == 0

    assert {path.name for path in (tmp_path / "data").glob("[!.]*")} == {
        "cifar10",
        "cifar10-tfrecord",
        "cifar10-recordio",
    }


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


def test_sample_of_photographs_is_prepared_and_said_how_to_stream_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert prepare_data.main(["cub200", "--sample", "--out", str(tmp_path / "out"), "--uri", "s3://bucket/birds"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert re.match(rf"{tmp_path}/out/train/: 270 records, jpeg, \d+\.\d MB in 272 file\(s\)", lines[0])
    assert [line.split(": ")[1].split(",")[0] for line in lines[:3]] == ["270 records", "30 records", "300 records"]
    assert lines[3] == (
        f"for Pipe mode: {tmp_path}/out/<channel>.manifest, whose source-ref begin with s3://bucket/birds/"
    )


def test_options_of_photographs_reach_the_photographs(drawn: Path, tmp_path: Path):
    options = ["--short-side", "256", "--validation", "0.2", "--format", "tfrecord", "--shards", "2"]

    assert prepare_data.main(["cub200", "--from", str(drawn), "--out", str(tmp_path / "out"), *options]) == 0

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    told = {key: manifest[key] for key in ("dataset", "format", "shards", "short_side", "validation", "uri")}
    assert told == {
        "dataset": "cub200", "format": "tfrecord", "shards": 2, "short_side": 256, "validation": 0.2, "uri": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cub200", "--short-side", "100"], "--short-side 100 is out of range; give 256 to 512"),
        (["cub200", "--validation", "1"], "--validation 1 is no share"),
        (["cub200", "--shards", "3"], "--shards and --shard-mb are for shards, but as jpeg"),
        (["cub200", "--from", "nowhere"], "There is no folder nowhere; give the one that holds CUB_200_2011"),
    ],
)
def test_impossible_option_of_photographs_is_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert prepare_data.main([*arguments, "--out", str(tmp_path / "out")]) == 1

    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.parametrize("wrong", [["cifar10", "--short-side", "256"], ["cifar10", "--format", "jpeg"], ["mnist"]])
def test_what_a_data_set_has_not_is_refused_on_the_command_line(wrong: list[str]):
    with pytest.raises(SystemExit, match="2"):
        prepare_data.main(wrong)
