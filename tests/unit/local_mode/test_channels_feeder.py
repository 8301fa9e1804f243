"""The feeder, alone, as the program it is."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_mode.channels import ahead, feeder, sending
from local_mode.channels.delivery import Delivery
from local_mode.channels.s3_source import S3Source
from tests.s3_server import Faulty, access

REPOSITORY = Path(__file__).parents[3]
ENVIRONMENT = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/containers/common", "PYTHONDONTWRITEBYTECODE": "1"}
END_SECONDS = 10
MEMORY_BYTES = 96 << 20
"""Of the whole process: its interpreter, its buffers, and 32 MiB held of what has to be measured."""


def described(name, paths=(), **how):
    """A channel of the feeder's plan."""
    return {
        "channel": name,
        "objects": [{"key": str(path), "size": path.stat().st_size} for path in paths],
        "attributes": [],
        "record_io": False,
        "gzip": False,
        "order": {},
        **how,
    }


class Feeder:
    """A running feeder and its FIFO folder."""

    def __init__(self, folder, **channels):
        """Each channel is a list of paths, or a channel of the plan."""
        self.folder = folder / "fifos"
        self.folder.mkdir()
        document = {
            "folder": str(self.folder),
            "parent": os.getpid(),
            "channels": [how if isinstance(how, dict) else described(name, how) for name, how in channels.items()],
        }
        (folder / "plan.json").write_text(json.dumps(document))
        argv = [sys.executable, "-m", "local_mode.channels.feeder", str(folder / "plan.json")]
        self.process = subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)

    def open(self, name):
        deadline = time.monotonic() + END_SECONDS
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"no FIFO {name}"
            time.sleep(0.002)
        return (self.folder / name).open("rb", buffering=0)

    def read(self, name):
        with self.open(name) as stream:
            return stream.readall()

    def count(self, name):
        """Bytes of an epoch, which are not kept, and its first eight."""
        buffer = bytearray(1 << 20)
        with self.open(name) as stream:
            head = stream.read(8)
            count = len(head)
            while got := stream.readinto(buffer):
                count += got
        return count, head

    @property
    def peak_bytes(self):
        """The most memory that the process has had so far."""
        (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(line) << 10

    def stop(self, number=signal.SIGTERM):
        """Exit code and the JSON lines."""
        self.process.send_signal(number)
        return self.end()

    def failed(self, name=None):
        """Exit code and the JSON lines of one that fails while `name` is read; its reader never sees an end before."""
        bytes_read = []
        reader = threading.Thread(target=lambda: bytes_read.append(self.read(name)), daemon=True)
        if name:
            reader.start()
        lines = []
        while not lines or "error" not in lines[-1]:
            lines.append(json.loads(self.process.stdout.readline()))
        time.sleep(0.2)
        assert bytes_read == []
        self.process.send_signal(signal.SIGTERM)
        code, more = self.end()
        if name:
            reader.join(END_SECONDS)
            assert bytes_read, "the reader goes on once the feeder is ended"
        return code, lines + more

    def end(self):
        out, _ = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def start(tmp_path):
    running = []

    def go(**channels):
        running.append(Feeder(tmp_path, **channels))
        return running[-1]

    yield go
    for item in running:
        item.process.kill()
        item.process.communicate()


def objects(folder, *contents):
    paths = []
    for index, content in enumerate(contents):
        paths.append(folder / f"object{index}")
        paths[-1].write_bytes(content)
    return paths


def test_every_epoch_is_the_objects_one_after_the_other(start, tmp_path):
    feeding = start(train=objects(tmp_path, b"one", b"", b"two" * 100_000))

    for epoch in range(3):
        assert feeding.read(f"train_{epoch}") == b"one" + b"two" * 100_000


def test_next_fifo_is_there_when_one_ends_and_the_old_one_goes(start, tmp_path):
    feeding = start(train=objects(tmp_path, b"x"))
    with feeding.open("train_0") as stream:
        assert stream.readall() == b"x"
        assert (feeding.folder / "train_1").exists()
    deadline = time.monotonic() + END_SECONDS
    while (feeding.folder / "train_0").exists():
        assert time.monotonic() < deadline
    assert [path.name for path in feeding.folder.iterdir()] == ["train_1"]


def test_fifos_are_open_to_every_user(start, tmp_path):
    feeding = start(train=objects(tmp_path, b"x"))
    feeding.read("train_0")
    with feeding.open("train_1") as stream:  # of the open file: its name may be gone already
        assert oct(os.fstat(stream.fileno()).st_mode & 0o777) == "0o666"


def test_early_close_ends_the_epoch(start, tmp_path):
    feeding = start(train=objects(tmp_path, bytes(5_000_000)))
    with feeding.open("train_0") as stream:
        assert stream.read(10) == bytes(10)

    assert len(feeding.read("train_1")) == 5_000_000


def test_channel_without_objects_ends_at_once(start):
    feeding = start(empty=[])

    assert [feeding.read(f"empty_{epoch}") for epoch in range(3)] == [b"", b"", b""]


def test_channels_do_not_wait_for_each_other(start, tmp_path):
    first, second = objects(tmp_path, bytes(3_000_000), b"y")
    feeding = start(slow=[first], quick=[second])
    with feeding.open("slow_0") as stream:
        stream.read(1)
        assert [feeding.read(f"quick_{epoch}") for epoch in range(5)] == [b"y"] * 5


def test_termination_removes_fifos_at_once_though_nobody_reads(start, tmp_path):
    feeding = start(a=objects(tmp_path, b"x"), b=[])
    feeding.read("b_0")
    began = time.monotonic()
    code, _ = feeding.stop()

    assert code == 0
    assert time.monotonic() - began < 2
    assert list(feeding.folder.iterdir()) == []


def test_termination_in_the_middle_of_an_epoch_ends_the_stream(start, tmp_path):
    feeding = start(train=objects(tmp_path, bytes(5_000_000)))
    with feeding.open("train_0") as stream:
        stream.read(1)
        assert feeding.stop()[0] == 0
        assert len(stream.readall()) < 5_000_000
    assert list(feeding.folder.iterdir()) == []


def test_progress_counts_bytes_over_all_epochs(start, tmp_path):
    feeding = start(train=objects(tmp_path, bytes(1000)))
    feeding.read("train_0")
    feeding.read("train_1")
    feeding.open("train_2").close()
    _, lines = feeding.stop()

    assert all(set(line) == {"channel", "epoch", "bytes", "seconds"} for line in lines)
    assert lines[-1]["bytes"] >= 2000
    assert lines[-1]["epoch"] >= 2
    assert set(lines[-1]["seconds"]) == {"opening", "starved", "supplied", "working"}


def test_object_that_is_gone_is_one_clear_error(start, tmp_path):
    paths = objects(tmp_path, b"x", b"y")
    feeding = start(train=paths)
    paths[1].unlink()
    code, lines = feeding.failed("train_0")

    assert code == 1
    assert lines[-1] == {"channel": "train", "error": f"cannot read {paths[1]}: No such file or directory"}
    assert list(feeding.folder.iterdir()) == []


def test_object_that_changed_is_an_error(start, tmp_path):
    paths = objects(tmp_path, b"1234")
    feeding = start(train=paths)
    paths[0].write_bytes(b"12")
    code, lines = feeding.failed("train_0")

    assert code == 1
    assert lines[-1]["error"] == f"{paths[0]} changed while it was streamed: it had 4 bytes, then 2"


def test_channel_is_shuffled_anew_in_each_epoch_and_in_the_same_way_by_each_feeder(start, tmp_path):
    paths = objects(tmp_path, *(bytes([number]) for number in range(50)))
    order = {"seed": 11}
    feeding = start(one=described("one", paths, order=order), two=described("two", paths, order=order))
    epochs = [feeding.read(f"one_{epoch}") for epoch in range(3)]

    assert [feeding.read(f"two_{epoch}") for epoch in range(3)] == epochs
    assert len(set(epochs)) == 3
    assert {bytes(sorted(epoch)) for epoch in epochs} == {bytes(range(50))}


def test_object_too_long_for_a_frame_comes_in_parts_and_takes_no_memory(start, tmp_path):
    size = (513 << 20) + 1
    (path,) = objects(tmp_path, b"")
    os.truncate(path, size)  # takes no room on the disk either
    feeding = start(train=described("train", [path], record_io=True))
    first_part = (1 << 29) - 4

    head = bytes.fromhex("0a23d7ce") + (1 << 29 | first_part).to_bytes(4, "little")
    assert feeding.count("train_0") == (8 + first_part + 8 + size - first_part + 3, head)
    assert feeding.peak_bytes < MEMORY_BYTES


@pytest.mark.parametrize("record_io", [False, True])
def test_long_gzip_takes_little_memory_and_leaves_nothing(start, tmp_path, record_io):
    size = 150_000_000
    (path,) = objects(tmp_path, gzip.compress(bytes(size // 10)) * 10)
    feeding = start(train=described("train", [path], gzip=True, record_io=record_io))

    assert feeding.count("train_0")[0] == size + 8 * record_io
    assert feeding.peak_bytes < MEMORY_BYTES
    assert {entry.name for entry in tmp_path.iterdir()} == {"plan.json", "fifos", path.name}


def test_defect_of_a_line_is_one_clear_error(start, tmp_path):
    (path,) = objects(tmp_path, b'{"v": 1}\n{"w": 1}\n')
    feeding = start(train=described("train", [path], attributes=["v"]))
    code, lines = feeding.failed("train_0")

    assert code == 1
    message = f"{path}, line 2 has no attribute 'v', which AttributeNames asks for; it has 'w'."
    assert lines[-1] == {"channel": "train", "error": message}


def test_defect_of_the_feeder_itself_ends_it_and_leaves_nobody_waiting(start, tmp_path):
    feeding = start(train=described("train", objects(tmp_path, b"x"), order={"hosts": 0}))
    code, lines = feeding.failed()

    assert code == 1
    assert lines[-1]["error"] == "the feeder failed: ValueError: slice step cannot be zero"


def test_feeder_ends_with_its_parent(tmp_path):
    (tmp_path / "fifos").mkdir()
    plan = {"folder": str(tmp_path / "fifos"), "parent": None, "channels": [described("c")]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'local_mode.channels.feeder', {str(tmp_path / 'plan.json')!r}])\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + END_SECONDS
    while not (tmp_path / "fifos" / "c_0").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    while (tmp_path / "fifos" / "c_0").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.binary(max_size=3000), max_size=4), by_copy=st.booleans())
def test_any_objects_come_out_as_they_went_in(tmp_path_factory, contents, by_copy, monkeypatch):
    folder = tmp_path_factory.mktemp("feeder")
    if by_copy:

        def no_sendfile(*_):
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(sending.os, "sendfile", no_sendfile)
    fifos = feeder._Fifos()
    delivery = Delivery(described("c", objects(folder, *contents)), folder)
    feed = feeder._Feed(name="c", delivery=delivery, folder=folder, fifos=fifos)
    fifos.make(folder / "c_0")
    writer = threading.Thread(target=feed._feed_epoch)
    writer.start()
    got = (folder / "c_0").read_bytes()
    writer.join(END_SECONDS)
    fifos.close()
    monkeypatch.undo()

    assert got == b"".join(contents)
    assert feed.bytes_sent == len(got)
    assert not list(folder.glob("c_*"))


def test_stream_from_s3_takes_the_memory_it_is_given_and_no_more(start, monkeypatch):
    size = 300 << 20
    store = Faulty(objects={"k": bytes(size)})
    with store.served() as url:
        for name, value in access(url).environment().items():
            monkeypatch.setitem(ENVIRONMENT, name, value)
        found = S3Source(access(url)).one("s3://b/k")
        objects = [{"key": found.key, "size": found.size, "tag": found.tag}]
        feeding = start(train=described("train", objects=objects))
        with feeding.open("train_0") as stream:
            time.sleep(1)  # a slow reader: all that may be held is held
            # Another process: in this one, reading would wait for every thread of the server.
            counted = subprocess.run(["wc", "-c"], stdin=stream, capture_output=True, check=True, timeout=120)
        peak = feeding.peak_bytes

    assert int(counted.stdout) == size
    # A part that is put together is there twice for a moment, and so is the one that is sent.
    assert peak < MEMORY_BYTES + ahead.MEMORY_BYTES + 4 * ahead.PART_BYTES
    assert feeding.stop()[0] == 0
