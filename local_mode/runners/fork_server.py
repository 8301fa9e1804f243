"""Starts jobs as forks of a process that has imported what they need. Run by a stand-in's interpreter.

Run:  python fork_server.py DESCRIPTOR MODULE:FUNCTION SECONDS

FUNCTION is what imports it. DESCRIPTOR is a socket that says `ready` once that is done, and then takes jobs: one
message each, with a socket of the job's and its output. It ends, and every job with it, when its owner does, and after
SECONDS without a job. Standard library only, and no thread.

A job is two processes. Its keeper waits at that socket for what it is to start, with a handle of its sandbox's first
process if it has one; stays outside of the sandbox, hands its owner a handle of the job, and says how it ended. The
job itself returns from all that happens here to the end of `main`, so that it ends as any program does.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOM = "LOCAL_MODE_ROOM"
"""Variable that makes the environment, as others see it, large enough for a job's mark."""
READY, STARTED = b"ready", b"started"
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h
_MADV_COLLAPSE = 25  # linux/mman.h, from Linux 6.1 on
_HUGE = 2 << 20
"""A huge page of x86-64 and, with small ones of 4 KiB, of ARM."""
_NS_GET_USERNS = 0xB701  # linux/nsfs.h
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h: of two words
_JOINED = ("ipc", "net", "mnt", "pid")
"""Namespaces, as /proc names them; the user's is another matter."""
_ENVIRONMENT_AREA = slice(47, 49)
"""Of /proc/self/stat, behind the name: where the environment of the process's start lies."""
Order = dict[str, Any]


def main(argv: list[str]) -> None:
    """Serve; in a job's process, be the job."""
    sys.path.pop(0)  # this file's folder, which is none of a job's
    control = socket.socket(fileno=int(argv[0]))
    system = ctypes.CDLL(None, use_errno=True)
    module, _, function = argv[1].partition(":")
    getattr(importlib.import_module(module), function)()
    gc.collect()
    gc.freeze()  # else the first collection in each fork would copy all that lies in memory
    _collapse(system)
    sys.stdout.flush()  # what lies in them, each fork would say again
    sys.stderr.flush()
    control.send(READY)
    order = _serve(control, system, float(argv[2]))
    sys.argv = ["-m", *order["arguments"]]
    sys.modules.pop(order["module"], None)  # it is to be run, even if it is what imported all
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _collapse(system: ctypes.CDLL) -> None:
    """Have what is in memory by now in huge pages: a fork copies a table of a third of the entries.

    What a job allocates is in pages as ever. A kernel that cannot, or has none free, leaves a part as it is.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, _, _, _, *name = line.split(maxsplit=5)
        if access == "rw-p" and name in ([], ["[heap]"]):
            begin, end = (int(address, 16) for address in span.split("-"))
            for address in range(-(-begin // _HUGE) * _HUGE, end // _HUGE * _HUGE, _HUGE):
                system.madvise(ctypes.c_void_p(address), ctypes.c_size_t(_HUGE), _MADV_COLLAPSE)


def _serve(control: socket.socket, system: ctypes.CDLL, idle_seconds: float) -> Order:
    """Take jobs to the end; returns in a job's process alone: what it is to do."""
    keepers: dict[int, int] = {}
    server = os.getpid()
    while True:
        known = select.select([control.fileno(), *keepers], [], [], None if keepers else idle_seconds)[0]
        if not known:
            _end(control)
        for handle in keepers.keys() & set(known):
            os.waitpid(keepers.pop(handle), 0)
            os.close(handle)
        if control.fileno() not in known:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not message:
            _end(control)
        keeper = os.fork()
        if keeper == 0:
            control.close()
            for handle in keepers:
                os.close(handle)
            return _keep(server, descriptors, system)
        for descriptor in descriptors:
            os.close(descriptor)
        keepers[os.pidfd_open(keeper)] = keeper


def _end(control: socket.socket) -> NoReturn:
    """The jobs end with this process, as each has asked to. The owner may be gone, so its folder is removed here."""
    control.close()  # first, or a job could be asked for that has what is being removed
    shutil.rmtree(Path(sys.prefix).parent, ignore_errors=True)
    os._exit(0)


