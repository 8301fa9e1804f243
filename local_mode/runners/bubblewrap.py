"""Builds bubblewrap's command line: a container's view of files, processes and network, without an engine."""

import os
import shutil
import subprocess
from pathlib import Path

from trainjob import contract

from local_mode.runners.overlay import Overlay
from local_mode.runners.protocol import Launch

INSIDE = Path("/opt/local_mode")
"""Where the job's own Python and home are in the sandbox: a path that is short and the same for every job."""
TRIES = 10
"""It binds the root folder with all that is mounted below, and fails where one of those mounts goes meanwhile, as an
engine's and other jobs' do all the time."""
_PROBE_SECONDS = 10
_KEYS = (".aws", ".docker", ".gnupg", ".kube", ".netrc", ".ssh")
"""Of a home folder."""
_SOCKETS = (
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    f"/run/user/{os.getuid()}",
)
"""Whoever reaches one of these can be root."""
_OPT = Path("/opt")
_HIDDEN = (Path("/tmp"), _OPT)  # noqa: S108  # paths of the sandbox, not files of ours
"""Folders of this machine that the sandbox has its own of."""


_working: set[str] = set()
"""Programs that were found to work by this process, which asks for every job."""


def why_not() -> str:
    """Why bubblewrap cannot be used here; empty when it can. Found out by running it until it has worked once."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed"
    if not _OPT.is_dir():
        return f"this machine has no {_OPT}, and bubblewrap cannot make one"
    if program in _working:
        return ""
    command = [
        program,
        *_OWN_KERNEL_VIEW,
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        *_own_opt(),
        "true",
    ]
    reason = ""
    for _ in range(TRIES):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap does not start: {error}"
        if done.returncode == 0:
            _working.add(program)
            return ""
        reason = done.stderr.strip() or f"exit code {done.returncode}"
    return f"bubblewrap does not work here: {reason}"


_OWN_KERNEL_VIEW = ("--unshare-pid", "--unshare-ipc", "--as-pid-1", "--die-with-parent", "--new-session")


def options(launch: Launch, overlay: Overlay, *, info_fd: int) -> list[str]:
    """bwrap and its options; the program to run comes after. Folders named here are made by the caller."""
    paths, scratch = contract.Paths(), launch.scratch
    host = contract.Paths(launch.opt_ml)
    command = ["bwrap", *_OWN_KERNEL_VIEW, "--info-fd", str(info_fd)]
    if launch.network_isolation and not launch.network.key:
        command += ["--unshare-net"]
    outside = _outside(launch)
    command += [*_root(outside), "--dev", "/dev", "--proc", "/proc"]
    command += ["--bind", str(scratch / "tmp"), "/tmp", *_own_opt()]  # noqa: S108  # the job's own
    for device in gpu_devices():
        command += ["--dev-bind", device, device]
    root = launch.job_folder.parents[1]
    command += _without_secrets(root)
    shown: list[Path] = []
    for path in overlay.needs:
        is_hidden = any(path.is_relative_to(top) for top in (*_HIDDEN, root))
        if is_hidden and not any(path.is_relative_to(above) for above in shown):
            shown.append(path)
            command += ["--ro-bind-try", str(path), str(path)]
    command += [
        "--bind",
        str(overlay.folder),
        str(INSIDE / "venv"),
        "--bind",
        str(scratch / "home"),
        str(INSIDE / "home"),
    ]
    command += ["--bind", str(launch.opt_ml), str(paths.base)]
    if outside is not None and launch.checkpoints is not None:
        command += ["--bind", str(launch.checkpoints.source), str(outside)]
    # Data is read-only as a whole, as under Docker: FIFOs come and go in it from outside.
    command += ["--ro-bind", str(host.data), str(paths.data)]
    for mount in launch.mounts:
        bind = "--bind" if mount.writable else "--ro-bind"
        command += [bind, str(mount.source), str(paths.channel(mount.channel))]
    if Path("/etc/hosts").is_file():
        command += ["--ro-bind", str(scratch / "hosts"), str(Path("/etc/hosts").resolve())]
    return [*command, "--chdir", "/", "--"]


def _without_secrets(root: Path) -> list[str]:
    """Hide where local_mode keeps its key and other jobs, where this user's keys lie, and where engines listen."""
    places = [root, *(Path.home() / name for name in _KEYS), *map(Path, _SOCKETS)]
    command = []
    for path in places:
        if any(path.is_relative_to(top) for top in _HIDDEN) or not os.access(path, os.F_OK):
            continue  # hidden already, not there, or where this user cannot go either
        if path.is_dir():
            command += ["--tmpfs", str(path.resolve())]
        else:
            command += ["--ro-bind", "/dev/null", str(path.resolve())]
    return command


def _outside(launch: Launch) -> Path | None:
    """Where the checkpoints are to be found, if that is not in /opt/ml, which is bound as a whole."""
    mount = launch.checkpoints
    return None if mount is None or mount.target.is_relative_to(contract.Paths().base) else mount.target


def _root(target: Path | None) -> list[str]:
    """All of this machine, read-only; around a `target` it has not, folders that can take it."""
    whole = ["--ro-bind", "/", "/"]
    if target is None or target.is_dir() or any(target.is_relative_to(top) for top in _HIDDEN):
        return whole
    above = next(parent for parent in target.parents if parent.is_dir())
    return _with_room(above) if above == Path("/") else [*whole, *_with_room(above)]


def _own_opt() -> list[str]:
    return _with_room(_OPT)


def _with_room(folder: Path) -> list[str]:
    """A folder that can take new ones, with all that the machine has in its own."""
    command = ["--tmpfs", str(folder)]
    for child in sorted(folder.iterdir()):
        if child == contract.Paths().base:
            continue
        if child.is_symlink():
            command += ["--symlink", os.readlink(child), str(child)]  # noqa: PTH115  # relative links stay relative
        else:
            command += ["--ro-bind", str(child), str(child)]
    return command


def gpu_devices() -> list[str]:
    """Files by which a program reaches this machine's GPUs."""
    return [str(path) for path in (*sorted(Path("/dev").glob("nvidia*")), Path("/dev/dxg")) if path.exists()]
