import errno
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainjob import failure
from trainjob.errors import ChannelError


def caught(error: BaseException) -> BaseException:
    # Two functions in turn: a traceback folds one that only calls itself.
    def even(levels: int) -> None:
        if not levels:
            raise error
        odd(levels - 1)

    def odd(levels: int) -> None:
        even(levels - 1)

    try:
        even(60)
    except BaseException as same:  # noqa: BLE001 - whatever was given
        return same
    raise AssertionError


def test_an_error_of_ours_opens_with_its_own_words_and_ends_with_its_origin() -> None:
    text = failure.describe(caught(ChannelError("Channel 'train' is empty; check its S3Uri.")))
    assert text.startswith("Channel 'train' is empty; check its S3Uri.\n\nEnd of the traceback:\n")
    assert text.endswith("raise error")
    assert len(text) <= 1024


def test_an_unforeseen_error_opens_with_its_name_text_and_cause() -> None:
    error = RuntimeError("no weights")
    error.__cause__ = KeyError("layer")
    assert failure.describe(error) == "RuntimeError: no weights (because of KeyError: 'layer')"


def test_an_error_without_a_text_is_called_by_its_name() -> None:
    assert failure.describe(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/model.pt"), "The disk is full while writing /x/model.pt"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full (Disk quota exceeded); raise VolumeSizeInGB"),
        (MemoryError(), "Out of memory; use a smaller batch"),
    ],
)
def test_a_full_disk_and_spent_memory_are_told_with_their_remedy(error: Exception, words: str) -> None:
    assert failure.describe(error).startswith(words)


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000, "🙂" * 5000, "\udcff" * 5000])
def test_no_text_exceeds_the_limit_and_the_traceback_still_fits(tmp_path: Path, text: str) -> None:
    described = failure.describe(caught(ValueError(text)))
    assert len(described) <= 1024
    assert described.startswith("ValueError: ")
    assert described.endswith("raise error")
    failure.write_if_absent(tmp_path / "failure", described)
    assert (tmp_path / "failure").read_text(encoding="utf-8") == described


@given(st.text(), st.integers(0, 255))
def test_any_log_and_exit_code_give_a_text_within_the_limit(log: str, code: int) -> None:
    text = failure.describe_log(log * 50, code)
    assert 0 < len(text) <= 1024
    text.encode("utf-8")


def test_a_failed_program_is_told_by_the_last_error_of_its_log() -> None:
    log = "epoch 1\nTraceback (most recent call last):\n  File 'x.py', line 1\nmodule.ShapeError: 3 is not 4\n"
    text = failure.describe_log(log, 3)
    assert text.startswith("The program ended with exit code 3: module.ShapeError: 3 is not 4\n\nLog:\nepoch 1")


def test_a_failed_program_without_a_word_is_told_by_its_exit_code() -> None:
    assert failure.describe_log("", 7) == "The program ended with exit code 7"


def test_of_a_long_log_the_end_is_kept_from_the_start_of_a_line() -> None:
    text = failure.describe_log("".join(f"line {number}\n" for number in range(1000)), 1)
    assert "\n\nEnd of the log:\nline " in text
    assert text.endswith("line 999")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "most likely it ran out of memory"),
        (signal.SIGTERM, "it was told to stop"),
        (signal.SIGSEGV, "native code"),
        (signal.SIGBUS, "most likely shared memory"),
        (signal.SIGHUP, "see the end of its log"),
    ],
)
def test_a_death_by_signal_is_named_with_the_likely_reason(number: signal.Signals, reason: str) -> None:
    text = failure.describe_log("", 128 + number)
    assert text.startswith(f"The program was killed by {number.name} (exit code {128 + number}): {reason}")


def test_the_first_writer_of_the_failure_file_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "output" / "failure"
    failure.write_if_absent(path, "first")
    failure.write_if_absent(path, "second")
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["failure"]


def test_of_many_writers_at_once_exactly_one_wins_and_its_text_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "failure"
    texts = [str(number) * 1000 for number in range(8)]
    threads = [threading.Thread(target=failure.write_if_absent, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["failure"]


def test_a_failure_file_that_cannot_be_written_is_said_and_raises_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "output").touch()
    failure.leave("why", tmp_path / "output" / "failure")
    assert "the failure file could not be written" in capsys.readouterr().err
