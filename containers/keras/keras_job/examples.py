"""tf.train.Examples of any schema from a channel: whole batches of payloads cross, and TensorFlow parses them there."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob.channel import Channel
from trainjob.errors import ChannelError, RecordError
from trainjob.framing import detection, example, recordio, tfrecord

from keras_job.inputs import PREFETCHED, untuned

READERS = {detection.TFRECORD: tfrecord.read, detection.RECORDIO: recordio.read}


def dataset(
    channel: Channel,
    batch_size: int,
    features: Mapping[str, Any],
    *,
    drop_remainder: bool = False,
    steps: int | None = None,
) -> tf.data.Dataset:
    """A channel's Examples, in TFRecord or RecordIO framing; every new iterator is the next epoch.

    For CIFAR-10's own schema `inputs.cifar10_dataset` is several times as fast: there numpy cuts all records at once.

    Args:
        channel: In any input mode.
        batch_size: Examples in a batch.
        features: What `tf.io.parse_example` takes: `tf.io.FixedLenFeature` and its like by the feature's name.
        drop_remainder: Leave out a last batch that is not full.
        steps: Batches in an epoch, where that is known; an epoch of another number of batches is an error.

    Returns:
        Batches of features by name. Iterating raises TensorFlow's errors, with the text of ours in them: ChannelError,
        and RecordError for damage, a wrong framing, or a feature that the schema lacks.
    """
    required = [name for name, kind in features.items() if getattr(kind, "default_value", "") is None]

    def epoch() -> Iterator[NDArray[np.object_]]:
        with channel.open() as stream:
            name, count = channel.description, 0
            framing, peeked = detection.detect(stream, name=name)
            if framing == detection.FIXED and peeked.head:  # type: ignore[attr-defined]
                raise RecordError(
                    f"{name} is in no framing that holds Examples: its first bytes "
                    f"({peeked.head.hex()}) are no header of TFRecord or RecordIO; "  # type: ignore[attr-defined]
                    "check the channel's S3Uri, and its RecordWrapperType."
                )
            for records in READERS.get(framing, tfrecord.read)(peeked, name):
                payloads = records.payloads()
                if not count:
                    _check_schema(payloads[0], required, name)
                count += len(payloads)
                yield payloads
        if not count:
            raise ChannelError(f"{name} delivered no record: the channel is empty; check its S3Uri.")

    payloads = tf.data.Dataset.from_generator(epoch, output_signature=tf.TensorSpec((None,), tf.string))
    batches = payloads.rebatch(batch_size, drop_remainder=drop_remainder)
    parsed = batches.map(
        lambda batch: tf.io.parse_example(batch, dict(features)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if steps is not None:
        parsed = parsed.apply(tf.data.experimental.assert_cardinality(steps))
    return untuned(parsed.prefetch(PREFETCHED))


def _check_schema(payload: bytes, required: list[str], name: str) -> None:
    found = example.read(payload)
    missing = [feature for feature in required if feature not in found]
    if missing:
        known = ", ".join(f"'{feature}'" for feature in found) or "none"
        raise RecordError(
            f"{name}: its Examples have no feature '{missing[0]}'; their features are: {known}. Ask for those, or give "
            "a default_value."
        )
