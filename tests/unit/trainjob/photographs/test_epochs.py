"""A channel of photographs: each once, in one order whatever the mode and form, and what is refused as none."""

import io
import json
import threading

import pytest
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.dataset import Share
from trainjob.errors import ChannelError, RecordError
from trainjob.framing import example, recordio, tfrecord
from trainjob.photographs.epochs import INDEX, Photographs

from tests.unit.trainjob.channels import channel_of, channel_of_files, open_descriptors
from tests.unit.trainjob.jpegs import jpeg

pytestmark = pytest.mark.timeout(60)

MODES = [FILE, FAST_FILE, PIPE]
CLASSES, COUNT = 3, 40
JPEGS = [jpeg(9 + index, 11, index).tobytes() for index in range(COUNT)]
KEYS = [f"{index % CLASSES:03d}.Bird/photo_{index:02d}.jpg" for index in range(COUNT)]
LINES = [{"key": key, "label": index % CLASSES, "box": [index, 1, 2.5, 3]} for index, key in enumerate(KEYS)]


def framed(form: str, shards: int = 3) -> list[bytes]:
    """The photographs as the shards of a channel."""
    files = [io.BytesIO() for _ in range(shards)]
    for index, (line, content) in enumerate(zip(LINES, JPEGS, strict=True)):
        file = files[index * shards // COUNT]
        if form == "tfrecord":
            features = {"image": content, "label": line["label"], "box": line["box"], "key": line["key"].encode()}
            tfrecord.write(file, example.write(features))
        else:
            for payload in (
                content,
                str(line["label"]).encode(),
                json.dumps(line["box"]).encode(),
                line["key"].encode(),
            ):
                recordio.write(file, payload)
    return [file.getvalue() for file in files]


def in_folders(lines: list | None = None) -> dict[str, bytes]:
    """The photographs as files, with an index of these lines."""
    index = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in (lines or LINES))
    return {**dict(zip(KEYS, JPEGS, strict=True)), INDEX: index.encode() + b"\n"}


def opened(folder, mode: str, form: str):
    if form == "index":
        return channel_of_files(folder, mode, in_folders())
    return channel_of(folder, mode, framed(form))


def told(photographs) -> list[tuple]:
    return [(each.key, each.label, each.box, each.content.tobytes(), each.index) for each in photographs]


def read(folder, mode: str, form: str, epochs: int = 1, **arguments) -> list[list[tuple]]:
    with opened(folder, mode, form) as channel:
        photographs = Photographs(channel=channel, classes=CLASSES, **arguments)
        return [told(photographs.epoch(number)) for number in range(epochs)]


EXPECTED = [
    (line["key"], line["label"], tuple(map(float, line["box"])), content, index)
    for index, (line, content) in enumerate(zip(LINES, JPEGS, strict=True))
]


@pytest.mark.parametrize(
    ("form", "mode"),
    [("index", FILE), ("index", FAST_FILE)] + [(form, mode) for form in ("recordio", "tfrecord") for mode in MODES],
)
def test_mode_and_form_make_no_difference_to_any_epoch(tmp_path, form, mode):
    assert read(tmp_path / "plain", mode, form, 2) == [EXPECTED, EXPECTED]
    expected = read(tmp_path / "expected", FILE, "index", 3, window=10, seed=4)
    assert read(tmp_path / "drawn", mode, form, 3, window=10, seed=4) == expected


@pytest.mark.parametrize("window", [1, 7, COUNT, 1000])
def test_every_photograph_comes_once_in_an_order_of_the_epoch_and_the_seed(tmp_path, window):
    first, second = read(tmp_path / "a", FILE, "index", 2, window=window)
    assert sorted(first) == sorted(second) == sorted(EXPECTED)
    assert (first == EXPECTED) == (window == 1)
    assert (first == second) == (window == 1)
    assert read(tmp_path / "again", FILE, "index", 2, window=window) == [first, second]
    assert (read(tmp_path / "other", FILE, "index", window=window, seed=1)[0] == first) == (window == 1)


def test_window_holds_no_more_photographs_back_than_it_says(tmp_path):
    order = [index for *_, index in read(tmp_path / "a", PIPE, "recordio", window=5)[0]]
    assert all(index <= place + 5 for place, index in enumerate(order))


