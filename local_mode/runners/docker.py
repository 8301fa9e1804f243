"""Runs the real image in a Docker engine on this machine; the only importer of the docker SDK.

/opt/ml is an anonymous volume, filled and emptied through the engine's archive calls: what root writes in the
container never lies on the host as root's. Mounts of host folders are input/data, read-only, in it the channels, and
the checkpoints of a CheckpointConfig, which must come out while the program runs. What root may write there,
checkpoints and copies of channels, `ownership` gives to a user who is not root.
"""

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
from trainjob import contract

from local_mode.errors import RunnerError
from local_mode.instance.cleaning import remove_tree
from local_mode.runners.docker_network import (
    HOST_LABEL,
    JOB_LABEL,
    gateway_of,
    labels,
    private_network,
    remove_network,
)
from local_mode.runners.docker_restart import Output, patiently, remove, remove_volumes
from local_mode.runners.image import ImageFacts, look_into
from local_mode.runners.ownership import give_away, is_ours, shared
from local_mode.runners.packing import pack
from local_mode.runners.protocol import SCRATCH, Instance, Launch, Network, SharedFolder
from local_mode.runners.unpacking import unpack

PING_SECONDS = 3
_SOCKET = "unix:///var/run/docker.sock"
_SILENT = "no Docker engine answers"
_ANSWER = b"HTTP/1."
_CALL_SECONDS = 60
_CALLS_AT_ONCE = 256
"""Each job that runs has three calls open; more work too, but their connections are not used again."""
_KILL_SECONDS = 10
_WAIT_SECONDS = 50
"""Of one call that waits for the end; below the client's own limit, and repeated."""


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

    def inspect(self, image: str, programs: Iterable[str]) -> ImageFacts:
        """What can be said of an image without running it, and which of `programs` it has.

        Raises:
            RunnerError: the engine lacks the image.
        """
        if not self.has_image(image):
            raise RunnerError(f"the Docker engine has no image {image!r}")
        return look_into(self._client, image, programs)

    def digest(self, image: str) -> str:
        """What an image is in its registry, else its id on this machine; empty where the engine lacks it."""
        try:
            attributes = self._client.images.get(image).attrs
        except docker.errors.DockerException:
            return ""
        return str((attributes.get("RepoDigests") or [attributes["Id"]])[0])

    def check(
        self, *, image: str, network_isolation: bool, pipes: bool, hosts: int, interface: str = "",
        checkpoint_path: Path | None = None,
    ) -> None:  # fmt: skip
        """Refuse an image the engine lacks, and FIFOs where they do not cross."""
        if not self.has_image(image):
            raise RunnerError(f"The Docker engine has no image {image!r}; `make build` makes the project's images.")
        if pipes and "Docker Desktop" in self._client.info().get("OperatingSystem", ""):
            raise RunnerError(
                "local_mode does not stream Pipe channels into Docker Desktop's virtual machine yet: it does not "
                "pass FIFOs. Use --runtime process, an engine on Linux itself, or InputMode File."
            )

    def network_interface(self, *, isolated: bool, hosts: int) -> str:
        """What Docker calls the first interface of a bridge."""
        return "lo" if isolated and hosts == 1 else "eth0"

    def connect(self, job_folder: Path, hosts: tuple[str, ...], *, isolated: bool, interface: str = "") -> Network:
        """A bridge of the job's own; one host needs none and starts faster without."""
        if len(hosts) == 1 and not interface:
            gateway = "" if isolated else gateway_of(self._client.networks.get("bridge"))
            return Network(hosts=hosts, gateway=gateway)
        return private_network(self._client, job_folder, hosts, isolated=isolated, interface=interface)

    def start(self, launch: Launch) -> Instance:
        """Create, fill and start a container."""
        try:
            created = self._client.api.create_container(**self._options(launch))
        except docker.errors.APIError as error:
            raise _refused(launch, error) from None
        # `containers.create` would ask the engine what it has just made.
        container = self._client.containers.prepare_model({"Id": created["Id"]})
        instance = _Container(self._client, container, launch)
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
        """Remove containers, volumes and networks of a job whose owner is gone."""
        mine = {"label": f"{JOB_LABEL}={job_folder}"}
        scratch = SharedFolder(source=job_folder / SCRATCH, target=Path("/scratch"))
        for container in self._client.containers.list(all=True, filters=mine):
            image = container.attrs["Image"]
            remove(container)
            if not is_ours(scratch):
                give_away([scratch], functools.partial(_run, self._client, image, job_folder, [scratch]))
        for network in self._client.networks.list(filters=mine):
            remove_network(network)
        remove_volumes(self._client, labels(job_folder))

    def _options(self, launch: Launch) -> dict[str, Any]:
        paths = contract.Paths()
        mounts = [
            docker.types.Mount(str(paths.base), None, type="volume", no_copy=True, labels=_host_labels(launch)),
            docker.types.Mount(str(paths.data), str(contract.Paths(launch.opt_ml).data), type="bind", read_only=True),
        ]
        for mount in launch.mounts:
            if not mount.writable:
                target = str(paths.channel(mount.channel))
                mounts.append(docker.types.Mount(target, str(mount.source), type="bind", read_only=True))
        mounts += _bound(shared(launch))
        command = launch.arguments
        if launch.entrypoint is None and command is None:
            command = (contract.TRAIN_ARGUMENT,)
        api, key, networking = self._client.api, launch.network.key, None
        if key:
            networking = api.create_networking_config({key: api.create_endpoint_config(aliases=[launch.host])})
        return {
            "image": launch.image,
            "entrypoint": list(launch.entrypoint) if launch.entrypoint is not None else None,
            "command": list(command) if command is not None else None,
            "environment": dict(launch.environment),
            "labels": labels(launch.job_folder),
            "networking_config": networking,
            "host_config": api.create_host_config(
                mounts=mounts,
                shm_size=launch.shm_bytes,
                device_requests=self._gpus(),
                **_names(launch),
            ),
        }

    def _gpus(self) -> list[Any]:
        """All GPUs, where the engine can hand them on and there are any."""
        if not any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg")):
            return []  # first, as the engine takes 10 ms to tell of itself
        if "nvidia" not in self._client.info().get("Runtimes", {}):
            return []
        return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]


