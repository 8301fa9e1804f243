"""The recorded benchmark of searches: its table, what lies between its rows, and how a sweep is played on it."""

import csv
import itertools
from pathlib import Path

import pytest

from benchmarks import tuning_search
from benchmarks.tuning_table import EPOCHS, LEVELS, RATE, TABLE, Surrogate, grid


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """A table in which accuracy rises with the learning rate's level and the epoch, by a choice's own share."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*rows[0], *(f"epoch_{number + 1}" for number in range(EPOCHS))])
        for row in rows:
            level = round(RATE.read(row["learning_rate"]) * (LEVELS - 1))
            share = 0.5 if row["optimizer"] == "sgd" else 1.0
            table.writerow([*row.values(), *(level * (number + 1) * share / 100 for number in range(EPOCHS))])
    return path


@pytest.fixture
def surrogate(tmp_path: Path) -> Surrogate:
    return Surrogate(write(tmp_path / "table.csv", grid()))


def test_recorded_table_has_every_configuration_and_epoch():
    surrogate = Surrogate(TABLE)

    assert len(surrogate) == len(grid()) == 60
    last = [surrogate.curve(configuration)[-1] for configuration in grid()]
    assert all(0.05 < accuracy < 0.7 for accuracy in last)
    assert max(last) > 0.35, "Net learns where the learning rate is right"


def test_configuration_that_was_recorded_has_the_curve_that_was_recorded(surrogate: Surrogate):
    curve = surrogate.curve({"learning_rate": RATE.write(2 / (LEVELS - 1)), "batch_size": "64", "optimizer": "adamw"})

    assert curve == pytest.approx([2 * (number + 1) / 100 for number in range(EPOCHS)])


def test_learning_rate_between_two_is_on_the_line_between_them(surrogate: Surrogate):
    between = {"learning_rate": RATE.write(2.5 / (LEVELS - 1)), "batch_size": "64", "optimizer": "sgd"}

    assert surrogate.curve(between)[0] == pytest.approx(2.5 * 0.5 / 100)
    assert surrogate.curve({**between, "learning_rate": "1.0"})[0] == pytest.approx(9 * 0.5 / 100)


def test_table_that_lacks_rows_is_refused(tmp_path: Path):
    path = write(tmp_path / "table.csv", grid()[:-1])

    with pytest.raises(ValueError, match="has 59 rows; record_tuning writes 60: run it again"):
        Surrogate(path)


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_sweep_that_stops_nothing_spends_all_epochs_on_every_trial(surrogate: Surrogate, strategy: str):
    played = list(itertools.islice(tuning_search.play(tuning_search.wanted(strategy), surrogate, 1), 6))

    assert [count for count, _, _ in played] == [1, 2, 3, 4, 5, 6]
    # Two go side by side: the first of each pair ends one step before the second.
    assert [epochs for _, epochs, _ in played] == [17, 18, 35, 36, 53, 54]
    best = [value for _, _, value in played]
    assert best == sorted(best)


def test_hyperband_spends_fewer_epochs_on_as_many_trials(surrogate: Surrogate):
    played = list(itertools.islice(tuning_search.play(tuning_search.wanted("Hyperband"), surrogate, 1), 12))

    assert played[-1][1] < 12 * EPOCHS / 2


def test_same_seed_plays_the_same_sweep(surrogate: Surrogate):
    played = [
        list(itertools.islice(tuning_search.play(tuning_search.wanted("Hyperband"), surrogate, seed), 8))
        for seed in (3, 3, 4)
    ]

    assert played[0] == played[1] != played[2]