@pytest.mark.parametrize(("form", "mode"), [("index", FILE), ("recordio", PIPE), ("tfrecord", FILE)])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_hold_every_photograph_once_together(tmp_path, form, mode, count):
    found = []
    for index in range(count):
        (part,) = read(tmp_path / str(index), mode, form, window=4, share=Share(index=index, count=count))
        assert {each[-1] % count for each in part} == {index}
        found += part
    assert sorted(found) == sorted(EXPECTED)


def test_folder_without_index_has_a_class_a_folder_in_the_order_of_names(tmp_path):
    files = {key: content for key, content in in_folders().items() if key != INDEX}
    files["000.Bird/deeper/More.JPEG"] = JPEGS[0]
    files["001.Bird/notes.txt"] = b"no photograph"
    with channel_of_files(tmp_path / "a", FILE, files) as channel:
        photographs = Photographs(channel=channel, classes=CLASSES)
        first, second = told(photographs.epoch(0)), told(photographs.epoch(1))
    assert first == second
    assert [index for *_, index in first] == list(range(COUNT + 1))
    wanted = sorted([(key, int(key[:3])) for key in files if not key.endswith(".txt")])
    assert sorted(each[:2] for each in first) == wanted
    assert all(each[2] is None for each in first)
    assert all(files[key] == content for key, _, _, content, _ in first)
    labels = [label for _, label, *_ in first]
    assert labels != sorted(labels), "mixed wherever it is cut"


def test_line_may_leave_out_the_box(tmp_path):
    lines = [{"key": KEYS[0], "label": 0}, {"key": KEYS[1], "label": 1, "box": None}]
    with channel_of_files(tmp_path / "a", FILE, in_folders(lines)) as channel:
        found = list(Photographs(channel=channel, classes=CLASSES).epoch(0))
    assert [(each.key, each.box) for each in found] == [(KEYS[0], None), (KEYS[1], None)]


def refused(tmp_path, error, text, files=None, objects=None, mode=FILE, **arguments) -> None:
    """Reading the channel ends in an error with that text, and leaves nothing open."""
    at = channel_of(tmp_path / "a", mode, objects) if files is None else channel_of_files(tmp_path / "a", mode, files)
    with at as channel:
        channel.looks_ahead = False
        with pytest.raises(error, match=text):
            list(Photographs(channel=channel, classes=CLASSES, **arguments).epoch(0))
        assert open_descriptors(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"key": "000.Bird/none.jpg", "label": 0}, "names '000.Bird/none.jpg', which is no file of the channel"),
        ({"key": "../outside.jpg", "label": 0}, "names '../outside.jpg', which is no file of the channel"),
        ({"key": "000.Bird", "label": 0}, "names '000.Bird', which is no file"),
        ({"key": "/etc/hostname", "label": 0}, "names '/etc/hostname', which is no file"),
        ({"key": "a\0b", "label": 0}, "which is no file of the channel"),
        ({"key": 5, "label": 0}, "names '5', which is no file"),
        ({"key": [], "label": 0}, "it must be an object with key, label"),
        ({"key": KEYS[1]}, "it must be an object with key, label .*KeyError: 'label'"),
        ({"label": 1}, "it must be an object with key, label .*KeyError: 'key'"),
        ({"key": KEYS[1], "label": "x"}, "it must be an object with key, label"),
        ({"key": KEYS[1], "label": None}, "it must be an object with key, label"),
        ({"key": KEYS[1], "label": 1, "box": [1, 2, 3]}, "a box of 4 numbers"),
        ({"key": KEYS[1], "label": 1, "box": 5}, "a box of 4 numbers"),
        ({"key": KEYS[1], "label": 1, "box": [1, 2, float("nan"), 3]}, "a box of 4 numbers .*not finite"),
        ({"key": KEYS[1], "label": 1, "box": [1, 2, 10**400, 3]}, "a box of 4 numbers .*OverflowError"),
        ('{"key": ', "is '{\"key\": '; it must be an object"),
        ("", "is ''; it must be an object"),
        ("5", "is '5'; it must be an object"),
        ("\udcff", "it must be an object"),
        ("[" * 100_000, "it must be an object"),
    ],
)  # fmt: skip
def test_line_of_the_index_that_names_no_photograph_is_told_with_its_number(tmp_path, line, text):
    (tmp_path / "a").mkdir()
    lines = [LINES[0], line, LINES[2]]
    index = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    files = {**in_folders(), INDEX: index.encode(errors="surrogateescape")}
    refused(tmp_path, ChannelError, f"Channel 'train': line 2 of index.jsonl .*{text}", files)


