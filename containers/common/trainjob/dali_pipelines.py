"""DALI's graphs, and photographs brought through them; the only importer of nvidia.dali.

On a GPU the JPEGs are decoded by its own decoders (`mixed`), on a CPU by DALI's threads. Python only hands over arrays.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainjob.decoding import Decoded, Request
from trainjob.memory import Recycled
from trainjob.photograph_records import Photograph
from trainjob.plain_decoder import stacked
from trainjob.views import Centre, Crop, View, Whole

Take = Callable[[Any], Any]
"""What a framework does with a batch of a GPU, DALI's tensor `(n, side, side, 3)`: a copy of its own, by DLPack."""


Inputs = tuple[list[NDArray[np.uint8]], list[NDArray[np.int32]], list[NDArray[np.int32]]]
"""Of a batch: JPEGs; top and left; height and width."""


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


class DaliDecoder:
    """Shows photographs through one graph, which it keeps from epoch to epoch."""

    def __init__(
        self, view: View, batch_size: int, *, device_id: int | None = None, take: Take | None = None,
        tuning: Tuning | None = None,
    ) -> None:  # fmt: skip
        """`device_id` is the GPU's number, None for the CPU; with a GPU, `take` brings a batch to the framework."""
        self.view = view
        self._batch_size, self._device_id, self._take = batch_size, device_id, take
        self._tuning = tuning or Tuning()
        self._memory = Recycled()
        self._requests: Iterator[Request] = iter(())
        self._under_way: deque[Request] = deque()
        """Handed to DALI, which reads the arrays where they lie, and not answered."""
        self._graph: Any = None

    def decode(self, requests: Iterable[Request]) -> Iterator[Decoded]:
        """One answer a request, in order; up to `Tuning.prefetch` requests are under way.

        A bad JPEG fails its whole batch in DALI: then each of them is decoded alone, so that only the bad one is lost.
        """
        self._requests = iter(requests)
        if self._graph is None:
            self._graph = self._build(self._batch_size)
        whole = False
        try:
            while (decoded := self._answer()) is not None:
                yield decoded
            self._graph.reset()
            whole = True
        finally:
            if not whole:  # what is under way in it would answer the next epoch's requests
                self._graph = None
            self._under_way.clear()

    def _answer(self) -> Decoded | None:
        """The next one; None at the end."""
        try:
            (output,) = self._graph.run()
        except StopIteration:
            return None
        except RuntimeError:
            # DALI calls this graph invalid now, so what else is under way goes through a new one.
            failed = self._under_way.popleft()
            self._requests = itertools.chain(list(self._under_way), self._requests)
            self._under_way.clear()
            self._graph = self._build(self._batch_size)
            return self._one_by_one(failed)
        request = self._under_way.popleft()
        return Decoded(request.photographs, request.regions, self._taken(output), [])

    def _next(self) -> Inputs:
        request = next(self._requests)
        self._under_way.append(request)
        return _inputs(request)

    def _build(self, batch_size: int, source: Callable[[], Inputs] | None = None) -> Any:
        from nvidia.dali.pipeline import Pipeline  # noqa: PLC0415 - only where `why_not` finds it

        tuning = self._tuning
        graph = Pipeline(
            batch_size=batch_size,
            num_threads=tuning.threads or os.cpu_count() or 1,
            device_id=self._device_id,
            prefetch_queue_depth=tuning.prefetch,
        )
        with graph:
            shown = _shown(source or self._next, self.view, tuning, mixed=self._device_id is not None)
            graph.set_outputs(shown)
        graph.build()
        return graph

    def _taken(self, output: Any) -> Any:
        """A batch, in memory that DALI does not use again."""
        if isinstance(self.view, Whole):
            host = output.as_cpu() if self._device_id is not None else output
            return [np.array(host.at(index)) for index in range(len(host))]
        if self._device_id is not None and self._take is not None:
            return self._take(output.as_tensor())
        dense = np.asarray(output.as_tensor())
        copied = self._memory.empty((len(dense), dense[0].size)).reshape(dense.shape)
        copied[...] = dense
        return copied

    def _one_by_one(self, request: Request) -> Decoded:
        kept: list[int] = []
        pixels: list[NDArray[np.uint8]] = []
        failed: list[tuple[Photograph, str]] = []
        for index, photograph in enumerate(request.photographs):
            alone = iter([_inputs(Request([photograph], request.regions[index : index + 1]))])
            try:
                (output,) = self._build(1, alone.__next__).run()
            except RuntimeError as error:
                failed.append((photograph, f"cannot be decoded ({_reason(error)})"))
                continue
            host = output.as_cpu() if self._device_id is not None else output
            pixels.append(np.array(host.at(0)))
            kept.append(index)
        photographs = [request.photographs[index] for index in kept]
        images: Any = pixels if isinstance(self.view, Whole) else stacked(pixels, self._memory)
        return Decoded(photographs, request.regions[kept], images, failed)


def _inputs(request: Request) -> Inputs:
    jpegs = [photograph.content for photograph in request.photographs]
    return jpegs, list(request.regions[:, :2]), list(request.regions[:, 2:])


def _shown(source: Callable[[], Inputs], view: View, tuning: Tuning, *, mixed: bool) -> Any:
    """The graph's output: uint8, RGB, `(height, width, 3)` a photograph."""
    from nvidia.dali import fn, types  # noqa: PLC0415 - only where `why_not` finds it

    jpegs, anchors, shapes = fn.external_source(
        source=source,
        num_outputs=3,
        batch=True,
        no_copy=True,
        ndim=[1, 1, 1],
        dtype=[types.UINT8, types.INT32, types.INT32],
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
    linear = {"interp_type": types.INTERP_LINEAR, "antialias": view.antialias}
    if isinstance(view, Crop):
        return fn.resize(images, size=[view.side, view.side], **linear)
    images = fn.resize(images, resize_shorter=view.short, **linear)
    if isinstance(view, Centre):
        return fn.crop(images, crop=(view.side, view.side))
    return images


def _reason(error: RuntimeError) -> str:
    """The line of DALI's message that says what is wrong with the photograph."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "ecode" in line or "nvImageCodec" in line]
    return (told[-1] if told else lines[-1] if lines else "no reason given")[:200]
