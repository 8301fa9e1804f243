"""Who waited for whom, measured at a FIFO, said in one line, and kept as curves."""

import itertools
import os

import pytest

from local_mode.channels.gauge import Gauge, Spent
from local_mode.jobs.listener import Silent
from local_mode.jobs.store import Store
from local_mode.jobs.trace import Curve, Trace
from local_mode.jobs.verdict import Channel, verdict


def course(downloading=1.0, training=41.0):
    return [
        {"Status": "Downloading", "StartTime": 0.0, "EndTime": downloading},
        {"Status": "Training", "StartTime": downloading, "EndTime": downloading + training},
        {"Status": "Uploading", "StartTime": downloading + training},
    ]


def channel(starved, supplied, *, sent=3_485_000_000, working=0.0, **more):
    spent = Spent(opening=1.0, starved=starved, supplied=supplied, working=working)
    return Channel(
        **{"name": "train", "mode": "Pipe", "objects": 5, "size": 10**9, "sent": sent, "spent": spent, **more}
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            channel(26.0, 15.0, working=20.0, gzip=True),
            "waited at most 63% of 41 s for channel train: it got 85 MB/s and could have taken about 232; inflating "
            "costs most: ship it without Gzip, or spread it over more channels",
        ),
        (
            channel(26.0, 15.0, objects=50_000, size=50_000 * 3000),
            "waited at most 63% of 41 s for channel train: it got 85 MB/s and could have taken about 232; its 50000 "
            "objects have 3 kB each: use larger shards",
        ),
        (
            channel(40.9, 0.1),
            "waited at most 100% of 41 s for channel train: it got 85 MB/s and could have taken 1.7e+03 or more; its "
            "source is slow: keep it nearer, spread it over more channels, or cache the first epoch in the program",
        ),
        (
            channel(26.0, 15.0, working=20.0, record_io=True),
            "waited at most 63% of 41 s for channel train: it got 85 MB/s and could have taken about 232; wrapping "
            "records costs most: store them as RecordIO, many to an object",
        ),
        (
            channel(0.8, 40.2),
            "input kept up: waited at most 2% of 41 s for channel train; it got 85 MB/s and took no more, so a faster "
            "program or device is what would shorten the job",
        ),
        (
            channel(0.1, 0.1, sent=1_000_000),
            "input kept up: waited at most 0% of 41 s for channel train; it read 1 MB and took no more, so a faster "
            "program or device is what would shorten the job",
        ),
        (channel(0.0, 0.0, sent=0), "no Pipe channel was read in 41 s of training"),
    ],
)  # fmt: skip
def test_verdict_says_share_rates_and_what_to_change(given, expected):
    other = channel(0.2, 30.0, name="validation")
    assert verdict(course(), [given], now=99.0) == expected
    if given.sent:
        assert verdict(course(), [other, given], now=99.0).count("channel train") == int(given.spent.starved > 0.2)


def test_copied_channels_are_judged_by_the_download():
    copied = Channel(name="train", mode="File", objects=1, size=1)

    assert verdict(course(30.0, 41.0), [copied], now=99.0) == (
        "input was brought in 30 s before 41 s of training: Pipe or FastFile mode would let training begin at once"
    )
    assert verdict(course(0.5, 41.0), [copied], now=99.0) == (
        "input was brought in 0 s before 41 s of training; what the program waits for its files is not measured"
    )


def test_jobs_without_input_or_training_are_told_apart():
    assert verdict(course(), [], now=99.0) == "no input channels, so 41 s of training waited for none"
    assert verdict(course()[:1], [channel(1, 1)], now=99.0) == "training never began"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_gauge_tells_an_empty_fifo_from_one_with_bytes_and_from_one_without_a_reader():
    reading, writing = os.pipe()
    clock = Clock()
    gauge = Gauge(clock)
    clock.now += 1
    gauge.attach(writing)
    clock.now += 2
    gauge.sample()
    os.write(writing, b"x")
    clock.now += 4
    gauge.sample()
    os.read(reading, 1)
    clock.now += 8
    gauge.detach()
    clock.now += 16
    gauge.sample()
    os.close(reading)
    os.close(writing)

    spent = gauge.spent()
    assert (spent.opening, spent.starved, spent.supplied) == (17, 10, 4)


def test_curve_is_bounded_and_keeps_its_ends_and_its_form():
    curve = Curve(most=100)
    for number in range(100_000):
        curve.add(float(number), number * 2.0)
    points = curve.points()

    assert 50 <= len(points) <= 101
    assert (points[0], points[-1]) == ((0.0, 0.0), (99_999.0, 199_998.0))
    assert all(value == 2 * at for at, value in points)
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(points)]
    assert max(gaps[:-1]) <= 2 * min(gaps[:-1])
    assert Curve().points() == []


def test_curves_are_stored_now_and_then_and_at_the_end(tmp_path):
    clock, store = Clock(), Store(tmp_path)
    trace = Trace(store, "a", {"algo-1": ()}, Silent(), clock)
    trace.metric("loss", 1.0, clock.now)
    assert store.curves("a") is None
    clock.now += 11
    trace.metric("loss", 0.5, clock.now)
    stored = store.curves("a")
    assert (stored["Metrics"], stored["Channels"]) == ({"loss": [[100.0, 1.0], [111.0, 0.5]]}, {})
    assert (stored["Summaries"]["loss"]["count"], stored["Summaries"]["loss"]["mean"]) == (2, 0.75)
    trace.progress("train", 0, 7, Spent(starved=1.5), "algo-1")
    log = tmp_path / "log"
    log.write_text("no line end")
    fields = trace.conclude({"SecondaryStatusTransitions": course()}, log)

    assert fields["LocalMode"]["Channels"]["train"] == {
        "Bytes": 7, "SecondsOpening": 0.0, "SecondsStarved": 1.5, "SecondsSupplied": 0.0, "SecondsWorking": 0.0,
    }  # fmt: skip
    assert store.curves("a")["Channels"] == {"train": [[111.0, 7]]}
    text = fields["LocalMode"]["Verdict"]
    assert log.read_text() == f"no line end\n[local_mode] verdict: {text}\n"
    store.remove("a")
    assert store.curves("a") is None


def test_log_that_cannot_be_written_costs_the_line_and_nothing_else(tmp_path):
    trace = Trace(Store(tmp_path), "a", {"algo-1": ()}, Silent(), Clock())
    fields = trace.conclude({"SecondaryStatusTransitions": course()}, tmp_path / "gone" / "log")

    assert fields["LocalMode"]["Verdict"].startswith("no input channels")
