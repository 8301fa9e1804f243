"""Starts an example's `source/train.py` as a job on this machine: `make example/byo_script`.

The code goes to the container as SDK v2 sends it under network isolation: as an archive in a channel `code`.
"""

import argparse
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.contract import HP_PROGRAM, HP_SUBMIT_DIRECTORY, INPUT_MODES, Paths
from trainjob.errors import TrainJobError

from local_mode import host
from local_mode.errors import LocalModeError
from local_mode.runners.choose import RUNTIMES
from scripts.datasets.forms import FORMS
from scripts.environments.environment import SetupError
from scripts.local_job import STATE, LocalJob, hand_over
from scripts.local_train import UsageError, check, find_data

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Example:
    """What differs between two examples."""

    framework: str = "pytorch"
    """A key of images.json."""
    form: str = "fixed"
    """In which its channels come; a key of FORMS."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the job."""


EXAMPLES = {
    "byo_script": Example(),
    "keras_2_8": Example(framework="keras", form="tfrecord", environment={"TF_USE_LEGACY_KERAS": "1"}),
    "three_lines": Example(),
}
ARCHIVE = "sourcedir.tar.gz"


def pack(source: Path, folder: Path) -> Path:
    """Packs the source folder's content into an archive in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for path in sorted(source.iterdir()):
            archive.add(path, path.name, filter=lambda entry: None if "__pycache__" in entry.name else entry)
    return folder


def main() -> int:
    """Starts the job; comes back only when it cannot."""
    parser = argparse.ArgumentParser(description="Run a script of one's own as a training job on this machine.")
    parser.add_argument("example", help="a folder beside this file")
    parser.add_argument("--input-mode", default="Pipe", help="Pipe, File or FastFile (%(default)s)")
    parser.add_argument("--runtime", default="auto", help="auto, docker or process (%(default)s)")
    parser.add_argument("--python", default="", metavar="PYTHON", help="interpreter that has the framework")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of jobs (.local_mode)")
    arguments = parser.parse_args()
    try:
        host.check()
        check("example", arguments.example, EXAMPLES)
        check("INPUT_MODE", arguments.input_mode, INPUT_MODES)
        check("RUNTIME", arguments.runtime, RUNTIMES)
        example = EXAMPLES[arguments.example]
        data = find_data("cifar10", "", arguments.state, FORMS[example.form])
        job = LocalJob(
            framework=example.framework,
            environment=example.environment,
            state=arguments.state,
            label=arguments.example.replace("_", "-"),
            input_mode=arguments.input_mode,
            channels={channel: data / channel for channel in ("train", "validation")},
            code=pack(HERE / arguments.example / "source", arguments.state / "examples" / arguments.example),
            hyperparameters={
                HP_PROGRAM: "train.py",
                HP_SUBMIT_DIRECTORY: str(Paths().channel("code") / ARCHIVE),
                "epochs": "2",
                "learning-rate": "0.003",
                "note": "spaces, 'quotes' and $HOME reach a script as they are",
            },
        )
        hand_over(job, arguments.runtime, arguments.python or None)
    except (UsageError, SetupError, TrainJobError, LocalModeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt


if __name__ == "__main__":
    sys.exit(main())
