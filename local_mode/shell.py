"""What leads every AWS client of a shell to the endpoint: environment variables."""

import hashlib
import shlex
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from local_mode.api.hosts import is_aws
from local_mode.api.proxy_address import Address, before
from local_mode.endpoint import Endpoint, Files, write_private

UNSET = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
         "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_IAM",
         "AWS_ENDPOINT_URL_LOGS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")  # fmt: skip
"""What would lead a client elsewhere, or have it sign with another key."""
_DIRECT = ("127.0.0.1", "localhost")
_BUNDLE = "AWS_CA_BUNDLE"
_MARK = "# what this shell trusted before local_mode\n"


def variables(files: Files, endpoint: Endpoint, caller: Mapping[str, str]) -> dict[str, str]:
    """The variables for a shell whose environment is `caller`; writes the certificates that they name."""
    host = urlsplit(endpoint.url).hostname or ""  # a proxy for plain HTTP is not to come between
    direct = ",".join(dict.fromkeys([*_DIRECT, host, *_kept(_either(caller, "no_proxy"))]))
    proxy = Address(endpoint=endpoint.url, password=endpoint.proxy_password).url(_proxy_before(caller))
    return {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret,
        "AWS_REGION": endpoint.region,
        "AWS_DEFAULT_REGION": endpoint.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        _BUNDLE: str(_bundle(files, caller)),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(files.sdk),
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), direct),
    }


def exports(files: Files, endpoint: Endpoint, caller: Mapping[str, str]) -> str:
    """The same as commands of a shell."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables(files, endpoint, caller).items()]
    return "\n".join([f"unset {' '.join(UNSET)}", *lines])


def without_proxy(caller: Mapping[str, str]) -> dict[str, str]:
    """The environment without a proxy of ours: what a shell that is led to an endpoint hands on to jobs."""
    changed = {name: before(value) for name, value in caller.items() if name.upper() == "HTTPS_PROXY"}
    return {name: value for name, value in {**caller, **changed}.items() if value or name not in changed}


def _proxy_before(caller: Mapping[str, str]) -> str:
    """The proxy that leads out of this machine; none if the caller wants none used."""
    if "*" in _either(caller, "no_proxy").split(","):
        return ""
    return before(_either(caller, "https_proxy") or _either(caller, "all_proxy"))


def _kept(listed: str) -> list[str]:
    """The entries of NO_PROXY but for those that would let calls to AWS past the proxy."""
    entries = [entry.strip() for entry in listed.split(",")]
    return [entry for entry in entries if entry and entry != "*" and not _covers_aws(entry)]


def _covers_aws(entry: str) -> bool:
    name = entry.removeprefix("*").removeprefix(".")
    return is_aws(name) or name in ("com", "aws", "cn", "com.cn", "eu")


def _either(caller: Mapping[str, str], name: str) -> str:
    return caller.get(name) or caller.get(name.upper()) or ""


def _bundle(files: Files, caller: Mapping[str, str]) -> Path:
    """Our authority beside those that the shell trusts anyway: the variable takes their place."""
    others = _trusted(caller)
    path = files.root / f"ca_bundle-{hashlib.sha256(others.encode()).hexdigest()[:8]}.pem"
    write_private(path, f"{files.authority.read_text(encoding='ascii')}{_MARK}{others}")
    return path


def _trusted(caller: Mapping[str, str]) -> str:
    """The authorities that AWS's clients of the shell would take without us."""
    spec = find_spec("certifi")
    places = [
        *(Path(caller[name]) for name in (_BUNDLE, "REQUESTS_CA_BUNDLE") if caller.get(name)),
        Path(spec.origin).with_name("cacert.pem") if spec and spec.origin else None,
        Path(ssl.get_default_verify_paths().openssl_cafile),
    ]
    found = next((path.read_text(encoding="utf-8") for path in places if path and path.is_file()), "")
    return found.rpartition(_MARK)[2]  # what follows our own, if the bundle is one of ours
