"""What is not known of the service, or not to be relied upon: decided here, and otherwise by `--choose NAME=VALUE`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from local_mode.errors import LocalModeError

VALUES = {
    "shards": ("in-turn", "contiguous"),
    "manifest-names": ("whole-key", "suffix"),
    "file-folders": ("bound", "copied"),
    "failure-file": ("noted", "fails"),
    "clashes": ("noted", "fail"),
    "extra-keys": ("none", "random"),
}
"""Of the choices with a closed list; the first is taken where nothing is said."""
NIC = "nic"
_INTERFACE = re.compile(r"[a-z]{1,13}0")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One value for each choice; each changes a job in one place."""

    shards: str = "in-turn"
    """ShardedByS3Key: every n-th object to a host, or a run of them."""
    manifest_names: str = "whole-key"
    """Below the channel, a ManifestFile's objects have their whole key, or what follows the manifest's prefix."""
    file_folders: str = "bound"
    """A File channel that is a folder of this machine: bound, and read-only, or copied, and writable as hosted."""
    failure_file: str = "noted"
    """output/failure beside exit code 0: the job is Completed and says so, or Failed."""
    clashes: str = "noted"
    """Several hosts leave files of one name: the first host's is kept and the job says so, or the job fails."""
    extra_keys: str = "none"
    """Keys and a file in /opt/ml/input/config with random names, which a program has to pass over."""
    nic: str = ""
    """In Docker, the interface's name and network_interface_name; empty is the runner's own."""

    def __post_init__(self) -> None:
        for name, known in VALUES.items():
            if (value := self.of(name)) not in known:
                raise LocalModeError(f"The choice {name} is {value!r}; it is one of {', '.join(known)}.")
        if self.nic and not _INTERFACE.fullmatch(self.nic):
            raise LocalModeError(
                f"The choice {NIC} is {self.nic!r}; it is up to 13 small letters and a 0, which Docker puts there."
            )

    def of(self, name: str) -> str:
        """The value of a choice by the name that users write."""
        return str(getattr(self, name.replace("-", "_")))

    @property
    def made(self) -> tuple[str, ...]:
        """What differs from what is taken where nothing is said, as it was written."""
        names = (each.name.replace("_", "-") for each in fields(self) if getattr(self, each.name) != each.default)
        return tuple(f"{name}={self.of(name)}" for name in names)


DEFAULT = Choices()


def parse(words: Iterable[str]) -> Choices:
    """Choices from words such as shards=contiguous.

    Raises:
        LocalModeError: a word has another form, or names no choice or value that there is.
    """
    chosen: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in (*VALUES, NIC):
            raise LocalModeError(f"{word!r} chooses nothing; write NAME=VALUE: {listed()}.")
        chosen[name.replace("-", "_")] = value
    return Choices(**chosen)


def listed() -> str:
    """All that can be chosen, in a line."""
    return ", ".join([*(f"{name}={'|'.join(values)}" for name, values in VALUES.items()), f"{NIC}=NAME"])
