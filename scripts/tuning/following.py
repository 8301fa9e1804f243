"""A sweep followed to its end: looked at, shown, stopped when nothing can come of it or its owner says so."""

import contextlib
import time
from dataclasses import dataclass

from botocore.exceptions import ClientError

from local_mode.tuning.plan import Plan
from scripts.submitting.destination import Destination
from scripts.tuning import missing
from scripts.tuning.missing import Missing
from scripts.tuning.request import NAME
from scripts.tuning.screen import Screen
from scripts.tuning.table import Table
from scripts.tuning.trials import ENDED, Seen, look


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a sweep went."""

    seen: Seen
    missing: Missing | None = None
    """Why no trial could have a value."""

    @property
    def has_ended(self) -> bool:
        """Whether it has, and is not only no longer followed."""
        return self.seen.status in ENDED


class Following:
    """Follows one tuning job. It does not create it, and knows no terminal."""

    def __init__(self, place: Destination, plan: Plan, table: Table, screen: Screen) -> None:
        self._place, self._plan, self._table, self._screen = place, plan, table, screen
        self._objectives = {each.name: each.objective for each in plan.definitions}
        self._missing: Missing | None = None
        self._is_asked = False

    def follow(self, *, every: float, most: float) -> Course:
        """Looks every `every` seconds until the end, or for `most` seconds; an interrupt stops the sweep.

        Raises:
            KeyboardInterrupt: a second one: it is left as it is.
        """
        end = time.monotonic() + most
        while True:
            try:
                seen = self._look()
                if seen.status in ENDED or time.monotonic() >= end:
                    return Course(seen=seen, missing=self._missing)
                time.sleep(every)
            except KeyboardInterrupt:
                if self._is_asked:
                    raise
                self._screen.line("stopping the sweep and what runs of it; an interrupt more leaves it alone")
                self._stop()

    def _look(self) -> Seen:
        seen = look(self._place.sagemaker, self._plan.name, self._objectives)
        now = time.time()
        self._screen.show(self._table.rows(seen, now), self._table.standing(seen, now))
        if self._missing is None and (trial := missing.without_metric(seen.trials)):
            definition = next(each for each in self._plan.definitions if each.name == trial.definition)
            self._missing = missing.explain(self._place.logs, trial, definition.objective.metric, definition.document)
            self._stop()
        return seen

    def _stop(self) -> None:
        self._is_asked = True
        with contextlib.suppress(ClientError):  # it has ended meanwhile, which the next look says
            self._place.sagemaker.stop_hyper_parameter_tuning_job(**{NAME: self._plan.name})
