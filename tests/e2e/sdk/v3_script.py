"""What a user of the SageMaker SDK v3 types to run a script of his own; nothing here knows local_mode.

Run:  python v3_script.py IMAGE SOURCE_DIR
"""

import json
import sys

from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode


def main(image: str, source_dir: str) -> dict:
    """The job's end."""
    trainer = ModelTrainer(
        training_image=image,
        role="any",
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        source_code=SourceCode(source_dir=source_dir, entry_script="train.py"),
        hyperparameters={"epochs": 2},
    )
    trainer.train(wait=True, logs=True)
    job = trainer._latest_training_job
    return {
        "name": job.training_job_name,
        "status": job.training_job_status,
        "model": job.model_artifacts.s3_model_artifacts,
    }


if __name__ == "__main__":
    print("ANSWER", json.dumps(main(*sys.argv[1:])))
