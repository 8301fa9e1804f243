"""From a channel of photographs to tensors: a decoder chosen, batches of pixels brought to the device."""

import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
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

from pytorch_job import inputs
from pytorch_job.training import Trainer

log = logging.getLogger(__name__)


def decoder(view: View, batch_size: int, choice: dali_pipelines.Choice, device: torch.device) -> Decoder:
    """DALI where it can be loaded, on the job's GPU if it has one; else Pillow, which `choice` can also ask for.

    Raises:
        HyperparameterError: DALI is asked for and cannot be loaded.
    """
    if not dali_pipelines.is_chosen(choice, instead="Pillow"):
        return PlainDecoder(view, show)
    if device.type != "cuda":
        return dali_pipelines.DaliDecoder(view, batch_size, resize=resize)
    number = torch.cuda.current_device() if device.index is None else device.index
    return dali_pipelines.DaliDecoder(view, batch_size, device_id=number, take=_take)


def show(content: NDArray[np.uint8], region: tuple[int, int, int, int], view: View) -> NDArray[np.uint8]:
    """Pillow's way to show a region (top, left, height, width) of a JPEG; Pillow always filters what it makes smaller.

    Raises:
        PhotographError: Pillow cannot decode it.
    """
    top, left, height, width = region
    box = (left, top, left + width, top + height)
    try:
        picture = Image.open(io.BytesIO(content.tobytes()), formats=["JPEG"]).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotographError(f"cannot be decoded ({error})") from error
    rows, columns = resized(view, height, width)
    picture = picture.resize((columns, rows), Image.Resampling.BILINEAR, box=box)
    if isinstance(view, Centre):
        first_row, first_column = centre(view, rows, columns)
        picture = picture.crop((first_column, first_row, first_column + view.side, first_row + view.side))
    return np.asarray(picture)


def resize(pixels: NDArray[np.uint8], size: tuple[int, int], antialias: bool) -> NDArray[np.uint8]:
    """torch's way to bring pixels `(height, width, 3)` to a height and width; for uint8 it has kernels of its own."""
    images = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    made = functional.interpolate(images, size, mode="bilinear", antialias=antialias)
    return made.permute(0, 2, 3, 1)[0].numpy()


class OnDevice(decoded.Host):
    """Keeps decoded photographs in a GPU's memory where half of what is free there is enough, else in the host's."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def keep(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """The images as tensors of the device, or as they are."""
        wanted, free = sum(image.nbytes for image in images), _free_bytes(self._device)
        if wanted > free // 2:
            log.info("decoded photographs stay in the host's memory: %.0f MB", wanted / 1e6)
            return images
        log.info("decoded photographs stay on %s: %.0f MB", self._device, wanted / 1e6)
        return [torch.from_numpy(image).to(self._device) for image in images]

    def cut(self, images: Sequence[Any], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int) -> Any:
        """A part of each, `(n, side, side, 3)`, where the images are."""
        if not images or not isinstance(images[0], Tensor):
            return super().cut(images, tops, lefts, side)
        places = zip(images, tops.tolist(), lefts.tolist(), strict=True)
        return torch.stack([image[top : top + side, left : left + side] for image, top, left in places])


def epoch(batches: Shown, number: int, device: torch.device, skip: int = 0) -> Iterator[inputs.Batch]:
    """One pass over a data set but for its first `skip` batches: images `(n, 3, side, side)` and labels on the device.

    Raises:
        PhotographError: One cannot be decoded; ChannelError, RecordError, StopRequested: as the reader has them.
    """
    shown = (tensors(batch) for batch in batches.epoch(number, skip))
    return shown if device.type != "cuda" else inputs.copied(shown, device)


def tensors(batch: Pixels) -> inputs.Batch:
    """Images `(n, 3, side, side)` uint8, where they were decoded, and labels of the host."""
    images = batch.images if isinstance(batch.images, Tensor) else torch.from_numpy(batch.images)
    return images.permute(0, 3, 1, 2), torch.from_numpy(batch.labels)


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
            logits = trainer.predict(images.to(trainer.device)).cpu().numpy()
            pixels = images.permute(0, 2, 3, 1).cpu().numpy() if mistakes else None
            result.add(logits, batch.labels, [photograph.key for photograph in batch.photographs], pixels)
    except StopRequested:
        stopped = True
    result.add_up(ranks, stopped=stopped)
    if not result.count:
        raise ChannelError(NO_RECORD)
    return result


def _take(tensor: Any) -> Tensor:
    """A copy of DALI's batch, which DALI will use again; both are on the GPU."""
    return torch.from_dlpack(tensor).clone()


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
