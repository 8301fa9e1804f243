"""Tuning jobs of the contract suite: requests, and what there is to be seen of a tuning job."""

import json

from tests.contract.endpoint import request
from tests.contract.lab import eventually

OVER = ("Completed", "Failed", "Stopped")
RATE = {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.0", "MaxValue": "1.0"}]}
SCORE = [{"Name": "score", "Regex": r"score=([0-9.]+);"}]


def tuning_request(name, act=("learn",), *, ranges=None, metrics=SCORE, jobs=4, parallel=2, static=None, **fields):
    """A CreateHyperParameterTuningJob request whose training jobs do `act`; `fields` are of its config, or its own."""
    whole = request("unused", list(act), algorithm={"MetricDefinitions": metrics})
    keys = ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    own = ("Tags", "WarmStartConfig", "Autotune", "TrainingJobDefinition", "TrainingJobDefinitions")
    limits = {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel, **fields.pop("limits", {})}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {key: value for key, value in limits.items() if value is not None},
            "ParameterRanges": RATE if ranges is None else ranges,
            **{key: value for key, value in fields.items() if key not in own},
        },
        "TrainingJobDefinition": {
            **{key: whole[key] for key in keys},
            "StaticHyperParameters": {"act": json.dumps(list(act)), **(static or {})},
        },
        **{key: value for key, value in fields.items() if key in own},
    }


def create(server, name, *arguments, **fields):
    """Create a tuning job; its answer."""
    wanted = tuning_request(name, *arguments, **fields)
    return server.client("sagemaker").create_hyper_parameter_tuning_job(**wanted)


def describe(server, name):
    return server.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def ended(server, name, seconds=60):
    """The description of a tuning job at its end."""
    eventually(lambda: describe(server, name)["HyperParameterTuningJobStatus"] in OVER, seconds)
    return describe(server, name)


def trials(server, name, **fields):
    """Summaries of its training jobs."""
    client = server.client("sagemaker")
    wanted = {"HyperParameterTuningJobName": name, "MaxResults": 100, **fields}
    return client.list_training_jobs_for_hyper_parameter_tuning_job(**wanted)["TrainingJobSummaries"]


def value(trial):
    return trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
