"""AWS that is made while it is asked already."""

import threading
import time

import pytest

import local_mode.aws
from local_mode.aws_later import AwsLater


def test_who_asks_early_waits_and_is_answered(monkeypatch):
    ready = threading.Event()

    class Slow:
        def __init__(self, *parts):
            ready.wait(10)
            self.made = parts

        def __call__(self, environ, start_response):
            return [repr((self.made, environ)).encode()]

    monkeypatch.setattr(local_mode.aws, "Aws", Slow)
    later = AwsLater("eu-west-1", "store", "archive", "localhost:5000")
    later.check()
    answers = []
    early = threading.Thread(target=lambda: answers.append(later({"a": 1}, None)))
    early.start()
    assert answers == []
    ready.set()
    early.join(10)
    assert answers == [[b"(('eu-west-1', 'store', 'archive', 'localhost:5000'), {'a': 1})"]]
    later.check()


def test_aws_that_cannot_be_made_is_told_to_the_service_and_to_who_asks(monkeypatch):
    def broken(*parts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_mode.aws, "Aws", broken)
    later = AwsLater("eu-west-1", "store", "archive")
    with pytest.raises(OSError, match="No space"):
        later({}, None)
    deadline = time.monotonic() + 10
    with pytest.raises(OSError, match="No space"):
        while time.monotonic() < deadline:
            later.check()