@pytest.mark.parametrize("label", [-1, 3, 10**30])
@pytest.mark.parametrize("form", ["index", "recordio"])
def test_label_outside_the_classes_is_told_with_its_key(tmp_path, label, form):
    text = (
        f"Channel 'train': '{KEYS[1]}' has the label {label}, but there are 3 classes, 0 to 2; set the hyperparameter"
    )
    if form == "index":
        refused(tmp_path, RecordError, text, in_folders([LINES[0], {"key": KEYS[1], "label": label}]))
        return
    file = io.BytesIO()
    for payload in (JPEGS[0], b"0", KEYS[0].encode(), JPEGS[1], str(label).encode(), KEYS[1].encode()):
        recordio.write(file, payload)
    for index, mode in enumerate(MODES):
        refused(tmp_path / str(index), RecordError, text, objects=[file.getvalue()], mode=mode)


def test_class_folder_without_a_photograph_is_told(tmp_path):
    files = {"000.A/a.jpg": JPEGS[0], "001.B/readme.txt": b"", "002.C/c.jpg": JPEGS[1]}
    refused(tmp_path, ChannelError, "the class folder '001.B' holds no JPEG; fill or remove it", files)


def test_folders_that_are_not_as_many_as_the_classes_are_told(tmp_path):
    files = {"000.A/a.jpg": JPEGS[0], "b.jpg": JPEGS[1]}
    refused(tmp_path, ChannelError, "has no index.jsonl, and 1 folders for 3 classes; there must be one for", files)


def test_index_without_a_line_is_an_empty_channel(tmp_path):
    refused(tmp_path, ChannelError, "'train' delivered no photograph: it is empty; check its S3Uri", {INDEX: b""})


@pytest.mark.parametrize("mode", MODES)
def test_channel_without_a_byte_is_told(tmp_path, mode):
    refused(tmp_path, ChannelError, "'train' delivered no photograph: it is empty", objects=[b"", b""], mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_stream_of_bare_jpegs_is_told_how_to_be_wrapped(tmp_path, mode):
    text = "'train', epoch 0 is neither RecordIO nor TFRecord: its first bytes are ffd8.*; set RecordWrapperType"
    refused(tmp_path, RecordError, text, objects=JPEGS[:2], mode=mode)


@pytest.mark.parametrize("mode", [FILE, FAST_FILE])
def test_file_that_goes_while_the_job_runs_is_told_with_its_key(tmp_path, mode):
    with channel_of_files(tmp_path / "a", mode, in_folders()) as channel:
        photographs = Photographs(channel=channel, classes=CLASSES)
        assert len(list(photographs.epoch(0))) == COUNT
        (channel.folder / KEYS[COUNT - 1]).unlink()
        with pytest.raises(
            ChannelError, match=f"'{KEYS[COUNT - 1]}' cannot be read from .*: No such file or directory"
        ):
            list(photographs.epoch(1))


def test_files_are_listed_once_for_all_epochs(tmp_path, monkeypatch):
    with channel_of_files(tmp_path / "a", FILE, in_folders()) as channel:
        photographs = Photographs(channel=channel, classes=CLASSES)
        first = told(photographs.epoch(0))
        monkeypatch.setattr(channel, "files", lambda: pytest.fail("listed again"))
        assert told(photographs.epoch(1)) == first


@pytest.mark.parametrize(
    ("form", "mode"), [("index", FILE), ("index", FAST_FILE), ("recordio", FILE), ("recordio", PIPE)]
)
def test_epoch_left_early_closes_what_it_opened_and_the_next_is_whole(tmp_path, form, mode):
    before = threading.active_count()
    with opened(tmp_path / "a", mode, form) as channel:
        channel.looks_ahead = False
        photographs = Photographs(channel=channel, classes=CLASSES, window=3)
        epoch = photographs.epoch(0)
        next(epoch)
        epoch.close()
        assert open_descriptors(tmp_path) == []
        assert len(list(photographs.epoch(1))) == COUNT
    assert threading.active_count() <= before + 1, "the feeder's own"
