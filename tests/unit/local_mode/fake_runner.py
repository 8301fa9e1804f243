"""A runner whose containers a test ends, for tests of a job's life."""

import threading
from dataclasses import dataclass, field

from local_mode.runners.protocol import Network


@dataclass
class FakeInstance:
    """A container that does nothing until `end` is called."""

    launch: object
    on_signal: object
    lines: list = field(default_factory=list)
    code: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    signals: list = field(default_factory=list)

    def end(self, code=0):
        self.code = code
        self.ended.set()

    def log_lines(self):
        said = 0
        while not self.ended.wait(0.005) or said < len(self.lines):
            yield from self.lines[said:]
            said = len(self.lines)

    def terminate(self):
        self.signals.append("TERM")
        self.on_signal(self)

    def kill(self):
        self.signals.append("KILL")
        self.end(137)

    def wait(self, timeout):
        return self.code if self.ended.wait(timeout) else None

    def collect(self):
        pass

    def open_up(self):
        pass

    def close(self):
        self.end(self.code or 0)


class FakeRunner:
    """`on_start` is given each instance, to end it or to let the test do so."""

    name, protects_channels, limits = "fake", True, ""

    def __init__(self, on_start=lambda instance: None, on_signal=lambda instance: instance.end(143)):
        self.instances = []
        self._on_start, self._on_signal = on_start, on_signal

    def check(self, **_):
        pass

    def network_interface(self, *, isolated, hosts):
        return "lo"

    def connect(self, job_folder, hosts, *, isolated, interface=""):
        return Network(hosts=hosts)

    def start(self, launch):
        self.instances.append(FakeInstance(launch=launch, on_signal=self._on_signal))
        self._on_start(self.instances[-1])
        return self.instances[-1]
