"""A stream of any length goes through the same few megabytes: gigabytes through a real FIFO, measured from outside."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trainjob import cifar10
from trainjob.framing import recordio, tfrecord

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
BOUND_BYTES = 64 << 20
RECORDS = 1000
"""In the piece that the writer sends again and again."""

WRITER = """
import sys
piece, times, fifo = open(sys.argv[1], "rb").read(), int(sys.argv[2]), sys.argv[3]
with open(fifo, "wb", buffering=0) as file:
    for _ in range(times):
        view = memoryview(piece)
        while view:
            view = view[file.write(view):]
"""
READER = """
import json, resource, sys
from trainjob import cifar10, dataset

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

train = dataset.connect("train", record_bytes=cifar10.RECORD_BYTES, batch_size=128, window=10_000)
train.decode = cifar10.rows
before, records = peak(), 0
for batch in train.epoch(0):
    records += len(batch)
print(json.dumps({"records": records, "grown": peak() - before}))
train.channel.close()
"""


def piece(framing: str) -> bytes:
    block = np.random.default_rng(0).integers(0, 256, (RECORDS, cifar10.RECORD_BYTES), np.uint8)
    block[:, 0] %= 10
    if framing == "fixed":
        return block.tobytes()
    file = io.BytesIO()
    for record in block:
        if framing == "tfrecord":
            tfrecord.write(file, cifar10.to_example(record))
        else:
            recordio.write(file, record.tobytes())
    return file.getvalue()


@pytest.mark.parametrize(("framing", "length"), [("fixed", 4 << 30), ("tfrecord", 1 << 29), ("recordio", 1 << 29)])
def test_stream_of_any_length_takes_no_more_memory_than_its_buffers(tmp_path: Path, framing: str, length: int):
    data, config = tmp_path / "input" / "data", tmp_path / "input" / "config"
    for folder in (data, config):
        folder.mkdir(parents=True)
    (config / "inputdataconfig.json").write_text(json.dumps({"train": {"TrainingInputMode": "Pipe"}}))
    os.mkfifo(data / "train_0")
    sent = tmp_path / "piece"
    sent.write_bytes(piece(framing))
    times = -(-length // sent.stat().st_size)
    environment = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT / "containers" / "common"),
    }
    with subprocess.Popen([sys.executable, "-c", WRITER, sent, str(times), data / "train_0"]) as writer:
        try:
            read = subprocess.run(
                [sys.executable, "-c", READER],
                env=environment,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        finally:
            writer.kill()
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout)
    assert found["records"] == times * RECORDS
    assert found["grown"] <= BOUND_BYTES, f"{found['grown'] / (1 << 20):.0f} MiB for {length >> 20} MiB"
    print(f"{framing}: {found['grown'] / (1 << 20):.0f} MiB over the import for {length >> 20} MiB")
