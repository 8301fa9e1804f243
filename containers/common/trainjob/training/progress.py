"""How far a training is, in either framework."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Progress:
    """How far the training is; with model and optimizer, all that the loop owns."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches of the epoch under way that are done."""
    step: int = 0
    """Optimizer steps done."""
    epoch_records: int
    """Records in an epoch: an estimate until the first has been read to its end."""
    seen: int = 0
    """Records of the epoch under way that are done."""
    loss_sum: float = 0.0
    correct: int = 0
    """Over the records seen in the epoch under way."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row a finished epoch."""
    confusion: list[list[int]] = field(default_factory=list)
    """Of the validation after the last finished epoch: row the true class, column the predicted one."""

    def position(self, epochs: int, ahead: int = 0) -> float:
        """The share that is done of a training of so many epochs, `ahead` records on.

        The first epoch's length is an estimate, as a stream does not tell it beforehand; a longer one waits at its end.
        """
        return (self.epoch + min(1.0, (self.seen + ahead) / self.epoch_records)) / epochs

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Add the epoch's row and begin the next; its length is known from here on."""
        self.history.append(row)
        self.epoch, self.epoch_records = self.epoch + 1, self.seen
        self.batch = self.seen = self.correct = 0
        self.loss_sum = 0.0
