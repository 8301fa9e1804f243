"""What a user of the SageMaker SDK v3 types; nothing here knows local_mode. Prints what came of it as JSON.

Run:  python v3_trainer.py defaults IMAGE SOURCE_DIR    default bucket, role looked up, source upload, a failure
      python v3_trainer.py request REQUEST.json         one job, as a CreateTrainingJob request says
"""

import json
import sys
from pathlib import Path

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import Channel, DataSource, MetricDefinition, S3DataSource
from sagemaker.core.training.configs import OutputDataConfig, StoppingCondition, Tag
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

ROLE = "any"
SIZE = Compute(instance_type="ml.m5.large", instance_count=1)


def defaults(image: str, source_dir: str) -> dict:
    """Jobs on the paths that the SDK chooses by itself."""
    session = Session()
    bucket = session.default_bucket()
    data = session.upload_data(f"{source_dir}/train.py", key_prefix="in")
    good = ModelTrainer(
        training_image=image, role=ROLE, compute=SIZE, training_input_mode="Pipe", hyperparameters={"act": '["epochs"]'}
    ).with_metric_definitions([MetricDefinition(name="loss", regex="loss=([0-9.]+)")])
    good.train(input_data_config=[channel("train", data.rpartition("/")[0])])
    job = good._latest_training_job
    bad = ModelTrainer(training_image=image, role=ROLE, compute=SIZE, hyperparameters={"act": '["end", 3, "why"]'})
    try:
        bad.train(logs=False)
        reason = ""
    except FailedStatusError as error:
        reason = str(error)
    code = SourceCode(source_dir=source_dir, entry_script="train.py")
    script = ModelTrainer(training_image=image, role=ROLE, compute=SIZE, source_code=code)
    script.train(wait=False, logs=False)
    channels = {item.channel_name: item.data_source for item in script._latest_training_job.input_data_config}
    prefix = channels["code"].s3_data_source.s3_uri.removeprefix(f"s3://{bucket}/")
    s3 = boto3.client("s3")
    model = job.model_artifacts.s3_model_artifacts
    return {
        "account": boto3.client("sts").get_caller_identity()["Account"],
        "bucket": bucket,
        "status": job.training_job_status,
        "metrics": {item.metric_name: item.value for item in job.final_metric_data_list},
        "model_data": model,
        "model_bytes": s3.head_object(Bucket=bucket, Key=model.removeprefix(f"s3://{bucket}/"))["ContentLength"],
        "reason": reason,
        "code": [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]],
        "channels": sorted(channels),
    }


def channel(name: str, uri: str, content_type: str | None = None) -> Channel:
    """A channel in the job's own input mode; the SDK's shorter form would make it File."""
    objects = S3DataSource(s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated")
    more = {"content_type": content_type} if content_type else {}
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=objects), **more)


def request(path: str) -> dict:
    """The job of a request, as the SDK has its fields."""
    wanted = json.loads(Path(path).read_text())
    algorithm, (train,) = wanted["AlgorithmSpecification"], wanted["InputDataConfig"]
    metrics = [MetricDefinition(name=item["Name"], regex=item["Regex"]) for item in algorithm["MetricDefinitions"]]
    resources = wanted["ResourceConfig"]
    trainer = ModelTrainer(
        training_image=algorithm["TrainingImage"],
        training_input_mode=algorithm["TrainingInputMode"],
        role=wanted["RoleArn"],
        base_job_name=wanted["TrainingJobName"],
        output_data_config=OutputDataConfig(s3_output_path=wanted["OutputDataConfig"]["S3OutputPath"]),
        hyperparameters=wanted["HyperParameters"],
        environment=wanted["Environment"],
        compute=Compute(
            instance_type=resources["InstanceType"],
            instance_count=resources["InstanceCount"],
            volume_size_in_gb=resources["VolumeSizeInGB"],
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=wanted["StoppingCondition"]["MaxRuntimeInSeconds"]),
        tags=[Tag(key=tag["Key"], value=tag["Value"]) for tag in wanted["Tags"]],
    ).with_metric_definitions(metrics)
    uri = train["DataSource"]["S3DataSource"]["S3Uri"]
    trainer.train(input_data_config=[channel(train["ChannelName"], uri, train["ContentType"])], logs=False)
    return {"name": trainer._latest_training_job.training_job_name}


if __name__ == "__main__":
    print(f"\nANSWER {json.dumps({'defaults': defaults, 'request': request}[sys.argv[1]](*sys.argv[2:]))}")
