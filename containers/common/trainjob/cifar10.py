"""CIFAR-10 in its published binary layout: files, records, classes, statistics.

Source: https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version"): a record is one label byte, then
1,024 bytes each of red, green and blue, row by row; 10,000 records a file.
"""

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError
from trainjob.framing import detection, example
from trainjob.memory import Recycled

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
META_FILE = "batches.meta.txt"
FILE_RECORDS = 10_000
TRAIN_RECORDS = len(TRAIN_FILES) * FILE_RECORDS

# Per channel, over the 50,000 training images, pixels scaled to 0..1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

_memory = Recycled()


def rows(records: NDArray[np.uint8], framing: str, first: int = 0) -> NDArray[np.uint8]:
    """Bring records of any framing into the published form, and check their labels.

    A TFRecord holds an Example with `image`, 3,072 bytes of height x width x channel, and `label`, one int64: the
    form of the data set's TFRecord versions. In any other framing a record has the published form already.

    Args:
        records: `(n, length)` uint8.
        framing: One of `trainjob.framing.detection`.
        first: Index of the first in its stream, for the error text.

    Returns:
        `(n, RECORD_BYTES)` uint8, or `records` themselves where their length is another, for the caller to refuse.

    Raises:
        RecordError: A label is not one of the ten, or a TFRecord is no such Example.
    """
    if framing == detection.TFRECORD:
        labels, images = _columns(records, first)
        block = _memory.empty((len(records), RECORD_BYTES))
        block[:, :1] = labels
        block[:, 1:].reshape(-1, *IMAGE_SHAPE)[...] = images.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
        return block
    if records.shape[1] == RECORD_BYTES:
        check_labels(records, first)
    return records


def rows_as_stored(
    records: NDArray[np.uint8], framing: str, first: int = 0
) -> NDArray[np.uint8] | tuple[NDArray[np.uint8], ...]:
    """Like `rows`, but the pixels of a TFRecord stay height x width x channel, for a device to transpose.

    In numpy the transpose takes longer than reading and checking the record. Labels and pixels of a TFRecord are given
    side by side, pixels as a view: to bring them together is left to whoever copies them anyway.
    """
    return _columns(records, first) if framing == detection.TFRECORD else rows(records, framing, first)


def channels_last(framing: str) -> bool:
    """Whether rows as stored in this framing hold height x width x channel, and not channel x height x width."""
    return framing == detection.TFRECORD


def split(batch: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Split rows `(n, RECORD_BYTES)` into images `(n, 3, 32, 32)` uint8, a view, and labels `(n,)` int64."""
    return batch[:, 1:].reshape(-1, *IMAGE_SHAPE), batch[:, 0].astype(np.int64)


def to_example(record: NDArray[np.uint8]) -> bytes:
    """The Example of one record `(RECORD_BYTES,)`; what `rows` reads."""
    image = record[1:].reshape(IMAGE_SHAPE).transpose(1, 2, 0)
    return example.write({"image": image.tobytes(), "label": int(record[0])})


def _columns(records: NDArray[np.uint8], first: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels `(n, 1)` and images `(n, 3072)` of Examples."""
    columns = example.columns(records, "image", "label")
    if columns is None and len(records) > 1:  # written with other keys, or in another order, from one to the next
        singles = [_columns(records[index : index + 1], first + index) for index in range(len(records))]
        return np.concatenate([labels for labels, _ in singles]), np.concatenate([images for _, images in singles])
    if columns is None:
        raise RecordError(
            f"Record {first} is an Example whose 'label' is not one of CIFAR-10's, 0 to {len(CLASSES) - 1}."
        )
    images, numbers = columns
    if images.shape[1] != RECORD_BYTES - 1:
        raise RecordError(
            f"Record {first} is an Example whose 'image' has {images.shape[1]} bytes; CIFAR-10's have "
            f"{RECORD_BYTES - 1}: 32 x 32 pixels of red, green and blue, not compressed."
        )
    labels = numbers.astype(np.uint8)[:, None]
    check_labels(labels, first)
    return labels, images


def check_labels(block: NDArray[np.uint8], first_record: int = 0) -> None:
    """Refuse records whose label byte is not 0..9, which is also what a wrong record size looks like.

    Raises:
        RecordError: Names the first such record and its label.
    """
    wrong = np.flatnonzero(block[:, 0] >= len(CLASSES))
    if wrong.size:
        record = first_record + int(wrong[0])
        raise RecordError(
            f"Record {record} has label {int(block[wrong[0], 0])}, but CIFAR-10's labels are 0 to {len(CLASSES) - 1}; "
            f"check that the channel holds records of {RECORD_BYTES} bytes (label, then 3 x 32 x 32 pixels), "
            "as scripts/prepare_data.py writes them."
        )
