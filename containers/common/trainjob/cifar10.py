"""CIFAR-10 in its published binary layout: files, records, classes, statistics.

Source: https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version"): a record is one label byte, then
1,024 bytes each of red, green and blue, row by row; 10,000 records a file.
"""

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError

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


def decode(block: NDArray[np.uint8], first_record: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Split records into images `(n, 3, 32, 32)` uint8, a view of `block`, and labels `(n,)` int64.

    Args:
        block: `(n, RECORD_BYTES)` uint8.
        first_record: Index of the block's first record in its stream, for the error text.

    Raises:
        RecordError: A label is not one of the ten.
    """
    check_labels(block, first_record)
    return block[:, 1:].reshape(-1, *IMAGE_SHAPE), block[:, 0].astype(np.int64)


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
