"""DALI's graphs, and photographs brought through them; the only importer of nvidia.dali.

On a GPU the JPEGs are decoded by its own decoders (`mixed`), on a CPU by DALI's threads. Python only hands over arrays.
"""

import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainjob import cores
from trainjob.errors import HyperparameterError
from trainjob.memory import Recycled
from trainjob.photographs.decoding import Decoded, Request
from trainjob.photographs.plain_decoder import stacked
from trainjob.photographs.records import Photograph
from trainjob.photographs.resizing import Resize, Resizer
from trainjob.photographs.views import Centre, Crop, View, Whole, resized

log = logging.getLogger(__name__)

Choice = Literal["auto", "dali", "plain"]
"""Of a decoder: `auto` is DALI where it can be loaded."""

Take = Callable[[Any], Any]
"""What a framework does with a batch of a GPU, DALI's tensor `(n, side, side, 3)`: a copy of its own, by DLPack."""

Inputs = tuple[list[NDArray[np.uint8]] | NDArray[Any], ...]
"""Of a batch: JPEGs; top and left; height and width; and, where DALI resizes them for no Crop, to what."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What decides speed and memory, and nothing else."""

    threads: int = 0
    """Of the CPU's part of the work; 0 is one a core."""
    prefetch: int = 2
    """Batches under way at once, 1 or more."""
    hardware_load: float = 0.65
    """Share of JPEGs that a GPU's own decoder takes, where it has one, 0 to 1; the others take its CUDA cores."""
    width_hint: int = 1024
    """Pixels. A GPU's buffers are made for such a photograph, and grow, which halts it, for a larger one."""
    height_hint: int = 1024
    """Pixels."""


def why_not() -> str:
    """Why DALI cannot be used here; empty when it can."""
    try:
        from nvidia.dali import fn, pipeline, types  # noqa: F401, PLC0415 - asked for where it may be missing
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def is_chosen(choice: Choice, instead: str) -> bool:
    """Whether DALI decodes; if it cannot, though it was not ruled out, a warning says that `instead` does.

    Raises:
        HyperparameterError: DALI is asked for and cannot be loaded.
    """
    if choice == "plain":
        return False
    reason = why_not()
    if reason and choice == "dali":
        raise HyperparameterError(
            f"'decoder' is dali, but DALI cannot be loaded here ({reason}); set decoder=auto, or use the image."
        )
    if reason:
        _warn(instead, reason)
    return not reason


@functools.cache
def _warn(instead: str, reason: str) -> None:
    """Once, not for every channel."""
    log.warning("photographs are decoded by %s, slower: DALI cannot be loaded here (%s)", instead, reason)


class DaliDecoder:
    """Shows photographs through one graph, which it keeps from epoch to epoch."""

    def __init__(
        self, view: View, batch_size: int, *, device_id: int | None = None, take: Take | None = None,
        resize: Resize | None = None, tuning: Tuning | None = None,
    ) -> None:  # fmt: skip
        """`device_id` is the GPU's number, None for the CPU.

        With a GPU, `take` brings a batch to the framework. On a CPU, `resize` is used in place of DALI's own, which
        takes as long there as the decoding.
        """
        self.view = view
        self._batch_size, self._device_id, self._take = batch_size, device_id, take
        self._tuning = tuning or Tuning()
        self._resize = Resizer(view, resize) if resize and device_id is None else None
        self._resized_by_dali = None if self._resize else view
        self._memory = Recycled()
        self._idle: _Graph | None = None

    def decode(self, requests: Iterable[Request]) -> Iterator[Decoded]:
        """One answer a request, in order; up to `Tuning.prefetch` requests are under way.

        A bad JPEG fails its whole batch in DALI: then each of them is decoded alone, so that only the bad one is lost,
        and what is left comes to the host.

        Raises:
            RuntimeError: DALI failed with a batch, but with none of its photographs, as where a GPU's memory is full.
        """
        graph, self._idle = self._idle or self._graph(self._batch_size, self._tuning.prefetch), None
        for request, output, reason in graph.answers(requests):
            if output is None:
                decoded = self._one_by_one(request)
                if not decoded.failed:
                    raise RuntimeError(f"DALI cannot decode {len(request.photographs)} photographs at once: {reason}")
                yield decoded
            else:
                yield Decoded(request.photographs, request.regions, self._taken(request, output), [])
        # After an epoch that was left early there is still something under way in it.
        self._idle = graph

    def _graph(self, batch_size: int, prefetch: int) -> "_Graph":
        return _Graph(partial(self._build, batch_size, prefetch), partial(_inputs, self._resized_by_dali))

    def _build(self, batch_size: int, prefetch: int, source: Callable[[], Inputs]) -> Any:
        from nvidia.dali.pipeline import Pipeline  # noqa: PLC0415 - only where `why_not` finds it

        graph = Pipeline(
            batch_size=batch_size,
            num_threads=self._tuning.threads or len(cores.usable()),
            device_id=self._device_id,
            prefetch_queue_depth=prefetch,
        )
        with graph:
            graph.set_outputs(_shown(source, self._resized_by_dali, self._tuning, mixed=self._device_id is not None))
        graph.build()
        return graph

    def _taken(self, request: Request, output: Any) -> Any:
        """A batch, in memory that DALI does not use again."""
        if self._device_id is not None and self._take is not None and not isinstance(self.view, Whole):
            return self._take(output.as_tensor())
        host = self._on_host(output)
        if self._resize:
            return self._resize.shown([np.asarray(host[index]) for index in range(len(host))], request.regions)
        if isinstance(self.view, Whole):
            return [np.array(host[index]) for index in range(len(host))]
        dense = np.asarray(host.as_tensor())
        copied = self._memory.empty((len(dense), dense[0].size)).reshape(dense.shape)
        copied[...] = dense
        return copied

    def _on_host(self, output: Any) -> Any:
        return output if self._device_id is None else output.as_cpu()

    def _one_by_one(self, request: Request) -> Decoded:
        kept: list[int] = []
        pixels: list[NDArray[np.uint8]] = []
        failed: list[tuple[Photograph, str]] = []
        alone = (
            Request([photograph], request.regions[index : index + 1])
            for index, photograph in enumerate(request.photographs)
        )
        for index, (_, output, reason) in enumerate(self._graph(1, 1).answers(alone)):
            if output is None:
                failed.append((request.photographs[index], f"cannot be decoded ({reason})"))
            else:
                pixels.append(np.array(self._on_host(output)[0]))
                kept.append(index)
        photographs, regions = [request.photographs[index] for index in kept], request.regions[kept]
        images: Any = pixels
        if self._resize:
            images = self._resize.shown(pixels, regions)
        elif not isinstance(self.view, Whole):
            images = stacked(pixels, self._memory)
        return Decoded(photographs, regions, images, failed)


