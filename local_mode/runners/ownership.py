"""Gives checkpoints that a container's root wrote to the user who runs local_mode."""

import os
from collections.abc import Callable

from local_mode.errors import RunnerError
from local_mode.runners.protocol import CheckpointMount

Run = Callable[[list[str]], tuple[int, bytes]]
"""Runs a command as the container's root, with the mount in place; its exit code and what it said."""


def is_ours(mount: CheckpointMount | None) -> bool:
    """Whether this user may remove all that is there without help."""
    if mount is None or os.geteuid() == 0:
        return True
    return all(os.access(path, os.R_OK | os.W_OK | os.X_OK) for path, _, _ in os.walk(mount.source))


def give_away(mount: CheckpointMount | None, run: Run) -> None:
    """Let everybody read and remove what is there; nothing to do for root.

    Raises:
        RunnerError: the image has no chmod that does it.
    """
    if mount is None or os.geteuid() == 0:
        return
    code, said = run(["chmod", "-R", "a+rwX", str(mount.target)])
    if code:
        why = said.decode("utf-8", "replace").strip()
        raise RunnerError(
            f"Checkpoints in {mount.source} are root's, and the image has no chmod that gives them away ({why}); "
            "remove them as root, or run local_mode as root."
        )
