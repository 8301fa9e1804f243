"""What a user of the SageMaker SDK v2 types to tune; nothing here knows local_mode. Prints what came of it as JSON.

Run:  python v2_tuner.py IMAGE    a Bayesian search, its table, its best job, a warm start from it, and one stopped
"""

import json
import sys

import sagemaker
from sagemaker.analytics import HyperparameterTuningJobAnalytics
from sagemaker.estimator import Estimator
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter

SCORE = [{"Name": "score", "Regex": r"score=([0-9.]+);"}]
RANGES = {
    "rate": ContinuousParameter(0.001, 0.9, scaling_type="Logarithmic"),
    "depth": IntegerParameter(2, 8),
    "optimizer": CategoricalParameter(["adam", "sgd"]),
}


def estimator(image: str, act: str) -> Estimator:
    """What is tuned; at its best with a rate of 0.3."""
    return Estimator(
        image_uri=image, role="any", instance_count=1, instance_type="ml.m5.large", hyperparameters={"act": act}
    )


def table(tuner: HyperparameterTuner) -> list[dict]:
    """The rows of the analytics' data frame, best first."""
    frame = tuner.analytics().dataframe()
    rows = frame.sort_values("FinalObjectiveValue", ascending=False).to_dict("records")
    return [{key: value for key, value in row.items() if not key.endswith("Time")} for row in rows]


def main(image: str) -> dict:
    """A search, and all that can be done with it afterwards."""
    tuner = HyperparameterTuner(
        estimator(image, '["learn", 3]'), "score", RANGES, SCORE, max_jobs=6, max_parallel_jobs=2, random_seed=7,
        early_stopping_type="Auto", base_tuning_job_name="sdk",
    )  # fmt: skip
    tuner.fit()
    best = tuner.best_estimator()
    name = tuner.latest_tuning_job.name
    again = HyperparameterTuner.attach(name).identical_dataset_and_algorithm_tuner()
    again.max_jobs, again.base_tuning_job_name = 2, "warm"
    again.metric_definitions = SCORE  # which the SDK forgets
    again.fit()
    long = HyperparameterTuner(estimator(image, '["wait_for_stop"]'), "score", RANGES, SCORE, max_jobs=2)
    long.fit(wait=False)
    long.stop_tuning_job()
    long.latest_tuning_job.wait()
    return {
        "name": name,
        "table": table(tuner),
        "best": tuner.best_training_job(),
        "model_data": best.model_data,
        "static": best.hyperparameters(),
        "ranges": tuner.analytics().tuning_ranges,
        "described": HyperparameterTuningJobAnalytics(name, sagemaker_session=sagemaker.Session()).name,
        "warm": again.describe()["WarmStartConfig"],
        "overall": again.describe()["OverallBestTrainingJob"]["TrainingJobName"],
        "stopped": long.describe()["HyperParameterTuningJobStatus"],
    }


if __name__ == "__main__":
    print(f"\nANSWER {json.dumps(main(*sys.argv[1:]))}")
