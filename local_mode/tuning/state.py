"""How a tuning job stands: its record and its trials, stored at every change."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from local_mode.tuning import record as records
from local_mode.tuning.endings import End, has_converged, not_improving, verdict
from local_mode.tuning.plan import Plan
from local_mode.tuning.record import EXTRA, REASON_LIMIT, STATUS
from local_mode.tuning.store import TuningStore
from local_mode.tuning.trial import FINAL, STOPPED, STOPPING, Trial

Document = dict[str, Any]


class State:
    """Of one tuning job. Safe to use from several threads; only the tuning job's own adds and ends trials."""

    def __init__(
        self,
        plan: Plan,
        store: TuningStore,
        record: Document,
        trials: Sequence[Trial],
        parents_best: Sequence[Document] = (),
    ) -> None:
        """`record` and `trials` are as they were stored last; `parents_best` count for OverallBestTrainingJob."""
        self._plan, self._store = plan, store
        self._record, self._trials, self._parents_best = record, list(trials), parents_best
        self._lock = threading.Lock()
        self.is_stored = True
        """Whether the database has all that is known here."""

    def describe(self) -> Document:
        """The tuning job's record as it is now; not to be modified."""
        with self._lock:
            return {**self._record, **self._computed()}

    @property
    def arn(self) -> str:
        """HyperParameterTuningJobArn."""
        return str(self._record["HyperParameterTuningJobArn"])

    @property
    def seed(self) -> int:
        """Of its search."""
        return int(self._record[EXTRA]["Seed"])

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self._record[STATUS] in FINAL

    def trials(self) -> list[Trial]:
        """Its trials, in order."""
        with self._lock:
            return list(self._trials)

    def running(self) -> list[Trial]:
        """Those that have not ended."""
        return [trial for trial in self.trials() if not trial.has_ended]

    def amend(self, **fields: Any) -> None:
        """Change fields that are no part of its life."""
        with self._lock:
            self._save(fields)

    def add(self, trial: Trial) -> None:
        """Take a trial that is about to be started.

        Stored before that: a service that is killed between the two starts no other in its place.
        """
        with self._lock:
            self._store.put_trial(self._plan.name, trial)
            self._trials.append(trial)

    def drop(self, trial: Trial) -> None:
        """Forget a trial that was never started."""
        with self._lock:
            self._trials.remove(trial)
            self._store.remove_trial(self._plan.name, trial)

    def started(self, trial: Trial, found: Document) -> None:
        """Take in a training job that was created."""
        with self._lock:
            trial.observe(found)
            self._store.put_trial(self._plan.name, trial)

    def observe(self, trial: Trial, found: Document) -> None:
        """Take in how a training job stands that has not ended."""
        with self._lock:
            trial.observe(found)

    def ended(self, trial: Trial, found: Document, value: float | None) -> None:
        """Take in a training job that has ended, with this value of its objective metric."""
        with self._lock:
            trial.observe(found)
            trial.objective = value
            trial.order = 1 + sum(each.order is not None for each in self._trials)
            self._save(trial=trial)

    def end(self, hint: Callable[[Trial], str]) -> End | None:
        """How it is to end, once that is known; it stays so. `hint` says what a log has instead of the metric."""
        with self._lock:
            if known := self._record[EXTRA].get("End"):
                return End(**known)
            found = verdict(self._plan, self._trials, created=self._record["CreationTime"], hint=hint)
            if found:
                self._decide(found)
            return found

    def decide(self, end: End) -> None:
        """Keep how it is to end; the first word counts, and none does when it has ended."""
        with self._lock:
            if self._record[STATUS] not in FINAL and not self._record[EXTRA].get("End"):
                self._decide(end)

    def conclude(self, end: End) -> None:
        """End.

        Raises:
            OSError: the file that the database could be made anew of cannot be written; all else is done.
        """
        reason = {"FailureReason": end.reason[:REASON_LIMIT]} if end.reason else {}
        with self._lock:
            self._save({STATUS: end.status, "HyperParameterTuningEndTime": time.time(), **reason})
            self._store.keep(self._record, self._trials)

    def break_off(self, end: End) -> None:
        """End without storing it, when that is what failed."""
        self.is_stored = False
        self._record.update({STATUS: end.status, "FailureReason": (end.reason or "")[:REASON_LIMIT]})

    def _decide(self, end: End) -> None:
        self._record[EXTRA]["End"] = {"status": end.status, "reason": end.reason}
        self._save({STATUS: STOPPING} if end.status == STOPPED else None)

    def _save(self, fields: Document | None = None, trial: Trial | None = None) -> None:
        if has_converged(self._plan, self._trials):
            self._record[EXTRA].setdefault("Converged", time.time())
        self._record.update(fields or {}, LastModifiedTime=time.time())
        self._record.update(self._computed())
        self._store.put(self._record, trial)

    def _computed(self) -> Document:
        """What follows from the trials."""
        found = records.counters(self._trials)
        best = records.best(self._trials, self._plan)
        summaries = [records.summary(best, self._plan)] if best else []
        if best:
            found["BestTrainingJob"] = summaries[0]
        overall = records.overall([*summaries, *self._parents_best], self._plan.definitions[0].objective)
        if self._plan.identical and overall:
            found["OverallBestTrainingJob"] = overall
        details: Document = {"NumberOfTrainingJobsObjectiveNotImproving": not_improving(self._plan, self._trials)}
        if converged := self._record[EXTRA].get("Converged"):
            details["ConvergenceDetectedTime"] = converged
        until = self._record.get("HyperParameterTuningEndTime", time.time())
        consumed = {"RuntimeInSeconds": round(until - self._record["CreationTime"])}
        return {**found, "TuningJobCompletionDetails": details, "ConsumedResources": consumed}