class _Container:
    """One container of the engine, from creation to removal."""

    def __init__(self, client: Any, container: Any, launch: Launch) -> None:
        self._client = client
        self._container = container
        self._launch = launch
        self._code: int | None = None
        self._ended = threading.Event()
        self._output: Output | None = None

    def start(self) -> None:
        """Fill /opt/ml, then start; output is ours from the first byte."""
        # Checked, because the engine's answer to a volume it cannot fill is False and not an error.
        with pack(self._launch) as tree:
            taken = self._container.put_archive(str(contract.Paths().base), tree)
        if not taken:
            raise RunnerError(f"The Docker engine did not take the files of {contract.Paths().base}; see its log.")
        self._output = Output(self._container)
        self._container.start()
        threading.Thread(target=self._await_end, daemon=True, name="docker-wait").start()

    def log_lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._output.chunks(self._ended) if self._output else ():
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
        mounted = self._launch.checkpoints.target if self._launch.checkpoints else None
        for name in (inside.model, inside.output, inside.checkpoints):
            if name == mounted:
                continue
            try:
                patiently(functools.partial(self._bring, name, host.base))
            except docker.errors.APIError as error:
                if error.response is not None:
                    error.response.close()  # the SDK leaves it open
                self._check_there()
                if not isinstance(error, docker.errors.NotFound):
                    raise  # else the program removed the folder

    def _bring(self, folder: Path, base: Path) -> None:
        remove_tree(base / folder.name)  # what the program removed is not to live on here
        chunks, _ = self._container.get_archive(str(folder))
        unpack(chunks, base)

    def _check_there(self) -> None:
        """See that the container is there still, or was all the while."""
        with contextlib.suppress(docker.errors.NotFound):
            patiently(self._container.reload)
            if self._container.status not in ("removing", "dead"):
                return
        raise RunnerError("The container was removed from outside; what it wrote is lost, but for its checkpoints.")

    def open_up(self) -> None:
        give_away([self._launch.checkpoints] if self._launch.checkpoints else [], self._run_as_root)

    def close(self) -> None:
        try:
            if closed := [folder for folder in shared(self._launch) if not is_ours(folder)]:
                self.kill()  # nobody writes any more
                self._ended.wait(_KILL_SECONDS)
                give_away(closed, self._run_as_root)
        finally:
            self._close()

    def _run_as_root(self, command: list[str]) -> tuple[int, bytes]:
        """In the container while it runs, after that in one of its own; its exit code and what it said."""
        try:
            if self._code is None:
                code, said = self._container.exec_run(command, user="0")
                return int(code), bytes(said)
            launch = self._launch
            return _run(self._client, launch.image, launch.job_folder, shared(launch), command)
        except docker.errors.APIError as error:
            return 1, str(error.explanation or error).encode()

    def _close(self) -> None:
        remove(self._container)
        remove_volumes(self._client, _host_labels(self._launch))  # of a container that was removed from outside
        if self._output is not None:
            self._output.close()
            self._output = None

    def _signal(self, name: str) -> None:
        with contextlib.suppress(docker.errors.APIError):  # it has ended already
            patiently(lambda: self._container.kill(signal=name))

    def _await_end(self) -> None:
        while self._code is None:
            try:
                self._code = int(self._container.wait(timeout=_WAIT_SECONDS)["StatusCode"])
            except docker.errors.NotFound:
                self._code = 137  # removed from outside, which kills it
            except (OSError, docker.errors.APIError):
                time.sleep(0.2)  # the call's time was up, or the engine restarts
        self._ended.set()


