"""A sandbox is made again where a mount of this machine went meanwhile; what bubblewrap says stays out of the log."""

import ctypes
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from local_mode.errors import RunnerError
from local_mode.runners import bubblewrap, namespace, sandbox

BWRAP = shutil.which("bwrap")
needs_bubblewrap = pytest.mark.skipif(
    BWRAP is None or bool(bubblewrap.why_not()), reason=f"bubblewrap cannot be used: {bubblewrap.why_not()}"
)
VANISHED = "bwrap: Can't bind mount /oldroot/ on /newroot/: Unable to apply mount flags: remount: No such file"


def path_with(folder: Path, text: str) -> dict[str, str]:
    """A PATH with `text` as its bwrap."""
    folder.mkdir(exist_ok=True)
    (folder / "bwrap").write_text(f"#!/bin/sh\n{text}")
    (folder / "bwrap").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def failing(folder: Path, times: int) -> dict[str, str]:
    """A bwrap that fails as one does whose mount has gone, so many times, then does its work."""
    count = folder / "count"
    return path_with(
        folder / "bin",
        f'echo x >> {count}\n[ $(wc -l < {count}) -gt {times} ] || {{ echo "{VANISHED}" >&2; exit 1; }}\n'
        f'exec {BWRAP} "$@"\n',
    )


def options(info_fd: int) -> list[str]:
    view = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    return ["bwrap", "--unshare-pid", "--as-pid-1", "--die-with-parent", "--info-fd", str(info_fd), *view, "--"]


def output(made: sandbox.Sandbox) -> str:
    with made.process.stdout as lines:
        text = lines.read().decode()
    made.process.wait(10)
    made.close()
    return text


@needs_bubblewrap
def test_sandbox_is_made_again_after_a_mount_went_and_the_log_does_not_show_it(tmp_path):
    made = sandbox.start(options, ["sh", "-c", "echo $$ $0; readlink /proc/self/fd/0", "a b"], failing(tmp_path, 3))

    assert output(made) == "1 a b\n/dev/null\n"
    assert made.process.returncode == 0
    assert (tmp_path / "count").read_text() == "x\n" * 4


@needs_bubblewrap
def test_programs_own_failure_is_no_reason_to_start_it_again(tmp_path):
    made = sandbox.start(options, ["sh", "-c", "echo bwrap: me; exit 1"], failing(tmp_path, 0))

    assert output(made) == "bwrap: me\n"
    assert made.process.returncode == 1
    assert (tmp_path / "count").read_text() == "x\n"


def test_sandbox_that_cannot_be_made_says_what_bubblewrap_said(tmp_path):
    environment = path_with(tmp_path, f"echo x >> {tmp_path}/count\necho bwrap: no permission >&2\nexit 1\n")
    with pytest.raises(RunnerError, match="bubblewrap makes no sandbox: bwrap: no permission; use --runtime docker"):
        sandbox.start(options, ["true"], environment)

    assert len((tmp_path / "count").read_text().split()) == bubblewrap.TRIES


def test_sandbox_that_hangs_ends_within_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "_START_SECONDS", 0.2)
    monkeypatch.setattr(sandbox, "TRIES", 1)
    with pytest.raises(RunnerError, match="makes no sandbox: no message"):
        sandbox.start(options, ["true"], path_with(tmp_path, "exec sleep 60\n"))


@needs_bubblewrap
def test_probe_and_network_are_tried_again_too(tmp_path, monkeypatch):
    environment = failing(tmp_path, 2)
    monkeypatch.setenv("PATH", environment["PATH"])

    assert bubblewrap.why_not() == ""
    (tmp_path / "count").unlink()
    held = namespace.Namespace(environment)
    assert Path(f"/proc/{held.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    held.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
@needs_bubblewrap
def test_sandboxes_stand_while_mounts_of_this_machine_come_and_go(tmp_path):
    stop, libc = threading.Event(), ctypes.CDLL(None, use_errno=True)
    folders = [tmp_path / f"mount{number}" for number in range(20)]
    failures = []

    def churn():
        while not stop.is_set():
            for folder in folders:
                folder.mkdir()
                failures.append(libc.mount(b"none", bytes(folder), b"tmpfs", 0, None))
            for folder in folders:
                failures.append(libc.umount2(bytes(folder), 0))
                folder.rmdir()  # it goes in other views of the machine, too

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(50):
            made = sandbox.start(options, [sys.executable, "-c", "print('stands')"], {"PATH": os.environ["PATH"]})
            assert output(made) == "stands\n"
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert not any(failures)
