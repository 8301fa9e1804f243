"""Runs the real image in a Docker engine on this machine; the only importer of the docker SDK.

/opt/ml is an anonymous volume, filled and emptied through the engine's archive calls: what root writes in the
container never lies on the host as root's. Only input/data is a mount of host folders, and read-only.
"""

import contextlib
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors
import docker.types
import docker.utils.socket
from trainjob import contract

from local_mode.errors import RunnerError
from local_mode.instance.cleaning import remove_tree
from local_mode.runners.protocol import Instance, Launch
from local_mode.runners.unpacking import unpack

PING_SECONDS = 3
_SOCKET = "unix:///var/run/docker.sock"
_CALL_SECONDS = 60
_WAIT_SECONDS = 50
"""Of one call that waits for the end; below the client's own limit, and repeated."""
JOB_LABEL = "local_mode.job"
ROOT_LABEL = "local_mode.root"


class DockerRunner:
    """Runs jobs in containers of the engine behind `client`."""

    name = "docker"
    protects_channels = True
    limits = ""

    def __init__(self, client: Any) -> None:
        self._client = client

    def has_image(self, image: str) -> bool:
        """Whether the engine has `image`."""
        try:
            self._client.images.get(image)
        except docker.errors.ImageNotFound:
            return False
        return True

    def check(self, *, image: str, network_isolation: bool, pipes: bool) -> None:
        """Refuse an image the engine lacks, and FIFOs where they do not cross."""
        if not self.has_image(image):
            raise RunnerError(f"The Docker engine has no image {image!r}; `make build` makes the project's images.")
        if pipes and "Docker Desktop" in self._client.info().get("OperatingSystem", ""):
            raise RunnerError(
                "local_mode does not stream Pipe channels into Docker Desktop's virtual machine yet: it does not "
                "pass FIFOs. Use --runtime process, an engine on Linux itself, or InputMode File."
            )

    def network_interface(self, *, isolated: bool) -> str:
        """What Docker calls the first interface of a bridge."""
        return "lo" if isolated else "eth0"

    def start(self, launch: Launch) -> Instance:
        """Create, fill and start a container."""
        try:
            container = self._client.containers.create(**self._options(launch))
        except docker.errors.APIError as error:
            raise _refused(launch, error) from None
        instance = _Container(container, launch)
        try:
            instance.start()
        except docker.errors.APIError as error:
            instance.close()
            raise _refused(launch, error) from None
        except BaseException:
            instance.close()
            raise
        return instance

    def remove_leftovers(self, job_folder: Path) -> None:
        """Remove containers and volumes of a job whose owner is gone."""
        for container in self._client.containers.list(all=True, filters={"label": f"{JOB_LABEL}={job_folder}"}):
            _remove(container)

    def _options(self, launch: Launch) -> dict[str, Any]:
        paths = contract.Paths()
        mounts = [
            docker.types.Mount(str(paths.base), None, type="volume", no_copy=True),
            docker.types.Mount(str(paths.data), str(contract.Paths(launch.opt_ml).data), type="bind", read_only=True),
        ]
        for mount in launch.mounts:
            target = str(paths.channel(mount.channel))
            mounts.append(docker.types.Mount(target, str(mount.source), type="bind", read_only=True))
        command = launch.arguments
        if launch.entrypoint is None and command is None:
            command = (contract.TRAIN_ARGUMENT,)
        return {
            "image": launch.image,
            "entrypoint": list(launch.entrypoint) if launch.entrypoint is not None else None,
            "command": list(command) if command is not None else None,
            "environment": dict(launch.environment),
            "mounts": mounts,
            "labels": {JOB_LABEL: str(launch.job_folder), ROOT_LABEL: str(launch.job_folder.parent.parent)},
            "shm_size": launch.shm_bytes,
            "network_mode": "none" if launch.network_isolation else "bridge",
            "extra_hosts": {"algo-1": "127.0.0.1"},
            "device_requests": self._gpus(),
        }

    def _gpus(self) -> list[Any]:
        """All GPUs, where the engine can hand them on and there are any."""
        has_runtime = "nvidia" in self._client.info().get("Runtimes", {})
        if not has_runtime or not any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg")):
            return []
        return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]