class _Graph:
    """A pipeline of DALI's, which is made anew where a JPEG has failed it: DALI calls it invalid then."""

    def __init__(self, make: Callable[[Callable[[], Inputs]], Any], inputs: Callable[[Request], Inputs]) -> None:
        self._make, self._inputs = make, inputs
        self._renew(iter(()))

    def answers(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Any, str]]:
        """Each request with its output, valid until the next is asked for; or with None and why it failed."""
        self._feed.requests = iter(requests)
        try:
            while True:
                try:
                    (output,) = self._pipeline.run()
                except StopIteration:
                    self._pipeline.reset()
                    return
                except RuntimeError as error:
                    if self._feed.has_failed or not self._feed.under_way:
                        raise
                    output, reason = None, _reason(error)
                request, _ = self._feed.under_way.popleft()
                if output is None:
                    # What else is under way in the old one goes through the new one.
                    waiting = [each for each, _ in self._feed.under_way]
                    self._renew(itertools.chain(waiting, self._feed.requests))
                    yield request, None, reason
                else:
                    yield request, output, ""
        finally:
            self._feed.requests = iter(())  # the pipeline may stay for a while; a channel must not stay open with it

    def _renew(self, requests: Iterator[Request]) -> None:
        self._feed = _Feed(requests, self._inputs)
        self._pipeline = self._make(self._feed.next)


class _Feed:
    """Where a pipeline has its batches from."""

    def __init__(self, requests: Iterator[Request], inputs: Callable[[Request], Inputs]) -> None:
        self.requests, self._inputs = requests, inputs
        self.under_way: deque[tuple[Request, Inputs]] = deque()
        """Handed to DALI, which reads the arrays where they lie, and not answered."""
        self.has_failed = False
        """Whether the requests themselves ended in an error, which is none of DALI's then."""

    def next(self) -> Inputs:
        try:
            request = next(self.requests)
        except RuntimeError:
            self.has_failed = True
            raise
        inputs = self._inputs(request)
        self.under_way.append((request, inputs))
        return inputs


def _inputs(view: View | None, request: Request) -> Inputs:
    jpegs = [photograph.content for photograph in request.photographs]
    # Arrays of the whole batch: what is fed photograph by photograph costs the interpreter 8 us each.
    inputs = jpegs, np.ascontiguousarray(request.regions[:, :2]), np.ascontiguousarray(request.regions[:, 2:])
    if view is None or isinstance(view, Crop):
        return inputs
    # DALI's own rounding of the longer side is another, and would move the centre.
    return *inputs, np.array([resized(view, *shape) for shape in request.regions[:, 2:].tolist()], np.float32)


def _shown(source: Callable[[], Inputs], view: View | None, tuning: Tuning, *, mixed: bool) -> Any:
    """The graph's output: uint8, RGB, `(height, width, 3)` a photograph; without a view, the regions as they are."""
    from nvidia.dali import fn, types  # noqa: PLC0415 - only where `why_not` finds it

    dtypes = [types.UINT8, types.INT32, types.INT32, *([types.FLOAT] if isinstance(view, Centre | Whole) else [])]
    jpegs, anchors, shapes, *sizes = fn.external_source(
        source=source, num_outputs=len(dtypes), batch=True, no_copy=True, ndim=[1] * len(dtypes), dtype=dtypes
    )
    hints: dict[str, Any] = {}
    if mixed:
        hints = {
            "hw_decoder_load": tuning.hardware_load,
            "preallocate_width_hint": tuning.width_hint,
            "preallocate_height_hint": tuning.height_hint,
        }
    images = fn.decoders.image_slice(
        jpegs,
        anchors,
        shapes,
        axes=[0, 1],  # rows, then columns
        device="mixed" if mixed else "cpu",
        output_type=types.RGB,
        adjust_orientation=False,  # as torchvision and tf.io have it: boxes are told for the pixels as stored
        **hints,
    )
    if view is None:
        return images
    linear = {"interp_type": types.INTERP_LINEAR, "antialias": view.antialias}
    if isinstance(view, Crop):
        return fn.resize(images, size=[view.side, view.side], **linear)
    images = fn.resize(images, size=sizes[0], **linear)
    if isinstance(view, Centre):
        return fn.crop(images, crop=(view.side, view.side), rounding="truncate")  # as views.centre has it
    return images


def _reason(error: RuntimeError) -> str:
    """The line of DALI's message that says what is wrong with the photograph."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "ecode" in line or "nvImageCodec" in line]
    return (told[-1] if told else lines[-1] if lines else "no reason given")[:200]
