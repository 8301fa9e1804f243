"""A tuning job's life with training jobs that end when told: what is started, stopped, counted, and kept for later."""

import json

import pytest

from local_mode.errors import LocalModeError, ResourceInUseError
from local_mode.jobs.store import Query, Store
from local_mode.tuning.service import Tuning
from local_mode.tuning.store import TuningStore
from local_mode.tuning.trial import FINAL, Trial
from tests.contract.lab import eventually
from tests.unit.local_mode.fake_jobs import CONFIG, DEFINITION, FakeJobs, changed

LIMITS = f"{CONFIG}.ResourceLimits"


class Lab:
    """A root folder, the training jobs in it, and a service at a time."""

    def __init__(self, root):
        self.root, self.jobs, self.notes = root, FakeJobs(root), []
        self.tuning = None
        self.serve()

    def serve(self):
        """A new service, as after a restart."""
        self.tuning = Tuning(root=self.root, jobs=self.jobs, region="eu-west-1", note=self.notes.append)

    def create(self, changes=(), *, most=4, parallel=2):
        limits = {LIMITS: {"MaxNumberOfTrainingJobs": most, "MaxParallelTrainingJobs": parallel}}
        return self.tuning.create(changed({**limits, **dict(changes)}))

    def running(self, count):
        """Names of the training jobs that run, once they are so many and listed."""
        eventually(lambda: len(self.jobs.running()) == count and set(self.jobs.records) == set(self.trials()))
        return self.jobs.running()

    def ended(self, name="tune"):
        eventually(lambda: self.tuning.describe(name)["HyperParameterTuningJobStatus"] in FINAL)
        return self.tuning.describe(name)

    def trials(self):
        """Summaries of the training jobs of all tuning jobs, by name."""
        names = [each["HyperParameterTuningJobName"] for each in self.tuning.find(Query())]
        return {trial["TrainingJobName"]: trial for each in names for trial in self.tuning.trials(each)}


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    assert made.tuning.close(20) == []


def test_no_more_training_jobs_run_than_may(lab):
    lab.create(most=5, parallel=2)
    for _ in range(3):
        first, *_ = lab.running(2)
        lab.jobs.end(first, 0.5)
        eventually(lambda first=first: lab.trials()[first]["TrainingJobStatus"] == "Completed")
    for name in lab.running(2):
        lab.jobs.end(name, 0.5)

    assert lab.ended()["TrainingJobStatusCounters"]["Completed"] == 5
    assert len(lab.jobs.records) == 5
    assert lab.jobs.most == 2


