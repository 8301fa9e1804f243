"""Contract 4.7: strategies, early stopping, failures, stops and lists of tuning jobs, as a boto3 client sees them."""

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually
from tests.contract.tuning import RATE, create, describe, ended, trials, tuning_request, value

GRID = {
    "CategoricalParameterRanges": [
        {"Name": "optimizer", "Values": ['"adam"', '"sgd"']}, {"Name": "rate", "Values": ["0.1", "0.3", "0.7"]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.mark.contract("4.7", "D", "Grid runs every combination once, and needs no MaxNumberOfTrainingJobs")
def test_grid_search_runs_every_combination_once(server):
    create(server, "grid", Strategy="Grid", ranges=GRID, jobs=None, parallel=3)
    described = ended(server, "grid")

    tuned = [tuple(sorted(trial["TunedHyperParameters"].items())) for trial in trials(server, "grid")]
    assert len(tuned) == len(set(tuned)) == 6
    assert described["BestTrainingJob"]["TunedHyperParameters"]["rate"] == "0.3"


@pytest.mark.contract("4.7", "D", "the same RandomSeed gives a random search the same values")
def test_random_seed_makes_a_search_repeatable(server):
    for name in ("seed-a", "seed-b"):
        create(server, name, jobs=3, parallel=3, RandomSeed=11)
    found = [[trial["TunedHyperParameters"] for trial in trials(server, name)] for name in ("seed-a", "seed-b")
             if ended(server, name)]  # fmt: skip

    assert len(found[0]) == 3
    assert found[0] == found[1]


@pytest.mark.contract("4.7", "D", "Bayesian search takes continuous, integer and categorical ranges of every scale")
def test_bayesian_search_takes_all_kinds_of_ranges(server):
    def of(name, least, most, scaling):
        return {"Name": name, "MinValue": least, "MaxValue": most, "ScalingType": scaling}

    ranges = {
        "ContinuousParameterRanges": [
            of("rate", "0.0001", "0.9", "Logarithmic"), of("keep", "0.5", "0.999", "ReverseLogarithmic"),
        ],
        "IntegerParameterRanges": [of("depth", "1", "5", "Linear"), of("width", "8", "1024", "Auto")],
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"adam"', "sgd"]}],
    }  # fmt: skip
    create(server, "bayes", Strategy="Bayesian", ranges=ranges, jobs=8, parallel=2)

    assert ended(server, "bayes")["ObjectiveStatusCounters"]["Succeeded"] == 8
    for trial in trials(server, "bayes"):
        tuned = trial["TunedHyperParameters"]
        assert 0.0001 <= float(tuned["rate"]) <= 0.9
        assert 0.5 <= float(tuned["keep"]) <= 0.999
        assert (1 <= int(tuned["depth"]) <= 5, 8 <= int(tuned["width"]) <= 1024) == (True, True)
        assert tuned["optimizer"] in ('"adam"', "sgd")


@pytest.mark.contract("4.7", "D", "Hyperband stops the worse training jobs early, and the best runs to its end")
def test_hyperband_spends_few_epochs_on_the_worse(server):
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.5", "0.7", "0.9"]}]}
    create(server, "band", ["learn", 9, 0.15], Strategy="Hyperband", ranges=ranges, parallel=4, RandomSeed=1,
           StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}})  # fmt: skip
    described = ended(server, "band")

    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["BestTrainingJob"]["TunedHyperParameters"]["rate"] == "0.3"
    assert described["BestTrainingJob"]["TrainingJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Stopped"] >= 2


@pytest.mark.contract(
    "4.7", "D", "early stopping Auto stops a training job that is worse than the median of earlier ones"
)
@pytest.mark.contract("4.7", "I", "a training job that was stopped early keeps its last metric as its objective")
def test_early_stopping_stops_what_is_worse_than_the_median(server):
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.31", "0.32", "0.9"]}]}
    create(server, "median", ["learn", 4, 0.4], ranges=ranges, jobs=None, parallel=1, Strategy="Grid",
           TrainingJobEarlyStoppingType="Auto")  # fmt: skip
    ended(server, "median")

    *good, bad = trials(server, "median", SortBy="CreationTime")
    assert [trial["TrainingJobStatus"] for trial in good] == ["Completed"] * 3
    assert (bad["TunedHyperParameters"]["rate"], bad["TrainingJobStatus"]) == ("0.9", "Stopped")
    assert 0 < value(bad) < 0.4
    assert bad["ObjectiveStatus"] == "Succeeded"


@pytest.mark.contract("4.7", "D", "a target value completes the tuning job and stops what still runs")
def test_target_that_is_reached_completes_the_tuning_job(server):
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.29", "0.31"]}]}
    create(server, "target", jobs=50, parallel=1, ranges=ranges,
           TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 0.98})  # fmt: skip
    described = ended(server, "target")

    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials(server, "target")) == 1


