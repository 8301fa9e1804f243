"""Training jobs that do what a test says, in place of `jobs.service`; and tuning requests to be run with them."""

import copy
import threading

from local_mode.errors import JobStateError, LocalModeError, UnknownJobError
from local_mode.jobs.folder import JobFolder, jobs_folder

METRIC = "accuracy"
REQUEST = {
    "HyperParameterTuningJobName": "tune",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
            ],
            "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"adam"', '"sgd"']}],
        },
    },
    "TrainingJobDefinition": {
        "StaticHyperParameters": {"epochs": "9"},
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": METRIC, "Regex": "a=(.*)"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    },
}
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
GONE = object()


def changed(changes):
    """The request with other values at some paths."""
    request = copy.deepcopy(REQUEST)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = request
        for name in parents:
            place = place[name]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return request


class FakeJobs:
    """Has the jobs that were created, and ends them when it is told to."""

    def __init__(self, root):
        self._root = root
        self._lock = threading.Lock()
        self.records, self.listeners, self.requests = {}, {}, {}
        self.stopped = []
        self.refusal = None
        self.most = 0
        """Jobs that ran at the same time."""

    def create(self, document, parent=None):
        if self.refusal:
            raise LocalModeError(self.refusal)
        name = document["TrainingJobName"]
        with self._lock:
            self.requests[name] = document
            self.listeners[name] = parent.follow
            self.records[name] = {
                "TrainingJobName": name, "TrainingJobArn": f"arn:{name}", "TrainingJobStatus": "InProgress",
                "CreationTime": 1.0, "TuningJobArn": parent.arn,
            }  # fmt: skip
        self.most = max(self.most, len(self.running()))
        return self.describe(name)

    def describe(self, name):
        with self._lock:
            if name not in self.records:
                raise UnknownJobError(name)
            return copy.deepcopy(self.records[name])

    def stop(self, name):
        if self.describe(name)["TrainingJobStatus"] != "InProgress":
            raise JobStateError(name)
        self.stopped.append(name)
        self.end(name, status="Stopped")

    def curves(self, name):
        return {}

    def folder(self, name):
        return JobFolder(path=jobs_folder(self._root) / name)

    def running(self):
        with self._lock:
            return [name for name, record in self.records.items() if record["TrainingJobStatus"] == "InProgress"]

    def say(self, name, *values):
        """Emit points of the objective metric."""
        for value in values:
            self.records[name]["FinalMetricDataList"] = [{"MetricName": METRIC, "Value": value, "Timestamp": 1.0}]
            self.listeners[name].metric(METRIC, value, 1.0)

    def end(self, name, *values, status="Completed", reason=None):
        """Emit points, then end."""
        self.say(name, *values)
        with self._lock:
            self.records[name]["TrainingJobStatus"] = status
            if reason:
                self.records[name]["FailureReason"] = reason
        self.listeners[name].status(status, "")
