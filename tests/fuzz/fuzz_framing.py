"""Feed the framings damaged streams, a million and more, and check what they promise about them.

    python tests/fuzz/fuzz_framing.py --inputs 1000000 --seed 0

Nothing but a RecordError leaves a reader; it asks its stream only so often, and its buffer stays within bounds; the
records before the damage are whole. Of one changed byte: TFRecord always tells it, RecordIO loses one record at most.
"""

import argparse
import io
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "containers" / "common"))

import numpy as np
from trainjob.errors import RecordError
from trainjob.framing import detection, example, recordio, tfrecord
from trainjob.framing.window import Window

MAX_RECORD_BYTES = 4096
BUFFERS = (1, 16, 64, 4096)
REPORT_EVERY = 100_000
SHOWN = 10
"""Failures that are printed in full."""
EXTREMES = (0, 1, 3, 255, 4095, 4096, 4097, (1 << 29) - 1, 1 << 29, (1 << 31) - 1, (1 << 32) - 1)


class Stream:
    """Dribbles, and counts how often it is asked."""

    def __init__(self, content: bytes, most: int) -> None:
        self._stream, self._most = io.BytesIO(content), most
        self.reads = 0

    def readinto(self, buffer: memoryview, /) -> int:
        self.reads += 1
        return self._stream.readinto(buffer[: self._most])


class Watched(Window):
    """A window that can be looked at after its reader is done."""

    last: "Watched"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        Watched.last = self


@dataclass(frozen=True)
class Sample:
    """A sound stream, or an Example, and where its records end."""

    content: bytes
    payloads: list[bytes]
    ends: list[int]


@dataclass(frozen=True)
class Damage:
    """A sample as it was changed."""

    sample: Sample
    content: bytes
    one_byte: bool
    """Exactly one byte differs, and none is missing."""

    @property
    def whole(self) -> int:
        """Records that lie before the first byte that differs."""
        pairs = zip(self.sample.content, self.content, strict=False)
        first = next((index for index, (one, other) in enumerate(pairs) if one != other), len(self.content))
        return sum(end <= first for end in self.sample.ends)


def framed(framing: Any, payloads: list[bytes]) -> Sample:
    """The payloads in a framing."""
    file, ends = io.BytesIO(), []
    for payload in payloads:
        framing.write(file, payload)
        ends.append(file.tell())
    return Sample(file.getvalue(), payloads, ends)


def payload_lists(random: Random) -> list[list[bytes]]:
    """Few and many, of one length and of several, with the magic in them and without."""
    magic = recordio.MAGIC
    lists = [[], [b""], [b"", b"", b"x"], [b"abc"], [b"aaaa", b"bbbb", b"cccc"], [b"seven77"] * 40]
    lists += [
        [bytes([65 + index]) * size for index, size in enumerate(sizes)] for sizes in ((5, 0, 9), (1, 2, 3, 4, 5))
    ]
    lists += [[magic], [b"abcd" + magic + b"ef", b"g"], [magic * 3, b"", b"abcd" + magic], [b"a" + magic, b"b"]]
    lists += [[random.randbytes(random.randrange(30)) for _ in range(random.randrange(8))] for _ in range(12)]
    return lists


def examples() -> list[Sample]:
    """Examples of some schemas."""
    features: list[dict[str, Any]] = [
        {"image": b"pixels", "label": 7},
        {"label": 3, "image": b"", "id": 70_000},
        {"image": b"x" * 40, "label": 127, "weights": [0.5, 1.5], "boxes": [1, -2, 300]},
        {},
    ]
    return [Sample(content, [content], [len(content)]) for content in map(example.write, features)]


# --- damage ---------------------------------------------------------------------------------------


def damaged(random: Random, samples: list[Sample]) -> Damage:
    """One of the samples, changed in one of several ways, at times in none."""
    sample = random.choice(samples)
    content = bytearray(sample.content)
    way = random.randrange(8) if content else 6
    place = random.randrange(len(content)) if content else 0
    if way <= 2:  # the commonest in the world: one byte
        content[place] ^= 1 << random.randrange(8) if way else random.randrange(1, 256)
    elif way == 3:
        del content[place:]
    elif way == 4:  # at a place where a length may be
        place -= place % 4
        value = struct.pack("<I", random.choice(EXTREMES))
        content[place : place + 4] = value[: len(content) - place]
    elif way == 5:
        other = random.choice(samples).content
        begin = random.randrange(len(other) + 1)
        content[place : place + random.choice((0, 4, 8))] = other[begin : begin + random.randrange(40)]
    elif way == 6:
        content += random.randbytes(random.randrange(20))
    else:
        for _ in range(random.randrange(5)):
            content[random.randrange(len(content))] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    return Damage(sample, bytes(content), way <= 2)


