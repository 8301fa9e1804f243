"""PipeModeDataset: the records of a Pipe-mode channel as a tf.data.Dataset of strings, epoch after epoch."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob import contract, environment
from trainjob.framing import detection, recordio, tfrecord
from trainjob.framing.fixed import ByteStream
from trainjob.pipe import PipeReader
from trainjob.stop import Stop

from sagemaker_tensorflow import textline
from sagemaker_tensorflow.state import PipeState

_READERS = {"RecordIO": recordio.read, "TFRecord": tfrecord.read}
_FORMATS = (*_READERS, "TextLine")


class PipeModeDatasetException(Exception):  # noqa: N818 - the original's name
    """A PipeModeDataset cannot be made of these arguments in this job."""


class PipeModeDataset(tf.data.Dataset):  # type: ignore[misc]
    """One record after another, as scalar strings. Every new iterator is the next epoch: another FIFO.

    `map`, `repeat`, `shuffle`, `batch` and all else of tf.data work on it. It does not parse records.
    """

    def __init__(
        self,
        channel: str,
        record_format: str = "RecordIO",
        state_dir: str | None = None,
        pipe_dir: str | None = None,
        config_dir: str | None = None,
        benchmark: bool = False,
        benchmark_records_interval: int = 0,
        stop: Stop | None = None,
    ) -> None:
        """Declare the data set; no FIFO is opened before its first record is asked for.

        Args:
            channel: Name of a channel in Pipe mode.
            record_format: `RecordIO`, `TFRecord` or `TextLine`.
            state_dir: Folder of the file that counts the channel's epochs; without it, the platform's `pipe_state`.
            pipe_dir: Folder of the FIFOs; without it, the platform's.
            config_dir: Folder of inputdataconfig.json; without it, the platform's.
            benchmark: Print records, bytes and seconds at the end of each epoch.
            benchmark_records_interval: Print the same every so many records, too; 0 does not.
            stop: Ends every wait for data early, with an error that names StopRequested. The original had no such
                argument: there a wait ends with the process.

        Raises:
            PipeModeDatasetException: The job has no such channel, it is in another mode, the format is none of the
                three, or `state_dir` cannot be written.
        """
        paths = environment.paths(os.environ)
        state_dir = state_dir or str(paths.base / "pipe_state")
        pipe_dir, config_dir = pipe_dir or str(paths.data), config_dir or str(paths.config)
        _check(channel, record_format, Path(config_dir) / paths.input_data_config.name)
        try:
            self._state = PipeState(Path(state_dir), channel)
        except OSError as error:
            raise PipeModeDatasetException(
                f"state_dir='{state_dir}' cannot be written ({error.strerror}); give a folder that can, such as /tmp."
            ) from error
        self.channel, self.record_format = channel, record_format
        self.state_dir, self.pipe_dir, self.benchmark = state_dir, pipe_dir, benchmark
        self._interval, self._stop = benchmark_records_interval, stop or Stop()
        # Hundreds of records cross at a time; TensorFlow takes them apart again, while the next are read.
        blocks = tf.data.Dataset.from_generator(self._epoch, output_signature=tf.TensorSpec((None,), tf.string))
        options = tf.data.Options()
        options.autotune.enabled = False  # the end of an epoch would wait for its thread, up to a minute
        self._records = blocks.prefetch(2).unbatch().with_options(options)
        super().__init__(self._records._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._records]

    @property
    def element_spec(self) -> tf.TensorSpec:
        """A scalar string."""
        return tf.TensorSpec((), tf.string)

    def _epoch(self) -> Iterator[NDArray[np.object_]]:
        epoch = self._state.take()
        fifo, name = Path(self.pipe_dir) / f"{self.channel}_{epoch}", f"Channel '{self.channel}', epoch {epoch}"
        begun, told, count = time.perf_counter(), 0, 0
        with PipeReader(fifo, name, self._stop) as stream:
            for payloads in self._payloads(stream, name):
                count += len(payloads)
                yield payloads
                if self._interval and count - told >= self._interval:
                    told = count
                    self._report(fifo, count, stream.offset, begun)
            if self.benchmark:
                self._report(fifo, count, stream.offset, begun)

    def _payloads(self, stream: ByteStream, name: str) -> Iterator[NDArray[np.object_]]:
        if self.record_format == "TextLine":
            for lines in textline.lines(stream, name):
                yield np.array(lines, object)
            return
        _, peeked = detection.detect(stream, self.record_format.lower(), name)
        for records in _READERS[self.record_format](peeked, name):
            yield records.payloads()

    def _report(self, fifo: Path, count: int, size: int, begun: float) -> None:
        seconds = time.perf_counter() - begun
        rates = f"{count / seconds:.0f} records/s, {size / seconds / 1e6:.1f} MB/s"
        print(f"PipeModeDataset {fifo}: {count} records, {size} bytes, {seconds:.3f} s, {rates}", flush=True)


def _check(channel: str, record_format: str, path: Path) -> None:
    if record_format not in _FORMATS:
        raise PipeModeDatasetException(f"record_format='{record_format}'; it must be one of {', '.join(_FORMATS)}.")
    try:
        channels: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipeModeDatasetException(
            f"{path} cannot be read ({error}); give the config_dir of the job that this runs in."
        ) from error
    if channel not in channels:
        known = ", ".join(sorted(channels)) or "none"
        raise PipeModeDatasetException(
            f"Channel {channel} not found in Training Job InputDataConfig; the job's channels are: {known}."
        )
    mode = channels[channel].get(contract.INPUT_MODE, "")
    if mode.lower() != contract.PIPE.lower():
        raise PipeModeDatasetException(
            f"Channel {channel} is not a PipeMode channel: its TrainingInputMode is '{mode}'; give it the InputMode "
            "Pipe, or read its files with tf.data.TFRecordDataset."
        )