def _keep(server: int, descriptors: list[int], system: ctypes.CDLL) -> Order:
    """Start a job and follow it to its end; returns in the job's process alone."""
    report, output = socket.socket(fileno=descriptors[0]), descriptors[1]
    _end_with(server, system)
    order, sandbox = _ordered(report)
    _rename(order)
    empty = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number, target in ((0, empty), (1, output), (2, output)):
        os.dup2(target, number)
    os.close(output)
    if sandbox:
        _enter(order["first"], sandbox[0], system)
        os.close(sandbox[0])
        _end_with(server, system)  # what was asked is void for whoever became another
    os.chdir("/")
    keeper = os.getpid()
    job = os.fork()
    if job == 0:
        report.close()
        os.close(empty)
        os.setsid()
        _end_with(0 if sandbox else keeper, system)
        _move(order["prefix"])
        return order
    for number in (1, 2):
        os.dup2(empty, number)
    handle = os.pidfd_open(job)
    socket.send_fds(report, [STARTED], [handle])
    os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOWAIT)
    if not sandbox:
        os.killpg(job, signal.SIGKILL)  # while its number is still its own
    code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    report.sendall(str(code).encode())
    os._exit(0)


def _ordered(report: socket.socket) -> tuple[Order, list[int]]:
    """What is to be started, and the handle of its sandbox; ends this process where that is not wanted any more."""
    text, handles, _, _ = socket.recv_fds(report, 1, 1, socket.MSG_CMSG_CLOEXEC)
    while not text.endswith(b"\n"):
        part = report.recv(_MESSAGE_BYTES)
        if not part:
            os._exit(0)
        text += part
    order: Order = json.loads(text)
    return order, handles


def _end_with(parent: int, system: ctypes.CDLL) -> None:
    """Be killed when the parent ends; 0 is one that this process's namespace does not show."""
    system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before


def _rename(order: Order) -> None:
    """Take on the job's environment, and show its mark to those who look for what is left of it."""
    os.environ.clear()  # nothing points any more to where it lay
    os.environ.update(order["environment"])
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[_ENVIRONMENT_AREA])
    mark = os.fsencode(order["mark"])[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, mark, len(mark))


def _move(prefix: str) -> None:
    """Have the job's own environment in place of the one that this process was started in."""
    here = sys.prefix
    sys.prefix = sys.exec_prefix = prefix
    sys.executable = f"{prefix}/bin/python"
    sys.path[:] = [prefix + path.removeprefix(here) if path.startswith(f"{here}/") else path for path in sys.path]
    # A folder that the job's PYTHONPATH names may be in its sandbox alone. `importlib.invalidate_caches` takes 2 ms to
    # tell every package's finder, too.
    for path in sys.path:
        sys.path_importer_cache.pop(path, None)


def _enter(first: int, handle: int, system: ctypes.CDLL) -> None:
    """Become a process of the sandbox whose first process has this number and this handle; its children will be too."""
    folder = Path("/proc", str(first))
    words = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
    joined = [_open(folder / "ns" / name) for name in _JOINED if _differs(folder, name)]
    if _differs(folder, "user"):
        # Its mounts may be those of the user namespace above its own: whoever is in that may enter both.
        user, mounts = _open(folder / "ns" / "user"), _open(folder / "ns" / "mnt")
        owner = fcntl.ioctl(mounts, _NS_GET_USERNS)
        os.close(mounts)
        if os.fstat(owner).st_ino == os.fstat(user).st_ino:
            os.close(user)
            joined = [owner, *joined]
        else:
            joined = [owner, *joined, user]
    signal.pidfd_send_signal(handle, 0)  # so the number is still its own
    for namespace in joined:
        _checked(system.setns(namespace, 0), "setns")
        os.close(namespace)
    if words["NoNewPrivs"] == "1":
        _checked(system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    held = [int(words[name], 16) for name in ("CapEff", "CapPrm", "CapInh")]
    data = (ctypes.c_uint32 * 6)(*(word & 0xFFFFFFFF for word in held), *(word >> 32 for word in held))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(system.capset(header, data), "capset")
    # A process that became another belongs to root as far as /proc is concerned, until it says otherwise.
    _checked(system.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def _differs(folder: Path, name: str) -> bool:
    return (folder / "ns" / name).stat().st_ino != Path("/proc/self/ns", name).stat().st_ino


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
