"""Reading a Pipe-mode stream: ours beside the bare drain of the same FIFO, and beside webdataset.

    make bench/pipe_reader

A second process writes CIFAR-10-sized records into a FIFO from memory; each contestant drains one such epoch.
"""

import argparse
import fcntl
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from trainjob import cifar10
from trainjob.framing import fixed, tfrecord
from trainjob.pipe import PIPE_BYTES, PipeReader
from trainjob.stop import Stop

from benchmarks.rounds import measure, ratio, report

BATCH = 256
RECORDS = 200_000  # 0.6 GB: a third of a second, so that starting a writer does not count
TAR_RECORDS = 10_000
CHUNK = 2_000


def _write(fifo: Path, chunk: bytes, times: int) -> None:
    handle = os.open(fifo, os.O_WRONLY)
    view = memoryview(chunk)
    for _ in range(times):
        sent = 0
        while sent < len(view):
            sent += os.write(handle, view[sent : sent + PIPE_BYTES])
    os.close(handle)


def _drained(chunk: bytes, times: int, drain: Callable[[Path], int]) -> tuple[float, int]:
    """Seconds to drain an epoch, and what the drain counted."""
    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder) / "train_0"
        os.mkfifo(fifo)
        writer = get_context("fork").Process(target=_write, args=(fifo, chunk, times), daemon=True)
        writer.start()
        begun = time.perf_counter()
        counted = drain(fifo)
        seconds = time.perf_counter() - begun
        writer.join(10)
    return seconds, counted


def _raw(fifo: Path) -> int:
    handle = os.open(fifo, os.O_RDONLY)
    fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    buffer, total = [bytearray(PIPE_BYTES)], 0
    while count := os.readv(handle, buffer):
        total += count
    os.close(handle)
    return total


def _fixed(fifo: Path) -> int:
    with PipeReader(fifo, "epoch", Stop()) as stream:
        return sum(len(batch) for batch in fixed.blocks(stream, cifar10.RECORD_BYTES, BATCH))


def _tfrecord(fifo: Path) -> int:
    with PipeReader(fifo, "epoch", Stop()) as stream:
        return sum(len(part) for records in tfrecord.read(stream) for part in records.alike())


def _webdataset(fifo: Path) -> int:
    import webdataset  # noqa: PLC0415 - the alternative; nothing else here needs it

    samples = webdataset.WebDataset(str(fifo), shardshuffle=False, empty_check=False).to_tuple("bin", "cls")
    batch, count = np.empty((BATCH, cifar10.RECORD_BYTES - 1), np.uint8), 0
    for image, _ in samples:
        batch[count % BATCH] = np.frombuffer(image, np.uint8)
        count += 1
    return count


def _tar(records: np.ndarray) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index, record in enumerate(records):
            for suffix, content in (("bin", record[1:].tobytes()), ("cls", str(record[0]).encode())):
                member = tarfile.TarInfo(f"{index:06d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description="Reading a Pipe-mode stream.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    records = np.random.default_rng(0).integers(0, 256, (CHUNK, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= 10
    framed = io.BytesIO()
    for record in records:
        tfrecord.write(framed, record.tobytes())
    tar = _tar(np.tile(records, (TAR_RECORDS // CHUNK, 1)))
    times = RECORDS // CHUNK

    def bytes_per_second(chunk: bytes, drain: Callable[[Path], int], expected: int) -> Callable[[], float]:
        def run() -> float:
            seconds, counted = _drained(chunk, times, drain)
            assert counted == expected, (counted, expected)
            return len(chunk) * times / seconds

        return run

    def webdataset_images() -> float:
        seconds, counted = _drained(tar, 1, _webdataset)
        assert counted == TAR_RECORDS, counted
        return TAR_RECORDS * cifar10.RECORD_BYTES / seconds

    figures = measure(
        {
            "raw": bytes_per_second(records.tobytes(), _raw, RECORDS * cifar10.RECORD_BYTES),
            "fixed": bytes_per_second(records.tobytes(), _fixed, RECORDS),
            "tfrecord": bytes_per_second(framed.getvalue(), _tfrecord, RECORDS),
            "webdataset": webdataset_images,
        },
        rounds,
    )
    ratios = {
        "fixed_vs_raw": ratio(figures, "fixed", "raw"),
        "tfrecord_vs_raw": ratio(figures, "tfrecord", "raw"),
        "fixed_vs_webdataset": ratio(figures, "fixed", "webdataset"),
    }
    per_record = len(framed.getvalue()) / CHUNK
    report(
        "pipe_reader",
        "bytes/s; webdataset: of image and label",
        figures,
        ratios,
        fixed_records_per_s=statistics.median(figures["fixed"]) / cifar10.RECORD_BYTES,
        tfrecord_records_per_s=statistics.median(figures["tfrecord"]) / per_record,
        record_bytes=cifar10.RECORD_BYTES,
    )


if __name__ == "__main__":
    main()
