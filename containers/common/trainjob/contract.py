"""The contract between SageMaker and a training container, as names; no I/O.

`trainjob` reads what stands here, `local_mode` writes it; nothing else is shared between the two.
Sources: the SageMaker Developer Guide ("How Amazon SageMaker runs your training image", "... provides
training information", "... signals success and failure") and the CreateTrainingJob API model.
"""

from dataclasses import dataclass
from pathlib import Path

# --- environment variables the platform sets ------------------------------------------------------
TRAINING_JOB_NAME = "TRAINING_JOB_NAME"
TRAINING_JOB_ARN = "TRAINING_JOB_ARN"
AWS_REGION = "AWS_REGION"

# --- environment variables of sagemaker-training, honoured by trainjob too ------------------------
BASE_DIR = "SAGEMAKER_BASE_DIR"
"""Folder that stands in for /opt/ml; for machines where that path cannot be had."""
TRAINING_MODULE = "SAGEMAKER_TRAINING_MODULE"
"""`module:function` that sagemaker-training's `train` calls instead of its own runner."""
PROGRAM = "SAGEMAKER_PROGRAM"
"""Entry point of script mode; wins over the hyperparameter `sagemaker_program`."""

# --- environment variables of local_mode alone ----------------------------------------------------
THREADS = "LOCAL_MODE_THREADS"
"""Where programs share a machine: how many threads OMP_NUM_THREADS tells each to make; a host's ranks divide them."""

# --- hyperparameters that belong to the platform or the SDKs, never to the program ----------------
HP_PROGRAM = "sagemaker_program"
HP_SUBMIT_DIRECTORY = "sagemaker_submit_directory"
HP_TORCH_DISTRIBUTED = "sagemaker_torch_distributed_enabled"
HP_TUNING_METRIC = "_tuning_objective_metric"
RESERVED_HP_PREFIX = "sagemaker_"

# --- start, stop, end -----------------------------------------------------------------------------
TRAIN_ARGUMENT = "train"
"""The one argument of the container when the request sets neither entry point nor arguments."""
STOP_GRACE_SECONDS = 120
"""SIGTERM to PID 1, SIGKILL this long after (StopTrainingJob)."""
FAILURE_LIMIT = 1024
"""Characters of output/failure that become FailureReason."""
EXIT_SUCCESS = 0
EXIT_FAILURE = 1
SIGNAL_BASE = 128
"""A program that signal n ended has exit code 128 + n, as a shell counts."""

# --- keys of the three documented config files ----------------------------------------------------
INPUT_MODE = "TrainingInputMode"
CONTENT_TYPE = "ContentType"
DISTRIBUTION = "S3DistributionType"
RECORD_WRAPPER = "RecordWrapperType"
CURRENT_HOST = "current_host"
HOSTS = "hosts"
NETWORK_INTERFACE = "network_interface_name"
INSTANCE_TYPE = "current_instance_type"
GROUP_NAME = "current_group_name"
INSTANCE_GROUPS = "instance_groups"
DEFAULT_GROUP = "homogeneousCluster"
SHARDED = "ShardedByS3Key"
"""Of DISTRIBUTION: every host gets objects of its own, and perhaps none."""

FILE = "File"
FAST_FILE = "FastFile"
PIPE = "Pipe"
INPUT_MODES = (FILE, FAST_FILE, PIPE)

# --- marks beside checkpoints ---------------------------------------------------------------------
NOT_SYNCED_SUFFIX = ".sagemaker-ignore"
"""The platform leaves files of this ending alone: the name for a checkpoint half written."""
UPLOADING_SUFFIX = ".sagemaker-uploading"
UPLOADED_SUFFIX = ".sagemaker-uploaded"


@dataclass(frozen=True)
class Paths:
    """The tree below /opt/ml, or below a folder that stands in for it."""

    base: Path = Path("/opt/ml")
    fifos: Path | None = None
    """Where this process finds its FIFOs, if that is not where the platform makes them."""

    @property
    def input(self) -> Path:
        """What the platform gives the container."""
        return self.base / "input"

    @property
    def config(self) -> Path:
        """The platform's config files."""
        return self.input / "config"

    @property
    def hyperparameters(self) -> Path:
        """A flat object of strings."""
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        """One entry a channel."""
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        """Hosts, instance type, network interface."""
        return self.config / "resourceconfig.json"

    @property
    def checkpoint_config(self) -> Path:
        """Written only when the job has a CheckpointConfig; not documented by AWS."""
        return self.config / "checkpointconfig.json"

    @property
    def data(self) -> Path:
        """Channels: folders and FIFOs."""
        return self.input / "data"

    def channel(self, name: str) -> Path:
        """The folder of a channel in File or FastFile mode; it does not exist in Pipe mode."""
        return self.data / name

    def fifo(self, name: str, epoch: int) -> Path:
        """The FIFO of a Pipe-mode channel for one epoch, counted from 0 by the container's own reads."""
        return (self.fifos or self.data) / f"{name}_{epoch}"

    @property
    def model(self) -> Path:
        """Its contents become model.tar.gz."""
        return self.base / "model"

    @property
    def output(self) -> Path:
        """What the job leaves beside its model."""
        return self.base / "output"

    @property
    def output_data(self) -> Path:
        """Its contents become output.tar.gz."""
        return self.output / "data"

    @property
    def failure(self) -> Path:
        """Its first FAILURE_LIMIT characters become FailureReason."""
        return self.output / "failure"

    @property
    def checkpoints(self) -> Path:
        """Kept outside the container while the job runs, if it has a CheckpointConfig."""
        return self.base / "checkpoints"

    @property
    def code(self) -> Path:
        """The user's own code in script mode."""
        return self.base / "code"


def exit_code(returned: int) -> int:
    """As a shell counts, of what Python's own calls return: -n after signal n."""
    return SIGNAL_BASE - returned if returned < 0 else returned
