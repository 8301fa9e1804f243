"""A training job as it is asked for: CreateTrainingJob's request, in its own field names.

`parse` reads one from JSON. A field the API has and local_mode does not honour yet is refused, never dropped.
"""

# ruff: noqa: RUF009  # the calls in the defaults make dataclass fields

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_mode.instance.cluster import Cluster, alike, cluster
from local_mode.jobs.shapes import later, optional, recorded, required

_ROLE = r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_ENTITY = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}"
_DAY = 86_400
_SERVERLESS = "only serverless jobs, which local_mode does not run, do without it"


@dataclass(frozen=True, kw_only=True)
class MetricDefinition:
    """A metric and the regular expression that finds its values in the log."""

    Name: str = required(least=1, most=255)
    Regex: str = required(least=1, most=500)
    """Group 1 is the value."""


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The image and how it is started."""

    TrainingImage: str = required(least=1, most=255, because="name the image: local_mode has no algorithms by name")
    TrainingInputMode: str = required(choices=("File", "FastFile", "Pipe"))
    """Of channels that name no InputMode of their own."""
    MetricDefinitions: tuple[MetricDefinition, ...] = optional((), most=40)
    ContainerEntrypoint: tuple[str, ...] | None = optional(None, least=1, most=100, value_most=256)
    ContainerArguments: tuple[str, ...] | None = optional(None, least=1, most=100, value_most=256)
    EnableSageMakerMetricsTimeSeries: Any = recorded()
    AlgorithmName: Any = later("run algorithms by name")
    TrainingImageConfig: Any = later("pull images from a registry of one's own")


@dataclass(frozen=True, kw_only=True)
class S3Objects:
    """Where a channel's objects are."""

    S3DataType: str = required(choices=("S3Prefix", "ManifestFile", "AugmentedManifestFile"))
    S3Uri: str = required(least=1, most=1024)
    """A folder path or file:// URI here; of a manifest its own key, else matched as a textual prefix, as S3 does."""
    S3DataDistributionType: str = optional("FullyReplicated", choices=("FullyReplicated", "ShardedByS3Key"))
    """Sharded, every host gets objects of its own."""
    AttributeNames: tuple[str, ...] = optional((), most=16, value_most=256)
    """Of an augmented manifest: what becomes a record, in this order."""
    InstanceGroupNames: tuple[str, ...] = optional((), most=5, value_most=64)
    """The groups whose hosts get the channel; all where none is named."""
    ModelAccessConfig: Any = later("accept model licences")
    HubAccessConfig: Any = later("read from model hubs")


@dataclass(frozen=True, kw_only=True)
class ChannelSource:
    """Where a channel's data is."""

    S3DataSource: S3Objects = required()
    FileSystemDataSource: Any = later("mount EFS or FSx file systems")
    DatasetSource: Any = later("read SageMaker's data sets")


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """That a channel's objects, or its manifest's lines, come in another order in every epoch."""

    Seed: int = required(least=-(1 << 63), most=(1 << 63) - 1)
    """Equal seeds give equal orders."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One named input."""

    ChannelName: str = required(pattern=r"[A-Za-z0-9.\-_]+", least=1, most=64)
    DataSource: ChannelSource = required()
    ContentType: str | None = optional(None, most=256)
    InputMode: str | None = optional(None, choices=("File", "FastFile", "Pipe"))
    CompressionType: str = optional("None", choices=("None", "Gzip"))
    RecordWrapperType: str = optional("None", choices=("None", "RecordIO"))
    ShuffleConfig: Shuffle | None = optional()


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where artifacts go."""

    S3OutputPath: str = required(most=1024)
    """A folder path or file:// URI here."""
    KmsKeyId: Any = recorded()
    CompressionType: str = optional("GZIP", choices=("GZIP", "NONE"))

    @property
    def is_compressed(self) -> bool:
        """Whether artifacts are archives."""
        return self.CompressionType == "GZIP"


_INSTANCE_TYPE = r"ml\.[a-z0-9\-]+\.[a-z0-9\-]+"


