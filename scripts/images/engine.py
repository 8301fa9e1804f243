"""What a Docker Engine and its client are asked about images, by the client's own command. Standard library only."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from scripts.images.entry import ImageError

PROBE_SECONDS = 30
PULL_SECONDS = 300
"""A base is 30 MB; where no registry answers, the engine gives up by itself long before."""
ON_DEBIAN = "or on a bare Debian run .ci/docker_engine as root"
REWRITES_TIMES = (0, 13)
"""The first BuildKit that can set every file's time in the layers it writes."""


def check_engine() -> None:
    """Raises ImageError unless a Docker Engine answers."""
    if shutil.which("docker") is None:
        raise ImageError(f"There is no 'docker' on PATH; install Docker, {ON_DEBIAN}")
    _probe(["docker", "version", "--format", "{{.Server.Version}}"], "No Docker Engine answers", "start it")


def check_buildx() -> None:
    """Raises ImageError unless the docker client has buildx, which the Dockerfiles' cache mounts need."""
    _probe(["docker", "buildx", "version"], "The docker client has no buildx", "install the docker-buildx plugin")


def inspect(name: str) -> dict[str, Any] | None:
    """What the engine says of an image; None where it has none of that name."""
    command = ["docker", "image", "inspect", name]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PROBE_SECONDS)
    if done.returncode != 0:
        return None
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0]


def built(name: str, framework: str) -> dict[str, Any]:
    """What the engine says of an image that must be there.

    Raises:
        ImageError: The engine has none of that name.
    """
    found = inspect(name)
    if found is None:
        raise ImageError(f"The engine has no image '{name}'; run 'make build/{framework}'")
    return found


def pull(reference: str) -> str:
    """Has the engine fetch an image.

    Returns:
        Why it could not; empty if it could.
    """
    command = ["docker", "pull", "--quiet", reference]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PULL_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {PULL_SECONDS} s"
    return _last_line(done.stderr) if done.returncode else ""


def rewrites_times() -> bool:
    """Whether the builder in use can write layers whose files all have the time SOURCE_DATE_EPOCH."""
    builder = _probe(["docker", "buildx", "inspect"], "The builder does not answer", "see 'docker buildx ls'")
    engine = _probe(["docker", "info", "--format", "{{json .}}"], "No Docker Engine answers", "start it")
    return can_rewrite_times(builder, engine)


def can_rewrite_times(builder: str, engine: str) -> bool:
    """The same, of what `docker buildx inspect` and `docker info` have said."""
    version = re.search(r"^build ?kit(?: version)?:\s*v?(\d+)\.(\d+)", builder, re.IGNORECASE | re.MULTILINE)
    if version is None or tuple(map(int, version.groups())) < REWRITES_TIMES:
        return False
    inside_engine = re.search(r"^driver:\s*docker$", builder, re.IGNORECASE | re.MULTILINE) is not None
    # An engine that keeps layers unpacked, as all did before containerd's store, has nothing to rewrite.
    return not inside_engine or "io.containerd.snapshotter" in engine


@contextmanager
def exported(name: str) -> Iterator[IO[bytes]]:
    """The files of an image as one tar stream, as a container of it would see them; nothing of it is run."""
    made = _output(["docker", "create", "--network", "none", name, "true"])
    try:
        with _stream(["docker", "export", made]) as stream:
            yield stream
    finally:
        subprocess.run(["docker", "rm", "--volumes", made], check=True, capture_output=True, timeout=PROBE_SECONDS)


@contextmanager
def saved(name: str) -> Iterator[IO[bytes]]:
    """An image as `docker save` writes it: its layers, one by one, and what describes them."""
    with _stream(["docker", "save", name]) as stream:
        yield stream


@contextmanager
def _stream(command: Sequence[str]) -> Iterator[IO[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        assert process.stderr is not None  # noqa: S101
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        while process.stdout.read(1 << 20):
            pass  # whoever reads a tar stops at its end, which is before the stream's
        if process.wait() != 0:
            said = _last_line(process.stderr.read().decode(errors="replace"))
            raise ImageError(f"'{' '.join(command)}' failed ({said}); see whether the image and the engine are whole")


def _probe(command: Sequence[str], problem: str, remedy: str) -> str:
    try:
        return _output(command)
    except subprocess.TimeoutExpired as error:
        said = f"'{' '.join(command)}' took over {PROBE_SECONDS} s"
        raise ImageError(f"{problem} ({said}); {remedy}, {ON_DEBIAN}") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"{problem} ({_last_line(error.stderr)}); {remedy}, {ON_DEBIAN}") from error


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PROBE_SECONDS).stdout.strip()


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["no message"])[-1]
