"""An image looked over: its checks from inside, then a whole job, under a hand-made /opt/ml with read-only data.

All goes through the engine's API and nothing is bound from this machine, so that the engine may be another's.
"""

import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
from docker.errors import NotFound
from docker.types import DeviceRequest
from PIL import Image as Picture
from trainjob import cifar10
from trainjob.contract import FILE, PIPE, STOP_GRACE_SECONDS, Paths

from scripts.images.entry import ROOT

PATHS = Paths()
PROGRAM = ROOT / "tests" / "smoke"
PROGRAM_PLACE = PurePosixPath("/tmp/smoke")  # noqa: S108 - in a container of its own
INSIDE = ("import", "convolution", "read-only data", "DALI decodes a JPEG", "Pipe mode")
"""Names of the checks that tests/smoke/checks.py runs."""
SECONDS = 300.0
"""Bounds the checks, and a job's start: the first import from a cold disk takes a minute."""
RECORDS = 500


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How a check went."""

    name: str
    good: bool
    seconds: float
    said: str


class CheckError(Exception):
    """A check did not go well; the text says why."""


def look_over(client: Any, image: str, framework: str, *, gpu: bool) -> Iterator[Checked]:
    """Runs every check; one that fails does not keep the others from being run."""
    devices = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpu else []
    settings = {"network_mode": "none", "hostname": "algo-1", "device_requests": devices}
    with _data(client, image) as data:
        with _container(client, image, _command(framework), data, settings) as container:
            yield from _inside(container)
        with _container(client, image, None, data, settings) as container:
            yield from _job(container)


def _command(framework: str) -> list[str]:
    return ["python", "-W", "ignore", str(PROGRAM_PLACE / "checks.py"), framework]


def _inside(container: Any) -> Iterator[Checked]:
    """What the program in the container says, line by line; a check that it did not come to has failed."""
    _put(container, PROGRAM_PLACE.parent, {f"smoke/{path.name}": path.read_bytes() for path in PROGRAM.glob("*.py")})
    container.start()
    missing, said = list(INSIDE), ""
    for line in container.logs(stream=True, follow=True):
        said = line.decode(errors="replace").rstrip()
        word, *rest = said.split("\t")
        if word in ("ok", "FAILED") and rest[0] in missing:
            missing.remove(rest[0])
            yield Checked(name=rest[0], good=word == "ok", seconds=float(rest[1]), said=rest[2])
    code = container.wait(timeout=SECONDS)["StatusCode"]
    for name in missing:
        yield Checked(name=name, good=False, seconds=0, said=f"the container had ended with {code}: {said}")


def _job(container: Any) -> Iterator[Checked]:
    """The image's own command as PID 1, until it is told to stop; then once more, to its end."""
    container.start()
    yield _timed("training", lambda: _wait_for(container, "epoch=2 "))
    yield _timed("checkpoint", lambda: _checkpoint(container))
    yield _timed("SIGTERM", lambda: _stop(container))
    yield _timed("resume", lambda: _resume(container))
    yield _timed("artifacts", lambda: _artifacts(container))


def _timed(name: str, check: Callable[[], str]) -> Checked:
    begun = time.perf_counter()
    try:
        good, said = True, check()
    except CheckError as error:
        good, said = False, str(error)
    return Checked(name=name, good=good, seconds=time.perf_counter() - begun, said=said)


def _wait_for(container: Any, text: str) -> str:
    deadline = time.monotonic() + SECONDS
    while text not in (said := container.logs().decode(errors="replace")):
        container.reload()
        if container.status != "running" or time.monotonic() > deadline:
            raise CheckError(f"'{text.strip()}' was never said, the job is {container.status}: {_last_line(said)}")
        time.sleep(0.2)
    return next(line for line in said.splitlines() if text in line)[:100]


def _checkpoint(container: Any) -> str:
    files = _files(container, PATHS.checkpoints)
    notes = sorted(name for name in files if name.endswith(".json"))
    if not notes:
        raise CheckError(f"none in {PATHS.checkpoints}, which has {sorted(files)}")
    told = json.loads(files[notes[-1]])
    name = next(name for name in files if name.startswith(notes[-1].removesuffix("json")) and name != notes[-1])
    if hashlib.sha256(files[name]).hexdigest() != told["sha256"]:
        raise CheckError(f"{name} is not what {notes[-1]} says of it")
    return f"{name}, {len(files[name]) / 1e6:.1f} MB, as its checksum says"


