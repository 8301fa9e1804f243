import hashlib
import io
import json
import tarfile
from collections.abc import Iterator

import numpy as np
import pytest
from docker.errors import NotFound
from PIL import Image
from trainjob import cifar10
from trainjob.contract import Paths

from scripts.images import smoking
from scripts.images.smoking import Checked, CheckError
from tests.unit.scripts.images.saved import tar

GOOD = "\n".join(f"ok\t{name}\t0.1\tfine" for name in smoking.INSIDE).encode()


class Container:
    """Stands in for a container: what it says, how it ends, what is in its folders."""

    def __init__(self, said: bytes = b"", code: int = 0, folders: dict[str, bytes] | None = None) -> None:
        self._said, self._code, self._folders = said, code, folders or {}
        self.status = "exited"
        self.given: list[str] = []

    def put_archive(self, folder: str, data: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            self.given += [f"{folder}/{name}" for name in archive.getnames()]

    def get_archive(self, folder: str) -> tuple[Iterator[bytes], dict[str, str]]:
        if folder not in self._folders:
            raise NotFound(folder)
        return iter([self._folders[folder]]), {}

    def logs(self, *, stream: bool = False, follow: bool = False):
        return iter(self._said.splitlines(keepends=True)) if stream and follow else self._said

    def wait(self, timeout: float) -> dict[str, int]:
        return {"StatusCode": self._code}

    def start(self) -> None: ...

    def reload(self) -> None: ...

    def stop(self, timeout: float) -> None: ...


def bad(checks: Iterator[Checked]) -> dict[str, str]:
    return {checked.name: checked.said for checked in checks if not checked.good}


def test_every_check_that_the_image_passes_is_one_of_the_table():
    container = Container(b"some noise\n" + GOOD)

    checks = list(smoking._inside(container))

    assert [checked.name for checked in checks] == list(smoking.INSIDE)
    assert all(checked.good for checked in checks)
    assert "/tmp/smoke/checks.py" in container.given


def test_check_that_fails_says_why():
    said = GOOD.replace(b"ok\tconvolution\t0.1\tfine", b"FAILED\tconvolution\t0.1\tValueError: no kernel")

    assert bad(smoking._inside(Container(said, code=1))) == {"convolution": "ValueError: no kernel"}


def test_check_that_a_crashed_container_did_not_come_to_has_failed():
    said = b"ok\timport\t0.1\tfine\nSegmentation fault\n"

    found = bad(smoking._inside(Container(said, code=139)))

    assert set(found) == set(smoking.INSIDE) - {"import"}
    assert found["Pipe mode"] == "the container had ended with 139: Segmentation fault"


def test_job_that_ends_by_itself_before_it_trains_fails_with_its_last_line():
    found = bad(smoking._job(Container(b"ImportError: no module\n", code=1)))

    assert set(found) == {"training", "checkpoint", "SIGTERM", "resume", "artifacts"}
    assert found["resume"] == "exit code 1, from the start: ImportError: no module"
    assert "the job is exited: ImportError: no module" in found["training"]
    assert found["SIGTERM"].startswith("exit code 1")


@pytest.mark.parametrize(("content", "good"), [(b"weights", True), (b"wEights", False)])
def test_checkpoint_must_be_what_its_checksum_says(content: bytes, good: bool):
    told = {"sha256": hashlib.sha256(b"weights").hexdigest()}
    files = {"c/checkpoint-00000010.json": json.dumps(told).encode(), "c/checkpoint-00000010.pt": content}
    container = Container(folders={str(Paths().checkpoints): tar(files)})

    if good:
        assert smoking._checkpoint(container).startswith("checkpoint-00000010.pt")
    else:
        with pytest.raises(CheckError, match="checkpoint-00000010.pt is not what"):
            smoking._checkpoint(container)


def test_empty_model_is_no_artifact():
    folders = {str(Paths().model): tar({"model/w": b""}), str(Paths().output_data): tar({"data/h.csv": b"1"})}

    with pytest.raises(CheckError, match="nothing in model"):
        smoking._artifacts(Container(folders=folders))


def test_hand_made_data_are_records_and_a_photograph():
    files = smoking.channels()

    assert len(files["train/part-000.bin"]) == smoking.RECORDS * cifar10.RECORD_BYTES
    assert np.frombuffer(files["train/part-000.bin"], np.uint8)[:: cifar10.RECORD_BYTES].max() <= 9
    assert Image.open(io.BytesIO(files["photographs/photograph.jpg"])).size == (96, 64)
