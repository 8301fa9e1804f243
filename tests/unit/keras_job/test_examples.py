"""Examples of any schema, parsed by TensorFlow a batch at a time."""

import io

import numpy as np
import pytest
import tensorflow as tf
from keras_job import examples
from trainjob import channel
from trainjob.contract import FILE, PIPE
from trainjob.framing import example, recordio, tfrecord
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(60)

FEATURES = {
    "name": tf.io.FixedLenFeature([], tf.string),
    "sizes": tf.io.VarLenFeature(tf.int64),
    "weight": tf.io.FixedLenFeature([2], tf.float32, default_value=[0.5, 0.5]),
}


def payloads(count: int) -> list[bytes]:
    """Of many lengths, as real ones are."""
    return [
        example.write({"name": b"n" * (index % 7), "sizes": list(range(index % 5 + 1)), "other": index})
        for index in range(count)
    ]


def framed(write, contents: list[bytes]) -> bytes:
    file = io.BytesIO()
    for content in contents:
        write(file, content)
    return file.getvalue()


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize("framing", [tfrecord, recordio])
def test_batches_hold_every_example_in_order_epoch_after_epoch(make_job, mode, framing):
    job = make_job(mode=mode)
    job.content["train"] = [framed(framing.write, payloads(100))]
    with job.fed() as env:
        found = channel.find(env, "train", Stop())
        dataset = examples.dataset(found, 32, FEATURES)
        for _ in range(2):
            batches = list(dataset)
            assert [batch["name"].shape[0] for batch in batches] == [32, 32, 32, 4]
            names = np.concatenate([batch["name"].numpy() for batch in batches]).tolist()
            assert names == [b"n" * (index % 7) for index in range(100)]
            assert batches[0]["sizes"].values.numpy()[:3].tolist() == [0, 0, 1]
            assert batches[0]["weight"].shape == (32, 2)
        found.close()


def test_steps_make_the_length_known_and_the_remainder_can_be_dropped(make_job):
    job = make_job()
    job.content["train"] = [framed(tfrecord.write, payloads(100))]
    with job.fed() as env:
        found = channel.find(env, "train", Stop())
        whole = examples.dataset(found, 32, FEATURES, steps=4)
        assert whole.cardinality() == 4
        assert [len(batch["name"]) for batch in whole] == [32, 32, 32, 4]
        full = examples.dataset(found, 32, FEATURES, drop_remainder=True, steps=3)
        assert full.cardinality() == 3
        assert full.element_spec["name"].shape == (32,)
        assert [len(batch["name"]) for batch in full] == [32, 32, 32]
        assert examples.dataset(found, 32, FEATURES).cardinality() == tf.data.UNKNOWN_CARDINALITY


@pytest.mark.parametrize("steps", [3, 5])
def test_epoch_of_another_number_of_batches_than_told_is_an_error(make_job, steps):
    job = make_job()
    job.content["train"] = [framed(tfrecord.write, payloads(100))]
    with (
        job.fed() as env,
        pytest.raises(tf.errors.OpError, match=f"expected to contain {steps} elements"),
    ):
        list(examples.dataset(channel.find(env, "train", Stop()), 32, FEATURES, steps=steps))


def test_schema_that_lacks_a_feature_is_told_with_what_there_is(make_job):
    job = make_job()
    job.content["train"] = [framed(tfrecord.write, payloads(10))]
    wanted = {**FEATURES, "label": tf.io.FixedLenFeature([], tf.int64)}
    with (
        job.fed() as env,
        pytest.raises(
            tf.errors.OpError,
            match="have no feature 'label'; their features are: 'name', 'sizes', 'other'. Ask for those",
        ),
    ):
        list(examples.dataset(channel.find(env, "train", Stop()), 5, wanted))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "delivered no record: the channel is empty"),
        (bytes(4000), r"is in no framing that holds Examples: its first bytes \(000000000000000000000000\)"),
        (framed(tfrecord.write, payloads(9))[:-3], "ended inside record 8: 3 bytes missing"),
    ],
)
def test_channel_without_examples_is_told(make_job, content, told):
    job = make_job()
    job.content["train"] = [content]
    with job.fed() as env, pytest.raises(tf.errors.OpError, match=told):
        list(examples.dataset(channel.find(env, "train", Stop()), 5, FEATURES))
