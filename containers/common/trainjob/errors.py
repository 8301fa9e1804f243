"""What is the user's to fix. Any other exception that leaves the program is a defect of ours or of a user's script."""


class TrainJobError(Exception):
    """Base of the errors a user can mend; the text says what is wrong, the value seen, what to do."""


class EnvironmentFileError(TrainJobError):
    """A file the platform writes is missing or is not what the contract says."""


class HyperparameterError(TrainJobError):
    """One or more hyperparameters are unknown, malformed or out of range."""


class EntryPointError(TrainJobError):
    """The program or script the job names cannot be found, fetched or prepared."""


class ChannelError(TrainJobError):
    """A channel is missing, empty, stalled, or not in a form the program can read."""


class RecordError(TrainJobError):
    """The bytes of a channel are not the records they should be."""


class TruncatedRecordError(RecordError):
    """A stream ended inside a record."""


class CheckpointError(TrainJobError):
    """A checkpoint could not be written or does not fit the job."""


class OutputError(TrainJobError):
    """A model or an artifact could not be written."""


class DatasetError(TrainJobError):
    """Files given as a data set are not that data set."""


class PhotographError(TrainJobError):
    """A photograph cannot be shown; the text goes on from its key."""


class PeerError(TrainJobError):
    """Another host of the job is missing or gone."""
