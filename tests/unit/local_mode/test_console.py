"""The console: what goes to stdout and what to stderr, and how progress looks where it cannot be overwritten."""

import io
from types import SimpleNamespace

import pytest

from local_mode import __main__ as command_line
from local_mode import console as module
from local_mode import host
from local_mode.console import Console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.seconds)
    return now


def test_log_lines_pass_as_they_are(capsys):
    out, err = io.BytesIO(), io.StringIO()
    console = Console(out, err)
    console.line(b"caf\xe9\rbar\n", "algo-1")
    console.note("hello")

    assert out.getvalue() == b"caf\xe9\rbar\n"
    assert err.getvalue().endswith(" hello\n")


def test_lines_and_channels_of_several_hosts_begin_with_their_host():
    out, err = io.BytesIO(), io.StringIO()
    console = Console(out, err, hosts=2)
    console.line(b"no end", "algo-2")
    console.line(b"one\n", "algo-1")
    console.progress("train", 0, 1_000_000, "algo-2")
    console.progress("train", 0, 0, "algo-1")
    console.status("Uploading", "ends")

    assert out.getvalue() == b"algo-2 | no end\nalgo-1 | one\n"
    assert " algo-2 train 1.0 MB in all" in err.getvalue()
    assert " algo-1 train was not read\n" in err.getvalue()


def test_progress_is_a_line_every_five_seconds_and_a_last_one(clock):
    err = io.StringIO()
    console = Console(io.BytesIO(), err)
    console.status("Training", "begins")
    for _ in range(22):
        clock.seconds += 0.5
        console.progress("train", 1, int((clock.seconds - 100) * 2_000_000), "algo-1")
    console.status("Uploading", "ends")
    lines = [line[9:] for line in err.getvalue().splitlines()]

    assert lines == [
        "Training - begins",
        "train 10.0 MB, 2.0 MB/s, FIFO train_1",
        "train 20.0 MB, 2.0 MB/s, FIFO train_1",
        "train 22.0 MB in all, 2.0 MB/s",
        "Uploading - ends",
    ]


def test_progress_on_a_terminal_overwrites_itself_and_makes_way_for_the_log(clock):
    out, err = io.BytesIO(), Terminal()
    console = Console(out, err)
    console.progress("a", 0, 1_000_000, "algo-1")
    console.progress("b", 2, 500_000, "algo-1")
    assert err.getvalue().endswith("\ra 1.0 MB, 0.0 MB/s, FIFO a_0 | b 0.5 MB, 0.0 MB/s, FIFO b_2")
    console.line(b"log\n", "algo-1")

    assert err.getvalue().endswith("\r\x1b[K")


def test_channel_that_nobody_read_is_called_that():
    err = io.StringIO()
    console = Console(io.BytesIO(), err)
    console.progress("validation", 0, 0, "algo-1")
    console.status("Failed", "ends")

    assert "validation was not read\n" in err.getvalue()


def test_closed_stdout_does_not_end_the_job():
    class Closed(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError

    err = io.StringIO()
    console = Console(Closed(), err)
    console.line(b"a\n", "algo-1")
    console.line(b"b\n", "algo-1")

    assert err.getvalue().count("stdout was closed") == 1


def test_summary_says_status_reason_metrics_and_where_things_are(tmp_path):
    (tmp_path / "model.tar.gz").touch()
    err = io.StringIO()
    described = {
        "TrainingJobName": "j",
        "TrainingJobStatus": "Stopped",
        "SecondaryStatus": "MaxRuntimeExceeded",
        "TrainingTimeInSeconds": 7,
        "FailureReason": "AlgorithmError: because\n\nTraceback:\n  File x, exit code: 1",
        "FinalMetricDataList": [{"MetricName": "acc", "Value": 0.5, "Timestamp": 1}],
        "ModelArtifacts": {"S3ModelArtifacts": "file:///m.tar.gz"},
    }
    Console(io.BytesIO(), err).summary(described, tmp_path)

    text = err.getvalue()
    assert "Stopped (MaxRuntimeExceeded), 7 s of training" in text
    assert "reason  AlgorithmError: because (job.json has more)\n" in text
    assert "Traceback" not in text
    assert "acc = 0.5" in text
    assert "file:///m.tar.gz" in text
    assert f"{tmp_path}: model.tar.gz" in text


def test_refused_machine_is_one_line_and_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(host.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(host.platform, "machine", lambda: "arm64")

    assert command_line.main(["train", "x.json"]) == 1
    assert capsys.readouterr().err.startswith("error: local_mode runs on Linux x86-64; this is Darwin arm64. ")


@pytest.mark.parametrize(("text", "size"), [("2g", 2 << 30), ("512M", 512 << 20), ("64kb", 64 << 10), ("10", 10)])
def test_sizes_are_read_as_docker_reads_them(text, size):
    assert command_line._size(text) == size


@pytest.mark.parametrize(
    ("content", "message"), [(None, "Cannot read the request .*: No such file"), ("{", "is not JSON: ")]
)
def test_request_that_cannot_be_read_is_an_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    with pytest.raises(command_line.LocalModeError, match=message):
        command_line._read_json(tmp_path / "r.json")
