from types import SimpleNamespace

from trainjob.training.between import Between


class Taken:
    """Checkpoints that are due at given steps."""

    def __init__(self, *steps: int) -> None:
        self._steps, self.taken = steps, []

    def due(self, step: int) -> bool:
        return step in self._steps

    def save(self, progress) -> None:
        self.taken.append(progress.step)


def walk(between: Between, progress: SimpleNamespace, losses: list[float], records: int = 4) -> list[int]:
    """Take a step for each loss; the steps behind which something was due."""
    due = []
    for loss in losses:
        progress.step, progress.seen = progress.step + 1, progress.seen + records
        progress.loss_sum += loss * records
        if between.due(progress.step):
            due.append(progress.step)
            between.act(progress)
    return due


def test_loss_is_told_as_its_mean_since_the_line_before(capsys):
    progress = SimpleNamespace(step=10, seen=40, loss_sum=90.0)
    due = walk(Between(2, progress), progress, [1.0, 3.0, 5.0, 1.0, 9.0])

    assert due == [12, 14]
    assert capsys.readouterr().out == "step=12 train:step_loss=2;\nstep=14 train:step_loss=3;\n"


def test_nothing_is_due_without_log_steps_and_checkpoints(capsys):
    progress = SimpleNamespace(step=0, seen=0, loss_sum=0.0)

    assert walk(Between(0, progress), progress, [1.0] * 5) == []
    assert capsys.readouterr().out == ""


def test_rank_that_does_not_print_is_due_at_the_very_steps_of_the_one_that_does(capsys):
    found = []
    for printed in (True, False):
        progress = SimpleNamespace(step=1, seen=4, loss_sum=0.0)
        found.append(walk(Between(3, progress, printed=printed), progress, [1.0] * 9))

    assert found == [[3, 6, 9]] * 2
    assert capsys.readouterr().out.count("\n") == 3


def test_checkpoints_are_taken_where_they_are_due(capsys):
    progress, checkpoints = SimpleNamespace(step=0, seen=0, loss_sum=0.0), Taken(2, 3)

    assert walk(Between(4, progress, checkpoints), progress, [1.0] * 5) == [2, 3, 4]
    assert checkpoints.taken == [2, 3]
    assert capsys.readouterr().out == "step=4 train:step_loss=1;\n"
