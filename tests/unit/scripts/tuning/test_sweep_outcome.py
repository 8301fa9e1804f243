import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scripts.submitting import checking, job_file
from scripts.tuning import best, figures, outcome
from scripts.tuning import request as requests
from scripts.tuning.outcome import Sweep
from scripts.tuning.trials import Seen, Trial
from tests.unit.scripts.tuning.fake_tuning import ACCURACY, ROOT, trial
from tests.unit.scripts.tuning.test_sweep_request import whole, written

PNG = b"\x89PNG\r\n"


def some(*values: float | None) -> list[Trial]:
    return [
        trial(number, objective=value, values={
            "learning_rate": str(0.001 * number), "batch_size": ("64", "128", "256")[number % 3],
        })
        for number, value in enumerate(values, 1)
    ]  # fmt: skip


def sweep(trials: list[Trial], **described: Any) -> Sweep:
    known = [each for each in trials if each.counts]
    if known:
        described["BestTrainingJob"] = {"TrainingJobName": max(known, key=lambda each: each.objective or 0).name}
    seen = Seen(described={"HyperParameterTuningJobStatus": "Completed", **described}, trials=trials)
    document = requests.read(ROOT / "examples" / "tuning" / "pytorch-cifar10.yaml")
    plan = requests.check(whole({**written("pytorch-cifar10"), "HyperParameterTuningJobName": "sweep"}))
    return Sweep(document=document, plan=plan, seen=seen)


def test_sweep_leaves_pictures_a_page_and_the_best_request(tmp_path: Path):
    left = outcome.leave(sweep(some(0.1, 0.5, 0.3, 0.2, 0.4, 0.45)), tmp_path / "sweep")

    assert [path.name for path in left] == ["parallel_coordinates.png", "importance.png", "sweep.html", "best.yaml"]
    assert all(path.read_bytes().startswith(PNG) for path in left[:2])


def test_best_request_is_a_job_file_that_can_be_submitted(tmp_path: Path):
    outcome.leave(sweep(some(0.1, 0.5, 0.3)), tmp_path)

    request = job_file.read(tmp_path / "best.yaml")
    checking.check(request, whole=False)
    assert request["HyperParameters"]["learning_rate"] == "0.002"
    assert request["HyperParameters"]["epochs"] == "4"
    # As it was written: so a sweep on this machine gives a job for AWS.
    assert request["AlgorithmSpecification"]["TrainingImage"] == "pytorch"
    assert request["OutputDataConfig"]["S3OutputPath"] == "s3://BUCKET/models"
    assert (tmp_path / "best.yaml").read_text().startswith("# The best of sweep: trial 2, validation:accuracy = 0.5\n")


def test_best_request_is_of_the_definition_that_the_trial_is_of():
    one = {"DefinitionName": "one", "AlgorithmSpecification": {"TrainingImage": "a"}, "ResourceConfig": {}}
    flexible = {"InstanceConfigs": [{"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}]}
    two = {
        "DefinitionName": "two", "AlgorithmSpecification": {"TrainingImage": "b"}, "StaticHyperParameters": {"x": "1"},
        "HyperParameterTuningResourceConfig": flexible,
    }  # fmt: skip

    request = best.job({"TrainingJobDefinitions": [one, two]}, trial(1, definition="two", values={"y": "2"}))

    assert request == {
        "AlgorithmSpecification": {"TrainingImage": "b"}, "HyperParameters": {"x": "1", "y": "2"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    }  # fmt: skip


def test_page_needs_no_other_file_and_tells_of_every_trial(tmp_path: Path):
    outcome.leave(sweep(some(0.1, 0.5, None, 0.2, 0.4, 0.45)), tmp_path)

    page = (tmp_path / "sweep.html").read_text()
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)", page)
    assert page.count("<tr") == 7
    assert '<tr class="best"><td>2</td>' in page
    assert page.count("<title>trial ") == 5
    assert "trial 2, Completed: validation:accuracy = 0.5; learning_rate=0.002  batch_size=256</title>" in page


def test_names_in_a_page_are_text_and_nothing_else(tmp_path: Path):
    evil = "<img src=x>"
    trials = [trial(1, objective=0.5, values={"learning_rate": "0.01", "batch_size": "64", evil: evil})]

    outcome.leave(sweep(trials), tmp_path)

    assert evil not in (tmp_path / "sweep.html").read_text()


def test_sweep_of_few_trials_has_no_importance(tmp_path: Path):
    left = outcome.leave(sweep(some(0.1, 0.5, 0.3, 0.2)), tmp_path)

    assert [path.name for path in left] == ["parallel_coordinates.png", "sweep.html", "best.yaml"]


def test_sweep_without_a_value_leaves_nothing(tmp_path: Path):
    without = sweep(some(None, None))

    assert outcome.leave(without, tmp_path / "sweep") == []
    assert not (tmp_path / "sweep").exists()
    assert outcome.summary(without) == "Bayesian, Completed, 2 of 6 trials; no trial has a value"


def test_summary_has_the_best_trial_and_its_values():
    assert outcome.summary(sweep(some(0.1, 0.5, 0.3))) == (
        "Bayesian, Completed, 3 of 6 trials; best validation:accuracy = 0.5: trial 2, "
        "learning_rate=0.002  batch_size=256"
    )


def test_picture_has_a_line_for_each_trial_with_a_value_and_is_the_same_each_time():
    one = sweep(some(0.1, 0.5, None, 0.2))
    space = one.plan.definitions[0].space

    pictures = [figures.parallel(space, one.seen.trials, one.seen.best, ACCURACY) for _ in range(2)]

    assert pictures[0] == pictures[1]
    root = ElementTree.fromstring(pictures[0].svg)
    drawn = {each.get("id") for each in root.iter() if (each.get("id") or "").startswith("trial-")}
    assert drawn == {"trial-1", "trial-2", "trial-4"}
    assert "3 of 4 trials have a value" in pictures[0].svg


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5)])
def test_picture_of_equal_values_can_be_drawn(values: tuple[float, ...]):
    one = sweep(some(*values))

    assert figures.parallel(one.plan.definitions[0].space, one.seen.trials, None, ACCURACY).png.startswith(PNG)


def test_importance_is_drawn_largest_above():
    svg = figures.importance({"a": 0.2, "b": 0.8}, 30).svg

    assert "80%" in svg
    assert "20%" in svg
    assert "from 30 trials<" in svg
    assert "a hint at most" in figures.importance({"a": 1.0}, 6).svg
