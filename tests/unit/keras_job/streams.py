"""The records of a small job in every framing."""

import io
from collections.abc import Callable

import numpy as np
from trainjob import cifar10
from trainjob.framing import example, recordio, tfrecord


def rows(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape(-1, cifar10.RECORD_BYTES)


def examples(content: bytes, encode: Callable[[np.ndarray], bytes] = cifar10.to_example) -> bytes:
    file = io.BytesIO()
    for record in rows(content):
        tfrecord.write(file, encode(record))
    return file.getvalue()


def without_label(content: bytes) -> bytes:
    """Whole Examples with valid checksums, of another schema."""
    return examples(content, lambda record: example.write({"image": record[1:].tobytes(), "klass": int(record[0])}))


def frames(content: bytes) -> bytes:
    file = io.BytesIO()
    for record in rows(content):
        recordio.write(file, record.tobytes())
    return file.getvalue()


def images(content: bytes) -> np.ndarray:
    """Height x width x channel."""
    return rows(content)[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
