"""moto's ECR in front of a registry of this machine: it says to push there, and tells of what lies there."""

import functools
import hashlib
import json
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ecr import urls
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

USER = "AWS"
_TOKEN_HOURS = 12
_CALL_SECONDS = 10
_MANIFEST_BYTES = 4 << 20
_ACCEPTED = ", ".join((
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
))  # fmt: skip


def lead_to(registry: str) -> None:
    """Have moto's ECR, in every region, stand before the registry HOST:PORT; before its first request."""
    ecr_backends.backend = type("_Led", (_Ecr,), {"registry": registry})
    ecr_backends.clear()


def password(account: str) -> str:
    """What GetAuthorizationToken gives beside the user AWS: a registry may ask for it."""
    return f"{account}-auth-token"


class _EcrError(ServiceException):
    """An error in the form of ECR's, which moto tells by the module of its class."""

    __module__ = ServiceException.__module__.replace("core", "ecr")


class _Response(ECRResponse):
    """ECR's answers, but for where the token is good."""

    def get_authorization_token(self) -> ActionResult:
        backend: Any = self.ecr_backend
        token = b64encode(f"{USER}:{password(self.current_account)}".encode()).decode()
        told = {
            "authorizationToken": token,
            "expiresAt": datetime.now(UTC) + timedelta(hours=_TOKEN_HOURS),
            "proxyEndpoint": f"http://{backend.registry}",
        }
        return ActionResult({"authorizationData": [told]})


class _Ecr(ECRBackend):
    """Repositories are moto's; their images are those that the registry has, asked for anew at each call."""

    registry: str

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._lock = threading.RLock()

    @property
    def _url_module(self) -> Any:
        return SimpleNamespace(url_bases=urls.url_bases, url_paths={"{0}/$": _Response.dispatch})

    def create_repository(self, repository_name: str, *arguments: Any, **named: Any) -> Repository:
        made = super().create_repository(repository_name, *arguments, **named)
        made.uri = f"{self.registry}/{repository_name}"
        return made

    def describe_images(self, repository_name: str, *arguments: Any, **named: Any) -> Any:
        self._learn(repository_name)
        return super().describe_images(repository_name, *arguments, **named)

    def list_images(self, repository_name: str, *arguments: Any, **named: Any) -> list[Image]:
        self._learn(repository_name)
        return super().list_images(repository_name, *arguments, **named)

    def batch_get_image(self, repository_name: str, *arguments: Any, **named: Any) -> dict[str, Any]:
        self._learn(repository_name)
        return super().batch_get_image(repository_name, *arguments, **named)

    def describe_image_scan_findings(
        self, registry_id: str, repository_name: str, image_id: dict[str, Any]
    ) -> dict[str, Any]:
        """What ECR says of an image that it cannot scan, as moto's findings would be made up."""
        self._learn(repository_name)
        repository = self._get_repository(repository_name, registry_id)
        image = repository._get_image(image_id.get("imageTag"), image_id.get("imageDigest"))
        return {
            "registryId": repository.registry_id,
            "repositoryName": repository_name,
            "imageId": image.image_id,
            "imageScanStatus": {"status": "UNSUPPORTED_IMAGE", "description": "local_mode has no scanner"},
        }

    def start_image_scan(self, registry_id: str, repository_name: str, image_id: dict[str, str]) -> dict[str, Any]:
        raise _EcrError("UnsupportedImageTypeException", "local_mode has no scanner")

    def put_image(self, *arguments: Any, **named: Any) -> Image:
        raise NotImplementedError(f"images are pushed to {self.registry} itself")

    def initiate_layer_upload(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        raise NotImplementedError(f"layers are pushed to {self.registry} itself")

    def batch_delete_image(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        raise NotImplementedError(f"images are deleted in {self.registry} itself")

    def _learn(self, name: str) -> None:
        """Have moto know the images that the registry has in a repository, and no others."""
        repository = self.repositories.get(name)
        if repository is None:
            return
        with self._lock:
            known = {image.image_digest: image for image in repository.images}
            found: dict[str, Image] = {}
            for tag in json.loads(self._get(f"{name}/tags/list") or b"{}").get("tags") or ():
                manifest = self._get(f"{name}/manifests/{tag}")
                if manifest is None:
                    continue  # deleted meanwhile
                digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
                if digest in found:
                    found[digest].update_tag(tag)
                    continue
                image = Image(
                    self.account_id, tag, manifest.decode(), name, json.loads(manifest).get("mediaType"), digest
                )
                if digest in known:
                    image.image_pushed_at = known[digest].image_pushed_at
                found[digest] = image
            repository.images = list(found.values())

    def _get(self, path: str) -> bytes | None:
        """A document of the registry's; None where it has none."""
        key = b64encode(f"{USER}:{password(self.account_id)}".encode()).decode()
        url = f"http://{self.registry}/v2/{path}"
        request = urllib.request.Request(url, headers={"Accept": _ACCEPTED, "Authorization": f"Basic {key}"})
        try:
            with _opener().open(request, timeout=_CALL_SECONDS) as answer:
                body: bytes = answer.read(_MANIFEST_BYTES)
                return body
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise self._failed(f"HTTP {error.code} for {url}") from None
        except OSError as error:
            raise self._failed(str(getattr(error, "reason", error))) from None

    def _failed(self, why: str) -> _EcrError:
        return _EcrError("ServerException", f"The registry {self.registry} does not tell what it has: {why}")


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
