"""How a job shows a channel's photographs: order, view, cache and what becomes of bad ones, in one place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from trainjob.channel import Channel
from trainjob.dataset import Share
from trainjob.decoded import KeptBatches, Replayed, Shelf
from trainjob.decoding import Batch, Batches, Decoder
from trainjob.photographs import Photographs
from trainjob.views import Centre, Crop, View, Whole

MakeDecoder = Callable[[View, int], Decoder]
"""From a view and a batch size to what decodes such batches."""


class Shown(Protocol):
    """A channel as epochs of batches of pixels: decoded anew each time, or kept."""

    @property
    def dropped(self) -> int:
        """Photographs left out in the epoch last read."""

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """One pass over the channel but for its first `skip` batches; see `Batches.epoch`."""


@dataclass(frozen=True, kw_only=True)
class Showing:
    """Settings of both frameworks' programs. It knows neither framework."""

    classes: int
    """Labels are 0 to one below it."""
    side: int
    """Of the square that is shown, pixels."""
    batch_size: int
    seed: int
    window: int
    """Photographs held back to draw from."""
    least_area: float
    """Share of a photograph that a random crop has at least."""
    use_boxes: bool
    antialias: bool
    on_corrupt: Literal["fail", "drop"]
    keep_bytes: int = 0
    """Pixels of each channel kept after its first epoch, if they are not more; 0 keeps none."""

    @property
    def short(self) -> int:
        """What the short side of a whole photograph becomes: 256 for 224, and so on."""
        return round(self.side * 8 / 7)

    def training(self, channel: Channel, make: MakeDecoder, shelf: Shelf, share: Share | None = None) -> Shown:
        """Random parts of the photographs that are this process's `share`, in a new order every epoch."""
        if not self.keep_bytes:
            crop = Crop(side=self.side, least_area=self.least_area, use_boxes=self.use_boxes, antialias=self.antialias)
            return self._batches(channel, make, crop, self.window, share)
        whole = Whole(short=self.short, use_boxes=self.use_boxes, antialias=self.antialias)
        batches = self._batches(channel, make, whole, self.window, share)
        return KeptBatches(whole=batches, side=self.side, budget_bytes=self.keep_bytes, shelf=shelf)

    def evaluation(self, channel: Channel, make: MakeDecoder, share: Share | None = None) -> Shown:
        """Each photograph's centre, in the channel's order."""
        centre = Centre(side=self.side, short=self.short, use_boxes=self.use_boxes, antialias=self.antialias)
        batches = self._batches(channel, make, centre, 0, share)
        return Replayed(batches=batches, budget_bytes=self.keep_bytes) if self.keep_bytes else batches

    def _batches(self, channel: Channel, make: MakeDecoder, view: View, window: int, share: Share | None) -> Batches:
        return Batches(
            photographs=Photographs(
                channel=channel, classes=self.classes, window=window, seed=self.seed, share=share or Share()
            ),
            decoder=make(view, self.batch_size),
            batch_size=self.batch_size,
            seed=self.seed,
            on_corrupt=self.on_corrupt,
        )
