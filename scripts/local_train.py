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
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.contract import INPUT_MODES
from trainjob.errors import TrainJobError

from local_mode import host
from local_mode.errors import LocalModeError
from local_mode.runners.choose import RUNTIMES
from scripts.datasets import cifar10, shards
from scripts.datasets.forms import FIXED, FORMS, Form
from scripts.datasets.shards import Sharding
from scripts.environments.environment import ROOT, SetupError, say, shown
from scripts.local_job import STATE, LocalJob, hand_over

DATASETS = ("cifar10",)


class UsageError(Exception):
    """What was typed cannot be a job."""


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the job; comes back only when it cannot."""
    arguments = _parse(argv)
    try:
        host.check()
        job = plan(arguments)
        hand_over(job, arguments.runtime, arguments.python or None)
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
    check("FORMAT", arguments.format, FORMS)
    check("RUNTIME", arguments.runtime, RUNTIMES)
    hyperparameters = {"dataset": arguments.dataset} | read_hyperparameters(arguments.hyperparameters)
    if arguments.epochs:
        if "epochs" in hyperparameters:
            raise UsageError(f"EPOCHS={arguments.epochs}, and HP gives epochs={hyperparameters['epochs']}; give one")
        hyperparameters["epochs"] = arguments.epochs
    form, mode = FORMS[arguments.format], arguments.input_mode
    data = find_data(arguments.dataset, arguments.data, arguments.state, form)
    return LocalJob(
        framework=arguments.framework,
        label=f"{arguments.framework}-{arguments.dataset}-{mode.lower()}",
        input_mode=mode,
        content_type=form.content_type,
        channels={channel: data / channel for channel in ("train", "validation")},
        hyperparameters=hyperparameters,
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


def find_data(dataset: str, given: str, state: Path, form: Form = FIXED) -> Path:
    """The folder of prepared channels: from the folder given, else what `make data` left, else drawn.

    Raises:
        UsageError: The folder given was prepared in another form.
        TrainJobError: The folder given does not hold the data set.
    """
    downloads = ROOT / "data"
    downloaded = downloads / form.folder(dataset)
    if given:
        folder = Path(given).expanduser().resolve()
        if manifest := shards.read_whole(folder):
            if manifest["format"] != form.name:
                raise UsageError(
                    f"FORMAT={form.name}, but {folder} was prepared as {manifest['format']}; "
                    f"give FORMAT={manifest['format']}, or the folder of the published files"
                )
            say(f"data: {folder}, prepared before")
            return folder
        out = state / "data" / form.folder(f"{dataset}-{sha256(bytes(folder)).hexdigest()[:8]}")
        source: cifar10.Source = cifar10.Published(folder)
        news = f"the published files in {folder}"
    elif shards.read_manifest(downloaded):
        say(f"data: {shown(downloaded)}, as `make data` left it")
        return downloaded
    elif (downloads / cifar10.ARCHIVE.name).exists():
        out, source = downloaded, cifar10.Downloaded(downloads)
        news = "the archive that `make data` left"
    else:
        out, source = state / "data" / form.folder(f"{dataset}-sample"), cifar10.Drawn()
        news = f"a drawn sample, not {dataset} itself (`make data` downloads that, DATA=DIR takes its files from DIR)"
    manifest = cifar10.prepare(source, out, Sharding(form=form))
    train, validation = (shards.count_records(manifest, channel) for channel in ("train", "validation"))
    say(f"data: {news}: {train:,} + {validation:,} records")
    return out


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
    parser.add_argument("--format", default="fixed", help="fixed, tfrecord or recordio (%(default)s)")
    parser.add_argument("--runtime", default="auto", help="auto, docker or process (%(default)s)")
    parser.add_argument("--data", default="", metavar="DIR", help="folder of the published files, or its parent")
    parser.add_argument("--epochs", default="", metavar="N", help="passes over the data (the program's default)")
    parser.add_argument("--hyperparameters", default="", metavar="HP", help="\"key=value key2='a b'\"")
    parser.add_argument("--python", default="", metavar="PYTHON", help="interpreter that has the framework")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of jobs (.local_mode)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
