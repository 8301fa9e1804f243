"""How a job shows a channel's photographs: order, view, cache and what becomes of bad ones, in one place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from trainjob import cub200
from trainjob.channel import Channel
from trainjob.dataset import Share
from trainjob.photographs.decoded import KeptBatches, Replayed, Shelf
from trainjob.photographs.decoding import Batch, Batches, Decoder
from trainjob.photographs.epochs import Photographs
from trainjob.photographs.views import Centre, Crop, View, Whole
from trainjob.training.recipe import CommonRecipe

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


@dataclass(frozen=True, kw_only=True)
class ShowingRecipe(CommonRecipe):
    """What a training on photographs is told about them, in both frameworks.

    What a framework's own recipe has, too, comes from there where a program takes both: the program sets it anew.
    """

    classes: int = cub200.CLASSES
    """Labels are 0 to one below it."""
    image_size: int = 0
    """Side of the square that is shown, pixels, 32 to 1024. 0: 224 on a GPU, 128 on a CPU."""
    head_factor: float = 10.0
    """With pretrained weights, the head's learning rate in multiples of the body's; above 0."""
    least_area: float = 0.25
    """Share of a photograph that a random crop has at least, above 0 to 1."""
    use_boxes: bool = False
    """Show the bounding box of the bird, and a margin, as if it were the photograph."""
    antialias: bool = True
    """Filter what is made smaller. Without it they are grainier, and faster to make where DALI resizes them."""
    cache: Literal["none", "decoded"] = "none"
    """`decoded` keeps the pixels of the first epoch; later ones cut random parts out of these and decode nothing."""
    cache_mb: int = 4096
    """Budget of pixels kept of each channel, megabytes of 10**6 bytes; a larger channel is decoded every epoch. The
    processes of a host share it."""
    shuffle_window: int = 1000
    """Photographs held back to draw batches from; 0 keeps the channel's order. Of a stream, about 0.1 MB each."""
    on_corrupt: Literal["fail", "drop"] = "fail"
    """A JPEG that cannot be decoded ends the job, or is left out alone and counted."""

    def ranges(self) -> list[tuple[str, bool, str]]:
        """Of every bounded field: its name, whether its value is good, and what it must be."""
        return [
            *super().ranges(),
            ("classes", 2 <= self.classes <= 100_000, "2 to 100000"),
            ("image_size", self.image_size == 0 or 32 <= self.image_size <= 1024, "0, or 32 to 1024"),
            ("head_factor", 0 < self.head_factor <= 1000, "above 0, to 1000"),
            ("least_area", 0 < self.least_area <= 1, "above 0, to 1"),
            ("cache_mb", self.cache_mb >= 1, "1 or more"),
            ("shuffle_window", self.shuffle_window >= 0, "0 or more"),
        ]

    def showing(self, side: int, processes: int) -> Showing:
        """How the channels' photographs are shown, in squares of `side` pixels, to each of a host's processes."""
        return Showing(
            classes=self.classes,
            side=side,
            batch_size=self.batch_size,
            seed=self.seed,
            window=self.shuffle_window,
            least_area=self.least_area,
            use_boxes=self.use_boxes,
            antialias=self.antialias,
            on_corrupt=self.on_corrupt,
            keep_bytes=self.cache_mb * 10**6 // processes if self.cache == "decoded" else 0,
        )
