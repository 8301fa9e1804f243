"""The drop-in for AWS's PipeModeDataset, used as scripts of TensorFlow 2.8's time use it."""

import io
import os
import re
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sagemaker_tensorflow import PipeModeDataset, PipeModeDatasetException
from trainjob import cifar10
from trainjob.contract import FILE, PIPE
from trainjob.framing import recordio

from tests.unit.keras_job.streams import examples, images, rows

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def place(make_job, monkeypatch):
    """Starts a Pipe-mode job whose channel `train` brings `content`; gives the arguments that name its folders."""

    def start(content: bytes, mode: str = PIPE) -> dict[str, str]:
        job = make_job(mode=mode)
        job.content = {"train": [content]}
        job.environment()
        if mode == PIPE:
            os.mkfifo(job.paths.fifo("train", 0))
            threading.Thread(target=job._feed, args=("train", content), daemon=True).start()
        paths = job.paths
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(paths.base))
        return {
            "state_dir": str(paths.base / "pipe_state"), "pipe_dir": str(paths.data), "config_dir": str(paths.config),
        }  # fmt: skip

    return start


def pairs(batch):
    return zip(*batch, strict=True)


def test_script_of_tensorflow_2_8_reads_its_channel_unchanged(place):
    content = np.random.default_rng(0).integers(0, 10, (64, cifar10.RECORD_BYTES), np.uint8).tobytes()
    place(examples(content))
    batch_size, epochs = 16, 3

    dataset = PipeModeDataset(channel="train", record_format="TFRecord")
    description = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def parse(example_proto):
        features = tf.io.parse_single_example(example_proto, description)
        image = tf.io.decode_raw(features["image"], tf.uint8)
        image.set_shape([3 * 32 * 32])
        return tf.reshape(image, [32, 32, 3]), tf.one_hot(tf.cast(features["label"], tf.int32), 10)

    dataset = dataset.map(parse, num_parallel_calls=10)
    dataset = dataset.prefetch(10)
    dataset = dataset.repeat(epochs)
    dataset = dataset.shuffle(buffer_size=10 * batch_size)
    dataset = dataset.batch(batch_size, drop_remainder=True)

    found = [(image.numpy().tobytes(), label.numpy().argmax()) for batch in dataset for image, label in pairs(batch)]
    expected = [(image.tobytes(), row[0]) for image, row in zip(images(content), rows(content), strict=True)]
    assert sorted(found) == sorted(expected * epochs)


def test_new_iterator_is_a_new_epoch_whoever_makes_it(place, capsys):
    folders = place(b"one\ntwo\n\nlast")
    dataset = PipeModeDataset("train", "TextLine", **folders, benchmark=True)
    assert isinstance(dataset, tf.data.Dataset)
    for _ in range(2):
        assert [line.numpy() for line in dataset] == [b"one", b"two", b"", b"last"]
    assert len(list(PipeModeDataset("train", "TextLine", **folders))) == 4
    assert Path(folders["state_dir"], ".train-pipe_mode-state").read_text() == "3"
    reports = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PipeModeDataset ")]
    assert [report.split(": ")[1].split(", ")[:2] for report in reports] == [["4 records", "13 bytes"]] * 2


@pytest.mark.parametrize(("interval", "benchmark"), [(1_000, False), (1_000, True), (0, False)])
def test_benchmark_is_told_every_so_many_records_and_at_the_end(place, capsys, interval, benchmark):
    file = io.BytesIO()
    for _ in range(4_000):
        recordio.write(file, bytes(1_000))
    content = file.getvalue()
    folders = place(content)
    dataset = PipeModeDataset("train", **folders, benchmark=benchmark, benchmark_records_interval=interval)
    assert sum(1 for _ in dataset.batch(500)) == 8

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PipeModeDataset ")]
    form = r"PipeModeDataset \S+/train_0: (\d+) records, (\d+) bytes, [\d.]+ s, \d+ records/s, [\d.]+ MB/s"
    told = [re.fullmatch(form, line).groups() for line in lines]
    counts = [int(count) for count, _ in told]
    if benchmark:
        assert told.pop() == ("4000", str(len(content)))
        counts.pop()
    # What crosses at a time is up to a thousand records, so that is how far apart the lines are at the least.
    assert len(counts) in (range(1, 5) if interval else [0])
    assert all(later - earlier >= interval for earlier, later in pairwise([0, *counts]))


def test_record_io_is_the_default_and_an_epoch_left_early_is_followed_by_the_next(place):
    file = io.BytesIO()
    for index in range(50_000):
        recordio.write(file, b"%d" % index * (index % 3))
    place(file.getvalue())
    dataset = PipeModeDataset(channel="train")
    assert [record.numpy() for record in dataset.take(5)] == [b"", b"1", b"22", b"", b"4"]
    assert sum(1 for _ in dataset.batch(1000)) == 50


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"channel": "test"}, "Channel test not found in Training Job InputDataConfig; the job's channels are: train"),
        ({"record_format": "CSV"}, "record_format='CSV'; it must be one of RecordIO, TFRecord, TextLine"),
        ({"config_dir": "/nowhere"}, "/nowhere/inputdataconfig.json cannot be read .*No such file"),
        ({"state_dir": "/proc/nowhere"}, "state_dir='/proc/nowhere' cannot be written .*give a folder that can"),
    ],
)
def test_argument_that_does_not_fit_the_job_is_told(place, arguments, told):
    with pytest.raises(PipeModeDatasetException, match=told):
        PipeModeDataset(**{"channel": "train", **place(b""), **arguments})


def test_channel_in_another_mode_is_refused(place):
    with pytest.raises(
        PipeModeDatasetException, match="train is not a PipeMode channel: its TrainingInputMode is 'File'"
    ):
        PipeModeDataset("train", **place(b"x", FILE))


@pytest.mark.parametrize(
    ("record_format", "told"),
    [
        ("RecordIO", "'train', epoch 0 is to be read as recordio, .* are a tfrecord header"),
        ("TextLine", "is to be read as TextLine, .* are a tfrecord header; set record_format"),
    ],
)
def test_wrong_format_is_told_from_the_first_bytes(place, record_format, told):
    content = bytes(cifar10.RECORD_BYTES)
    dataset = PipeModeDataset("train", record_format, **place(examples(content)))
    with pytest.raises(tf.errors.OpError, match=told):
        list(dataset)