@pytest.mark.contract("4.7", "D", "StopHyperParameterTuningJob stops the training jobs that run, and starts no more")
def test_stop_ends_the_training_jobs_of_a_tuning_job(server, sagemaker):
    create(server, "stopped", ["wait_for_stop"], jobs=9, parallel=2)
    eventually(lambda: sum(server.describe(trial["TrainingJobName"])["SecondaryStatus"] == "Training"
                           for trial in trials(server, "stopped")) == 2)  # fmt: skip
    with pytest.raises(ClientError, match="is in status InProgress"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert describe(server, "stopped")["HyperParameterTuningJobStatus"] in ("Stopping", "Stopped")

    described = ended(server, "stopped")
    assert described["HyperParameterTuningJobStatus"] == "Stopped"
    assert described["TrainingJobStatusCounters"]["Stopped"] == 2
    assert [trial["TrainingJobStatus"] for trial in trials(server, "stopped")] == ["Stopped"] * 2


@pytest.mark.contract("4.7", "R", "five training jobs that fail, and none that does not, fail the tuning job")
def test_failing_training_jobs_fail_the_tuning_job(server):
    create(server, "failing", ["end", 3, "out of luck"], jobs=9, parallel=1)
    described = ended(server, "failing")

    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert described["TrainingJobStatusCounters"]["NonRetryableError"] == 5
    assert {trial["FailureReason"] for trial in trials(server, "failing")} == {
        "AlgorithmError: out of luck, exit code: 3"
    }
    assert "BestTrainingJob" not in described


@pytest.mark.contract("4.7", "I", "a training job without the objective metric has ObjectiveStatus Failed")
def test_regex_that_matches_nothing_fails_the_tuning_job_at_once(server):
    wrong = [{"Name": "score", "Regex": r"scores: ([0-9.]+)"}]
    create(server, "nothing", metrics=wrong, jobs=9, parallel=1)
    described = ended(server, "nothing")

    (trial,) = trials(server, "nothing")
    assert (trial["TrainingJobStatus"], trial["ObjectiveStatus"]) == ("Completed", "Failed")
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("No objective metrics found after running 1 training jobs.")
    assert r"'scores: ([0-9.]+)'" in described["FailureReason"]
    assert "the line most like it is 'epoch=0 score=" in described["FailureReason"]


@pytest.mark.contract("4.7", "D", "training jobs and tuning jobs are listed in pages, by filters and in an order")
def test_training_jobs_of_a_tuning_job_are_listed_in_pages(server, sagemaker):
    create(server, "pages", jobs=5, parallel=5)
    ended(server, "pages")
    asked = {"HyperParameterTuningJobName": "pages", "SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    pages = list(sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        **asked, PaginationConfig={"PageSize": 2}))  # fmt: skip

    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 2, 1]
    values = [value(trial) for page in pages for trial in page["TrainingJobSummaries"]]
    assert values == sorted(values, reverse=True)
    assert (
        describe(server, "pages")["BestTrainingJob"]["TrainingJobName"]
        == (pages[0]["TrainingJobSummaries"][0]["TrainingJobName"])
    )
    listed = sagemaker.list_hyper_parameter_tuning_jobs(NameContains="page", StatusEquals="Completed")
    (summary,) = listed["HyperParameterTuningJobSummaries"]
    assert (summary["HyperParameterTuningJobName"], summary["Strategy"]) == ("pages", "Random")
    assert summary["TrainingJobStatusCounters"]["Completed"] == 5
    with pytest.raises(ClientError, match="NextToken is not one"):
        sagemaker.list_hyper_parameter_tuning_jobs(NextToken="x")


@pytest.mark.contract("4.7", "D", "tags of a tuning job are its training jobs' as well")
def test_tags_go_on_to_the_training_jobs(server, sagemaker):
    team = {"Key": "team", "Value": "vision"}
    arn = create(server, "tagged", jobs=1, parallel=1, Tags=[team])["HyperParameterTuningJobArn"]
    ended(server, "tagged")
    (trial,) = trials(server, "tagged")

    assert sagemaker.list_tags(ResourceArn=trial["TrainingJobArn"])["Tags"] == [team]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.contract("4.7", "D", "DeleteHyperParameterTuningJob removes the entry, and leaves the training jobs")
def test_deleted_tuning_job_leaves_its_training_jobs(server, sagemaker):
    create(server, "deleted", jobs=1, parallel=1)
    ended(server, "deleted")
    (trial,) = trials(server, "deleted")
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="deleted")

    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="can't find a tuning job called deleted"):
        describe(server, "deleted")
    assert server.describe(trial["TrainingJobName"])["TrainingJobStatus"] == "Completed"


