"""What every image must do, looked at from inside it: `python checks.py pytorch`, as scripts/smoke.py runs it there.

Says one line a check: `ok` or `FAILED`, name, seconds, details, between tabs.
"""

import importlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from trainjob import cifar10
from trainjob.contract import Paths
from trainjob.dataset import connect

PATHS = Paths()
BATCH = 100


def read_only() -> str:
    """Nothing can be written among the data, though this is root."""
    folder = PATHS.channel("train")
    try:
        (folder / "written").write_text("")
    except OSError as error:
        return f"uid {os.getuid()}: {error.strerror}"
    raise AssertionError(f"{folder} can be written to")


def decode() -> str:
    """DALI decodes a JPEG to the pixels that Pillow has."""
    from nvidia.dali import fn, pipeline_def, types  # noqa: PLC0415 - seconds, which belong to this check

    content = np.fromfile(PATHS.channel("photographs") / "photograph.jpg", np.uint8)

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def decoded():
        encoded = fn.external_source(lambda: [content], dtype=types.UINT8)
        return fn.decoders.image(encoded, device="cpu", output_type=types.RGB)

    (images,) = decoded().run()
    pixels = np.array(images.at(0)).astype(int)
    expected = np.array(Image.open(io.BytesIO(content.tobytes())).convert("RGB")).astype(int)
    difference = np.abs(pixels - expected).mean()
    assert difference < 1, f"mean difference of pixels {difference:.2f}"
    return f"{pixels.shape[1]} x {pixels.shape[0]}, mean difference to Pillow {difference:.2f} of 255"


def pipe() -> str:
    """A FIFO of a Pipe-mode channel is read to its end, every record once."""
    records = np.arange(1_000 * cifar10.RECORD_BYTES, dtype=np.uint64).astype(np.uint8).reshape(1_000, -1)
    feeder = threading.Thread(target=PATHS.fifo("stream", 0).write_bytes, args=(records.tobytes(),), daemon=True)
    feeder.start()
    stream = connect("stream", record_bytes=cifar10.RECORD_BYTES, batch_size=BATCH)
    stream.channel.looks_ahead = False
    read = np.concatenate(list(stream.epoch(0)))
    feeder.join(10)
    assert np.array_equal(read, records), f"{len(read)} records of {len(records)}, or others"
    return f"{len(read):,} records, {records.nbytes / 1e6:.1f} MB"


def main(framework: str) -> int:
    """Runs all checks, whatever fails; the exit code is the number of those that did."""
    own = importlib.import_module(f"{framework}_checks")
    checks: dict[str, Callable[[], str]] = {
        "import": own.import_framework,
        "convolution": own.convolution,
        "read-only data": read_only,
        "DALI decodes a JPEG": decode,
        "Pipe mode": pipe,
    }
    failed = 0
    for name, check in checks.items():
        begun = time.perf_counter()
        try:
            word, said = "ok", check()
        except Exception as error:  # noqa: BLE001 - it is told, and the next check is run
            word, said = "FAILED", f"{type(error).__name__}: {error}"
            failed += 1
        print(word, name, f"{time.perf_counter() - begun:.1f}", " ".join(said.split()), sep="\t", flush=True)
    return failed


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main(sys.argv[1]))
