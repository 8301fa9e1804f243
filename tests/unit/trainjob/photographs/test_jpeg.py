"""What a JPEG's header says, of files as cameras write them and of damaged ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainjob.errors import PhotographError
from trainjob.photographs.jpeg import MAX_PIXELS, size

from tests.unit.trainjob.jpegs import jpeg

START, APP1 = b"\xff\xd8", b"\xff\xe1"
SMALL = jpeg(9, 11, quality=20)


def array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def resized(content: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same file with another size in its frame header."""
    changed = content.copy()
    frame = content.tobytes().index(b"\xff\xc0")
    changed[frame + 5 : frame + 9] = array(height.to_bytes(2, "big") + width.to_bytes(2, "big"))
    return changed


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_size_is_height_and_width_of_any_kind_of_jpeg(mode, options):
    assert size(jpeg(30, 50, mode=mode, **options)) == (30, 50)


def test_thumbnail_in_the_header_is_neither_its_size_nor_its_end():
    content = jpeg(70, 90, exif=b"Exif\0\0" + jpeg(8, 8).tobytes())
    assert size(content) == (70, 90)
    with pytest.raises(PhotographError, match=r"was cut off: [\d,]+ bytes, and no end of image among them"):
        size(content[:-200])


def test_bytes_that_fill_up_before_a_marker_are_passed_over():
    assert size(array(START + b"\xff\xff\xff" + SMALL.tobytes()[2:])) == (9, 11)


def test_marker_without_a_length_is_passed_over():
    assert size(array(START + b"\xff\x01\xff\xd0" + SMALL.tobytes()[2:])) == (9, 11)


def test_bytes_after_the_end_do_no_harm():
    assert size(array(SMALL.tobytes() + bytes(100))) == (9, 11)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_cut_at_any_byte_is_refused(progressive):
    content = jpeg(9, 11, quality=20, progressive=progressive)
    for end in range(len(content)):
        with pytest.raises(PhotographError, match=r"is no JPEG|was cut off"):
            size(content[:end])


def test_damaged_jpeg_has_a_believable_size_or_is_refused():
    random = np.random.default_rng(3)
    refused = 0
    for _ in range(5000):
        content = SMALL.copy()
        content[random.integers(0, len(content), 8)] = random.choice([0, 255, random.integers(256)], 8)
        try:
            height, width = size(content)
        except PhotographError:
            refused += 1
        else:
            assert 1 <= height * width <= MAX_PIXELS
    assert 500 < refused < 4500  # both kinds were met


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_behind_a_start_of_image_are_refused(tail):
    with pytest.raises(PhotographError, match="cut off|damaged|no whole JPEG|says it is"):
        size(array(START + tail))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is no JPEG: it has no bytes"),
        (b"\xff", "is no JPEG: it begins with ff"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no JPEG: it begins with 89504e47"),
        (START + b"\0\0", "is damaged: byte 2 of its header is no marker"),
        (START + b"\xff\xda\0\x0c", "is no whole JPEG: its pixels begin before its size is told"),
        (START + APP1 + b"\xff\xff", "was cut off in its header, after 6 bytes"),
        (START + b"\xff" * 9, "was cut off in its header, after 11 bytes"),
    ],
)
def test_what_is_no_whole_jpeg_is_told(content, text):
    with pytest.raises(PhotographError, match=text):
        size(array(content))


@pytest.mark.parametrize(("height", "width"), [(65535, 65535), (0, 11), (9, 0)])
def test_size_that_no_photograph_has_is_refused(height, width):
    with pytest.raises(PhotographError, match=f"says it is {width} x {height} pixels; 1 to 67,108,864 are read"):
        size(resized(SMALL, height, width))


def test_largest_photograph_is_the_callers_to_choose():
    assert size(SMALL, max_pixels=99) == (9, 11)
    with pytest.raises(PhotographError, match="says it is 11 x 9 pixels; 1 to 98 are read"):
        size(SMALL, max_pixels=98)
