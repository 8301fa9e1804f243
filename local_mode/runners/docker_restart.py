"""What must outlive a restart of the Docker engine: single calls, and the output of a container that goes on."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import docker
import docker.errors
import docker.utils.socket

_RESTART_SECONDS = 30
_LOOK_SECONDS = 0.05
_REMOVE_SECONDS = 60
_CONFLICT = 409
"""HTTP's status for what is being removed already."""
_PAUSE_SECONDS = 1.0
_FRUITLESS = 3
"""Looks in a row that bring nothing: then the program has closed its output, and no restart has cut it."""
_HEADER = 8
"""Bytes before each frame of a log: the number of its stream, three of nothing, the length of what follows."""
Answer = TypeVar("Answer")


def patiently(call: Callable[[], Answer]) -> Answer:
    """Do a call again while the engine does not answer, as when it restarts; half a minute at most.

    Raises:
        OSError: it does not answer at all, or with an error of its own (docker.errors.APIError).
    """
    deadline = time.monotonic() + _RESTART_SECONDS
    while True:
        try:
            return call()
        except OSError as error:
            if isinstance(error, docker.errors.APIError) or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def remove(container: Any) -> None:
    """Kill and remove a container with its volumes; one that is gone is fine."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    with contextlib.suppress(docker.errors.NotFound):
        try:
            patiently(lambda: container.remove(v=True, force=True))
        except docker.errors.APIError as error:
            if error.status_code != _CONFLICT:
                raise
            while time.monotonic() < deadline:  # somebody else removes it
                patiently(container.reload)
                time.sleep(_LOOK_SECONDS)


def remove_volumes(client: Any, labels: Mapping[str, str]) -> None:
    """Remove the volumes that have these labels, and no container any more."""
    wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
    for volume in patiently(lambda: client.volumes.list(filters=wanted)):
        with contextlib.suppress(docker.errors.NotFound):
            patiently(functools.partial(volume.remove, force=True))


class Output:
    """What a container says, from its first byte on; attach before it starts. `close` must follow its removal."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._taken = {1: 0, 2: 0}
        """Bytes so far, of stdout and stderr."""
        self._socket = container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1, "logs": 1})

    def chunks(self, ended: threading.Event) -> Iterator[bytes]:
        """All of it, in pieces. Cut off before the container has `ended`, it is taken up where it broke off."""
        frames: Iterable[tuple[int, bytes]] = docker.utils.socket.frames_iter(self._socket, tty=False)  # type: ignore[no-untyped-call]
        fruitless = 0
        while True:
            before = sum(self._taken.values())
            with contextlib.suppress(OSError):  # the engine went away, which is looked into below
                yield from self._new(frames)
            fruitless = 0 if sum(self._taken.values()) > before else fruitless + 1
            if ended.wait(_PAUSE_SECONDS) or fruitless > _FRUITLESS:
                return
            try:
                frames = self._logged(patiently(self._open_log))
            except OSError:
                return  # it has been removed, or the engine stays away: whoever waits for the end is told why

    def close(self) -> None:
        """Hang up."""
        # The SDK keeps the response beside the socket and closes neither.
        self._socket._response.close()
        self._socket.close()

    def _new(self, frames: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
        """What was not taken before."""
        said = {1: 0, 2: 0}
        for stream, chunk in frames:
            known = max(0, self._taken[stream] - said[stream])
            said[stream] += len(chunk)
            if new := chunk[known:]:
                self._taken[stream] += len(new)
                yield new

    def _open_log(self) -> Any:
        """The engine's log from its start, then as it grows; attached anew, lines between the two would be lost."""
        api = self._container.client.api
        answer = api.get(
            f"{api.base_url}/v{api.api_version}/containers/{self._container.id}/logs",
            params={"stdout": 1, "stderr": 1, "follow": 1},
            stream=True,
            timeout=(api.timeout, None),  # a program may be silent for hours
        )
        if not answer.ok:
            answer.close()
            raise docker.errors.NotFound(f"no log of {self._container.id}")
        return answer

    def _logged(self, answer: Any) -> Iterator[tuple[int, bytes]]:
        with answer:
            rest = b""
            for part in answer.iter_content(chunk_size=None):
                rest += part
                while len(rest) >= _HEADER and len(rest) >= (end := _HEADER + int.from_bytes(rest[4:_HEADER], "big")):
                    yield rest[0], rest[_HEADER:end]
                    rest = rest[end:]
