"""What a job leaves: checkpoints to go on from, and the model."""

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob.contract import Paths
from trainjob.errors import ChannelError, CheckpointError
from trainjob.training import autosave, checkpoint, record
from trainjob.training.autosave import Autosave
from trainjob.training.progress import Progress
from trainjob.training.ranks import Ranks

log = logging.getLogger(__name__)

SUFFIX = ".npz"
_PROGRESS = "progress"


def save_checkpoint(
    folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress
) -> Path:
    """Write a checkpoint of the step `progress.step`, whole or not at all.

    A `.keras` file would not do: it leaves out the state of the seed generators, and dropout goes on differently.

    Raises:
        CheckpointError: It could not be written; older ones are untouched.
    """
    write = _copy(model, optimizer, progress)
    return checkpoint.save(folder, progress.step, write, suffix=SUFFIX, epoch=progress.epoch, batch=progress.batch)


class Checkpoints(autosave.Checkpoints):
    """Those of a training."""

    def __init__(
        self,
        writer: Autosave,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        ranks: Ranks | None = None,
    ) -> None:
        """`writer` is told of the first rank's alone."""
        super().__init__(writer, lambda progress: _copy(model, optimizer, progress), ranks)


def _copy(model: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress) -> autosave.Write:
    """What writes the state as it is now, with nothing that a step would change."""
    arrays = {name: np.array(variable) for name, variable in _state(model, optimizer).items()}
    arrays[_PROGRESS] = np.frombuffer(json.dumps(vars(progress)).encode(), np.uint8)
    return lambda file: np.savez(file, **arrays)


def resume(
    folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, ranks: Ranks | None = None
) -> Progress | None:
    """Put model, optimizer and seed generators back where the newest valid checkpoint has them; None if there is none.

    Of several ranks all take the first one's: what the platform has brought to the others may be older.

    Raises:
        CheckpointError: The checkpoint is of another model or optimizer.
    """
    ranks = ranks or Ranks()
    newest = checkpoint.newest(folder) if ranks.is_first else None
    content = ranks.from_first(newest.path.read_bytes() if newest else b"")
    if not content:
        return None
    name = newest.path.name if newest else "The first host's checkpoint"
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    progress = json.loads(arrays.pop(_PROGRESS, np.zeros(0, np.uint8)).tobytes() or b"null")
    state = _state(model, optimizer)
    if difference := _difference(arrays, state) or (None if progress else "it holds no progress"):
        raise CheckpointError(
            f"{name} does not fit this job ({difference}); give the hyperparameters of the job that wrote "
            "it, or another CheckpointConfig.S3Uri."
        )
    for name, variable in state.items():
        variable.assign(arrays[name])
    return Progress(**progress)


def _state(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, keras.Variable]:
    """Every variable by a name that is the same in every process: Keras numbers its layers through all models."""
    inner = getattr(optimizer, "inner_optimizer", None)  # of a LossScaleOptimizer
    kinds = "-".join(type(each).__name__ for each in (optimizer, inner) if each is not None)
    described = {"model": model.variables, f"optimizer/{kinds}": optimizer.variables}
    return {
        f"{kind}/{index:03}": variable
        for kind, variables in described.items()
        for index, variable in enumerate(variables)
    }


def _difference(arrays: Mapping[str, NDArray[np.generic]], state: Mapping[str, keras.Variable]) -> str | None:
    for name in sorted(arrays.keys() ^ state.keys()):
        return f"only {'it' if name in arrays else 'the job'} has a variable '{name}'"
    for name, variable in state.items():
        if arrays[name].shape != tuple(variable.shape):
            return f"'{name}' has the shape {arrays[name].shape} there and {tuple(variable.shape)} here"
    return None


def load_pretrained(folder: Path, model: keras.Model) -> None:
    """Put weights into a model, but for its last layer where that has another number of classes.

    Args:
        folder: Holds one file: model.keras of a job like this one, a .weights.h5 of such a model, or, for a network of
            keras.applications, the .h5 that its authors publish without the top. Nothing in it is executed.
        model: The same network, as `models.photograph_model` makes it.

    Raises:
        ChannelError: There is no such file, or it holds no weights of this network.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".keras", ".h5"))
    if len(files) != 1:
        raise ChannelError(
            f"Channel 'pretrained' holds {len(files)} files of weights (.keras, .weights.h5, .h5); it must hold one, "
            "in input mode File."
        )
    path, kernels = files[0], [variable for variable in model.trainable_variables if len(variable.shape) > 1]
    before = [np.array(kernel) for kernel in kernels]
    published = path.suffix == ".h5" and not path.name.endswith(".weights.h5")
    bodies = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the head that does not fit; whether the body did is seen below
            if published and bodies:
                bodies[0].load_weights(path)
            else:
                model.load_weights(path, skip_mismatch=True)
    except Exception as error:  # damaged bytes lead zipfile and h5py into errors of any kind
        raise ChannelError(_strange(path, f"{type(error).__name__}: {error}".splitlines()[0])) from error
    kept = [kernel.path for kernel, old in zip(kernels, before, strict=True) if np.array_equal(kernel, old)]
    if any(not name.startswith("logits/") for name in kept):
        raise ChannelError(_strange(path, f"it has no weights for {kept[0]}"))
    log.info("weights from %s; %s", path.name, "fresh: logits" if kept else "head included")


def _strange(path: Path, why: str) -> str:
    return (
        f"{path.name} of channel 'pretrained' is damaged or of another network ({why}); give the weights of the "
        "network that the hyperparameter model names."
    )


def save_model(paths: Paths, model: keras.Model, labels: Sequence[str], config: Mapping[str, object]) -> None:
    """Write `model.keras`, a SavedModel for TensorFlow Serving under `1/`, `labels.json` and `config.json`."""
    paths.model.mkdir(parents=True, exist_ok=True)
    unfinished = paths.model / "unfinished.keras"
    model.save(unfinished)
    unfinished.replace(paths.model / "model.keras")
    logging.getLogger("absl").setLevel(logging.WARNING)  # it tells of every file it writes
    export(model, paths.model / "1")
    record.describe_model(paths, labels, config)


def export(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel that has each weight once; `model.export` writes Keras's variable and TensorFlow's in it."""
    (pixels,) = model.inputs
    archive = keras.export.ExportArchive()
    signature = [tf.TensorSpec(pixels.shape, pixels.dtype, name=pixels.name)]
    archive.add_endpoint("serve", model.__call__, input_signature=signature)
    archive.write_out(folder, verbose=False)
