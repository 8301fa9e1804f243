"""Gives what a container's root wrote into folders of this machine to the user who runs local_mode."""

import os
from collections.abc import Callable, Iterable

from trainjob import contract

from local_mode.errors import RunnerError
from local_mode.runners.protocol import Launch, SharedFolder

Run = Callable[[list[str]], tuple[int, bytes]]
"""Runs a command as the container's root, with the folders in place; its exit code and what it said."""


def shared(launch: Launch) -> list[SharedFolder]:
    """All that a container may write of this machine's: checkpoints, and channels that are copies."""
    copies = (
        SharedFolder(source=mount.source, target=contract.Paths().channel(mount.channel))
        for mount in launch.mounts
        if mount.writable
    )
    return [*([launch.checkpoints] if launch.checkpoints else []), *copies]


def is_ours(folder: SharedFolder) -> bool:
    """Whether this user may remove all that is there without help."""
    if os.geteuid() == 0:
        return True
    closed: list[OSError] = []  # folders that cannot be listed, which os.walk passes over
    places = [path for path, _, _ in os.walk(folder.source, onerror=closed.append)]
    return not closed and all(os.access(path, os.R_OK | os.W_OK | os.X_OK) for path in places)


def give_away(folders: Iterable[SharedFolder], run: Run) -> None:
    """Let everybody read and remove what is there; nothing to do for root.

    Raises:
        RunnerError: the image has no chmod that does it.
    """
    targets = {str(folder.target): folder.source for folder in folders}
    if not targets or os.geteuid() == 0:
        return
    code, said = run(["chmod", "-R", "a+rwX", *targets])
    if code:
        why = said.decode("utf-8", "replace").strip()
        raise RunnerError(
            f"Files in {', '.join(map(str, targets.values()))} are root's, and the image has no chmod that gives them "
            f"away ({why}); remove them as root, or run local_mode as root."
        )