def _names(launch: Launch) -> dict[str, Any]:
    """Which network the container is in, and how host names resolve there."""
    key = launch.network.key
    if not key:
        mode = "none" if launch.network_isolation else "bridge"
        return {"network_mode": mode, "extra_hosts": dict.fromkeys(launch.network.hosts, "127.0.0.1")}
    # The engine's own name server is silent about a host that has not started yet when it may ask no other: a
    # program would wait 10 s before it asks again.
    return {"network_mode": key, **({"dns_opt": ["timeout:1", "attempts:1"]} if launch.network_isolation else {})}


def _host_labels(launch: Launch) -> dict[str, str]:
    return {**labels(launch.job_folder), HOST_LABEL: launch.host}


def connect(caller: Mapping[str, str]) -> tuple[DockerRunner | None, str]:
    """The runner of the engine that the environment `caller` points to, or None and the reason."""
    address = caller.get("DOCKER_HOST", _SOCKET)
    if not address.startswith("unix://"):
        return None, f"the Docker engine at {address} may be on another machine, which does not see our folders"
    if silent := _why_silent(address.removeprefix("unix://")):
        return None, silent
    try:
        return _runner(address), ""
    except (docker.errors.DockerException, OSError):
        return None, _SILENT


@functools.lru_cache
def _runner(address: str) -> DockerRunner:
    """Kept, because a new client takes ten times as long as to ask whether its engine still answers."""
    # It asks the engine for its version.
    client = docker.DockerClient(base_url=address, timeout=PING_SECONDS, max_pool_size=_CALLS_AT_ONCE)
    client.api.timeout = _CALL_SECONDS
    return DockerRunner(client)


def _why_silent(path: str) -> str:
    """Why no engine answers at a socket, if so; asked first, because the SDK leaves sockets open when nothing does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PING_SECONDS)
        try:
            probe.connect(path)
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            answers = probe.recv(len(_ANSWER)) == _ANSWER
        except PermissionError:
            return f"this user may not open the Docker engine's socket {path} (members of the group docker may)"
        except OSError:
            answers = False
    return "" if answers else _SILENT


def _refused(launch: Launch, error: docker.errors.APIError) -> RunnerError:
    reason = error.explanation or str(error)
    return RunnerError(f"The Docker engine does not start {launch.image!r}: {reason}")


def _bound(folders: Iterable[SharedFolder]) -> list[Any]:
    return [docker.types.Mount(str(each.target), str(each.source), type="bind") for each in folders]


def _run(
    client: Any, image: str, job_folder: Path, folders: Iterable[SharedFolder], command: list[str]
) -> tuple[int, bytes]:
    """Run a command as root on what a container that has ended could write to; its exit code and what it said."""
    container = client.containers.create(
        image=image,
        entrypoint=command,
        mounts=_bound(folders),
        labels={JOB_LABEL: str(job_folder)},
        network_mode="none",
        user="0",
    )
    try:
        container.start()
        code = int(container.wait(timeout=_WAIT_SECONDS)["StatusCode"])
        return code, container.logs()
    finally:
        remove(container)
