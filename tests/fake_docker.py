"""A Docker engine at the SDK's seam: one image of a few layers, uploaded over HTTP and told of in an engine's words."""

import base64
import hashlib
import http.client
import json
from types import SimpleNamespace

import docker

KIND = "application/vnd.docker.distribution.manifest.v2+json"
LABELS = {"org.opencontainers.image.version": "0.1.0", "org.opencontainers.image.revision": "86c1e9789d40" + "0" * 28}
NAME = "vision-training-pytorch"
TAG = "0.1.0-86c1e9789d40"
LAYERS = (b"first layer" * 1000, b"second layer" * 2000)


class FakeDocker:
    """What of docker.DockerClient a push uses."""

    def __init__(self, layers=LAYERS, labels=LABELS, names=(f"{NAME}:dev",)):
        self.layers = layers
        self.config = json.dumps({"layers": [_sha(layer) for layer in layers], "labels": labels}).encode()
        self.image = SimpleNamespace(id=_sha(self.config), labels=labels)
        self.names = dict.fromkeys(names, self.image.id)
        self.auth = []
        """What each call brought as credentials."""
        self.pulled = []
        self.api, self.images = self, SimpleNamespace(get=self._get)
        self.registry_config = {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}}

    def info(self):
        return {"RegistryConfig": self.registry_config}

    def close(self):
        pass

    def _get(self, name):
        if name not in self.names:
            raise docker.errors.ImageNotFound(f"No such image: {name}")
        return self.image if self.names[name] == self.image.id else SimpleNamespace(id=self.names[name], labels={})

    def tag(self, image, repository, tag):
        self.names[f"{repository}:{tag}"] = self.names.get(image, image)

    def remove_image(self, name, noprune):
        assert noprune
        del self.names[name]

    def pull(self, repository, tag, stream, decode, auth_config):
        self.auth.append(auth_config)
        self.pulled.append(f"{repository}@{tag}")
        self.names[f"{repository}@{tag}"] = self.image.id
        yield {"status": "Status: Image is up to date"}

    def push(self, name, tag, stream, decode, auth_config):
        self.auth.append(auth_config)
        host, _, repository = name.partition("/")
        yield {"status": f"The push refers to repository [{name}]"}
        upload = _Upload(host, repository, auth_config)
        try:
            for layer in self.layers:
                yield from upload.layer(layer)
            list(upload.layer(self.config))
            digest = upload.manifest(tag, self.config, self.layers)
        except _RefusedError as refused:
            yield {"errorDetail": {"message": str(refused)}, "error": str(refused)}
            return
        except (OSError, http.client.HTTPException) as error:
            text = f"Patch http://{host}/v2/: write tcp: {error or 'EOF'}"
            yield {"errorDetail": {"message": text}, "error": text.replace("Connection", "connection")}
            return
        self.names[f"{name}@{digest}"] = self.image.id
        yield {"status": f"{tag}: digest: {digest} size: 1"}
        yield {"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": 1}}


class _RefusedError(Exception):
    pass


class _Upload:
    def __init__(self, host, repository, auth):
        self._host, self._place = host, f"/v2/{repository}"
        key = base64.b64encode(f"{auth['username']}:{auth['password']}".encode()).decode() if auth else ""
        self._headers = {"Authorization": f"Basic {key}"} if key else {}

    def layer(self, data):
        digest = _sha(data)
        identity = {"id": digest[7:19]}
        yield {**identity, "status": "Preparing", "progressDetail": {}}
        if self._call("HEAD", f"{self._place}/blobs/{digest}")[0] == 200:
            yield {**identity, "status": "Layer already exists", "progressDetail": {}}
            return
        _, headers = self._call("POST", f"{self._place}/blobs/uploads/")
        place = headers["Location"].partition(self._host)[2]
        yield {**identity, "status": "Pushing", "progressDetail": {"current": 512, "total": len(data)}}
        self._call("PATCH", place, data)
        self._call("PUT", f"{place}?digest={digest}")
        yield {**identity, "status": "Pushed", "progressDetail": {}}

    def manifest(self, tag, config, layers):
        blobs = [{"digest": _sha(layer), "size": len(layer)} for layer in layers]
        document = {"schemaVersion": 2, "mediaType": KIND, "config": {"digest": _sha(config)}, "layers": blobs}
        body = json.dumps(document).encode()
        self._call("PUT", f"{self._place}/manifests/{tag}", body)
        return _sha(body)

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, path, body=body, headers=self._headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 400 and answer.status != 404:
                raise _RefusedError(_in_an_engines_words(answer.status, said))
            return answer.status, dict(answer.getheaders())
        finally:
            connection.close()


def _in_an_engines_words(status, said):
    try:
        first = json.loads(said)["errors"][0]
    except (ValueError, LookupError):
        return f"received unexpected HTTP status: {status} {http.client.responses.get(status, '')}"
    return f"{first['code'].lower().replace('_', ' ')}: {first['message']}"


def _sha(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
