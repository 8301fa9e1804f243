"""What is the user's to fix. Any other exception that leaves local_mode is a defect of ours."""


class LocalModeError(Exception):
    """Base of the errors a user can mend; the text says what is wrong, the value seen, what to do."""


class HostError(LocalModeError):
    """This machine cannot run jobs."""


class ValidationError(LocalModeError):
    """A request is not what CreateTrainingJob accepts, or asks for what local_mode does not do yet."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        lines = f"{len(problems)} problems in the request:\n  - " + "\n  - ".join(problems)
        super().__init__(problems[0] if len(problems) == 1 else lines)


class ResourceInUseError(LocalModeError):
    """A training job or tuning job of this name exists."""


class SourceError(LocalModeError):
    """What a channel's S3Uri names is missing, empty, or cannot be read."""


class FeederError(LocalModeError):
    """A Pipe-mode channel could not be streamed to its end."""


class StandInError(LocalModeError):
    """The file of stand-ins for images is malformed, or has none for this image."""


class RunnerError(LocalModeError):
    """A job cannot be started the way it was asked for."""


class ArtifactError(LocalModeError):
    """Artifacts or checkpoints could not be written."""


class TrackingError(LocalModeError):
    """MLflow does not answer, or cannot write: what it was to have is sent again later."""


class RunRefusedError(LocalModeError):
    """MLflow does not take this of a run, and would not later."""


class UnknownJobError(LocalModeError):
    """No training job has this name."""


class UnknownEntityError(LocalModeError):
    """No experiment, trial or trial component has this name."""


class UnknownTuningJobError(LocalModeError):
    """No tuning job has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Amazon SageMaker can't find a tuning job called {name}. Type another name.")


class JobStateError(LocalModeError):
    """A job's status does not allow what is asked of it."""
