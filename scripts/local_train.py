#!/usr/bin/env python3
"""Runs a training job on this machine, from data to model: `make local-train`.

    local_train.py [--data DIR] [--input-mode Pipe] [--epochs 8] [--hyperparameters "optimizer=adamw note='a b'"]

Prepares the data, writes a CreateTrainingJob request and becomes `local_mode train` with it, so that signals reach
that directly. Without --data it takes what `make data` has put into data/, else a drawn sample.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.contract import INPUT_MODES, PIPE
from trainjob.errors import TrainJobError

from local_mode import host
from local_mode.errors import LocalModeError
from local_mode.runners.choose import RUNTIMES
from scripts.datasets import shards
from scripts.datasets.catalogue import DATASETS, default_form
from scripts.datasets.forms import JPEG, RECORDIO, Form
from scripts.datasets.photographs import ATTRIBUTES, manifest_name
from scripts.datasets.shards import Sharding
from scripts.environments.environment import ROOT, SetupError, say, shown
from scripts.local_job import STATE, LocalJob, hand_over

MOST_HOSTS = 64


class UsageError(Exception):
    """What was typed cannot be a job."""


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the job; comes back only when it cannot."""
    arguments = _parse(argv)
    try:
        host.check()
        job = plan(arguments)
        tracked = () if arguments.track is None else ("--track", *filter(None, [arguments.track]))
        hand_over(job, arguments.runtime, arguments.python or None, tracked)
    except (UsageError, SetupError, TrainJobError, LocalModeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt


def plan(arguments: argparse.Namespace) -> LocalJob:
    """The job that was asked for, with its data in place.

    Raises:
        UsageError: An argument is not one of those there are.
        TrainJobError: The data is not the data set.
    """
    frameworks = json.loads((ROOT / "images.json").read_text())
    check("FRAMEWORK", arguments.framework, frameworks)
    check("DATASET", arguments.dataset, DATASETS)
    check("INPUT_MODE", arguments.input_mode, INPUT_MODES)
    dataset = DATASETS[arguments.dataset]
    form_name = arguments.format or default_form(dataset).name
    check("FORMAT", form_name, dataset.FORMS)
    check("RUNTIME", arguments.runtime, RUNTIMES)
    hyperparameters = read_hyperparameters(arguments.hyperparameters)
    if arguments.epochs:
        if "epochs" in hyperparameters:
            raise UsageError(f"EPOCHS={arguments.epochs}, and HP gives epochs={hyperparameters['epochs']}; give one")
        hyperparameters["epochs"] = arguments.epochs
    form, mode = dataset.FORMS[form_name], arguments.input_mode
    data = find_data(arguments.dataset, arguments.data, arguments.state, form)
    manifest = shards.read_manifest(data) or {}
    lines = form is JPEG and mode == PIPE  # photographs in a FIFO need a frame, and their labels beside them
    if lines:
        _refuse_other_place(data, manifest)
    return LocalJob(
        framework=arguments.framework,
        label=f"{arguments.framework}-{arguments.dataset}-{mode.lower()}",
        input_mode=mode,
        content_type=RECORDIO.content_type if lines else form.content_type,
        channels={channel: data / (manifest_name(channel) if lines else channel) for channel in dataset.CHANNELS},
        attributes=ATTRIBUTES if lines else (),
        hyperparameters={"dataset": arguments.dataset} | dataset.hyperparameters(manifest) | hyperparameters,
        metrics=dataset.METRICS,
        hosts=_hosts(arguments.hosts),
        state=arguments.state,
    )


def read_hyperparameters(text: str) -> dict[str, str]:
    """Hyperparameters from `key=value key2='a b'`, quoted as in a shell.

    Raises:
        UsageError: A word has no `=`, a quote is not closed, or a key comes twice.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"HP={text} cannot be read: {error}; write HP=\"key=value key2='a b'\"") from error
    result: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"HP holds '{word}', which is not key=value; write HP=\"key=value key2='a b'\"")
        if key in result:
            raise UsageError(f"HP gives {key} twice, {result[key]} and {value}; give it once")
        result[key] = value
    return result


def _hosts(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_HOSTS:
        raise UsageError(f"HOSTS={text} is no number of hosts; give 1 to {MOST_HOSTS}")
    return int(text)


def find_data(dataset: str, given: str, state: Path, form: Form | None = None) -> Path:
    """The folder of prepared channels: from the folder given, else what `make data` left, else drawn.

    Raises:
        UsageError: The folder given was prepared from another data set, or in another form.
        TrainJobError: The folder given does not hold the data set.
    """
    module = DATASETS[dataset]
    form = form or default_form(module)
    downloads = ROOT / "data"
    downloaded = downloads / form.folder(dataset)
    if given:
        folder = Path(given).expanduser().resolve()
        if manifest := shards.read_whole(folder):
            _refuse_otherwise_prepared(folder, manifest, dataset, form)
            say(f"data: {folder}, prepared before")
            return folder
        out = state / "data" / form.folder(f"{dataset}-{sha256(bytes(folder)).hexdigest()[:8]}")
        source = module.Published(folder)
        news = f"the published files in {folder}"
    elif shards.read_manifest(downloaded):
        say(f"data: {shown(downloaded)}, as `make data` left it")
        return downloaded
    elif (downloads / module.ARCHIVE.name).exists():
        out, source = downloaded, module.Downloaded(downloads)
        news = "the archive that `make data` left"
    else:
        out, source = state / "data" / form.folder(f"{dataset}-sample"), module.Drawn()
        news = f"a drawn sample, not {dataset} itself (`make data` downloads that, DATA=DIR takes its files from DIR)"
    manifest = module.prepare(source, out, Sharding(form=form))
    counts = [f"{shards.count_records(manifest, channel):,}" for channel in module.CHANNELS]
    say(f"data: {news}: {' + '.join(counts)} records")
    return out


def _refuse_otherwise_prepared(folder: Path, manifest: Mapping[str, Any], dataset: str, form: Form) -> None:
    if manifest["dataset"] != dataset:
        raise UsageError(
            f"DATASET={dataset}, but {folder} was prepared from {manifest['dataset']}; give "
            f"DATASET={manifest['dataset']}, or another folder"
        )
    if manifest["format"] != form.name:
        raise UsageError(
            f"FORMAT={form.name}, but {folder} was prepared as {manifest['format']}; "
            f"give FORMAT={manifest['format']}, or the folder of the published files"
        )


def _refuse_other_place(folder: Path, manifest: Mapping[str, Any]) -> None:
    if manifest["uri"] != folder.resolve().as_uri():
        raise UsageError(
            f"The manifests in {folder} refer to {manifest['uri']}, not to that folder; give INPUT_MODE=File, or "
            "prepare it anew where it is to stay, without --uri"
        )


def check(variable: str, value: str, options: Iterable[str]) -> None:
    """Refuses a value that is not one of the options.

    Raises:
        UsageError: Names the variable, its value and the options.
    """
    if value not in options:
        raise UsageError(f"{variable}={value} is unknown; it can be: {', '.join(options)}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a training job on this machine.")
    parser.add_argument("--framework", default="pytorch", help="image to run, a key of images.json (%(default)s)")
    parser.add_argument("--dataset", default="cifar10", help="what to train on (%(default)s)")
    parser.add_argument("--input-mode", default="Pipe", help="Pipe, File or FastFile (%(default)s)")
    parser.add_argument("--format", default="", help="of the records (the data set's own)")
    parser.add_argument("--runtime", default="auto", help="auto, docker or process (%(default)s)")
    parser.add_argument("--data", default="", metavar="DIR", help="folder of the published files, or its parent")
    parser.add_argument("--hosts", default="1", metavar="N", help="hosts that train together (%(default)s)")
    parser.add_argument("--epochs", default="", metavar="N", help="passes over the data (the program's default)")
    parser.add_argument("--hyperparameters", default="", metavar="HP", help="\"key=value key2='a b'\"")
    parser.add_argument("--python", default="", metavar="PYTHON", help="interpreter that has the framework")
    parser.add_argument("--track", nargs="?", const="", metavar="URI", help="send the job to MLflow, as a run")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of jobs (.local_mode)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