@pytest.mark.contract("4.7", "D", "a warm start names the best training job of itself and its parents")
def test_warm_start_has_the_overall_best_training_job(server):
    near = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3"]}]}
    far = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.8"]}]}
    create(server, "parent", jobs=1, parallel=1, ranges=near)
    parent = ended(server, "parent")
    create(server, "child", jobs=1, parallel=1, ranges=far, RandomSeed=1, Strategy="Bayesian", WarmStartConfig={
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    })  # fmt: skip

    assert (
        ended(server, "child")["OverallBestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
        == (parent["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"])
    )


@pytest.mark.contract("4.7", "D", "several definitions of training jobs have ranges and names of their own")
def test_several_definitions_are_tuned_side_by_side(server, sagemaker):
    wanted = tuning_request("several", jobs=4, parallel=2)
    definition, config = wanted.pop("TrainingJobDefinition"), wanted["HyperParameterTuningJobConfig"]
    objective = config.pop("HyperParameterTuningJobObjective")
    del config["ParameterRanges"]
    own = {**definition, "TuningObjective": objective, "HyperParameterRanges": RATE}
    wanted["TrainingJobDefinitions"] = [{**own, "DefinitionName": "one"}, {**own, "DefinitionName": "two"}]
    sagemaker.create_hyper_parameter_tuning_job(**wanted)

    assert ended(server, "several")["ObjectiveStatusCounters"]["Succeeded"] == 4
    names = [trial["TrainingJobDefinitionName"] for trial in trials(server, "several")]
    assert names == ["one", "two", "one", "two"]


INTEGER = {"Name": "n", "MinValue": "0", "MaxValue": "9"}


@pytest.mark.contract("4.7", "D", "refused: {case}")
@pytest.mark.parametrize(
    ("case", "fields", "words"),
    [
        ("Grid with a continuous range", {"Strategy": "Grid"}, "Grid search takes CategoricalParameterRanges only"),
        ("Grid with another number of training jobs than points", {"Strategy": "Grid", "ranges": GRID},
         "the grid has 6 points"),
        ("Hyperband with early stopping on",
         {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto", "static": {"epochs": "9"}}, "must be Off"),
        ("Hyperband without MaxResource", {"Strategy": "Hyperband"}, "Hyperband needs MaxResource"),
        ("more than 30 ranges",
         {"ranges": {**RATE, "IntegerParameterRanges": [{**INTEGER, "Name": f"n{n}"} for n in range(30)]}},
         "31 hyperparameters are tuned; at most 30"),
        ("Logarithmic scaling from zero",
         {"ranges": {"IntegerParameterRanges": [{**INTEGER, "ScalingType": "Logarithmic"}]}}, "above 0"),
        ("a hyperparameter that is static and tuned", {"static": {"rate": "1"}}, "'rate' is given 2 times"),
        ("a hyperparameter that is tuned twice",
         {"ranges": {**RATE, "IntegerParameterRanges": [{**INTEGER, "Name": "rate"}]}}, "'rate' is given 2 times"),
    ],
)  # fmt: skip
def test_request_that_sagemaker_refuses_is_refused(server, sagemaker, case, fields, words):
    with pytest.raises(ClientError, match=words):
        create(server, "refused", **fields)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        describe(server, "refused")


@pytest.mark.contract("4.7", "R", "refused: a name that another tuning job has, in AWS's words")
def test_name_of_another_tuning_job_is_refused(server, sagemaker):
    create(server, "twice", jobs=1, parallel=1)

    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="with the name, twice, already exists. Choose a diff"):
        create(server, "twice", jobs=1, parallel=1)
    ended(server, "twice")
