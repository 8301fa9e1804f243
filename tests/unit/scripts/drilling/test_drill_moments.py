import pytest

from scripts.drilling.moments import Kind, draw


def test_same_seed_draws_the_same_moments_and_another_draws_others():
    assert draw(3, 20, 500) == draw(3, 20, 500)
    assert draw(3, 20, 500) != draw(4, 20, 500)


@pytest.mark.parametrize("count", [1, 6, 50])
def test_moments_are_spread_in_order_and_the_last_leaves_steps_to_train(count):
    steps = [moment.step for moment in draw(0, count, 600)]

    assert len(steps) == count
    assert steps == sorted(steps)
    assert steps[0] >= 0
    assert steps[-1] <= 600 * count / (count + 2)


@pytest.mark.parametrize("seed", range(20))
def test_six_moments_have_every_kind_and_none_tears_before_there_is_a_checkpoint(seed):
    kinds = [moment.kind for moment in draw(seed, 6, 100)]

    assert set(kinds) == set(Kind)
    assert Kind.TEAR not in kinds[:2]


def test_some_moments_come_before_the_first_step():
    early = [moment.early for moment in draw(0, 100, 1000) if moment.early is not None]

    assert 10 < len(early) < 50
    assert all(0 <= share < 1 for share in early)
