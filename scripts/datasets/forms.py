"""The forms that a data set's records can have: shards of bare or framed ones, or a file each."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from trainjob.framing import detection, recordio, tfrecord

Rows = NDArray[np.uint8]
"""Records `(n, length)` in their published layout."""
ToExample = Callable[[NDArray[np.uint8]], bytes]
"""Makes a tf.train.Example of one record."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How files hold records. It knows no data set: what an Example has in it, the caller says."""

    name: str
    """As `trainjob.framing.detection` calls the framing, where there is one."""
    suffix: str
    """Of the files' names."""
    content_type: str | None
    """What a channel of such files declares; None where nothing is customary."""
    write: Callable[[BytesIO, bytes | memoryview], object] | None
    """Appends one payload to a shard; None where every record is a file of its own."""
    of_examples: bool = False
    """Whether a payload is an Example; else it is the record as it was published."""
    as_published: bool = False
    """Whether a data set comes in this form; its folder then needs no other name."""

    def encode(self, rows: Rows, to_example: ToExample) -> memoryview:
        """The bytes of some records, one after another."""
        assert self.write is not None  # noqa: S101 - a file of its own needs no framing
        buffer = BytesIO()
        for row in rows:
            self.write(buffer, to_example(row) if self.of_examples else row.data)
        return buffer.getbuffer()

    def folder(self, name: str) -> str:
        """What a folder of this form is called, so that no form takes the place of another."""
        return name if self.as_published else f"{name}-{self.name}"


FIXED = Form(name=detection.FIXED, suffix=".bin", content_type=None, write=BytesIO.write, as_published=True)
TFRECORD = Form(
    name=detection.TFRECORD,
    suffix=".tfrecord",
    content_type="application/x-tfrecord",
    write=tfrecord.write,
    of_examples=True,
)
RECORDIO = Form(name=detection.RECORDIO, suffix=".rec", content_type="application/x-recordio", write=recordio.write)
JPEG = Form(name="jpeg", suffix=".jpg", content_type="application/x-image", write=None, as_published=True)
FORMS = {form.name: form for form in (FIXED, TFRECORD, RECORDIO)}
"""Of records that all have one size."""