# --- what must hold -------------------------------------------------------------------------------


def check(good: bool, what: str) -> None:
    """Raise if it is not so; unlike `assert` also under `python -O`."""
    if not good:
        raise AssertionError(what)


def read_framing(framing: Any, random: Random, damage: Damage) -> tuple[list[bytes], bool]:
    """The payloads a reader gives, and whether it ended in an error; checks its bounds."""
    content, buffer_bytes = damage.content, random.choice(BUFFERS)
    stream = Stream(content, random.choice((1, 7, 64, 1 << 20)))
    payloads: list[bytes] = []
    failed = False
    try:
        for records in framing.read(stream, buffer_bytes=buffer_bytes, max_record_bytes=MAX_RECORD_BYTES):
            check(len(records) > 0, "an empty lot of records")
            payloads += [records[index].tobytes() for index in range(len(records))]
    except RecordError:
        failed = True
    check(stream.reads <= len(content) + 3, f"{stream.reads} reads of {len(content)} bytes")
    size = len(Watched.last.data)
    check(size <= max(buffer_bytes, 12, min(2 * len(content), MAX_RECORD_BYTES + 16)), f"a buffer of {size} bytes")
    whole = damage.whole
    check(payloads[:whole] == damage.sample.payloads[:whole], f"the first {whole} records are not whole")
    if content == damage.sample.content:
        check(not failed and payloads == damage.sample.payloads, "a sound stream is not read")
    return payloads, failed


def fuzz_tfrecord(random: Random, damage: Damage) -> None:
    """TFRecord: damage of one byte is always told."""
    payloads, failed = read_framing(tfrecord, random, damage)
    if damage.one_byte:
        check(failed and len(payloads) == damage.whole, "a changed byte is not told")


def fuzz_recordio(random: Random, damage: Damage) -> None:
    """RecordIO: damage of one byte is told or harms one record."""
    payloads, failed = read_framing(recordio, random, damage)
    if damage.one_byte:
        before, all_of_them = damage.whole, damage.sample.payloads
        if failed:
            check(len(payloads) <= before + 1, "records after the damage are given before it is told")
        else:
            check(len(payloads) == len(all_of_them), "a changed byte took more than its record")
            check(payloads[before + 1 :] == all_of_them[before + 1 :], "a changed byte harmed more than its record")


def fuzz_detection(random: Random, damage: Damage) -> None:
    """Detection: no byte is lost."""
    stream = Stream(damage.content, random.choice((1, 5, 1000)))
    _, again = detection.detect(stream)
    buffer, content = bytearray(random.choice((3, 500))), b""
    while count := again.readinto(memoryview(buffer)):
        content += buffer[:count]
    check(content == damage.content, "the stream is another after it was looked at")


def fuzz_example(random: Random, damage: Damage) -> None:
    """Example: read or refused; and where its columns are found, they are what reading it gives."""
    try:
        features = example.read(damage.content)
    except RecordError:
        features = {}
    if not damage.content:
        return
    rows = np.frombuffer(damage.content, np.uint8)[None].repeat(random.choice((1, 2)), 0)
    try:
        columns = example.columns(rows, "image", "label")
    except RecordError:
        return
    if columns is not None and features:
        images, labels = columns
        check(features["image"] == [images[-1].tobytes()], "another image by column than by reading")
        check(list(features["label"]) == [labels[-1]], "another label by column than by reading")


# --- the program ----------------------------------------------------------------------------------


def main() -> int:
    """Run; the exit code tells whether all held."""
    parser = argparse.ArgumentParser(description="Feed the framings damaged streams.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    arguments = parser.parse_args()
    random = Random(arguments.seed)
    tfrecord.Window = recordio.Window = Watched  # type: ignore[attr-defined]
    lists = payload_lists(random)
    tfrecords = [framed(tfrecord, payloads) for payloads in lists]
    recordios = [framed(recordio, payloads) for payloads in lists]
    targets: list[tuple[Callable[[Random, Damage], None], list[Sample]]] = [
        (fuzz_tfrecord, tfrecords),
        (fuzz_recordio, recordios),
        (fuzz_recordio, recordios),  # it has the most to get wrong
        (fuzz_example, examples()),
        (fuzz_detection, tfrecords + recordios),
    ]
    begun, failed = time.monotonic(), 0
    for index in range(arguments.inputs):
        fuzz, samples = targets[index % len(targets)]
        damage = damaged(random, samples)
        try:
            fuzz(random, damage)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            failed += 1
            if failed <= SHOWN:
                print(f"{fuzz.__name__} {error!r}\n  {damage.content.hex()}\n  from {damage.sample.content.hex()}")
        if (index + 1) % REPORT_EVERY == 0:
            print(f"{index + 1} inputs, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{arguments.inputs - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