def _stop(container: Any) -> str:
    begun = time.monotonic()
    container.stop(timeout=STOP_GRACE_SECONDS)
    took, code = time.monotonic() - begun, container.wait(timeout=SECONDS)["StatusCode"]
    if code != 0:
        raise CheckError(
            f"exit code {code} after {took:.1f} s: {_last_line(container.logs().decode(errors='replace'))}"
        )
    return f"exit code 0 after {took:.1f} s of {STOP_GRACE_SECONDS}"


def _resume(container: Any) -> str:
    """Two epochs more, from the checkpoint that the stopped job has left."""
    done = max((int(epoch) for epoch in re.findall(rb"^epoch=(\d+) ", container.logs(), re.MULTILINE)), default=0)
    _put(container, PATHS.base, configuration(epochs=done + 2))
    container.start()
    code = container.wait(timeout=SECONDS)["StatusCode"]
    said = container.logs().decode(errors="replace")
    resumed = re.search(r"resumed after epoch.*", said)
    if code != 0 or resumed is None:
        raise CheckError(f"exit code {code}, {'from the start' if resumed is None else 'resumed'}: {_last_line(said)}")
    return resumed[0]


def _artifacts(container: Any) -> str:
    found = {path.name: _files(container, path) for path in (PATHS.model, PATHS.output_data)}
    for name, files in found.items():
        if not any(files.values()):
            raise CheckError(f"nothing in {name}")
    model = found[PATHS.model.name]
    return f"model: {', '.join(sorted(model))}, {sum(map(len, model.values())) / 1e6:.1f} MB"


@contextmanager
def _volume(client: Any) -> Iterator[str]:
    volume = client.volumes.create()
    try:
        yield volume.name
    finally:
        volume.remove(force=True)


@contextmanager
def _data(client: Any, image: str) -> Iterator[str]:
    """A volume with the channels, which every container gets read-only."""
    with _volume(client) as name:
        mounts = {name: {"bind": str(PATHS.data), "mode": "rw"}}
        # Never started: an engine fills volumes of a container that waits, too.
        filler = client.containers.create(image, ["true"], volumes=mounts)
        try:
            _put(filler, PATHS.data, channels(), fifos=[PATHS.fifo("stream", 0).name])
        finally:
            filler.remove(force=True)
        yield name


@contextmanager
def _container(client: Any, image: str, command: list[str] | None, data: str, settings: Any) -> Iterator[Any]:
    """A container that has its config files and waits to be started."""
    with _volume(client) as base:
        mounts = {
            base: {"bind": str(PATHS.base), "mode": "rw"},
            data: {"bind": str(PATHS.data), "mode": "ro"},
        }
        container = client.containers.create(image, command, volumes=mounts, **settings)
        try:
            _put(container, PATHS.base, configuration())
            yield container
        finally:
            container.remove(force=True)


def channels() -> dict[str, bytes]:
    """Files by their path below input/data: drawn records for two channels, and a photograph."""
    records = np.random.default_rng(0).integers(0, 256, (RECORDS, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= 10
    gradient = np.stack(np.meshgrid(np.arange(96), np.arange(64), [128]), axis=-1)[:, :, 0].astype(np.uint8)
    jpeg = io.BytesIO()
    Picture.fromarray(gradient).save(jpeg, "JPEG", quality=90)
    files = {f"{name}/part-000.bin": records.tobytes() for name in ("train", "validation")}
    return {**files, "photographs/photograph.jpg": jpeg.getvalue()}


def configuration(epochs: int = 1_000) -> dict[str, bytes]:
    """The platform's config files, by their path below /opt/ml."""
    modes = {"train": FILE, "validation": FILE, "photographs": FILE, "stream": PIPE}
    contents = {
        PATHS.hyperparameters: {"epochs": str(epochs)},
        PATHS.input_data_config: {name: {"TrainingInputMode": mode} for name, mode in modes.items()},
        PATHS.resource_config: {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    return {str(path.relative_to(PATHS.base)): json.dumps(content).encode() for path, content in contents.items()}


def _put(container: Any, folder: PurePath, files: Mapping[str, bytes], fifos: Sequence[str] = ()) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name in fifos:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.FIFOTYPE, 0o600
            archive.addfile(entry)
    container.put_archive(str(folder), stream.getvalue())


def _files(container: Any, folder: Path) -> dict[str, bytes]:
    try:
        chunks, _ = container.get_archive(str(folder))
    except NotFound:
        return {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        found = {}
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is not None:
                found[member.name.partition("/")[2]] = opened.read()
        return found


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["nothing was said"])[-1]
