import errno
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from trainjob.errors import CheckpointError
from trainjob.training import checkpoint


def content(text: str) -> Callable[[BinaryIO], object]:
    return lambda file: file.write(text.encode())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(file: BinaryIO) -> None:
    file.write(b"x" * 1000)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_was_saved_comes_back_with_its_progress(tmp_path: Path) -> None:
    saved = checkpoint.save(tmp_path / "new", 12, content("weights"), suffix=".pt", epoch=3, best=0.5, phase="warm")
    found = checkpoint.newest(tmp_path / "new")
    assert saved.name == "checkpoint-00000012.pt"
    assert found == checkpoint.Checkpoint(path=saved, step=12, progress={"epoch": 3, "best": 0.5, "phase": "warm"})
    assert saved.read_bytes() == b"weights"


def test_the_description_holds_length_and_checksum(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, content("abc"))
    description = json.loads((tmp_path / "checkpoint-00000001.json").read_text())
    assert description["bytes"] == 3
    assert description["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_without_a_checkpoint_there_is_nothing_to_resume_from(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "absent") is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        checkpoint.save(tmp_path, step, content(str(step)), keep=3)
    assert names(tmp_path) == [f"checkpoint-0000000{step}.{kind}" for step in (2, 3, 4) for kind in ("ckpt", "json")]


def test_a_step_of_more_than_eight_digits_is_newer_than_all_shorter_ones(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        checkpoint.save(tmp_path, step, content(str(step)))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 100_000_000


def test_a_checkpoint_the_platform_is_uploading_is_not_pruned(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, content("1"))
    (tmp_path / "checkpoint-00000001.ckpt.sagemaker-uploading").touch()
    for step in (2, 3):
        checkpoint.save(tmp_path, step, content(str(step)), keep=1)
    assert [name for name in names(tmp_path) if name.endswith(".ckpt")] == [
        "checkpoint-00000001.ckpt",
        "checkpoint-00000003.ckpt",
    ]


def test_marks_of_the_platform_are_no_checkpoints_and_are_left_alone(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, content("1"))
    marks = ["checkpoint-00000009.ckpt.sagemaker-uploaded", "checkpoint-00000001.json.sagemaker-uploading", "notes.txt"]
    for name in marks:
        (tmp_path / name).touch()
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert set(marks) <= set(names(tmp_path))


def damage_cut(folder: Path) -> None:
    path = folder / "checkpoint-00000002.ckpt"
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(folder: Path) -> None:
    path = folder / "checkpoint-00000002.ckpt"
    path.write_bytes(b"X" + path.read_bytes()[1:])


def damage_description(folder: Path) -> None:
    (folder / "checkpoint-00000002.json").write_text('{"bytes": 3')


def damage_no_description(folder: Path) -> None:
    (folder / "checkpoint-00000002.json").unlink()


def damage_no_file(folder: Path) -> None:
    (folder / "checkpoint-00000002.ckpt").unlink()


def damage_other_file(folder: Path) -> None:
    shutil.copy(folder / "checkpoint-00000001.json", folder / "checkpoint-00000002.json")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_cut, "has 2 bytes of 3; it was cut short"),
        (damage_flip, "has other bytes than were written"),
        (damage_description, "is missing or no description"),
        (damage_no_description, "is missing or no description"),
        (damage_no_file, "No such file or directory"),
        (damage_other_file, "describes no file of step 2"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning_for_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], reason: str
) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, content("abc"))
    damage(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert "checkpoint of step 2 skipped" in caplog.text
    assert reason in caplog.text


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(tmp_path: Path) -> None:
    for step in (1, 9):
        checkpoint.save(tmp_path, step, content("abc"))
    (tmp_path / "checkpoint-00000009.ckpt").write_bytes(b"ab")
    checkpoint.save(tmp_path, 2, content("abc"), keep=2)
    assert [name for name in names(tmp_path) if name.endswith(".ckpt")] == [
        "checkpoint-00000001.ckpt",
        "checkpoint-00000002.ckpt",
    ]


@pytest.mark.parametrize("finder", [checkpoint.newest, lambda folder: checkpoint.save(folder, 5, content("5"))])
def test_what_a_killed_predecessor_left_half_written_is_removed(tmp_path: Path, finder: Callable[[Path], Any]) -> None:
    left = ["checkpoint-00000004.ckpt.sagemaker-ignore", "checkpoint-00000004.json.sagemaker-ignore"]
    for name in (*left, "mine.sagemaker-ignore"):
        (tmp_path / name).touch()
    finder(tmp_path)
    assert not set(left) & set(names(tmp_path))
    assert "mine.sagemaker-ignore" in names(tmp_path)


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_is_a_clear_error_and_costs_no_older_checkpoint(tmp_path: Path, step: int) -> None:
    checkpoint.save(tmp_path, 1, content("whole"))
    before = names(tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"step {step} .*No space left on device; \d+ bytes are free there; raise VolumeSizeInGB"
    ):
        checkpoint.save(tmp_path, step, full_disk)
    assert names(tmp_path) == before
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.path.read_bytes() == b"whole"


def run(program: str, *prefix: str) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


LIMITED = """
import resource, sys
from pathlib import Path
from trainjob.training import checkpoint
from trainjob.errors import CheckpointError
folder = Path({folder!r})
checkpoint.save(folder, 1, lambda file: file.write(b"small"))
{limit}
def wrapped(file):
    try:
        for _ in range(1000):
            file.write(bytes(65536))
    except OSError:
        raise RuntimeError("file write failed") from None
for write in (lambda file: file.write(bytes(20_000_000)), wrapped):
    try:
        checkpoint.save(folder, 2, write)
    except CheckpointError as error:
        print(error)
print(sorted(path.name for path in folder.iterdir()), checkpoint.newest(folder).step)
"""


def test_a_file_that_outgrows_what_the_system_allows_is_told_even_through_a_frameworks_error(tmp_path: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))"
    lines = run(LIMITED.format(folder=str(tmp_path), limit=limit)).splitlines()
    assert len(lines) == 3
    assert all("File too large" in line and "raise VolumeSizeInGB" in line for line in lines[:2])
    assert lines[2] == "['checkpoint-00000001.ckpt', 'checkpoint-00000001.json'] 1"


