"""DALI beside the plain decoder: the same pixels, bad JPEGs alone, every epoch whole whatever came before.

Needs DALI; tests/image runs it inside both images.
"""

import gc
import io
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from trainjob.contract import FILE, PIPE
from trainjob.framing import recordio
from trainjob.photographs import dali_pipelines, jpeg
from trainjob.photographs.dali_pipelines import DaliDecoder, Tuning
from trainjob.photographs.decoding import Decoded, Request
from trainjob.photographs.epochs import INDEX
from trainjob.photographs.plain_decoder import PlainDecoder
from trainjob.photographs.views import Box, Centre, Crop, View, Whole, regions

from tests.unit.trainjob import jpegs
from tests.unit.trainjob.channels import channel_of_files
from tests.unit.trainjob.jpegs import drawn, hollow, jpeg_of, photograph, resized_by_pillow, shown_by_pillow

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(dali_pipelines.why_not()), reason=f"no DALI here: {dali_pipelines.why_not()}"),
]

TOLERANCE = 0.6
"""Mean absolute difference per photograph, of 255; the issue asks for 2. Rounding alone makes 0.5 of it without
antialias, where Pillow cuts off what DALI rounds."""
FILTERED = 0.3
"""The same with antialias, where both round."""
SIZE = 8
RAM_BYTES = 1 << 30
"""What the input pipeline may take beside what its imports take."""
VIEWS = [
    Crop(side=64),
    Crop(side=64, antialias=False),
    Centre(side=96, short=112),
    Centre(side=97, short=112),
    Centre(side=96, short=112, antialias=False),
    Whole(short=50),
]


def request(contents: list[np.ndarray], view: View, seed: int = 0, boxes: list[Box] | None = None) -> Request:
    sizes = [jpeg.size(content) for content in contents]
    photographs = [photograph(content, seed * len(contents) + index) for index, content in enumerate(contents)]
    return Request(photographs, regions(view, sizes, boxes or [None] * len(sizes), np.random.default_rng(seed)))


def requests(view: View, count: int = 5, contents: list[np.ndarray] | None = None) -> list[Request]:
    return [request(contents or GOOD, view, seed) for seed in range(count)]


def differences(answers: list[Decoded], view: View) -> list[float]:
    """Mean absolute difference of each photograph to what Pillow shows of it."""
    found = []
    for answer in answers:
        assert len(answer.images) == len(answer.photographs)
        for image, each, region in zip(answer.images, answer.photographs, answer.regions.tolist(), strict=True):
            expected = shown_by_pillow(each.content, tuple(region), view)
            assert image.dtype == np.uint8
            assert image.shape == expected.shape
            found.append(float(np.abs(image.astype(np.int16) - expected).mean()))
    return found


def told(answers: list[Decoded]) -> list[tuple]:
    return [
        ([each.key for each in answer.photographs], [np.asarray(image).tobytes() for image in answer.images])
        for answer in answers
    ]


GOOD = jpegs.several(SIZE)


@pytest.fixture(params=[None, resized_by_pillow], ids=["resized by DALI", "resized by another"])
def make(request: pytest.FixtureRequest) -> partial[DaliDecoder]:
    """A decoder of a view and a batch size."""
    return partial(DaliDecoder, resize=request.param)


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("kind", jpegs.KINDS)
def test_pixels_are_those_of_the_plain_decoder(make, view, kind):
    contents = jpegs.several(SIZE, **jpegs.KINDS[kind])
    asked = requests(view, 2, contents)
    ours = list(make(view, SIZE).decode(iter(asked)))
    plain = list(PlainDecoder(view, shown_by_pillow).decode(iter(asked)))
    assert max(differences(ours, view)) <= (FILTERED if view.antialias else TOLERANCE)
    for one, other in zip(ours, plain, strict=True):
        assert one.photographs == other.photographs
        assert np.array_equal(one.regions, other.regions)
        assert one.failed == other.failed == []


def test_kinds_of_jpeg_share_a_batch(make):
    view = Centre(side=96, short=112)
    contents = [jpegs.jpeg(150, 160, index, **options) for index, options in enumerate(jpegs.KINDS.values())]
    assert max(differences(list(make(view, 5).decode(iter([request(contents, view)]))), view)) <= FILTERED


def test_photograph_that_lies_on_its_side_is_shown_as_it_is_stored(make):
    image, view = drawn(100, 150), Whole(short=50)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    (answer,) = make(view, 1).decode(iter([request([jpeg_of(image, exif=exif)], view)]))
    assert max(differences([answer], view)) <= FILTERED


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 16)])
def test_smallest_photographs_are_shown_too(make, size):
    for view in (Crop(side=32), Centre(side=32, short=32), Whole(short=32)):
        answers = list(make(view, 1).decode(iter([request([jpegs.jpeg(*size)], view)])))
        assert max(differences(answers, view)) <= 1


