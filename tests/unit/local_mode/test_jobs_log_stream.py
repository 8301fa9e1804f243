import re
import threading

from local_mode.jobs import log_stream
from local_mode.jobs.log_stream import GROUP, LogStream


class Service:
    """Keeps what is sent, once it is let."""

    def __init__(self):
        self.sent, self.streams, self.notes = [], [], []
        self.open, self.came = threading.Event(), threading.Event()
        self.open.set()

    def send(self, group, stream, events):
        assert group == GROUP
        self.streams.append(stream)
        if events:
            self.came.set()
            assert self.open.wait(10)
            self.sent.append([event["message"] for event in events])


def end(stream):
    stream.status("Completed", "done")
    stream._thread.join(10)
    assert not stream._thread.is_alive()


def test_lines_become_events_of_the_jobs_stream_in_order():
    service = Service()
    stream = LogStream("job", service.send, service.notes.append, hosts=["algo-1"])
    stream.status("Training", "go")
    for line in (b"one\n", b"\n", b"b\xffd\r\n"):
        stream.line(line, "algo-1")
    end(stream)

    assert [message for batch in service.sent for message in batch] == ["one", " ", "b\ufffdd"]
    assert re.fullmatch(r"job/algo-1-\d{10}", service.streams[0])
    assert service.notes == ["job: Training - go", "job: Completed - done"]


def test_every_host_has_a_stream_of_its_own():
    sent = {}
    stream = LogStream("job", lambda _, name, events: sent.setdefault(name[:-10], []).extend(events), [].append,
                       hosts=["algo-1", "algo-2", "algo-3"])  # fmt: skip
    stream.status("Training", "go")
    for text, host in ((b"a\n", "algo-1"), (b"b\n", "algo-2"), (b"c\n", "algo-1")):
        stream.line(text, host)
    end(stream)

    assert {name: [event["message"] for event in events] for name, events in sent.items()} == {
        "job/algo-1-": ["a", "c"],
        "job/algo-2-": ["b"],
        "job/algo-3-": [],
    }


def test_slow_service_costs_lines_and_not_the_job(monkeypatch):
    monkeypatch.setattr(log_stream, "_WAITING", 2)
    service = Service()
    service.open.clear()
    stream = LogStream("job", service.send, service.notes.append, hosts=["algo-1"])
    stream.status("Training", "go")
    stream.line(b"first\n", "algo-1")
    assert service.came.wait(10)
    for number in range(5):
        stream.line(f"{number}\n".encode(), "algo-1")  # nobody takes these now, and this must not wait
    service.open.set()
    end(stream)

    assert [message for batch in service.sent for message in batch] == ["first", "0", "1"]
    assert service.notes[-1] == "job: 3 lines are missing in its log stream; its log file has them"


def test_all_lines_are_sent_before_the_upload_begins():
    service = Service()
    stream = LogStream("job", service.send, service.notes.append, hosts=["algo-1"])
    stream.status("Training", "go")
    for number in range(5000):
        stream.line(b"%d\n" % number, "algo-1")
    stream.status("Uploading", "up")

    assert sum(map(len, service.sent)) == 5000
    end(stream)


def test_log_service_that_fails_costs_lines_and_is_told():
    def fail(group, stream, events):
        if events:
            raise KeyError("gone")

    notes = []
    stream = LogStream("job", fail, notes.append, hosts=["algo-1"])
    stream.status("Training", "go")
    stream.line(b"one\n", "algo-1")
    end(stream)

    assert "job: cannot write to its log stream: KeyError: 'gone'" in notes
    assert notes[-1] == "job: 1 lines are missing in its log stream; its log file has them"


def test_job_that_never_trains_has_no_stream():
    service = Service()
    stream = LogStream("job", service.send, service.notes.append, hosts=["algo-1"])
    stream.status("Downloading", "data")
    stream.status("Failed", "no data")

    assert service.streams == []
