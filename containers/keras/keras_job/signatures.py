"""What a step and an evaluation are given, so that one trace is for batches of every size."""

import keras
import tensorflow as tf

Specs = tuple[tf.TensorSpec, ...]

_STEP_AND_RATE: Specs = (tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.float32))
_COUNTS = tf.TensorSpec((2,), tf.float64)


class Signatures:
    """Of a trainer's functions; None where each size of a batch is to have a trace of its own."""

    def __init__(self, batch: Specs, *, sizes_known: bool) -> None:
        """For batches like `batch`, whose first dimension is None; `sizes_known` for XLA, which compiles for each."""
        self._batch = batch
        self.look: Specs | None = None if sizes_known else batch
        """A batch."""
        self.step: Specs | None = None if sizes_known else (*batch, *_STEP_AND_RATE)
        """A batch, the step's number, the learning rate."""
        self.among: Specs | None = None if sizes_known else (*batch, *_STEP_AND_RATE, _COUNTS)
        """The same, and how many records this rank has and all have."""

    def nothing(self) -> list[tf.Tensor]:
        """A batch of one blank record."""
        return [tf.zeros((1, *spec.shape[1:]), spec.dtype) for spec in self._batch]


def photographs(model: keras.Model) -> Specs:
    """A batch of a model's images `(n, height, width, 3)` uint8, and labels `(n,)` int64."""
    return tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8), tf.TensorSpec((None,), tf.int64)
