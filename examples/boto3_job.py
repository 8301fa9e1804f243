"""A training job by boto3 alone, for the endpoint of `make local-up` as for AWS; the README shows it."""

import time
from pathlib import Path

import boto3

BUCKET, NAME = "my-bucket", f"boto3-{time.time_ns()}"
DATA = Path(".local_mode/data/cifar10-sample")  # `make local-train` drew it
LOGS = "/aws/sagemaker/TrainingJobs"

s3, sagemaker, logs = (boto3.client(service) for service in ("s3", "sagemaker", "logs"))
region = s3.meta.region_name
here = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=BUCKET, **here)
channels = []
for channel in ("train", "validation"):
    for path in sorted((DATA / channel).iterdir()):
        s3.upload_file(str(path), BUCKET, f"{channel}/{path.name}")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{channel}/"}
    channels.append({"ChannelName": channel, "DataSource": {"S3DataSource": source}})

sagemaker.create_training_job(
    TrainingJobName=NAME,
    RoleArn="arn:aws:iam::123456789012:role/any",
    AlgorithmSpecification={
        "TrainingImage": "vision-training-pytorch:dev",  # in Docker if it is built, else what local-train made
        "TrainingInputMode": "Pipe",
        "MetricDefinitions": [{"Name": "validation:accuracy", "Regex": r"validation:accuracy=([0-9.]+);"}],
    },
    HyperParameters={"epochs": "2", "learning_rate": "0.05"},
    InputDataConfig=channels,
    OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
    ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
while (job := sagemaker.describe_training_job(TrainingJobName=NAME))["TrainingJobStatus"] in ("InProgress", "Stopping"):
    time.sleep(1)
print(f"{NAME}: {job['TrainingJobStatus']} {job.get('FailureReason', '')}")
for stream in logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{NAME}/")["logStreams"]:
    place = {"logGroupName": LOGS, "logStreamName": stream["logStreamName"]}
    for event in logs.get_log_events(**place, startFromHead=True)["events"]:
        print(event["message"])
if job["TrainingJobStatus"] != "Completed":
    raise SystemExit(1)
for metric in job["FinalMetricDataList"]:
    print(f"{metric['MetricName']} = {metric['Value']:.3f}")
s3.download_file(BUCKET, f"models/{NAME}/output/model.tar.gz", "model.tar.gz")
