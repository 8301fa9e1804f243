"""TrainingJobEarlyStoppingType Auto: which training jobs are not worth going on with, by the median rule."""

import statistics
from collections.abc import Sequence

from local_mode.tuning.objective import Objective

_FEWEST = 3
"""Jobs to compare with: the median of fewer would stop half of all at once. SageMaker documents no number."""
Points = Sequence[float]
"""The objective metric of a job, epoch by epoch, as it was emitted."""


def is_hopeless(points: Points, others: Sequence[Points], objective: Objective) -> bool:
    """Whether a job's last value is worse than the median of what earlier jobs had on average by the same epoch."""
    if not points:
        return False
    epoch = len(points)
    averages = [statistics.fmean(other[:epoch]) for other in others if len(other) >= epoch]
    return len(averages) >= _FEWEST and objective.is_better(statistics.median(averages), points[-1])