@dataclass(frozen=True, kw_only=True)
class InstanceGroup:
    """Some of a job's hosts, all of one type."""

    InstanceGroupName: str = required(pattern=".+", least=1, most=64)
    InstanceType: str = required(pattern=_INSTANCE_TYPE)
    InstanceCount: int = required(least=1)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The instances a job would have; their types are told to the program, this machine is what it gets."""

    InstanceType: str | None = optional(None, pattern=_INSTANCE_TYPE)
    InstanceCount: int | None = optional(None, least=1)
    """These two, or groups."""
    InstanceGroups: tuple[InstanceGroup, ...] = optional((), most=5)
    VolumeSizeInGB: int | None = optional(None, least=0, recorded=True, usual=True)
    """GB; the disk is this machine's."""
    VolumeKmsKeyId: Any = recorded()
    KeepAlivePeriodInSeconds: Any = recorded()
    InstancePreferences: Any = later("choose among instance types")
    SelectedInstanceType: Any = later("choose among instance types")
    SelectedInstanceCount: Any = later("choose among instance types")
    InstancePlacementConfig: Any = later("place instances")
    TrainingPlanArn: Any = later("use training plans")

    @property
    def host_count(self) -> int:
        """How many hosts are asked for."""
        return sum(group.InstanceCount for group in self.InstanceGroups) or self.InstanceCount or 1

    @property
    def cluster(self) -> Cluster:
        """The hosts that are asked for; `rules` sees to it that they are."""
        if self.InstanceGroups:
            return cluster(
                (group.InstanceGroupName, group.InstanceType, group.InstanceCount) for group in self.InstanceGroups
            )
        return alike(self.InstanceType or "", self.InstanceCount or 1)


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """When the platform stops a job."""

    MaxRuntimeInSeconds: int = optional(_DAY, least=1, most=28 * _DAY)
    """Seconds of training, over all attempts together; waiting for an instance is not counted."""
    MaxWaitTimeInSeconds: int | None = optional(None, least=1)
    """Seconds of managed spot training from its creation to its end, waiting counted."""
    MaxPendingTimeInSeconds: Any = recorded()


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where checkpoints are kept between runs."""

    S3Uri: str = required(most=1024)
    """A folder path or file:// URI here."""
    LocalPath: str | None = optional(None, most=4096)
    """Where the container finds them; /opt/ml/checkpoints unless it is said."""


@dataclass(frozen=True, kw_only=True)
class TensorBoard:
    """Where TensorBoard's files are kept while and after a job runs."""

    S3OutputPath: str = required(most=1024)
    """A folder path or file:// URI here."""
    LocalPath: str | None = optional(None, most=4096)
    """Where the program writes them; /opt/ml/output/tensorboard unless it is said."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the job is a part of: at the endpoint, and in MLflow the experiment."""

    ExperimentName: str | None = optional(None, most=120, pattern=_ENTITY)
    TrialName: str | None = optional(None, most=120, pattern=_ENTITY)
    """Without one, a trial is made for the job."""
    TrialComponentDisplayName: str | None = optional(None, most=120, pattern=_ENTITY)
    RunName: str | None = optional(None, most=120, pattern=_ENTITY)


@dataclass(frozen=True, kw_only=True)
class TrainingJobRequest:
    """One CreateTrainingJob request."""

    TrainingJobName: str = required(pattern=r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
    AlgorithmSpecification: Algorithm = required(because=_SERVERLESS)
    RoleArn: str = required(pattern=_ROLE, least=20, most=2048, recorded=True, usual=True)
    """Its account is the account of the job's ARN."""
    OutputDataConfig: Output = required()
    ResourceConfig: Resources = required(because=_SERVERLESS)
    StoppingCondition: Stopping = optional(Stopping())
    HyperParameters: Mapping[str, str] | None = optional(None, most=100, key_most=256, value_most=2500)
    InputDataConfig: tuple[Channel, ...] = optional((), most=20)
    CheckpointConfig: Checkpoints | None = optional()
    Environment: Mapping[str, str] | None = optional(
        None, most=100, key_most=512, value_most=512, pattern="[a-zA-Z_][a-zA-Z0-9_]*"
    )
    TensorBoardOutputConfig: TensorBoard | None = optional()
    EnableNetworkIsolation: bool = optional(False)
    EnableManagedSpotTraining: bool = optional(False)
    EnableInterContainerTrafficEncryption: Any = recorded()
    Tags: Any = recorded()
    ExperimentConfig: Experiment | None = optional()
    DebugHookConfig: Any = recorded()
    ProfilerConfig: Any = recorded()
    RetryStrategy: Any = recorded()
    RemoteDebugConfig: Any = recorded()
    InfraCheckConfig: Any = recorded()
    SessionChainingConfig: Any = recorded()
    VpcConfig: Any = recorded()
    DebugRuleConfigurations: Any = later("run Debugger's rules")
    ProfilerRuleConfigurations: Any = later("run Profiler's rules")
    ServerlessJobConfig: Any = later("run serverless jobs")
    MlflowConfig: Any = later("track jobs in MLflow")
    ModelPackageConfig: Any = later("register models")

    def input_mode(self, channel: Channel) -> str:
        """The mode of `channel`: its own, else the job's."""
        return channel.InputMode or self.AlgorithmSpecification.TrainingInputMode
