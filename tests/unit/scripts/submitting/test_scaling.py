"""docs/scaling.md: its tables are what its constants give, its formulas agree with what was measured."""

import math
import re

import pytest

from scripts.environments.environment import ROOT
from scripts.submitting import scaling

PAGE = (ROOT / "docs" / "scaling.md").read_text()


@pytest.mark.parametrize("name", ["steps", "gains", "choices"])
def test_table_of_the_page_is_what_its_constants_give(name):
    assert f"\n{scaling.tables()[name]}\n" in PAGE, "paste what `python -m scripts.submitting.scaling` prints"


def test_formula_agrees_with_the_measured_runs_of_one_and_of_two_hosts():
    two, one = map(int, re.search(r"(\d+) beside (\d+) images/s", PAGE).groups())
    exchange = int(re.search(r"(\d+) ms for 5 MB", PAGE).group(1)) / 1000
    step = int(re.search(r"at a step of (\d+) ms", PAGE).group(1)) / 1000
    assert scaling.speedup(step, exchange, 2) == pytest.approx(two / one, rel=0.01)
    assert scaling.step_for(two / one, exchange, 2) == pytest.approx(step, rel=0.01)


def test_page_states_the_constants_that_the_arithmetic_has():
    job = scaling.Job()
    stated = PAGE.replace("\n", " ")
    assert f"ResNet-50 ({job.weights_mb:g} MB of weights) on photographs of {job.image_mb} MB" in stated
    assert f"{job.images_per_second:g} images/s a host in batches of {job.batch_size}, {job.instance}" in stated
    assert f"up to {scaling.FILE_MB / 1000:g} GB a host is brought in first" in stated
    assert f"none that is divided below {scaling.LEAST_SHARD_MB:g} MB" in stated


def test_exchange_of_a_ring_and_what_it_costs_by_hand():
    assert scaling.exchange_seconds(100, 1, 500) == 0
    assert scaling.exchange_seconds(100, 2, 500) == pytest.approx(0.2)
    assert scaling.exchange_seconds(100, 8, 500) == pytest.approx(0.35)
    assert scaling.speedup(0.35, 0.35, 8) == pytest.approx(4)
    for wanted in (1.5, 1.8):
        assert scaling.speedup(scaling.step_for(wanted, 0.05, 2), 0.05, 2) == pytest.approx(wanted)


@pytest.mark.parametrize("hosts", [1, 2, 8, 64])
@pytest.mark.parametrize("data_mb", [10.0, 10**3, 10**6, 10**8])
def test_objects_are_not_too_large_and_no_host_waits_long_for_another(data_mb, hosts):
    count, size = scaling.shards(data_mb, hosts)
    assert size <= scaling.MOST_SHARD_MB
    assert count * size == pytest.approx(data_mb)
    fewest, most = count // hosts, math.ceil(count / hosts)
    assert (most - fewest) / most <= scaling.IDLE
