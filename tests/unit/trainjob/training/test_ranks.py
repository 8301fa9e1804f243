"""Ranks as threads, whose sum is made by hand: nobody may wait for one that ran dry, was stopped or had no data."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from trainjob.stop import Stop, StopRequested
from trainjob.training.ranks import Ranks

SECONDS = 10  # a rank that another waits for in vain breaks the barrier


class Meeting:
    """What a framework's sum does, for threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._barrier = threading.Barrier(count, timeout=SECONDS)
        self._given: dict[int, np.ndarray] = {}

    def rank(self, index: int) -> Ranks:
        def add(values):
            self._given[index] = values
            self._barrier.wait()
            result = sum(self._given[each] for each in range(self._count))
            self._barrier.wait()
            return result

        return Ranks(index, self._count, add)

    def run(self, work: Callable[[Ranks], object]) -> list:
        with ThreadPoolExecutor(self._count) as pool:
            return [each.result() for each in [pool.submit(work, self.rank(index)) for index in range(self._count)]]


def stopped_after(count: int, stop: Stop, batches):
    for index, batch in enumerate(batches):
        if index == count:
            stop.request()
        yield batch


@pytest.mark.parametrize("lengths", [(3, 3), (5, 2), (0, 4), (1, 0, 3), (0, 0)])
def test_every_rank_takes_as_many_steps_whatever_it_has(lengths):
    def work(ranks):
        batches = [[ranks.index] * (index + 1) for index in range(lengths[ranks.index])]
        return list(ranks.together(batches, len, Stop()))

    taken = Meeting(len(lengths)).run(work)
    assert [len(steps) for steps in taken] == [max(lengths)] * len(lengths)
    for step in zip(*taken, strict=True):
        assert len({everyone for _, _, everyone in step}) == 1
        assert sum(mine for _, mine, _ in step) == step[0][2]
    for index, steps in enumerate(taken):
        assert [batch for batch, _, _ in steps if batch] == [[index] * (n + 1) for n in range(lengths[index])]
        assert all(mine == 0 for batch, mine, _ in steps if batch is None)


@pytest.mark.parametrize("after", [0, 2, 4])
def test_stop_of_one_rank_stops_all_before_the_same_step(after):
    def work(ranks):
        stop, steps = Stop(), 0
        batches = stopped_after(after, stop, [[0]] * 5) if ranks.index == 1 else [[0]] * 5
        with pytest.raises(StopRequested):
            for _ in ranks.together(batches, len, stop):
                steps += 1
        return steps

    assert Meeting(3).run(work) == [after] * 3


def test_rank_that_is_stopped_while_it_waits_for_data_stops_the_others():
    def interrupted():
        yield [0]
        raise StopRequested

    def work(ranks):
        steps = 0
        with pytest.raises(StopRequested):
            for _ in ranks.together(interrupted() if ranks.index == 0 else [[0]] * 9, len, Stop()):
                steps += 1
        return steps

    assert Meeting(2).run(work) == [1, 1]


def test_rank_that_ran_dry_still_hears_of_its_own_stop():
    def work(ranks):
        stop = Stop()
        with pytest.raises(StopRequested):
            for number, _ in enumerate(ranks.together([[0]] * (9 if ranks.index else 1), len, stop)):
                if ranks.index == 0 and number == 2:
                    stop.request()
        return number

    assert Meeting(2).run(work) == [2, 2]


def test_sums_are_the_same_on_all_and_keep_their_shape():
    sums = Meeting(3).run(lambda ranks: ranks.total(np.full((2, 2), 10.0**ranks.index)))
    assert all(np.array_equal(each, np.full((2, 2), 111.0)) for each in sums)


def test_rank_that_was_stopped_before_a_sum_stops_the_others_there():
    def work(ranks):
        with pytest.raises(StopRequested):
            ranks.total([1.0], stopped=ranks.index == 1)
        return True

    assert Meeting(2).run(work) == [True, True]


def test_what_every_rank_has_is_gathered_byte_for_byte():
    contents = [b"", bytes(range(256)), b"abc"]
    assert Meeting(3).run(lambda ranks: ranks.gather(contents[ranks.index])) == [contents] * 3


@pytest.mark.parametrize("length", [0, 1, 4, 1027])
def test_all_ranks_get_the_first_ones_content_byte_for_byte(length):
    content = np.random.default_rng(0).bytes(length)
    got = Meeting(3).run(lambda ranks: ranks.from_first(content if ranks.is_first else b"other"))
    assert got == [content] * 3


def test_long_content_comes_in_pieces(monkeypatch):
    monkeypatch.setattr("trainjob.training.ranks._PIECE_BYTES", 64)
    content = np.random.default_rng(0).bytes(1000)
    assert Meeting(2).run(lambda ranks: ranks.from_first(content if ranks.is_first else b"")) == [content] * 2


def test_equal_weights_are_told_by_one_checksum_and_unequal_ones_are_an_error():
    same = Meeting(2).run(lambda ranks: ranks.check_equal([np.ones(3, np.float32), np.zeros(())]))
    assert same[0] == same[1]
    assert len(same[0]) == 64

    def work(ranks):
        with pytest.raises(RuntimeError, match=r"different weights, sha256 by rank: \w{64}, \w{64}"):
            ranks.check_equal([np.full(3, ranks.index)])
        return True

    assert Meeting(2).run(work) == [True, True]


def test_rank_alone_needs_no_sum_and_looks_at_the_stop_once_a_batch():
    stop = Stop()
    steps = list(Ranks().together([[1], [2, 3]], len, stop))
    assert steps == [([1], 1, 1), ([2, 3], 2, 2)]
    assert Ranks().gather(b"mine") == [b"mine"]
    assert Ranks().from_first(b"mine") == b"mine"
    stop.request()
    with pytest.raises(StopRequested):
        next(Ranks().together([[1]], len, stop))


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 1), (0, 2)])
def test_impossible_rank_is_refused(index, count):
    with pytest.raises(ValueError, match=f"rank {index} of {count}: the index must be"):
        Ranks(index, count)
