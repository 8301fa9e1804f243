"""From a channel of photographs to tensors: a decoder chosen, batches of pixels brought to the device."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob.errors import ChannelError, PhotographError
from trainjob.photographs import dali_pipelines, decoded
from trainjob.photographs.decoding import Batch as Pixels
from trainjob.photographs.decoding import Decoder
from trainjob.photographs.plain_decoder import PlainDecoder
from trainjob.photographs.showing import Shown
from trainjob.photographs.views import Centre, View, centre, resized
from trainjob.stop import Stop, StopRequested
from trainjob.training.evaluation import Evaluation
from trainjob.training.ranks import NO_RECORD, Ranks

from keras_job import inputs
from keras_job.recipe import has_gpu
from keras_job.training import Trainer

log = logging.getLogger(__name__)


def share_gpus() -> None:
    """Have TensorFlow take GPU memory as it needs it, before its first step: else it takes all, and DALI gets none."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def decoder(view: View, batch_size: int, choice: dali_pipelines.Choice) -> Decoder:
    """DALI where it can be loaded, on the job's GPU if it has one; else tf.io, which `choice` can also ask for.

    Raises:
        HyperparameterError: DALI is asked for and cannot be loaded.
    """
    if not dali_pipelines.is_chosen(choice, instead="tf.io"):
        return PlainDecoder(view, show)
    if not has_gpu():
        return dali_pipelines.DaliDecoder(view, batch_size)
    return dali_pipelines.DaliDecoder(view, batch_size, device_id=0, take=_take)


def show(content: NDArray[np.uint8], region: tuple[int, int, int, int], view: View) -> NDArray[np.uint8]:
    """tf.io's way to show a region (top, left, height, width) of a JPEG.

    Raises:
        PhotographError: tf.io cannot decode it.
    """
    with tf.device("/CPU:0"):
        try:
            picture = tf.io.decode_and_crop_jpeg(content.tobytes(), region, channels=3, dct_method="INTEGER_ACCURATE")
        except (tf.errors.InvalidArgumentError, tf.errors.InternalError) as error:
            raise PhotographError(f"cannot be decoded ({error.message.splitlines()[0]})") from error
        size = resized(view, region[2], region[3])
        pixels = tf.image.resize(picture, size, antialias=view.antialias)
        if isinstance(view, Centre):
            first_row, first_column = centre(view, *size)
            pixels = pixels[first_row : first_row + view.side, first_column : first_column + view.side]
        shown: NDArray[np.uint8] = tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8).numpy()
        return shown


class OnDevice(decoded.Host):
    """Keeps decoded photographs in a GPU's memory where they fit, else in the host's."""

    def keep(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """The images as tensors of the GPU, or as they are."""
        wanted = sum(image.nbytes for image in images) / 1e6
        if not has_gpu():
            return images
        try:
            with tf.device("/GPU:0"):
                kept = [tf.identity(tf.constant(image)) for image in images]
        except tf.errors.ResourceExhaustedError:
            log.info("decoded photographs stay in the host's memory: %.0f MB", wanted)
            return images
        log.info("decoded photographs stay on the GPU: %.0f MB", wanted)
        return kept

    def cut(self, images: Sequence[Any], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int) -> Any:
        """A part of each, `(n, side, side, 3)`, where the images are."""
        if not images or not tf.is_tensor(images[0]):
            return super().cut(images, tops, lefts, side)
        places = zip(images, tops.tolist(), lefts.tolist(), strict=True)
        return tf.stack([image[top : top + side, left : left + side] for image, top, left in places])


def epoch(batches: Shown, number: int, skip: int, strategy: tf.distribute.Strategy) -> inputs.Made:
    """One pass over a data set but for its first `skip` batches: images `(n, side, side, 3)` and labels.

    Its batches raise PhotographError, ChannelError, RecordError and StopRequested as the reader has them.
    """
    return inputs.Made((tensors(batch) for batch in batches.epoch(number, skip)), strategy)


def tensors(batch: Pixels) -> inputs.Batch:
    """Images `(n, side, side, 3)` uint8, on the GPU where they were decoded there, and labels `(n,)` int64."""
    return tf.convert_to_tensor(batch.images), tf.convert_to_tensor(batch.labels)


def evaluate(trainer: Trainer, batches: Shown, classes: int, stop: Stop, ranks: Ranks, mistakes: int = 0) -> Evaluation:
    """What the model makes of a data set's photographs, each shown once, by one of the ranks.

    Raises:
        ChannelError: No rank got a photograph.
        StopRequested: The job was asked to stop; raised on all ranks.
    """
    result, stopped = Evaluation(classes, mistakes), False
    try:
        for batch in batches.epoch(0):
            stop.check()
            images, _ = tensors(batch)
            logits = trainer.predict(images).numpy()
            pixels = images.numpy() if mistakes else None
            result.add(logits, batch.labels, [photograph.key for photograph in batch.photographs], pixels)
    except StopRequested:
        stopped = True
    result.add_up(ranks, stopped=stopped)
    if not result.count:
        raise ChannelError(NO_RECORD)
    return result


def _take(tensor: Any) -> tf.Tensor:
    """A copy of DALI's batch, which DALI will use again; both are on the GPU."""
    return tf.identity(tf.experimental.dlpack.from_dlpack(tensor.__dlpack__()))
