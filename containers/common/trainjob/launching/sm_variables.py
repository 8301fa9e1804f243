"""What sagemaker-training tells a user's script: `SM_*` variables and arguments, as that toolkit writes them.

The platform itself sets none of these; scripts written for the toolkit's images expect them.
"""

import json
import subprocess
from collections.abc import Mapping

from trainjob import contract, cores
from trainjob.environment import JobEnvironment
from trainjob.hyperparameters import decode, is_reserved

NUM_GPUS = "SM_NUM_GPUS"
_WITHHELD = "default_user_module_name"  # the toolkit's own name without its prefix
_LOG_LEVEL, _INFO = "sagemaker_container_log_level", 20
_JOB_NAME, _REGION, _GROUPS = "sagemaker_job_name", "sagemaker_region", "sagemaker_distribution_instance_groups"
# Reserved names that the toolkit does not hand on as "framework parameters" either.
_NOT_FRAMEWORK = {
    contract.HP_PROGRAM,
    contract.HP_SUBMIT_DIRECTORY,
    contract.HP_TUNING_METRIC,
    "sagemaker_enable_cloudwatch_metrics",
    _REGION,
    _LOG_LEVEL,
    _JOB_NAME,
    "sagemaker_s3_output",
}
_GPU_LISTING_SECONDS = 20.0  # a driver that hangs must not hold up the job


def arguments(env: JobEnvironment) -> list[str]:
    """The script's arguments: names sorted, `--name value` or `-n value`, each value as Python's str() gives it."""
    result = []
    for name, value in sorted(_hyperparameters(env).items()):
        result += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(value)]
    return result


def variables(env: JobEnvironment, program: str, environ: Mapping[str, str]) -> dict[str, str]:
    """`SM_*` and the three other names the toolkit exports, for a script called `program` in the code folder."""
    values = _paths(env) | _cluster(env) | _code(env, program, environ)
    values |= {
        "hps": _hyperparameters(env),
        "user_args": arguments(env),
        "channels": sorted(env.channels),
        "resource_config": dict(env.resource_config),
        "input_data_config": dict(env.input_data_config),
        "num_cpus": len(cores.usable()),
        "num_gpus": count_gpus(),
        "num_neurons": 0,
    }
    channels = {name: str(env.paths.channel(name)) for name in env.channels}
    values["training_env"] = _everything(env, values, channels)
    values |= {f"channel_{name}": path for name, path in channels.items()}
    values |= {f"hp_{name}": value for name, value in _hyperparameters(env).items()}
    # No name with `=` can stand in an environment; such a hyperparameter is still in SM_HPS.
    result = {f"SM_{name.upper()}": _text(value) for name, value in values.items() if "=" not in name}
    region = _reserved(env).get(_REGION) or environ.get(contract.AWS_REGION, "")
    job = _reserved(env).get(_JOB_NAME) or env.job_name
    return result | {
        "SAGEMAKER_JOB_NAME": str(job),
        "CURRENT_HOST": env.current_host,
        "SAGEMAKER_REGION": str(region),
    }


def _everything(env: JobEnvironment, values: dict[str, object], channels: dict[str, str]) -> dict[str, object]:
    """SM_TRAINING_ENV: under the names of the toolkit's own object, some of which differ from the variables'."""
    renamed = {"hps": "hyperparameters", "framework_params": "additional_framework_parameters"}
    left_out = ("user_args", "channels")
    result = {renamed.get(name, name): value for name, value in values.items() if name not in left_out}
    master = env.hosts[0]
    return result | {
        "channel_input_dirs": channels,
        "job_name": env.job_name,
        "master_hostname": master,
        "is_master": env.current_host == master,
    }


def _hyperparameters(env: JobEnvironment) -> dict[str, object]:
    raw = env.hyperparameters.items()
    return {name: decode(text) for name, text in raw if name and not is_reserved(name) and name != _WITHHELD}


def _reserved(env: JobEnvironment) -> dict[str, object]:
    return {name: decode(text) for name, text in env.hyperparameters.items() if is_reserved(name)}


def _paths(env: JobEnvironment) -> dict[str, object]:
    return {
        "model_dir": str(env.paths.model),
        "output_dir": str(env.paths.output),
        "output_data_dir": str(env.paths.output_data),
        "output_intermediate_dir": str(env.paths.output / "intermediate"),
        "input_dir": str(env.paths.input),
        "input_config_dir": str(env.paths.config),
    }


def _cluster(env: JobEnvironment) -> dict[str, object]:
    config = env.resource_config
    listed = config.get(contract.INSTANCE_GROUPS)
    groups = {
        str(group.get("instance_group_name")): group
        for group in (listed if isinstance(listed, list) else [])
        if isinstance(group, dict)
    }
    group = str(config.get(contract.GROUP_NAME, contract.DEFAULT_GROUP))
    values: dict[str, object] = {
        "hosts": list(env.hosts),
        "current_host": env.current_host,
        "current_instance_type": config.get(contract.INSTANCE_TYPE, "local"),
        "current_instance_group": group,
        "current_instance_group_hosts": groups[group].get(contract.HOSTS, []) if group in groups else [],
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "distribution_instance_groups": _reserved(env).get(_GROUPS, []),
        "is_hetero": len(groups) > 1,
        "network_interface_name": env.network_interface,
    }
    if config.get("topology"):
        values["topology"] = config["topology"]
    return values


def _code(env: JobEnvironment, program: str, environ: Mapping[str, str]) -> dict[str, object]:
    reserved = _reserved(env)
    framework = {name: value for name, value in reserved.items() if name not in _NOT_FRAMEWORK}
    return {
        "module_name": program.removesuffix(".py"),
        "module_dir": reserved.get(contract.HP_SUBMIT_DIRECTORY, str(env.paths.code)),
        "user_entry_point": program,
        "framework_module": environ.get(contract.TRAINING_MODULE),
        "framework_params": framework,
        "log_level": reserved.get(_LOG_LEVEL, _INFO),
    }


def _argument(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in sorted(value.items()))
    return "" if value is None else str(value)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def count_gpus() -> int:
    """GPUs of this host, as the driver's own tool lists them; none without it."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--list-gpus"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GPU_LISTING_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(row.startswith(b"GPU ") for row in listing.stdout.splitlines())
