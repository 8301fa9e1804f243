"""MLflow's runs, as the sender makes them. The only importer of MLflow; to import it takes seconds."""

import contextlib
import errno
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from local_mode.errors import RunRefusedError, TrackingError
from local_mode.tracking.translation import ARN, RunPlan

SCHEME = "sqlite:///"
_MOST_METRICS, _MOST_OTHERS = 1000, 100
"""MLflow's own limits of one call."""
_TEXT_LENGTH = 500
_PARENT = "mlflow.parentRunId"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST", "PERMISSION_DENIED")


class Runs:
    """The runs of one tracking server, or of a file of this machine."""

    def __init__(self, uri: str) -> None:
        """`uri` is MLflow's.

        Raises:
            TrackingError: it cannot be used now.
        """
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._local = Path(uri.removeprefix(SCHEME)).parent if uri.startswith(SCHEME) else None
        with _told():
            if uri.startswith(SCHEME):
                _make_store(Path(uri.removeprefix(SCHEME)))
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._experiments: dict[str, str] = {}

    def begin(self, plan: RunPlan, *, run: str = "", parent: str = "") -> str:
        """The id of a plan's run: `run`, if its owner named one, the one that was begun before, or a new one.

        Raises:
            TrackingError: it cannot be made now.
            RunRefusedError: it cannot be made.
        """
        with _told():
            experiment = self._experiment(plan.experiment)
            found = run or self._known(experiment, plan.tags[ARN])
            tags = {**plan.tags, **({_PARENT: parent} if parent else {})}
            if not found:
                made = self._client.create_run(
                    experiment, start_time=round(plan.began * 1000), tags=tags, run_name=plan.name
                )
                found = str(made.info.run_id)
            params = [Param(name, value) for name, value in plan.params.items()]
            for some in _portions(params, _MOST_OTHERS):
                self._client.log_batch(found, params=some)
            self.tag(found, tags)
            self._client.log_dict(found, plan.request, "request.json")
        return found

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run.

        Raises:
            TrackingError, RunRefusedError: as `begin`.
        """
        with _told():
            for some in _portions([RunTag(name, value) for name, value in tags.items()], _MOST_OTHERS):
                self._client.log_batch(run, tags=some)

    def points(self, run: str, points: Sequence[tuple[str, float, float, int]]) -> None:
        """Add points: name, value, time in seconds since 1970, step. Those that are there already stay as they are.

        Raises:
            TrackingError, RunRefusedError: as `begin`.
        """
        metrics = [Metric(name, value, round(at * 1000), step) for name, value, at, step in points]
        with _told():
            for some in _portions(metrics, _MOST_METRICS):
                self._client.log_batch(run, metrics=some)

    def link(self, run: str, artifacts: Mapping[str, Path]) -> None:
        """Show files of this machine among the artifacts of a run whose artifacts are on this machine, too.

        Raises:
            TrackingError, RunRefusedError: as `begin`.
        """
        if self._local is None:
            return
        with _told():
            folder = Path(unquote(urlsplit(self._client.get_run(run).info.artifact_uri).path))
            for name, target in artifacts.items():
                link = folder / name
                link.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    _link(target, link)

    def end(self, run: str, status: str, at: float) -> None:
        """End a run: FINISHED, FAILED or KILLED, at a time in seconds since 1970.

        Raises:
            TrackingError, RunRefusedError: as `begin`.
        """
        with _told():
            self._client.set_terminated(run, status, end_time=round(at * 1000))

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                place = (self._local / "artifacts").as_uri() if self._local else None
                self._experiments[name] = self._client.create_experiment(name, artifact_location=place)
            else:
                self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def _known(self, experiment: str, arn: str) -> str:
        """A run that a sender began and was killed before it could write that down."""
        quoted = arn.replace("'", "")
        found = self._client.search_runs([experiment], filter_string=f"tags.`{ARN}` = '{quoted}'", max_results=1)
        return str(found[0].info.run_id) if found else ""


def _link(target: Path, link: Path) -> None:
    """Another name for a file: MLflow's page shows symbolic links that lead elsewhere, and does not open them."""
    try:
        link.hardlink_to(target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM):
            raise
        link.symlink_to(target.resolve())  # on another disk


def _make_store(path: Path) -> None:
    """A store that is whole or not there: MLflow does not go on with one that a full disk left half made."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink()
    half = path.with_name(f".{path.name}.{time.time_ns()}")  # a name of its own: MLflow keeps connections by it
    try:
        MlflowClient(tracking_uri=f"{SCHEME}{half}", registry_uri=f"{SCHEME}{half}")
        half.rename(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


@contextmanager
def _told() -> Iterator[None]:
    """Turn what MLflow raises into what the sender acts upon."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in _REFUSALS:
            raise RunRefusedError(_short(error)) from None
        raise TrackingError(_short(error)) from None
    except (OSError, SQLAlchemyError) as error:  # of the network, too: requests' own errors are such
        raise TrackingError(_short(error)) from None


def _short(error: Exception) -> str:
    """What an error says, in a line, and without the statement that a database did not take."""
    return " ".join(str(error).partition("\n[SQL:")[0].split())[:_TEXT_LENGTH]


def _portions(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
