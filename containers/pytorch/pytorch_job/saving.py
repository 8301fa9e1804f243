"""What a job leaves: checkpoints to go on from, and the model."""

import copy
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from trainjob.contract import Paths
from trainjob.errors import ChannelError, CheckpointError
from trainjob.files import whole_file
from trainjob.training import autosave, checkpoint, record
from trainjob.training.autosave import Autosave
from trainjob.training.progress import Progress
from trainjob.training.ranks import Ranks

log = logging.getLogger(__name__)

SUFFIX = ".pt"
_COUNTER = ".num_batches_tracked"
"""End of an entry that weights published before 2019 lack; nothing here reads it."""
_RENAMED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Entries of DenseNets as they are published, `norm.1.weight` for `norm1.weight`."""


class Checkpoints(autosave.Checkpoints):
    """Those of a training."""

    def __init__(
        self,
        writer: Autosave,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        ranks: Ranks | None = None,
    ) -> None:
        """`writer` is told of the first rank's alone."""
        super().__init__(writer, lambda progress: _state(model, optimizer, scaler, progress), ranks)


def _state(
    model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, progress: Progress
) -> autosave.Write:
    """What writes the state as it is now, with nothing that a step would change."""
    state = _copy(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "progress": vars(progress),
            "rng": torch.get_rng_state(),
        }
    )
    return lambda file: torch.save(state, file)


def _copy(value: Any) -> Any:
    """The same on the host, with nothing that a step would change."""
    if torch.is_tensor(value):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copy(each) for each in value)
    return copy.deepcopy(value)


def resume(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    ranks: Ranks | None = None,
) -> Progress | None:
    """Put model, optimizer and random state back where the newest valid checkpoint has them; None if there is none.

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
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{name} does not fit this job ({str(error).splitlines()[0]}); give the hyperparameters of "
            "the job that wrote it, or another CheckpointConfig.S3Uri."
        ) from error
    torch.set_rng_state(state["rng"])
    return Progress(**state["progress"])


def load_pretrained(folder: Path, model: nn.Module, head: nn.Module) -> None:
    """Put the weights of a state dict into a model, but for its head where that has another number of classes.

    Args:
        folder: Holds one file of weights (.pt or .pth), as torch.save writes a state dict; nothing in it is executed.
        model: The same network.
        head: Its last layer.

    Raises:
        ChannelError: There is no such file, or it holds no weights of this network.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".pt", ".pth"))
    if len(files) != 1:
        raise ChannelError(
            f"Channel 'pretrained' holds {len(files)} files of weights (.pt, .pth); it must hold one, a state dict, in "
            "input mode File."
        )
    state = _published(_state_dict(files[0]))
    wanted = model.state_dict()
    own = {id(parameter) for parameter in head.parameters()}
    replaceable = {name for name, parameter in model.named_parameters() if id(parameter) in own}
    counters = {name for name in wanted if name.endswith(_COUNTER)}
    differing = {name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape}
    strange = sorted(((wanted.keys() ^ state.keys()) - counters | differing) - replaceable)
    if strange:
        raise ChannelError(
            f"{files[0].name} of channel 'pretrained' is of another network: {len(strange)} entries differ, the first "
            f"is '{strange[0]}'; give the weights of the network that the hyperparameter model names."
        )
    fresh = sorted(replaceable & (differing | wanted.keys() - state.keys()))
    model.load_state_dict({name: wanted[name] if name in fresh else state.get(name, wanted[name]) for name in wanted})
    log.info("weights from %s; %s", files[0].name, f"fresh: {', '.join(fresh)}" if fresh else "head included")


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names, taken out of what training programs often wrap them in."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model"):
            state = state.get(wrapper, state)
        wrong = next((f"'{name}' is no tensor" for name, value in state.items() if not torch.is_tensor(value)), "")
    except Exception as error:  # noqa: BLE001 - damaged bytes lead the unpickler into errors of any kind
        asked = re.search(r"GLOBAL (\S+)", str(error))
        wrong = f"it refers to {asked[1]}, and only tensors are read" if asked else _first_line(error)
    if wrong:
        raise ChannelError(
            f"{path.name} of channel 'pretrained' is no state dict ({wrong}); save one with "
            "torch.save(model.state_dict(), path)."
        )
    return {name.removeprefix("module."): value for name, value in state.items()}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a state dict as torchvision's networks have them today, without the heads of training alone."""
    return {
        _RENAMED.sub(r"\1\2", name): value
        for name, value in state.items()
        if name.partition(".")[0] not in ("aux1", "aux2", "AuxLogits")
    }


def save_model(paths: Paths, model: nn.Module, labels: Sequence[str], config: Mapping[str, object]) -> None:
    """Write `weights.pt` (loads with `weights_only=True`), `labels.json` and `config.json` to the model folder."""
    paths.model.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    with whole_file(paths.model / "weights.pt") as file:
        torch.save(weights, file)
    record.describe_model(paths, labels, config)
