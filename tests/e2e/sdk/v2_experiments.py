"""What a user of the SageMaker SDK v2 types to track experiments; nothing here knows local_mode. Prints JSON.

Run:  python v2_experiments.py IMAGE    a run, a training job in it, one by experiment_config, the table of both
"""

import json
import sys

import boto3
from sagemaker.analytics import ExperimentAnalytics, TrainingJobAnalytics
from sagemaker.estimator import Estimator
from sagemaker.experiments import Run, list_runs, load_run
from sagemaker.experiments.experiment import Experiment
from sagemaker.session import Session

SCORE = [{"Name": "score", "Regex": r"score=([0-9.]+);"}]


def estimator(image: str) -> Estimator:
    """What is tracked."""
    return Estimator(
        image_uri=image, role="any", instance_count=1, instance_type="ml.m5.large", metric_definitions=SCORE,
        hyperparameters={"act": '["learn", 3]', "rate": 0.1},
    )  # fmt: skip


def main(image: str) -> dict:
    """Everything of an experiment's life."""
    session = Session()
    with Run(experiment_name="workshop", run_name="by-run", sagemaker_session=session) as run:
        run.log_parameter("batch", 64)
        run.log_parameters({"optimizer": "adam"})
        for step in range(3):
            run.log_metric(name="loss", value=1.0 / (step + 1), step=step)
        inside = estimator(image)
        inside.fit(logs=False)
        config = run.experiment_config
    with load_run(experiment_name="workshop", run_name="by-run", sagemaker_session=session) as again:
        again.log_parameter("later", 1)
    classic = estimator(image)
    names = {key: config[key] for key in ("ExperimentName", "TrialName")}
    classic.fit(experiment_config={**names, "TrialComponentDisplayName": "Training"}, logs=False)
    frame = ExperimentAnalytics(
        experiment_name="workshop", sort_by="CreationTime", sagemaker_session=session
    ).dataframe()
    best = ExperimentAnalytics(
        search_expression={"Filters": [{"Name": "DisplayName", "Operator": "Equals", "Value": "Training"}]},
        sort_by="metrics.score.max", metric_names=["score"], parameter_names=["rate"], sagemaker_session=session,
    ).dataframe()  # fmt: skip
    runs = [each.run_name for each in list_runs("workshop", sagemaker_session=session)]
    jobs = [each.latest_training_job.name for each in (inside, classic)]
    curve = TrainingJobAnalytics(jobs[0], ["score"], sagemaker_session=session).name
    Experiment.load("workshop", sagemaker_session=session)._delete_all(action="--force")
    left = boto3.client("sagemaker").list_experiments()["ExperimentSummaries"]
    return {
        "rows": json.loads(frame.to_json(orient="records")),
        "best": json.loads(best.to_json(orient="records")),
        "runs": runs,
        "jobs": jobs,
        "config": inside.latest_training_job.describe()["ExperimentConfig"],
        "curve": curve,
        "left": [each["ExperimentName"] for each in left],
    }


if __name__ == "__main__":
    print("ANSWER", json.dumps(main(sys.argv[1])))
