"""Reading ahead in a thread: the same items, the same errors, and no thread left."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainjob.errors import RecordError
from trainjob.prefetch import prefetch
from trainjob.stop import StopRequested

pytestmark = pytest.mark.timeout(20)


@pytest.fixture(autouse=True)
def _no_thread_left():
    yield
    assert threads() == 0


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


class Source:
    """Counts up, and tells how far it has come and whether it was closed."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.made, self.closed = 0, False
        self._count, self._error = count, error

    def __iter__(self):
        try:
            for number in range(self._count):
                self.made += 1
                yield number
            if self._error:
                raise self._error
        finally:
            self.closed = True


@given(count=st.integers(0, 50), depth=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_items_come_in_order_and_all(count, depth):
    assert list(prefetch(range(count), depth)) == list(range(count))
    assert list(prefetch(iter(Source(count)), depth)) == list(range(count))


def test_items_that_mean_nothing_are_items():
    assert list(prefetch([None, False, None], 2)) == [None, False, None]


@pytest.mark.parametrize("kind", [RecordError, StopRequested, KeyboardInterrupt, ValueError])
def test_error_is_raised_here_after_the_items_before_it(kind):
    taken = []
    with pytest.raises(kind, match="after three"):
        for item in prefetch(Source(3, kind("after three")), 2):
            taken.append(item)
    assert taken == [0, 1, 2]


def test_error_of_something_that_cannot_be_iterated_is_raised_here():
    with pytest.raises(TypeError, match="not iterable"):
        list(prefetch(5, 2))


@pytest.mark.parametrize("taken", [1, 5])
def test_leaving_early_closes_the_source_and_ends_the_thread(taken):
    source = Source(10**9)
    items = prefetch(source, 2)
    for _ in range(taken):
        next(items)
    assert threads() == 1
    items.close()
    assert source.closed
    assert threads() == 0
    assert source.made <= taken + 3


def test_no_more_than_the_depth_is_made_ahead():
    source = Source(100)
    items = prefetch(source, 3)
    for taken in range(1, 6):
        next(items)
        time.sleep(0.05)
        assert source.made <= taken + 3 + 1, "one more is in the producer's hand"
    items.close()


def test_nothing_is_made_before_the_first_is_asked_for():
    source = Source(3)
    items = prefetch(source, 2)
    time.sleep(0.05)
    assert source.made == 0
    assert list(items) == [0, 1, 2]


def test_source_is_read_while_an_item_is_in_use():
    source = Source(5)
    items = prefetch(source, 2)
    next(items)
    deadline = time.monotonic() + 5
    while source.made < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert source.made >= 3
    assert list(items) == [1, 2, 3, 4]
