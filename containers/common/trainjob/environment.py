"""What the platform tells a container about its job: three config files and a few variables, read once."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainjob import contract
from trainjob.errors import EnvironmentFileError

LOCAL_RANK = "TRAINJOB_LOCAL_RANK"
"""Environment variable of a process that shares its host with others: `1/4` is the second of four."""
FIFOS = "TRAINJOB_FIFOS"
"""Environment variable: the folder of such a process's own FIFOs."""
_ONE_HOST = "algo-1"
_INTERFACE = "eth0"


@dataclass(frozen=True, kw_only=True)
class ChannelConfig:
    """One entry of inputdataconfig.json. Where the data came from is not in there, so not here."""

    name: str
    input_mode: str
    """`File`, `FastFile` or `Pipe`; an unknown mode stays as the platform wrote it."""
    content_type: str | None = None
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"


@dataclass(frozen=True, kw_only=True)
class JobEnvironment:
    """All a program may know of its job. It holds no framework's settings and no cast hyperparameters."""

    paths: contract.Paths
    job_name: str
    hyperparameters: Mapping[str, str]
    """As the platform wrote them; `trainjob.hyperparameters.parse` gives them types."""
    channels: Mapping[str, ChannelConfig]
    hosts: tuple[str, ...]
    """In the platform's order, which is lexicographic: algo-10 comes before algo-2."""
    current_host: str
    network_interface: str
    local_rank: int = 0
    """This process's place among those that share the host's data, from 0."""
    local_ranks: int = 1
    """How many they are, on every host."""
    resource_config: Mapping[str, object] = field(default_factory=dict)
    """resourceconfig.json as a whole, for scripts that read SM_RESOURCE_CONFIG."""
    input_data_config: Mapping[str, object] = field(default_factory=dict)
    """inputdataconfig.json as a whole, for scripts that read SM_INPUT_DATA_CONFIG."""

    def __post_init__(self) -> None:
        if self.current_host not in self.hosts:
            raise EnvironmentFileError(
                f"{self.paths.resource_config}: the current host '{self.current_host}' is not among the hosts "
                f"{list(self.hosts)}; write the name of this container's host to '{contract.CURRENT_HOST}'."
            )

    @property
    def host_index(self) -> int:
        """Position of this host in `hosts`, from 0; the digit in its name is none."""
        return self.hosts.index(self.current_host)

    @property
    def rank(self) -> int:
        """This process's place among those of all hosts, from 0."""
        return self.host_index * self.local_ranks + self.local_rank

    @property
    def ranks(self) -> int:
        """Processes of all hosts."""
        return len(self.hosts) * self.local_ranks


def read(environ: Mapping[str, str] = os.environ) -> JobEnvironment:
    """Read the job's files and variables.

    A missing file stands for one host, no channels or no hyperparameters; unknown files and keys are ignored.

    Raises:
        EnvironmentFileError: A file is there but is not what the contract says.
    """
    tree = paths(environ)
    resource = _read_object(tree.resource_config)
    input_data = _read_object(tree.input_data_config)
    hosts = _hosts(resource, tree.resource_config)
    local_rank, local_ranks = _place(environ.get(LOCAL_RANK, "0/1"))
    return JobEnvironment(
        paths=tree,
        job_name=environ.get(contract.TRAINING_JOB_NAME, "unnamed"),
        hyperparameters={key: _text(value) for key, value in _read_object(tree.hyperparameters).items()},
        channels={name: _channel(name, entry, tree.input_data_config) for name, entry in input_data.items()},
        hosts=hosts,
        current_host=_string(resource, contract.CURRENT_HOST, hosts[0], tree.resource_config),
        network_interface=_string(resource, contract.NETWORK_INTERFACE, _INTERFACE, tree.resource_config),
        local_rank=local_rank,
        local_ranks=local_ranks,
        resource_config=resource,
        input_data_config=input_data,
    )


def paths(environ: Mapping[str, str]) -> contract.Paths:
    """The job's tree: below the folder that SAGEMAKER_BASE_DIR names, else the platform's own."""
    base, fifos = environ.get(contract.BASE_DIR), environ.get(FIFOS)
    tree = contract.Paths(Path(base)) if base else contract.Paths()
    return replace(tree, fifos=Path(fifos)) if fifos else tree


def _place(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise EnvironmentFileError(
            f"{LOCAL_RANK} is '{text}'; it must be as in 0/2, the first of two, and is the launcher's to set."
        )
    return int(index), int(count)


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise EnvironmentFileError(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}; correct the file there."
        ) from error
    except UnicodeDecodeError as error:
        raise EnvironmentFileError(f"{path} is not UTF-8: byte {error.start} is no character; rewrite it.") from error
    except OSError as error:
        raise EnvironmentFileError(f"{path} cannot be read: {error.strerror}; check its permissions.") from error
    if not isinstance(value, dict):
        raise EnvironmentFileError(f"{path} holds a JSON {type(value).__name__}; it must hold one object: {{...}}.")
    return value


def _text(value: object) -> str:
    # The platform writes strings only; files made by hand often hold bare numbers.
    return value if isinstance(value, str) else json.dumps(value)


def _string(values: Mapping[str, object], key: str, default: str, path: Path) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise EnvironmentFileError(f"{path}: '{key}' is {json.dumps(value)}; it must be a string such as '{default}'.")
    return value


def _hosts(resource: Mapping[str, object], path: Path) -> tuple[str, ...]:
    hosts = resource.get(contract.HOSTS, [resource.get(contract.CURRENT_HOST, _ONE_HOST)])
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, str) for host in hosts):
        raise EnvironmentFileError(
            f"{path}: '{contract.HOSTS}' is {json.dumps(hosts)}; it must be a list of names such as [\"{_ONE_HOST}\"]."
        )
    return tuple(hosts)


def _channel(name: str, entry: object, path: Path) -> ChannelConfig:
    if not isinstance(entry, dict):
        raise EnvironmentFileError(
            f"{path}: channel '{name}' is {json.dumps(entry)}; it must be an object with '{contract.INPUT_MODE}'."
        )
    mode = _string(entry, contract.INPUT_MODE, contract.FILE, path)
    known = {mode.casefold(): mode for mode in contract.INPUT_MODES}
    return ChannelConfig(
        name=name,
        input_mode=known.get(mode.casefold(), mode),
        content_type=_string(entry, contract.CONTENT_TYPE, "", path) or None,
        distribution=_string(entry, contract.DISTRIBUTION, ChannelConfig.distribution, path),
        record_wrapper=_string(entry, contract.RECORD_WRAPPER, ChannelConfig.record_wrapper, path),
    )
