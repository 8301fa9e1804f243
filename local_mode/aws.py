"""All of AWS that is not ours, by moto in this process; it, `aws_ecr`, `aws_logs` and `aws_s3` alone import moto."""

import io
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment
from xml.sax.saxutils import escape

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.iam.models import iam_backends
from moto.moto_server import werkzeug_app

from local_mode.aws_logs import Logs
from local_mode.aws_s3 import Objects
from local_mode.jobs.log_archive import Archive
from local_mode.object_store.objects import ObjectStore

ACCOUNT = DEFAULT_ACCOUNT_ID
SERVICE = "local_mode.service"
"""In a request's environment: which service it is for."""
HEADERS = "local_mode.headers"
"""In a request's environment: names and values of its headers, as they came."""
_FORM_BYTES = 1 << 20
_TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, '
    '"Action": "sts:AssumeRole"}]}'
)
_RESULT = "<member><EvalActionName>{}</EvalActionName><EvalResourceName>{}</EvalResourceName>" \
          "<EvalDecision>allowed</EvalDecision></member>"  # fmt: skip
_SIMULATED = (
    '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
    "<IsTruncated>false</IsTruncated><EvaluationResults>{}</EvaluationResults></SimulatePrincipalPolicyResult>"
    "<ResponseMetadata><RequestId>local</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
)


class Aws:
    """A WSGI application that answers as AWS would; who may call it is for others to check."""

    def __init__(self, region: str, store: ObjectStore, archive: Archive, registry: str = "") -> None:
        """`store` keeps the objects of S3, `archive` the log streams of jobs that have ended.

        `registry` is HOST:PORT of what lies behind ECR, if anything does.
        """
        if registry:
            from local_mode import aws_ecr  # noqa: PLC0415  # moto's ECR is loaded when it is asked for

            aws_ecr.lead_to(registry)
        self.logs = Logs(region, archive)
        self._s3 = Objects(region, store)
        vars(werkzeug_app)["DISABLE_GLOBAL_CORS"] = True  # it would allow any web page's origin
        self._moto = werkzeug_app.DomainDispatcherApplication(_make_app)
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ[SERVICE] == "s3":
            _keep_underscores(environ)
            return self._s3.answer(environ, start_response, self._moto)
        if environ[SERVICE] == "logs":
            self.logs.prepare(environ)
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        form = _form(environ)
        action = form.get("Action", [""])[0]
        if action == "SimulatePrincipalPolicy":
            return _simulate(form, start_response)
        if action == "GetRole":
            self._make_role(form.get("RoleName", [""])[0])
        return self._moto(environ, start_response)  # type: ignore[no-any-return]

    def _make_role(self, name: str) -> None:
        """Any role a job names is there, and SageMaker may take it on: nothing here is guarded by roles."""
        with self._lock:
            iam = iam_backends[ACCOUNT]["aws"]
            if name and all(role.name != name for role in iam.get_roles()):
                iam.create_role(name, _TRUST, "/", None, "made by local_mode", [], "3600")


def _make_app(service: Any) -> Any:
    app = werkzeug_app.create_backend_app(service)
    app.debug = False
    app.config["PROPAGATE_EXCEPTIONS"] = True  # to our own front, which answers in the form clients read
    return app


def _keep_underscores(environ: WSGIEnvironment) -> None:
    """Have moto see metadata of S3 objects whose names have underscores: werkzeug leaves such headers out."""
    kept: dict[str, str] = {}
    for name, value in environ[HEADERS]:
        key = environ_key_for_header(name)
        if should_preserve_original_header_name(name) and (key in kept or key not in environ):
            environ[key] = f"{environ[key]},{value}" if key in kept else value
            kept[key] = name
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = kept


def _form(environ: WSGIEnvironment) -> dict[str, list[str]]:
    """The members of a request to one of AWS's older services; empty for others."""
    kind, length = environ.get("CONTENT_TYPE", ""), environ.get("CONTENT_LENGTH") or "0"
    if not kind.startswith("application/x-www-form-urlencoded") or int(length) > _FORM_BYTES:
        return {}
    body = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    return parse_qs(body.decode("utf-8", "replace"))


def _simulate(form: dict[str, list[str]], start_response: StartResponse) -> Iterable[bytes]:
    """Every action is allowed: there is nothing here that a policy could protect."""
    actions = [values[0] for key, values in sorted(form.items()) if key.startswith("ActionNames.member.")]
    resource = form.get("ResourceArns.member.1", ["*"])[0]
    results = "".join(_RESULT.format(escape(action), escape(resource)) for action in actions)
    body = _SIMULATED.format(results).encode()
    start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body]
