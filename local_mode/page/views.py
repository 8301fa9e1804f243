"""The page at the endpoint's root: what runs, how it goes, what it left. It only shows and changes nothing."""

import shlex
import sys
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIEnvironment

import jinja2
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from local_mode.errors import LocalModeError, UnknownJobError
from local_mode.jobs.folder import JobFolder
from local_mode.jobs.store import Query
from local_mode.page import access, shown
from local_mode.page.files import find

PREFIX = "/-/"
"""No bucket's name begins with a hyphen, so that no object is hidden by the page."""
_HERE = Path(__file__).parent
_STATIC = {"style.css": "text/css", "live.js": "text/javascript"}
_JOBS = 50
"""Of one page of the list."""
_SORTS = {
    "newest": ("created", True),
    "oldest": ("created", False),
    "name": ("name", False),
    "status": ("status", False),
}
_STATUSES = ("InProgress", "Stopping", "Completed", "Failed", "Stopped")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Document = dict[str, Any]


class Jobs(Protocol):
    """What the page needs of the jobs; `local_mode.jobs.service` has it."""

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for."""
        ...

    def count(self, query: Query) -> dict[str, int]:
        """How many jobs of each status there are."""
        ...

    def describe(self, name: str) -> Document:
        """A job's record."""
        ...

    def curves(self, name: str) -> Document:
        """How its metrics and channels went."""
        ...

    def folder(self, name: str) -> JobFolder:
        """Where its files are."""
        ...


def is_for_page(environ: WSGIEnvironment) -> bool:
    """Whether a request is a browser's for the page, and none of a client that signs."""
    path = environ.get("PATH_INFO", "")
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and (path in ("/", "/favicon.ico") or path.startswith(PREFIX))
        and "HTTP_AUTHORIZATION" not in environ
        and "X-Amz-" not in environ.get("QUERY_STRING", "")
    )


class Page:
    """The WSGI application. Host and Origin were looked at before."""

    def __init__(self, *, jobs: Jobs, secret: str, root: Path, clock: Callable[[], float] = time.time) -> None:
        """`secret` is the endpoint's: whoever has it may make links."""
        self._jobs, self._secret, self._root, self._clock = jobs, secret, root, clock
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters.update(shown.FILTERS)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except UnknownJobError as error:
            response = self._render("closed.html", HTTPStatus.NOT_FOUND, title="Not found", text=str(error))
        except LocalModeError as error:
            response = self._render("closed.html", HTTPStatus.SERVICE_UNAVAILABLE, title="Sorry", text=str(error))
        response.headers.update(_HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        path = request.path
        if path.startswith(f"{PREFIX}static/"):
            return self._static(path.removeprefix(f"{PREFIX}static/"))
        if _is_of_another_site(request):
            return self._closed()
        token = request.args.get("token", "")
        if path == "/" and access.is_link(token, self._secret, self._clock()):
            return self._welcome()
        if not access.is_session(request.cookies.get(access.COOKIE, ""), self._secret, self._clock()):
            return self._closed()
        if path == "/":
            return self._list(request)
        kind, _, rest = path.removeprefix(PREFIX).partition("/")
        name, _, file = rest.partition("/")
        if kind != "jobs" or not name:
            raise UnknownJobError(f"There is no page {path!r}.")
        return self._file(name, file) if file else self._job(name)

    def _welcome(self) -> Response:
        """Give the cookie. A redirect would not take it along where the link was on another site's page."""
        response = self._render("welcome.html")
        response.set_cookie(
            access.COOKIE,
            access.session(self._secret, self._clock()),
            max_age=access.SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
        )
        return response

    def _closed(self) -> Response:
        text = "This page shows jobs to their owner alone. Run this, and open the link that it prints:"
        command = f"{shlex.quote(sys.executable)} -m local_mode page --root {shlex.quote(str(self._root))}"
        return self._render("closed.html", HTTPStatus.FORBIDDEN, title="Closed", text=text, command=command)

    def _list(self, request: Request) -> Response:
        status = request.args.get("status", "")
        sort = request.args.get("sort", "newest")
        asked = request.args.get("page", "1")[:6]
        number = max(int(asked), 1) if asked.isascii() and asked.isdigit() else 1
        column, backwards = _SORTS.get(sort, _SORTS["newest"])
        query = Query(
            contains=request.args.get("name", "")[:63],
            status=status if status in _STATUSES else None,
            sort=column,
            backwards=backwards,
            skip=(number - 1) * _JOBS,
            limit=_JOBS,
        )
        counts = self._jobs.count(query)
        total = counts.get(status, 0) if query.status else sum(counts.values())
        rows = [shown.row(self._jobs.describe(job["TrainingJobName"])) for job in self._jobs.find(query)]
        return self._render(
            "jobs.html",
            rows=rows,
            counts=[(known, counts.get(known, 0)) for known in _STATUSES if counts.get(known) or known == status],
            everything=sum(counts.values()),
            total=total,
            first=query.skip + 1,
            page=number,
            pages=max((total + _JOBS - 1) // _JOBS, 1),
            name=query.contains,
            status=query.status or "",
            sort=sort if sort in _SORTS else "newest",
            sorts=list(_SORTS),
            root=shlex.quote(str(self._root)),
        )

    def _job(self, name: str) -> Response:
        description = self._jobs.describe(name)
        folder = self._jobs.folder(name)
        job = shown.job(description, self._jobs.curves(name), folder, now=self._clock())
        return self._render("job.html", job=job)

    def _file(self, name: str, file: str) -> Response:
        path = find(self._jobs.folder(name).path, file)
        if path is None:
            raise UnknownJobError(f"Job {name!r} left no file {file!r}.")
        stream = path.open("rb")
        response = Response(
            wrap_file({}, stream, 1 << 18), mimetype="application/octet-stream", direct_passthrough=True
        )
        response.content_length = path.stat().st_size
        response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{path.name}")
        return response

    def _static(self, name: str) -> Response:
        if name not in _STATIC:
            return self._render("closed.html", HTTPStatus.NOT_FOUND, title="Not found", text=f"There is no {name!r}.")
        return Response((_HERE / "static" / name).read_bytes(), mimetype=_STATIC[name])

    def _render(self, template: str, code: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        text = self._templates.get_template(template).render(now=self._clock(), prefix=PREFIX, **values)
        return Response(text, status=code, mimetype="text/html")


def _is_of_another_site(request: Request) -> bool:
    """What a browser says of who asks; following a link to the page is all that others may bring about."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    navigates = (
        request.headers.get("Sec-Fetch-Mode") == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    )
    return site not in ("none", "same-origin") and not navigates
