"""What a user of the SageMaker SDK v2 types; nothing here knows local_mode. Prints what came of it as JSON.

Run:  python v2_estimator.py defaults IMAGE SOURCE_DIR    default bucket, source upload, a failure
      python v2_estimator.py request REQUEST.json         one job, as a CreateTrainingJob request says
"""

import json
import sys
from pathlib import Path

import boto3
import sagemaker
from sagemaker.debugger import TensorBoardOutputConfig
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput

ROLE = "any"
SIZE = {"instance_count": 1, "instance_type": "ml.m5.large"}
LOSS = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]


def defaults(image: str, source_dir: str) -> dict:
    """Jobs on the paths that the SDK chooses by itself."""
    session = sagemaker.Session()
    bucket = session.default_bucket()
    data = session.upload_data(f"{source_dir}/train.py", key_prefix="in")
    common = {"image_uri": image, "role": ROLE, **SIZE}
    good = Estimator(
        **common,
        input_mode="Pipe",
        hyperparameters={"act": '["epochs"]'},
        metric_definitions=LOSS,
        tags=[{"Key": "team", "Value": "vision"}],
        subnets=["subnet-1"],
        security_group_ids=["sg-1"],
        output_kms_key="a-key",
        tensorboard_output_config=TensorBoardOutputConfig(f"s3://{bucket}/boards"),
    )
    good.fit({"train": TrainingInput(data.rpartition("/")[0])}, logs="All")
    described = good.latest_training_job.describe()
    bad = Estimator(**common, hyperparameters={"act": '["end", 3, "why"]'})
    try:
        bad.fit(logs="None")
        reason = ""
    except UnexpectedStatusException as error:
        reason = str(error)
    script = Estimator(**common, entry_point="train.py", source_dir=source_dir, hyperparameters={"epochs": 1})
    script.fit(wait=False, logs=False)
    sent = script.latest_training_job.describe()["HyperParameters"]
    code = json.loads(sent["sagemaker_submit_directory"]).removeprefix(f"s3://{bucket}/")
    s3 = boto3.client("s3")
    return {
        "account": session.account_id(),
        "bucket": bucket,
        "role": session.expand_role("any"),
        "status": described["TrainingJobStatus"],
        "metrics": {item["MetricName"]: item["Value"] for item in described["FinalMetricDataList"]},
        "recorded": [described["VpcConfig"], described["OutputDataConfig"]["KmsKeyId"]],
        "board": [good.latest_job_tensorboard_artifacts_path(), described["TrainingJobName"]],
        "model_data": good.model_data,
        "model_bytes": s3.head_object(Bucket=bucket, Key=good.model_data.removeprefix(f"s3://{bucket}/"))[
            "ContentLength"
        ],
        "reason": reason,
        "code": code,
        "code_bytes": s3.head_object(Bucket=bucket, Key=code)["ContentLength"],
    }


def request(path: str) -> dict:
    """The job of a request, as the SDK has its fields."""
    wanted = json.loads(Path(path).read_text())
    algorithm, (channel,) = wanted["AlgorithmSpecification"], wanted["InputDataConfig"]
    estimator = Estimator(
        image_uri=algorithm["TrainingImage"],
        input_mode=algorithm["TrainingInputMode"],
        metric_definitions=algorithm["MetricDefinitions"],
        role=wanted["RoleArn"],
        output_path=wanted["OutputDataConfig"]["S3OutputPath"],
        hyperparameters=wanted["HyperParameters"],
        environment=wanted["Environment"],
        instance_type=wanted["ResourceConfig"]["InstanceType"],
        instance_count=wanted["ResourceConfig"]["InstanceCount"],
        volume_size=wanted["ResourceConfig"]["VolumeSizeInGB"],
        max_run=wanted["StoppingCondition"]["MaxRuntimeInSeconds"],
        tags=wanted["Tags"],
    )
    source = channel["DataSource"]["S3DataSource"]
    estimator.fit(
        {channel["ChannelName"]: TrainingInput(source["S3Uri"], content_type=channel["ContentType"])},
        job_name=wanted["TrainingJobName"],
        logs="None",
    )
    return {}


if __name__ == "__main__":
    print(f"\nANSWER {json.dumps({'defaults': defaults, 'request': request}[sys.argv[1]](*sys.argv[2:]))}")
