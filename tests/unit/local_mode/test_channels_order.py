"""Order: shuffles that repeat, shards that leave nothing out."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.channels.order import Order

SEEDS = st.integers(-(1 << 63), (1 << 63) - 1)
COUNTS = st.integers(0, 300)


@given(seed=SEEDS, epoch=st.integers(0, 1000), count=COUNTS)
def test_shuffle_is_an_order_of_all_entries_and_the_same_each_time(seed, epoch, count):
    order = list(Order(seed=seed).of(count, epoch))

    assert sorted(order) == list(range(count))
    assert order == list(Order(seed=seed).of(count, epoch))


def test_shuffle_is_the_same_in_every_process_and_version():
    expected = [[3, 0, 4, 5, 6, 2, 1, 7], [4, 5, 7, 1, 3, 0, 6, 2]]
    code = "from local_mode.channels.order import Order; print([list(Order(seed=7).of(8, e)) for e in (0, 1)])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == str(expected)
    assert [list(Order(seed=7).of(8, epoch)) for epoch in (0, 1)] == expected


def test_seeds_and_epochs_give_other_orders():
    orders = {tuple(Order(seed=seed).of(20, epoch)) for seed in range(-10, 10) for epoch in range(20)}

    assert len(orders) == 400


def test_no_place_is_favoured():
    firsts = [Order(seed=seed).of(4, 0)[0] for seed in range(2000)]

    assert all(430 < firsts.count(entry) < 570 for entry in range(4))


def test_without_a_seed_the_order_is_as_it_was():
    assert [list(Order().of(4, epoch)) for epoch in range(3)] == [[0, 1, 2, 3]] * 3


@given(
    seed=st.none() | SEEDS, hosts=st.integers(1, 12), count=COUNTS, epoch=st.integers(0, 5), contiguous=st.booleans()
)
def test_shards_are_disjoint_and_complete_and_of_like_size(seed, hosts, count, epoch, contiguous):
    shards = [
        list(Order(seed=seed, host=host, hosts=hosts, contiguous=contiguous).of(count, epoch)) for host in range(hosts)
    ]

    assert sorted(entry for shard in shards for entry in shard) == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(("contiguous", "expected"), [(False, [1, 3]), (True, [2, 3, 4])])
def test_second_of_two_hosts_gets_every_other_entry_or_the_last_half(contiguous, expected):
    assert list(Order(host=1, hosts=2, contiguous=contiguous).of(5, 0)) == expected


def test_share_of_a_host_is_fixed_without_a_seed_and_another_in_each_epoch_with_one():
    fixed = {frozenset(Order(host=1, hosts=3).of(30, epoch)) for epoch in range(5)}
    moving = {frozenset(Order(seed=1, host=1, hosts=3).of(30, epoch)) for epoch in range(5)}

    assert (len(fixed), len(moving)) == (1, 5)


def test_host_without_a_share_has_nothing():
    assert list(Order(host=2, hosts=3).of(2, 0)) == []
