"""What a user of the SageMaker SDK v2 types; nothing here knows local_mode. Prints what came of it as JSON.

Run:  python v2_estimator.py IMAGE BUCKET
"""

import json
import sys

import boto3
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput


def main(image: str, bucket: str) -> None:
    """Two jobs: one that ends well, one that does not."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in/a.txt", Body=b"alpha")
    common = {
        "image_uri": image,
        "role": "any",
        "instance_count": 1,
        "instance_type": "ml.m5.large",
        "output_path": f"s3://{bucket}/out",
    }
    good = Estimator(
        **common,
        input_mode="Pipe",
        hyperparameters={"act": '["epochs"]'},
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        tags=[{"Key": "team", "Value": "vision"}],
    )
    good.fit({"train": TrainingInput(f"s3://{bucket}/in/")}, logs="All")
    described = good.latest_training_job.describe()
    key = good.model_data.removeprefix(f"s3://{bucket}/")
    bad = Estimator(**common, hyperparameters={"act": '["end", 3, "why"]'})
    try:
        bad.fit(logs="None")
        reason = ""
    except UnexpectedStatusException as error:
        reason = str(error)
    answer = {
        "status": described["TrainingJobStatus"],
        "metrics": {item["MetricName"]: item["Value"] for item in described["FinalMetricDataList"]},
        "model_bytes": s3.head_object(Bucket=bucket, Key=key)["ContentLength"],
        "reason": reason,
    }
    print(f"\nANSWER {json.dumps(answer)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
