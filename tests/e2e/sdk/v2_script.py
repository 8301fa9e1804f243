"""What a user of the SageMaker SDK v2 types to run a script of his own; nothing here knows local_mode.

Run:  python v2_script.py IMAGE SOURCE_DIR
"""

import json
import sys

from sagemaker.estimator import Estimator


def main(image: str, source_dir: str) -> dict:
    """The job's end, its log on stdout."""
    estimator = Estimator(
        image_uri=image,
        role="any",
        instance_count=1,
        instance_type="ml.m5.large",
        entry_point="train.py",
        source_dir=source_dir,
        hyperparameters={"epochs": 2},
    )
    estimator.fit(logs="All")
    described = estimator.latest_training_job.describe()
    return {"status": described["TrainingJobStatus"], "model": estimator.model_data}


if __name__ == "__main__":
    print("ANSWER", json.dumps(main(*sys.argv[1:])))
