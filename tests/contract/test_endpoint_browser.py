"""The page in a real browser: Chromium takes the cookie, runs our script and nobody else's, and follows a job live."""

import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from local_mode.api import server as http
from local_mode.jobs.folder import JobFolder
from local_mode.page import access
from local_mode.page.views import Page
from tests.containers import miss
from tests.contract.test_endpoint_page import stored_job

pytestmark = pytest.mark.contract("security", "U")

SECRET = "a secret"
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
END_SECONDS = 120
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--virtual-time-budget=15000", "--dump-dom",
)  # fmt: skip


class Jobs:
    """Two jobs: one that ended long ago, and one that ends at the third look."""

    def __init__(self, folder):
        self._folder = folder
        self.looks = 0
        (folder / "logs").mkdir()
        (folder / "logs" / "algo-1.log").write_text(f"a line\n{EVIL}\n")

    def find(self, query):
        return [stored_job("old", 1), stored_job("now", 2)]

    def count(self, query):
        return {"Completed": 1, "InProgress": 1}

    def describe(self, name):
        if name == "old":
            return stored_job("old", 1, "Failed", FailureReason=EVIL)
        self.looks += 1
        return stored_job("now", 2, "InProgress" if self.looks < 3 else "Completed")

    def curves(self, name):
        return {"Metrics": {EVIL: [[1e9, 1.0], [1e9 + 5, 0.5]]}, "Channels": {EVIL: [[1e9, 0], [1e9 + 5, 7e6]]}}

    def folder(self, name):
        return JobFolder(path=self._folder)


@pytest.fixture(scope="module")
def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return miss("no Chromium is installed; apt-get install chromium")


@pytest.fixture
def page(tmp_path):
    """The page on a port; its address and jobs."""
    jobs = Jobs(tmp_path)
    listener = http.listen(0)
    app = Page(jobs=jobs, secret=SECRET, root=tmp_path)
    serving = http.make(app, listener, http.Handler)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", jobs
    serving.shutdown()
    serving.server_close()
    listener.close()
    thread.join()


@pytest.fixture
def browse(chromium):
    """Opens an address as one and the same user; what the document is then."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:

        def open_one(url):
            argv = [chromium, *FLAGS, f"--user-data-dir={profile}", url]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=END_SECONDS, check=True)
            return done.stdout

        yield open_one


def link(url):
    return access.link(url, SECRET, time.time())


def test_link_leads_to_the_list_and_the_browser_is_known_from_then_on(page, browse):
    url, _ = page
    assert "Run this, and open the link" in browse(url)

    first, second = browse(link(url)), browse(f"{url}/-/jobs/old")

    assert '<a href="/-/jobs/old">' in first
    assert "<h1>Training jobs</h1>" in first
    assert "Why it failed" in second


def test_page_follows_a_job_to_its_end_by_itself(page, browse):
    url, jobs = page
    browse(link(url))
    jobs.looks = 0
    document = browse(f"{url}/-/jobs/now")

    assert jobs.looks == 3  # it stops to ask once the job has ended
    assert '<span class="badge Completed">Completed</span>' in document
    assert 'class="stale"' not in document


def test_words_of_a_job_do_not_run(page, browse):
    url, _ = page
    browse(link(url))
    for path in ("/", "/-/jobs/old", f"/?name={EVIL}"):
        document = browse(f"{url}{path}")

        assert "<title>owned" not in document
        assert "<img" not in document


def test_page_of_another_site_gets_nothing_out_of_it(page, browse, tmp_path):
    url, _ = page
    browse(link(url))
    hostile = Path(tmp_path) / "hostile.html"
    hostile.write_text(
        f"""<body><iframe src="{url}/-/jobs/old"></iframe><p id="said">nothing</p><script>
        fetch("{url}/", {{credentials: "include"}}).then((answer) => answer.text())
          .then((text) => {{ said.textContent = "read " + text.length; }}, () => {{ said.textContent = "refused"; }});
        </script></body>"""
    )
    document = browse(hostile.as_uri())

    assert '<p id="said">refused</p>' in document
