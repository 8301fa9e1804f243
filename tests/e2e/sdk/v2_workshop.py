"""The workshop's tuning, as its notebooks type it with the SageMaker SDK v2; nothing here knows local_mode.

Run:  python v2_workshop.py FRAMEWORK IMAGE PREFIX EPOCHS    6 jobs, 2 at a time, on channels below PREFIX; prints JSON
"""

import json
import sys

from sagemaker.estimator import Estimator
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner

OBJECTIVE = "validation:accuracy"
BATCHES = CategoricalParameter([64, 128, 256])
PLANS = {
    "keras": {
        "learning_rate": ContinuousParameter(1e-5, 1e-3),
        "batch_size": BATCHES,
        "optimizer": CategoricalParameter(["sgd", "adam", "rmsprop"]),
    },
    "pytorch": {"learning_rate": ContinuousParameter(1e-3, 1e-1), "batch_size": BATCHES},
}


def main(framework: str, image: str, prefix: str, epochs: str) -> dict:
    """The search, and its table."""
    estimator = Estimator(
        image_uri=image, role="any", instance_count=1, instance_type="ml.g5.xlarge", input_mode="Pipe", max_run=3600,
        hyperparameters={"dataset": "cifar10", "epochs": epochs},
    )  # fmt: skip
    tuner = HyperparameterTuner(
        estimator,
        OBJECTIVE,
        PLANS[framework],
        [{"Name": OBJECTIVE, "Regex": rf"(?:^|\s){OBJECTIVE}=([0-9.]+);"}],
        max_jobs=6,
        max_parallel_jobs=2,
        base_tuning_job_name=framework,
        tags=[{"Key": "local_mode:start", "Value": "fork"}],
    )
    tuner.fit({name: f"{prefix}/{name}/" for name in ("train", "validation")})
    frame = tuner.analytics().dataframe()
    return {
        "status": tuner.describe()["HyperParameterTuningJobStatus"],
        "trials": frame[["TrainingJobName", "TrainingJobStatus", "FinalObjectiveValue", *PLANS[framework]]].to_dict(
            "records"
        ),
        "best": tuner.best_training_job(),
        "model_data": tuner.best_estimator().model_data,
    }


if __name__ == "__main__":
    print(f"\nANSWER {json.dumps(main(*sys.argv[1:]))}")
