"""The request as code for the SageMaker SDK v2: a generic Estimator that sends the same request."""

from collections.abc import Mapping
from typing import Any

from scripts.submitting.code import Name, call, leaves, lines, literal, quoted, refuse

_WHAT = "An Estimator of the SDK v2"
_ESTIMATOR = {
    "AlgorithmSpecification.TrainingImage": "image_uri",
    "AlgorithmSpecification.TrainingInputMode": "input_mode",
    "AlgorithmSpecification.MetricDefinitions": "metric_definitions",
    "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": "enable_sagemaker_metrics",
    "AlgorithmSpecification.ContainerEntrypoint": "container_entry_point",
    "AlgorithmSpecification.ContainerArguments": "container_arguments",
    "RoleArn": "role",
    "ResourceConfig.InstanceType": "instance_type",
    "ResourceConfig.InstanceCount": "instance_count",
    "ResourceConfig.VolumeSizeInGB": "volume_size",
    "ResourceConfig.VolumeKmsKeyId": "volume_kms_key",
    "ResourceConfig.KeepAlivePeriodInSeconds": "keep_alive_period_in_seconds",
    "HyperParameters": "hyperparameters",
    "Environment": "environment",
    "OutputDataConfig.S3OutputPath": "output_path",
    "OutputDataConfig.KmsKeyId": "output_kms_key",
    "OutputDataConfig.CompressionType": "disable_output_compression",
    "EnableManagedSpotTraining": "use_spot_instances",
    "StoppingCondition.MaxRuntimeInSeconds": "max_run",
    "StoppingCondition.MaxWaitTimeInSeconds": "max_wait",
    "CheckpointConfig.S3Uri": "checkpoint_s3_uri",
    "CheckpointConfig.LocalPath": "checkpoint_local_path",
    "EnableNetworkIsolation": "enable_network_isolation",
    "EnableInterContainerTrafficEncryption": "encrypt_inter_container_traffic",
    "VpcConfig.Subnets": "subnets",
    "VpcConfig.SecurityGroupIds": "security_group_ids",
    "Tags": "tags",
}
"""By field of the request, the keyword that says it."""
_INPUT = {
    "DataSource.S3DataSource.S3Uri": "s3_data",
    "DataSource.S3DataSource.S3DataType": "s3_data_type",
    "DataSource.S3DataSource.S3DataDistributionType": "distribution",
    "DataSource.S3DataSource.AttributeNames": "attribute_names",
    "DataSource.S3DataSource.InstanceGroupNames": "instance_groups",
    "ContentType": "content_type",
    "InputMode": "input_mode",
    "CompressionType": "compression",
    "RecordWrapperType": "record_wrapping",
    "ShuffleConfig.Seed": "shuffle_config",
}
"""The same of a channel."""


def code(request: Mapping[str, Any]) -> str:
    """A program that creates the job and waits for its end.

    Raises:
        SubmitError: The request holds what an Estimator cannot say.
    """
    name = Name.of(request)
    rest = {key: value for key, value in request.items() if key not in ("TrainingJobName", "InputDataConfig")}
    fields = dict(leaves(rest, _ESTIMATOR))
    channels = {channel["ChannelName"]: _fields(channel) for channel in request.get("InputDataConfig", [])}
    unknown = [f"InputDataConfig.{path}" for each in channels.values() for path in each if path not in _INPUT]
    refuse({*(path for path in fields if path not in _ESTIMATOR), *unknown}, _WHAT)
    arguments = {
        _ESTIMATOR[path]: repr(value == "NONE") if path.endswith(".CompressionType") else literal(value, name, 1)
        for path, value in fields.items()
    }
    # The SDK would add both of its own accord, in a bucket of its own.
    arguments |= {"disable_profiler": "True", "debugger_hook_config": "False"}
    shuffled = any("ShuffleConfig.Seed" in each for each in channels.values())
    inputs = lines("{", (f"{quoted(key)}: {_input(each, name)}" for key, each in channels.items()), "}", 1)
    fit = {**({"inputs": inputs} if channels else {}), "job_name": "NAME"}
    return "\n".join(
        (
            f'"""{name.base}, for the SageMaker SDK v2: pip install "sagemaker<3"."""',
            "",
            *(() if name.base == name.whole else ("import time", "")),
            "from sagemaker.estimator import Estimator",
            *(
                [f"from sagemaker.inputs import {'ShuffleConfig, ' if shuffled else ''}TrainingInput"]
                if channels
                else []
            ),
            "",
            name.assignment,
            "",
            f"estimator = {call('Estimator', arguments)}",
            call("estimator.fit", fit),
            "print(f\"{NAME}: {estimator.latest_training_job.describe()['TrainingJobStatus']}\")",
            "",
        )
    )


def _fields(channel: Mapping[str, Any]) -> dict[str, Any]:
    return dict(leaves({key: value for key, value in channel.items() if key != "ChannelName"}, _INPUT))


def _input(fields: Mapping[str, Any], name: Name) -> str:
    arguments = {
        _INPUT[path]: f"ShuffleConfig({value})" if path == "ShuffleConfig.Seed" else literal(value, name, 3)
        for path, value in fields.items()
    }
    return call("TrainingInput", arguments, 2)