class _Container:
    """One container of the engine, from creation to removal."""

    def __init__(self, container: Any, launch: Launch) -> None:
        self._container = container
        self._launch = launch
        self._code: int | None = None
        self._ended = threading.Event()
        self._output: Any = None

    def start(self) -> None:
        """Fill /opt/ml, then start; output is ours from the first byte."""
        # Checked, because the engine's answer to a volume it cannot fill is False and not an error.
        with _tree(self._launch.opt_ml, self._launch.scratch) as tree:
            taken = self._container.put_archive(str(contract.Paths().base), tree)
        if not taken:
            raise RunnerError(f"The Docker engine did not take the files of {contract.Paths().base}; see its log.")
        self._output = self._container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1, "logs": 1})
        self._container.start()
        threading.Thread(target=self._await_end, daemon=True, name="docker-wait").start()

    def log_lines(self) -> Iterator[bytes]:
        rest = b""
        for _, chunk in docker.utils.socket.frames_iter(self._output, tty=False):  # type: ignore[no-untyped-call]
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest

    def terminate(self) -> None:
        self._signal("SIGTERM")

    def kill(self) -> None:
        self._signal("SIGKILL")

    def wait(self, timeout: float) -> int | None:
        self._ended.wait(timeout)
        return self._code

    def collect(self) -> None:
        host, inside = contract.Paths(self._launch.opt_ml), contract.Paths()
        try:
            self._container.reload()
        except docker.errors.NotFound:
            raise RunnerError("The container was removed from outside; what it wrote is lost.") from None
        for name in (inside.model, inside.output, inside.checkpoints):
            remove_tree(host.base / name.name)  # what the program removed is not to live on here
            with contextlib.suppress(docker.errors.NotFound):
                chunks, _ = self._container.get_archive(str(name))
                unpack(chunks, host.base)

    def close(self) -> None:
        _remove(self._container)
        if self._output is not None:
            # The SDK keeps the response beside the socket and closes neither.
            self._output._response.close()
            self._output.close()
            self._output = None

    def _signal(self, name: str) -> None:
        with contextlib.suppress(docker.errors.APIError):  # it has ended already
            self._container.kill(signal=name)

    def _await_end(self) -> None:
        while self._code is None:
            try:
                self._code = int(self._container.wait(timeout=_WAIT_SECONDS)["StatusCode"])
            except docker.errors.NotFound:
                self._code = 137  # removed from outside, which kills it
            except (OSError, docker.errors.APIError):
                time.sleep(0.2)  # the call's time was up, or the engine restarts
        self._ended.set()


def connect(caller: Mapping[str, str]) -> tuple[DockerRunner | None, str]:
    """The runner of the engine that the environment `caller` points to, or None and the reason."""
    address = caller.get("DOCKER_HOST", _SOCKET)
    if not address.startswith("unix://"):
        return None, f"the Docker engine at {address} may be on another machine, which does not see our folders"
    if silent := _why_silent(address.removeprefix("unix://")):
        return None, silent
    try:
        client = docker.DockerClient(base_url=address, timeout=PING_SECONDS)
        client.ping()
    except (docker.errors.DockerException, OSError):
        return None, "no Docker engine answers"
    client.api.timeout = _CALL_SECONDS
    return DockerRunner(client), ""


def _why_silent(path: str) -> str:
    """Why nothing answers at a socket, if so; asked first, because the SDK leaves sockets open when nothing does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PING_SECONDS)
        try:
            probe.connect(path)
        except PermissionError:
            return f"this user may not open the Docker engine's socket {path} (members of the group docker may)"
        except OSError:
            return "no Docker engine answers"
    return ""


def _refused(launch: Launch, error: docker.errors.APIError) -> RunnerError:
    reason = error.explanation or str(error)
    return RunnerError(f"The Docker engine does not start {launch.image!r}: {reason}")


def _remove(container: Any) -> None:
    """Kill and remove a container with its volumes; one that is gone is fine."""
    with contextlib.suppress(docker.errors.NotFound):
        container.remove(v=True, force=True)


def _tree(opt_ml: Path, scratch: Path) -> IO[bytes]:
    """The configuration and checkpoints as an archive, all root's, as the platform leaves them; no data."""
    data = contract.Paths(opt_ml).data.relative_to(opt_ml)

    def rootly(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if Path(member.name).is_relative_to(data):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  # the caller closes it; memory may be too small
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry in sorted(opt_ml.iterdir()):
            archive.add(entry, arcname=entry.name, filter=rootly)
    file.seek(0)
    return file