def test_a_disk_that_is_really_full_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    mount = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=1m none "$0" && exec "$@"',
    ]
    namespace = [*mount, str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no unprivileged user mount a small disk")
    lines = run(LIMITED.format(folder=str(tmp_path), limit=""), *namespace).splitlines()
    assert all("No space left on device" in line for line in lines[:2])
    assert lines[2] == "['checkpoint-00000001.ckpt', 'checkpoint-00000001.json'] 1"


def test_an_error_of_the_writer_itself_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyError("layer")

    with pytest.raises(KeyError, match="layer"):
        checkpoint.save(tmp_path, 1, broken)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="step 1 could not be written .*Not a directory; .*check the folder"):
        checkpoint.save(tmp_path / "file" / "checkpoints", 1, content("1"))


@pytest.mark.parametrize(
    ("step", "options"),
    [(1, {"keep": 0}), (-1, {}), (1, {"suffix": "pt"}), (1, {"suffix": ".json"}), (1, {"suffix": "./x"})],
)
def test_arguments_that_cannot_be_meant_are_refused(tmp_path: Path, step: int, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be 1 or more, step=-?1 0 or more"):
        checkpoint.save(tmp_path, step, content("1"), **options)


def test_writers_that_give_arrays_or_write_zip_files_are_served(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    raw = checkpoint.save(tmp_path, 1, lambda file: [file.write(weights), file.write(weights[:0])])  # type: ignore[call-overload]
    assert raw.read_bytes() == weights.tobytes()

    packed = checkpoint.save(tmp_path, 2, lambda file: np.savez(file, weights=weights))
    assert zipfile.is_zipfile(io.BytesIO(packed.read_bytes()))
    assert np.array_equal(np.load(packed)["weights"], weights)
    assert checkpoint.newest(tmp_path) is not None


def test_a_process_killed_while_saving_leaves_the_older_checkpoint_the_newest(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from trainjob.training import checkpoint
folder = Path({str(tmp_path)!r})
def half(file):
    file.write(bytes(5_000_000))
    print("half", flush=True)
    time.sleep(60)
checkpoint.save(folder, 1, lambda file: file.write(b"one"))
checkpoint.save(folder, 2, half)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.send_signal(signal.SIGKILL)
    assert any(name.endswith(".sagemaker-ignore") for name in names(tmp_path))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert names(tmp_path) == ["checkpoint-00000001.ckpt", "checkpoint-00000001.json"]
