"""The failure file: why the job failed, in words first, in the 1,024 characters the platform shows."""

import errno
import os
import re
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from trainjob.contract import FAILURE_LIMIT, SIGNAL_BASE
from trainjob.errors import TrainJobError

_CAUSE_LIMIT = 600
"""Characters of an unforeseen error's text, so that some of its traceback still fits."""
_REASONS = {
    signal.SIGKILL: "most likely it ran out of memory; use a smaller batch or an instance type with more memory",
    signal.SIGTERM: "it was told to stop and does not handle that signal",
    signal.SIGINT: "it was interrupted",
    signal.SIGSEGV: "native code accessed memory it must not; look for mismatched binary packages",
    signal.SIGABRT: "native code gave up; its last words are below",
    signal.SIGBUS: "most likely shared memory (/dev/shm) is full; use fewer workers or more shared memory",
    signal.SIGILL: "native code was built for another processor",
    signal.SIGXFSZ: "it wrote a file larger than the system allows",
}
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_EXCEPTION_LINE = re.compile(r"^(?:\w+\.)*(?:\w*(?:Error|Exception)|error|KeyboardInterrupt)(?:: .*)?$", re.MULTILINE)


def describe(error: BaseException) -> str:
    """The cause, then the end of the traceback; at most 1,024 characters."""
    limit = FAILURE_LIMIT if isinstance(error, TrainJobError) else _CAUSE_LIMIT
    words = _shorten(_printable(cause(error)), limit)
    return _compose(words, "Traceback", "".join(traceback.format_tb(error.__traceback__)))


def describe_log(tail: str, exit_code: int, *, words: str | None = None, where: str = "") -> str:
    """What is known of a program that left no failure file: how it ended, then the end of its stderr.

    Args:
        tail: The end of its stderr.
        exit_code: As a shell counts it: 128 + n for a death by signal n.
        words: The cause, where the caller knows better than the exit code.
        where: Put before it.

    Returns:
        At most 1,024 characters.
    """
    found = _EXCEPTION_LINE.findall(tail)
    last_words = f": {found[-1].strip()}" if found else ""
    words = words or (_death(exit_code) or f"The program ended with exit code {exit_code}{last_words}")
    return _compose(_shorten(_printable(where + words), _CAUSE_LIMIT), "Log", tail)


def cause(error: BaseException) -> str:
    """What went wrong, in a sentence a person understands; of any length."""
    if isinstance(error, TrainJobError):
        return str(error)
    if isinstance(error, OSError) and is_full_disk(error):
        where = f" while writing {error.filename}" if error.filename else ""
        return f"The disk is full{where} ({error.strerror}); raise VolumeSizeInGB or write less."
    if isinstance(error, MemoryError):
        return "Out of memory; use a smaller batch or an instance type with more memory."
    text = str(error)
    reason = f" (because of {_named(error.__cause__)})" if error.__cause__ else ""
    return f"{_named(error) if text else type(error).__name__}{reason}"


def is_full_disk(error: BaseException) -> bool:
    """Whether the error says that nothing more fits on a disk, or in the share of it that a user has."""
    return isinstance(error, OSError) and error.errno in _FULL_DISK


def report(error: Exception, path: Path) -> None:
    """Say on stderr and in the failure file what went wrong: a line where the user can mend it, else a traceback."""
    if isinstance(error, TrainJobError) or is_full_disk(error):
        print(f"error: {cause(error)}", file=sys.stderr)
    else:
        traceback.print_exception(error, file=sys.stderr)
    leave(describe(error), path)


def leave(text: str, path: Path) -> None:
    """Write the failure file if there is none; where even that fails, the log says so and the exit code decides."""
    try:
        write_if_absent(path, text)
    except OSError as error:
        print(f"the failure file could not be written: {error}", file=sys.stderr)


def write_if_absent(path: Path, text: str) -> None:
    """Write the failure file, whole or not at all; whoever wrote one before is left to have the last word.

    Raises:
        OSError: The folder cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".failure-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        Path(name).chmod(0o644)  # the platform may read it as another user
        _link(Path(name), path)
    finally:
        Path(name).unlink(missing_ok=True)


def _link(source: Path, path: Path) -> None:
    # A link, unlike a rename, fails where a file of that name has appeared meanwhile.
    try:
        path.hardlink_to(source)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        source.replace(path)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _death(exit_code: int) -> str | None:
    try:
        number = signal.Signals(exit_code - SIGNAL_BASE)
    except ValueError:
        return None
    reason = _REASONS.get(number, "see the end of its log")
    return f"The program was killed by {number.name} (exit code {exit_code}): {reason}."


def _compose(words: str, title: str, details: str) -> str:
    details = _printable(details)
    heading = f"\n\n{title}:\n"
    room = FAILURE_LIMIT - len(words) - len(heading)
    if not details or room < 80:  # less would be a fragment of one line
        return words
    if len(details) > room:
        heading = f"\n\nEnd of the {title.lower()}:\n"
        room = FAILURE_LIMIT - len(words) - len(heading)
        details = details[-room:]
        fragment, _, whole_lines = details.partition("\n")
        if whole_lines and len(fragment) < room // 2:
            details = whole_lines
    return words + heading + details


def _printable(text: str) -> str:
    # Lone surrogates (undecodable file names) cannot be written; spelled out they count as what they become.
    return text.encode("utf-8", "backslashreplace").decode().strip("\n")


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
