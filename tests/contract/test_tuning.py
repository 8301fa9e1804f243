"""Contract 4.7: tuning jobs from their creation to their end, as a boto3 client sees them."""

import os
import re

import pytest

from tests.contract.endpoint import BUCKET, Server
from tests.contract.tuning import create, ended, trials, value


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def search(server):
    """A finished random search of four training jobs, two at a time."""
    answer = create(server, "search", Tags=[{"Key": "team", "Value": "vision"}])
    described = ended(server, "search")
    assert answer["HyperParameterTuningJobArn"] == described["HyperParameterTuningJobArn"]
    return described


@pytest.mark.contract("4.7", "D", "a random search ends Completed with its best training job and all counters")
def test_random_search_ends_with_its_best_training_job(server, search):
    found = trials(server, "search")

    assert search["HyperParameterTuningJobStatus"] == "Completed"
    assert search["TrainingJobStatusCounters"] == {
        "Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert search["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    best = max(found, key=value)
    assert search["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert search["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize", "MetricName": "score", "Value": value(best),
    }  # fmt: skip
    for trial in found:
        rate = float(trial["TunedHyperParameters"]["rate"])
        assert value(trial) == pytest.approx(1 - abs(rate - 0.3), abs=1e-5)


@pytest.mark.contract("4.7", "O", "training jobs are called <tuning job>-NNN-<8 hex>")
def test_names_of_training_jobs_are_counted(server, search):
    names = [trial["TrainingJobName"] for trial in trials(server, "search")]

    assert [re.sub("[0-9a-f]{8}$", "*", name) for name in names] == [f"search-{number:03}-*" for number in (1, 2, 3, 4)]


@pytest.mark.contract("4.7", "U", "training jobs that run at a time make threads for their share of the cores")
def test_training_jobs_that_run_at_a_time_share_the_cores(server, search):
    create(server, "alone", jobs=2, parallel=1)
    ended(server, "alone")

    def threads(name):
        return {server.log_lines(trial["TrainingJobName"])[0] for trial in trials(server, name)}

    assert threads("search") == {f"threads={max(1, len(os.sched_getaffinity(0)) // 2)}"}
    assert threads("alone") == {"threads=None"}


@pytest.mark.contract(
    "4.7", "D", "a training job gets static and tuned values, and the objective metric's name, not quoted"
)
def test_training_job_has_static_and_tuned_hyperparameters(server, search):
    (first, *_) = trials(server, "search")
    child = server.describe(first["TrainingJobName"])

    assert child["HyperParameters"] == {
        "act": '["learn"]', "_tuning_objective_metric": "score", **first["TunedHyperParameters"],
    }  # fmt: skip
    assert re.fullmatch(r"0\.\d+", first["TunedHyperParameters"]["rate"])
    assert child["TuningJobArn"] == search["HyperParameterTuningJobArn"]
