"""CIFAR-10's record layout."""

import numpy as np
import pytest
from trainjob import cifar10
from trainjob.errors import RecordError


def records(*labels: int) -> np.ndarray:
    block = np.zeros((len(labels), cifar10.RECORD_BYTES), np.uint8)
    block[:, 0] = labels
    return block


def test_decoding_splits_labels_and_planes_without_a_copy():
    block = records(3, 9)
    block[1, 1:] = np.arange(3072) // 12  # each value 12 times, rising through red, green, blue
    images, labels = cifar10.split(block)
    assert images.shape == (2, 3, 32, 32)
    assert np.shares_memory(images, block)
    assert labels.tolist() == [3, 9]
    assert images[1, 0].max() < images[1, 1].min() + 1
    assert images[1, 2, 31, 31] == 255


def test_label_out_of_range_is_told_with_record_and_value():
    with pytest.raises(RecordError, match=r"Record 102 has label 17, .* 0 to 9; .* 3073 bytes"):
        cifar10.rows(records(1, 2, 17), "fixed", 100)
