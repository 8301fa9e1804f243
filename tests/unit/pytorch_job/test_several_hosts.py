"""Two hosts as two processes against one: the same steps, whoever has the records, is stopped or has none."""

import numpy as np
import pytest

from tests.several_hosts import run
from tests.unit.pytorch_job import several_hosts

TOLERANCE = 1e-6  # normalised pixels are float32


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What every host found, by number of hosts."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    two = run("tests.unit.pytorch_job.several_hosts", together, 2)
    return {1: [several_hosts.work(alone, 0, 1)], 2: two}


def losses(hosts: list[dict], kind: str) -> np.ndarray:
    return np.sum([host[kind]["losses"] for host in hosts], 0)


@pytest.mark.parametrize(("kind", "at_last"), [("Recording", 1e-3), ("Double", 1e-5)])
def test_two_hosts_take_the_steps_that_one_takes_with_their_batches_together(found, kind, at_last):
    one, two = losses(found[1], kind), losses(found[2], kind)
    assert len(one) == len(two) == 50
    assert abs(two[0] - one[0]) <= 1e-6 * one[0]
    gradients = [np.array(host[kind]["gradients"]) for host in (found[1][0], *found[2])]
    assert np.array_equal(gradients[1], gradients[2])
    assert np.linalg.norm(gradients[1] - gradients[0]) <= 1e-6 * np.linalg.norm(gradients[0])
    assert abs(two[-1] - one[-1]) <= at_last * one[-1]
    assert one[0] != one[-1], "it learns"


def test_host_that_gets_no_object_takes_every_step_and_spoils_no_running_mean(found):
    first, last = (host["uneven"] for host in found[2])
    assert first["step"] == 4  # of 8, by the 31 records of the first
    assert first["finite"]
    assert first["weights"]
    assert last == {"step": None, "weights": [], "losses": [], "finite": True}, "the first alone writes"


def test_stop_of_one_host_ends_both_at_one_step_and_resumed_they_end_as_if_never_stopped(found):
    first, last = (host["interrupted"] for host in found[2])
    assert first["stopped"] == {"step": 4, "weights": [], "losses": [], "finite": True}
    assert last["stopped"]["step"] is None
    assert first["resumed"] == first["whole"]
    assert len(first["whole"]["losses"]) == 2


def test_checkpoint_taken_within_an_epoch_of_two_hosts_is_gone_on_from_as_if_never_interrupted(found):
    first, last = (host["interrupted"] for host in found[2])
    assert first["between"] == first["whole"]
    assert last["between"]["step"] is None
    assert first["whole"]["weights"]


@pytest.mark.parametrize("kind", ["pieces", "few pieces", "synced", "synced with none"])
def test_two_hosts_with_options_learn_what_one_learns_with_their_batches_together(found, kind):
    one, two = losses(found[1], kind), losses(found[2], kind)
    assert len(one) == len(two) == 6
    assert np.allclose(two, one, rtol=TOLERANCE, atol=0)
    (alone,), (first, second) = found[1], found[2]
    assert first[kind]["weights"] == second[kind]["weights"]
    for ours, theirs in zip(first[kind]["weights"], alone[kind]["weights"], strict=True):
        assert np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_signal_while_a_host_waits_in_a_sum_for_one_without_data_stops_both_at_one_step(found):
    first, last = (host["in a sum"] for host in found[2])
    assert first["waited"] >= 1, "it was in there when the signal came"
    assert (first["step"], last["step"]) == (0, None), "the first has saved it"


def test_signal_while_a_host_waits_in_a_collective_ends_both_with_a_checkpoint_of_the_first(found):
    first, last = (host["terminated"] for host in found[2])
    assert 0 < first["step"] < 10
    assert first["weights"] == last["weights"] == []
    assert last["step"] is None
