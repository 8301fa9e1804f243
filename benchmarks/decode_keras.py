"""One round of `make bench/decode` in the Keras image: figures of every way, as JSON on the last line.

    python -m benchmarks.decode_keras PHOTOGRAPHS

PHOTOGRAPHS holds a folder a class. Train crops of 224 pixels, batches of 64, to normalised floats on the device.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import nvidia.dali.plugin.tf as dali_tf
import tensorflow as tf
from keras_job import inputs, models, photographs
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline
from trainjob import cub200
from trainjob.channel import Channel
from trainjob.photographs.showing import Showing

from benchmarks.photograph_channel import in_a_pipe, in_files, speed

SIDE, BATCH = 224, 64
TIMES = 4
"""How often each photograph stands in an epoch."""
SHOWING = Showing(
    classes=1000, side=SIDE, batch_size=BATCH, seed=0, window=0, least_area=0.08, use_boxes=False, antialias=False,
    on_corrupt="fail",
)  # fmt: skip
_NETWORK = models.photograph_model(models.RESNET18, 2, SIDE)
_NORMALISE = keras.Model(_NETWORK.input, _NETWORK.get_layer("normalise").output)
"""The network's own first layers."""
_MEAN, _STD = (tf.constant([255 * value for value in values]) for values in (cub200.MEAN, cub200.STD))


def main() -> None:
    """Runs each way once."""
    parser = argparse.ArgumentParser(description="One round of the decode benchmark.")
    parser.add_argument("photographs", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = in_files(Path(scratch) / "file", arguments.photographs, TIMES)
        paths = sorted(str(path) for path in files.folder.rglob("*.jpg"))
        with in_a_pipe(Path(scratch) / "pipe", files) as pipe:
            figures = {
                "tf_data": speed(_tf_data(paths), len),
                "dali_dataset": speed(_dali_dataset(paths), len),
                "keras_file": speed(_ours(files), len),
                "keras_pipe": speed(_ours(pipe), len),
            }
    print(json.dumps(figures), flush=True)


@tf.function
def _shown(images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    floats: tf.Tensor = _NORMALISE(inputs.flip(images, tf.stack((0, step))))
    return floats


def _ours(channel: Channel) -> Iterator[tf.Tensor]:
    batches = SHOWING.training(
        channel, lambda view, size: photographs.decoder(view, size, "dali"), photographs.OnDevice()
    )
    for step, batch in enumerate(batches.epoch(0)):
        yield _shown(photographs.tensors(batch)[0], tf.constant(step))


def _tf_data(paths: list[str]) -> tf.data.Dataset:
    """tf.data's own: the crop fused into the decoding."""

    def show(path: tf.Tensor) -> tf.Tensor:
        content = tf.io.read_file(path)
        whole = tf.zeros((0, 0, 4))
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(content), whole, area_range=(0.08, 1.0), aspect_ratio_range=(3 / 4, 4 / 3),
            use_image_if_no_bounding_boxes=True, max_attempts=10,
        )  # fmt: skip
        window = tf.concat((begin[:2], size[:2]), 0)
        pixels = tf.image.resize(tf.io.decode_and_crop_jpeg(content, window, channels=3), (SIDE, SIDE))
        return (tf.image.random_flip_left_right(pixels) - _MEAN) / _STD

    data = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths))
    return data.map(show, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)


def _dali_dataset(paths: list[str]) -> Iterator[tf.Tensor]:
    """DALI's own way into TensorFlow, from files."""
    graph = Pipeline(batch_size=BATCH, num_threads=os.cpu_count() or 1, device_id=None)
    with graph:
        jpegs, _ = fn.readers.file(files=paths, labels=[0] * len(paths), random_shuffle=True)
        images = fn.decoders.image_random_crop(jpegs, output_type=types.RGB, random_area=[0.08, 1.0])
        graph.set_outputs(fn.resize(images, size=[SIDE, SIDE], interp_type=types.INTERP_LINEAR, antialias=False))
    data = dali_tf.DALIDataset(
        pipeline=graph, batch_size=BATCH, output_shapes=((BATCH, SIDE, SIDE, 3),), output_dtypes=(tf.uint8,),
        device_id=None,
    )  # fmt: skip
    for step, (images,) in enumerate(data.take(len(paths) // BATCH)):
        yield _shown(images, tf.constant(step))


if __name__ == "__main__":
    main()