def test_content_that_cannot_be_written_to_is_read_where_it_lies(make):
    view = VIEWS[0]
    frozen = [np.frombuffer(content.tobytes(), np.uint8) for content in GOOD]
    assert not frozen[0].flags.writeable
    assert max(differences(list(make(view, SIZE).decode(iter([request(frozen, view)]))), view)) <= FILTERED


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Some of CUB-200-2011's own photographs, from all over the set."""
    paths = jpegs.real_photographs(tmp_path_factory.mktemp("real"))
    return [np.fromfile(path, np.uint8) for path in paths[:: max(1, len(paths) // 50)]]


@pytest.mark.parametrize(
    "view",
    [
        Centre(side=224, short=256), Centre(side=128, short=144), Centre(side=448, short=512), Crop(side=224),
        Crop(side=224, antialias=False), Whole(short=256),
    ],
    ids=str,
)  # fmt: skip
def test_real_photographs_have_the_pixels_of_the_plain_decoder(make, real, view):
    asked = [request(real[first : first + 32], view, first) for first in range(0, len(real), 32)]
    found = differences(list(make(view, 32).decode(iter(asked))), view)
    assert len(found) == len(real)
    assert max(found) <= (FILTERED if view.antialias else TOLERANCE)


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[2], VIEWS[5]], ids=str)
@pytest.mark.parametrize("prefetch", [1, 2, 4])
def test_bad_jpeg_is_lost_alone_wherever_it_stands(make, view, prefetch):
    asked = requests(view, 6)
    expected = told(list(make(view, SIZE).decode(iter(asked))))
    for bad in ([0], [1, 2], [3, 5]):
        mixed = list(asked)
        for batch in bad:
            photographs = list(asked[batch].photographs)
            photographs[3] = photograph(hollow(GOOD[3]), photographs[3].index)
            mixed[batch] = Request(photographs, asked[batch].regions)
        decoder = make(view, SIZE, tuning=Tuning(prefetch=prefetch))
        for _ in range(2):
            answers = list(decoder.decode(iter(mixed)))
            for number, (answer, (keys, pixels)) in enumerate(zip(told(answers), expected, strict=True)):
                lost = {3} if number in bad else set()
                kept = [index for index in range(SIZE) if index not in lost]
                assert answer == ([keys[index] for index in kept], [pixels[index] for index in kept])
                assert np.array_equal(answers[number].regions, asked[number].regions[kept])
                assert [each.key for each, _ in answers[number].failed] == [keys[index] for index in lost]
                assert all(reason.startswith("cannot be decoded (") for _, reason in answers[number].failed)


def test_batch_of_bad_jpegs_alone_is_answered_with_none(make):
    view = VIEWS[0]
    asked = [request(GOOD, view), request([hollow(content) for content in GOOD], view), request(GOOD, view)]
    answers = list(make(view, SIZE).decode(iter(asked)))
    assert [len(answer.photographs) for answer in answers] == [8, 0, 8]
    assert [len(answer.images) for answer in answers] == [8, 0, 8]
    assert len(answers[1].failed) == 8


def test_reason_is_of_the_photograph_and_not_of_python(make):
    view = VIEWS[0]
    (answer,) = make(view, 1).decode(iter([request([hollow(GOOD[0])], view)]))
    ((_, reason),) = answer.failed
    assert "recursion" not in reason
    assert "ecode" in reason
    assert len(reason) < 250


@pytest.mark.parametrize("count", [1, 3, SIZE])
def test_last_batch_may_be_smaller(make, count):
    for view in VIEWS:
        asked = [*requests(view, 2), request(GOOD[:count], view, 2)]
        decoder = make(view, SIZE)
        for _ in range(2):
            answers = list(decoder.decode(iter(asked)))
            assert [len(answer.images) for answer in answers] == [SIZE, SIZE, count]
            assert max(differences(answers, view)) <= (FILTERED if view.antialias else TOLERANCE)


def test_no_requests_have_no_answers_and_do_no_harm(make):
    view = VIEWS[0]
    decoder = make(view, SIZE)
    assert list(decoder.decode(iter([]))) == []
    assert len(list(decoder.decode(iter(requests(view))))) == 5
    assert list(decoder.decode(iter([]))) == []


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[2], VIEWS[5]], ids=str)
def test_equal_seeds_give_equal_bytes(make, view):
    decoder = make(view, SIZE)
    first, again = (told(list(decoder.decode(iter(requests(view))))) for _ in range(2))
    other = told(list(make(view, SIZE, tuning=Tuning(threads=1, prefetch=4)).decode(iter(requests(view)))))
    assert first == again == other
    assert first[0] != first[1] or not isinstance(view, Crop)


