"""An image in the SageMaker SDK v2's own local mode, docker compose; nothing here knows local_mode. Prints JSON.

Run:  python v2_local_mode.py IMAGE FOLDER HYPERPARAMETERS CHANNELS       JSON; channels map names to folders
"""

import json
import logging
import sys
import time
from pathlib import Path

import boto3
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession


def main(image: str, folder: str, hyperparameters: str, channels: str) -> None:
    """One job; what is left of it below FOLDER."""
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    Path(folder, "scratch").mkdir(parents=True)
    session = LocalSession(boto3.Session(region_name="us-east-1"))
    session.config = {"local": {"local_code": True, "container_root": f"{folder}/scratch"}}
    estimator = Estimator(
        image_uri=image,
        role="arn:aws:iam::123456789012:role/any",
        instance_count=1,
        instance_type="local",
        output_path=f"file://{folder}",
        sagemaker_session=session,
        hyperparameters=json.loads(hyperparameters),
    )
    begun = time.perf_counter()
    estimator.fit({name: f"file://{path}" for name, path in json.loads(channels).items()})
    seconds = time.perf_counter() - begun
    described = session.sagemaker_client.describe_training_job(estimator.latest_training_job.name)
    answer = {
        "status": described["TrainingJobStatus"],
        "model": estimator.model_data,
        "seconds": seconds,
    }
    print(f"\nANSWER {json.dumps(answer)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