def test_training_job_is_asked_for_as_its_definition_says(lab):
    flexible = {"InstanceConfigs": [{"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 3}]}
    record = lab.create({
        "Tags": [{"Key": "team", "Value": "vision"}],
        f"{DEFINITION}.Environment": {"A": "b"},
        f"{DEFINITION}.ResourceConfig": None,
        f"{DEFINITION}.HyperParameterTuningResourceConfig": {"AllocationStrategy": "Prioritized", **flexible},
    }, most=1)  # fmt: skip
    (name,) = lab.running(1)

    asked = lab.jobs.requests[name]
    assert asked["ResourceConfig"] == flexible["InstanceConfigs"][0]
    assert (asked["Tags"], asked["Environment"]) == ([{"Key": "team", "Value": "vision"}], {"A": "b"})
    tuned = lab.trials()[name]["TunedHyperParameters"]
    assert set(tuned) == {"rate", "optimizer"}
    assert tuned["optimizer"] in ('"adam"', '"sgd"')
    assert asked["HyperParameters"] == {"epochs": "9", "_tuning_objective_metric": "accuracy", **tuned}
    assert lab.jobs.describe(name)["TuningJobArn"] == record["HyperParameterTuningJobArn"]
    assert record["TrainingJobDefinition"]["StaticHyperParameters"] == {
        "epochs": "9", "_tuning_objective_metric": "accuracy",
    }  # fmt: skip


def test_best_is_the_best_that_did_not_fail(lab):
    lab.create(most=4, parallel=4)
    first, second, third, fourth = lab.running(4)
    lab.jobs.end(first, 0.5, 0.7)
    lab.jobs.end(second, 0.9, status="Failed", reason="AlgorithmError: why, exit code: 1")
    lab.jobs.end(third, 0.8, status="Stopped")
    lab.jobs.end(fourth)

    described, found = lab.ended(), lab.trials()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["BestTrainingJob"]["TrainingJobName"] == third
    assert described["TrainingJobStatusCounters"] == {
        "Completed": 2, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 1, "Stopped": 1,
    }  # fmt: skip
    assert described["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 2}
    assert [found[name]["ObjectiveStatus"] for name in (first, second, third, fourth)] == [
        "Succeeded", "Failed", "Succeeded", "Failed",
    ]  # fmt: skip
    assert found[second]["FailureReason"] == "AlgorithmError: why, exit code: 1"
    assert "OverallBestTrainingJob" not in described


def test_median_rule_stops_the_worse_and_lets_the_better_go_on(lab):
    lab.create({f"{CONFIG}.TrainingJobEarlyStoppingType": "Auto"}, most=5, parallel=5)
    first, second, third, worse, better = lab.running(5)
    for name in (first, second, third):
        lab.jobs.end(name, 0.4, 0.6)
    eventually(lambda: lab.tuning.describe("tune")["TrainingJobStatusCounters"]["Completed"] == 3)
    lab.jobs.say(better, 0.41)
    lab.jobs.say(worse, 0.39)

    eventually(lambda: lab.jobs.stopped == [worse])
    lab.jobs.end(better, 0.9)
    assert lab.ended()["BestTrainingJob"]["TrainingJobName"] == better
    assert lab.trials()[worse]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.39


def test_without_early_stopping_nothing_is_stopped(lab):
    lab.create(most=4, parallel=4)
    *good, worse = lab.running(4)
    for name in good:
        lab.jobs.end(name, 0.4)
    eventually(lambda: lab.tuning.describe("tune")["TrainingJobStatusCounters"]["Completed"] == 3)
    lab.jobs.say(worse, 0.1)
    lab.jobs.end(worse, 0.1)

    assert lab.ended()["TrainingJobStatusCounters"]["Stopped"] == 0
    assert lab.jobs.stopped == []


def test_hyperband_looks_at_every_rung_even_when_points_come_at_once(lab):
    lab.create({f"{CONFIG}.Strategy": "Hyperband"}, most=3, parallel=3)
    first, second, third = lab.running(3)
    lab.jobs.say(first, 0.5)
    lab.jobs.say(third, *([0.1] * 4))  # no rung is at 4, and it was worse at 1

    eventually(lambda: lab.jobs.stopped == [third])
    lab.jobs.end(first, 0.5)
    lab.jobs.end(second, 0.6)
    assert lab.ended()["BestTrainingJob"]["TrainingJobName"] == second


def test_criteria_stop_what_still_runs_and_complete_the_tuning_job(lab):
    lab.create({f"{CONFIG}.TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.9}}, most=9, parallel=2)
    good, other = lab.running(2)
    lab.jobs.end(good, 0.95)

    described = lab.ended()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert lab.jobs.stopped == [other]
    assert len(lab.jobs.records) == 2


def test_training_job_that_is_refused_fails_the_tuning_job_with_its_words(lab):
    lab.jobs.refusal = "No S3 objects found under S3 URL 's3://bucket/none'."
    lab.create()

    described = lab.ended()
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert described["FailureReason"] == f"ClientError: {lab.jobs.refusal}"
    assert lab.trials() == {}


def test_regex_that_matches_nothing_ends_the_tuning_job_and_shows_a_line(lab):
    lab.create(most=9, parallel=2)
    first, second = lab.running(2)
    logs = lab.jobs.folder(first).logs
    logs.mkdir(parents=True)
    (logs / "algo-1.log").write_text("epoch 1\naccuracy: 0.5\nbye\n")
    lab.jobs.end(first)

    described = lab.ended()
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert described["FailureReason"] == (
        "No objective metrics found after running 1 training jobs. The regular expression 'a=(.*)' of metric "
        f"'accuracy' matched no line of the log of {first}; the line most like it is 'accuracy: 0.5'."
    )
    assert lab.jobs.stopped == [second]
    assert described["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 2}


def test_next_service_goes_on_where_the_last_one_left(lab):
    lab.create(most=6, parallel=2)
    first, second = lab.running(2)
    lab.jobs.end(first, 0.5)
    third = next(name for name in lab.running(2) if name != second)
    assert lab.tuning.close(20) == []
    lab.jobs.end(second, 0.9)
    lab.jobs.end(third, status="Failed", reason="InternalServerError: local_mode was killed before the job ended")
    before = dict(lab.jobs.requests)

    lab.serve()
    assert lab.tuning.describe("tune")["HyperParameterTuningJobStatus"] == "InProgress"
    assert lab.tuning.resume() == ["tune"]
    for _ in range(3):
        eventually(lab.jobs.running)
        lab.jobs.end(lab.jobs.running()[0], 0.4)
    described = lab.ended()
    assert described["TrainingJobStatusCounters"] == {
        "Completed": 5, "InProgress": 0, "RetryableError": 1, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert described["BestTrainingJob"]["TrainingJobName"] == second
    assert len(lab.jobs.requests) == 6
    assert {name: lab.jobs.requests[name] for name in before} == before
    assert [name.split("-")[1] for name in sorted(lab.trials())] == ["001", "002", "003", "004", "005", "006"]


def test_trial_that_was_chosen_and_not_started_is_started_by_the_next_service(lab):
    lab.create(most=2, parallel=1)
    (first,) = lab.running(1)
    assert lab.tuning.close(20) == []
    lab.jobs.end(first, 0.5)
    values = {"rate": "0.01", "optimizer": '"sgd"'}
    TuningStore(lab.root).put_trial("tune", Trial(number=2, definition=0, name="tune-002-abcdef01", values=values))

    lab.serve()
    lab.tuning.resume()
    assert lab.running(1) == ["tune-002-abcdef01"]
    assert lab.jobs.requests["tune-002-abcdef01"]["HyperParameters"]["optimizer"] == '"sgd"'
    lab.jobs.end("tune-002-abcdef01", 0.6)
    assert lab.ended()["TrainingJobStatusCounters"]["Completed"] == 2


def test_search_of_a_restarted_service_is_the_one_it_would_have_been(tmp_path):
    def values(root, *, restarted):
        lab = Lab(root)
        lab.create({f"{CONFIG}.RandomSeed": 5}, most=8, parallel=1)
        for number in range(8):
            (name,) = lab.running(1)
            rate = float(lab.jobs.requests[name]["HyperParameters"]["rate"])
            if restarted and number == 5:
                assert lab.tuning.close(20) == []
                lab.serve()
                lab.tuning.resume()
                eventually(lambda name=name: name in lab.trials())
            lab.jobs.end(name, -abs(rate - 0.02))
            eventually(lambda name=name: lab.trials()[name]["TrainingJobStatus"] == "Completed")
        lab.ended()
        assert lab.tuning.close(20) == []
        return [trial["TunedHyperParameters"] for _, trial in sorted(lab.trials().items())]

    assert values(tmp_path / "a", restarted=True) == values(tmp_path / "b", restarted=False)


def test_stop_that_was_asked_for_is_carried_out_by_the_next_service(lab):
    lab.create(most=9)
    names = lab.running(2)
    assert lab.tuning.close(20) == []
    store = TuningStore(lab.root)
    record = store.get("tune")
    record["HyperParameterTuningJobStatus"] = "Stopping"
    record["LocalMode"]["End"] = {"status": "Stopped", "reason": None}
    store.put(record)

    lab.serve()
    lab.tuning.resume()
    assert lab.ended()["HyperParameterTuningJobStatus"] == "Stopped"
    assert sorted(lab.jobs.stopped) == sorted(names)


def test_tuning_job_comes_back_from_its_file_when_the_database_is_gone(lab):
    lab.create(most=2)
    for name in lab.running(2):
        lab.jobs.end(name, 0.5)
    described, trials = lab.ended(), lab.trials()
    eventually((lab.root / "tuning" / "tune.json").exists)
    lab.tuning.close(20)
    for path in lab.root.glob("jobs.db*"):
        path.unlink()

    Store(lab.root).check()
    lab.serve()
    assert lab.tuning.describe("tune") == described
    assert lab.trials() == trials
    assert json.loads((lab.root / "tuning" / "tune.json").read_text())["Trials"][0]["objective"] == 0.5
    lab.tuning.delete("tune")
    assert not (lab.root / "tuning" / "tune.json").exists()


def finished(lab, name, values, **changes):
    lab.create({"HyperParameterTuningJobName": name, **changes}, most=len(values), parallel=len(values))
    for job, value in zip(lab.running(len(values)), values, strict=True):
        lab.jobs.end(job, value)
    return lab.ended(name)


def warm(name, kind="IdenticalDataAndAlgorithm", *parents):
    return {
        "HyperParameterTuningJobName": name,
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": each} for each in parents],
            "WarmStartType": kind,
        },
    }


def test_warm_start_knows_the_best_of_its_parents(lab):
    parent = finished(lab, "parent", [0.2, 0.9])
    child = finished(lab, "child", [0.5], **warm("child", "IdenticalDataAndAlgorithm", "parent"))
    other = finished(lab, "other", [0.5], **warm("other", "TransferLearning", "parent"))

    assert child["OverallBestTrainingJob"] == parent["BestTrainingJob"]
    assert child["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    assert "OverallBestTrainingJob" not in other
    better = finished(lab, "better", [0.95], **warm("better", "IdenticalDataAndAlgorithm", "parent"))
    assert better["OverallBestTrainingJob"] == better["BestTrainingJob"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (warm("child", "TransferLearning", "none"), "can't find a tuning job called none"),
        (warm("child", "TransferLearning", "going"), "going is InProgress; wait until it has ended"),
        ({**warm("child", "TransferLearning", "parent"), f"{DEFINITION}.StaticHyperParameters": {}},
         "2 hyperparameters are static or tuned, 3 in parent"),
        ({**warm("child", "TransferLearning", "parent"),
          f"{CONFIG}.HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "accuracy"}},
         "objective metric is not the one of parent"),
        ({**warm("child", "IdenticalDataAndAlgorithm", "parent"),
          f"{DEFINITION}.AlgorithmSpecification.TrainingImage": "newer"}, "TrainingImage is newer, image in parent"),
        ({**warm("child", "TransferLearning", "parent"), f"{CONFIG}.ParameterRanges": {
            "CategoricalParameterRanges": [{"Name": "rate", "Values": ["1"]}, {"Name": "b", "Values": ["1"]}]}},
         "'rate' is of another kind"),
    ],
)  # fmt: skip
def test_warm_start_that_sagemaker_does_not_allow_is_refused(lab, changes, words):
    finished(lab, "parent", [0.2])
    lab.create({"HyperParameterTuningJobName": "going"})

    with pytest.raises(LocalModeError, match=words):
        lab.create(changes)


def test_hints_of_autotune_are_used_as_they_are_and_told(lab):
    ranges = {f"{CONFIG}.ParameterRanges": {"AutoParameters": [{"Name": "rate", "ValueHint": "0.02"}]}}
    lab.create({**ranges, "Autotune": {"Mode": "Enabled"}}, most=1)
    (name,) = lab.running(1)

    assert lab.jobs.requests[name]["HyperParameters"]["rate"] == "0.02"
    assert [note for note in lab.notes if "rate is Autotune's ValueHint in all training jobs" in note]


def test_tags_of_a_tuning_job_change_while_it_goes_on_and_afterwards(lab):
    lab.create(most=1)
    (name,) = lab.running(1)
    lab.tuning.tag("tune", lambda tags: tags.update(a="1"))
    lab.jobs.end(name, 0.5)
    lab.ended()
    lab.tuning.tag("tune", lambda tags: tags.update(b="2"))

    assert lab.tuning.tag("tune", lambda _: None) == {"a": "1", "b": "2"}


def test_service_that_is_ending_starts_nothing_more(lab):
    lab.create()
    lab.running(2)
    assert lab.tuning.close(20) == []

    with pytest.raises(LocalModeError, match="starts no more tuning jobs"):
        lab.create({"HyperParameterTuningJobName": "late"})
    for name in lab.jobs.running():
        lab.jobs.end(name, 0.5)
    assert len(lab.jobs.records) == 2


def test_name_that_is_taken_is_refused(lab):
    lab.create()
    with pytest.raises(ResourceInUseError, match="with the name, tune, already exists"):
        lab.create()