def test_batches_stay_as_they_are_when_later_ones_are_decoded(make):
    view = VIEWS[0]
    decoder = make(view, SIZE)
    held = [(answer.images, answer.images.copy()) for answer in decoder.decode(iter(requests(view)))]
    list(decoder.decode(iter(requests(view, 9))))
    assert all(np.array_equal(*pair) for pair in held)


@pytest.mark.parametrize("way", ["closed", "dropped", "suspended", "error"])
@pytest.mark.parametrize("taken", [1, 4, 5])
def test_epoch_left_early_has_no_bearing_on_the_next_one(make, way, taken):
    view = VIEWS[0]
    decoder = make(view, SIZE)
    expected = told(list(decoder.decode(iter(requests(view, 7)))))
    first = decoder.decode(iter(requests(view, 5, GOOD[::-1])))
    for _ in range(taken):
        next(first)
    if way == "closed":
        first.close()
    elif way == "error":
        with pytest.raises(ZeroDivisionError):
            first.throw(ZeroDivisionError())
    elif way == "dropped":
        del first
    assert told(list(decoder.decode(iter(requests(view, 7))))) == expected
    if way == "suspended":  # as an error's traceback keeps it
        assert len(list(first)) == 5 - taken
        assert told(list(decoder.decode(iter(requests(view, 7))))) == expected


def test_epoch_left_early_lets_go_of_its_requests_at_once(make):
    view = VIEWS[0]
    ended = []

    def asked():
        try:
            yield from requests(view)
        finally:
            ended.append(True)

    decoder = make(view, SIZE)
    answers = decoder.decode(asked())
    next(answers)
    answers.close()
    assert ended == [True]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, RecursionError])
def test_error_of_the_requests_is_none_of_a_photograph(make, kind):
    view = VIEWS[0]

    def asked():
        yield from requests(view, 3)
        raise kind("reading broke")

    decoder = make(view, SIZE)
    with pytest.raises(kind, match="reading broke"):
        list(decoder.decode(asked()))
    assert len(list(decoder.decode(iter(requests(view))))) == 5


def test_failure_that_is_of_no_photograph_is_not_swallowed(make):
    view = VIEWS[0]
    with pytest.raises(RuntimeError, match="DALI cannot decode 8 photographs at once: "):
        list(make(view, SIZE - 1).decode(iter(requests(view))))


def test_memory_and_threads_do_not_grow_over_epochs(make):
    view = VIEWS[0]
    decoder = make(view, SIZE)
    asked = requests(view, 4)
    mixed = [*asked[:2], request([*GOOD[:3], hollow(GOOD[3])], view)]

    def rounds(count: int) -> tuple[int, int]:
        for _ in range(count):
            list(decoder.decode(iter(asked)))
            list(decoder.decode(iter(mixed)))
            answers = decoder.decode(iter(asked))
            next(answers)
            answers.close()
        gc.collect()
        return _resident_bytes(), len(list(Path("/proc/self/task").iterdir()))

    before, threads = rounds(10)
    after, more = rounds(20)
    assert after - before < 8 << 20
    assert more <= threads


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


MEASURED = """
import sys
from pathlib import Path
from trainjob.channel import Channel
from trainjob.contract import Paths
from trainjob.photographs.dali_pipelines import DaliDecoder, why_not
from trainjob.photographs.decoding import Batches
from trainjob.environment import ChannelConfig
from trainjob.photographs.epochs import Photographs
from trainjob.stop import Stop
from trainjob.photographs.views import Crop

def most() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10

assert not why_not()
before = most()
config = ChannelConfig(
    name="train", input_mode=sys.argv[2], content_type=None, distribution="FullyReplicated", record_wrapper="None"
)
channel = Channel(config, Paths(Path(sys.argv[1])), Stop())
channel.looks_ahead = False
photographs = Photographs(channel=channel, classes=200, window=512)
batches = Batches(photographs=photographs, decoder=DaliDecoder(Crop(side=448), 64), batch_size=64)
print(sum(len(batch.labels) for number in range(2) for batch in batches.epoch(number)), most() - before)
"""


@pytest.mark.drill
@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_input_pipeline_takes_no_more_than_a_gigabyte_at_448_pixels(tmp_path, mode):
    paths = jpegs.real_photographs(tmp_path / "real")
    contents = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
    if mode == PIPE:
        stream = io.BytesIO()
        for key, content in contents.items():
            for payload in (content, b"0", key.encode()):
                recordio.write(stream, payload)
        files = {"stream": stream.getvalue()}
    else:
        files = {**contents, INDEX: b"\n".join(json.dumps({"key": key, "label": 0}).encode() for key in contents)}
    with channel_of_files(tmp_path / "ml", mode, files):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / "ml"), mode]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    count, used = map(int, done.stdout.split())
    print(f"{mode}: {used >> 20} MiB above its imports")
    assert count == 2 * len(paths)
    assert used <= RAM_BYTES
