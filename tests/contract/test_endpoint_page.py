"""The page at the endpoint's root: who sees it, what it shows of jobs that mean no good; it changes nothing."""

import html
import http.client
import json
import re
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from local_mode.jobs.store import Store
from local_mode.page import access
from tests.contract.endpoint import BUCKET, Server, environment
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("endpoint", "U")

EVIL = "<script>alert('evil')</script>"
ROWS = 1000


def stored_job(name, number, status="Completed", **more):
    """A record as a job leaves it."""
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/{name}/output/model.tar.gz"},
        "AlgorithmSpecification": {"TrainingImage": "an-image", "TrainingInputMode": "Pipe"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "CreationTime": 1e9 + number,
        "LastModifiedTime": 1e9 + number + 9,
        "SecondaryStatusTransitions": [
            {"Status": "Training", "StartTime": 1e9 + number, "EndTime": 1e9 + number + 9, "StatusMessage": EVIL},
            {"Status": status, "StartTime": 1e9 + number + 9, "EndTime": 1e9 + number + 9, "StatusMessage": ""},
        ],
        "FinalMetricDataList": [{"MetricName": EVIL, "Value": 0.5, "Timestamp": 1e9}],
        **more,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endpoint")
    store = Store(folder / "root")
    for number in range(ROWS):
        name = f"many-{number:04}"
        (folder / "root" / "jobs" / name).mkdir(parents=True)
        store.put(stored_job(name, number, "Stopped" if number % 10 == 0 else "Completed"))
    made = Server.start(folder, "--stop-grace", "20")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def cookie(server):
    return f"{access.COOKIE}={access.session(server.found['secret'], time.time())}"


def ask(server, path, *, cookie=None, method="GET", **headers):
    """One request as a browser sends it; status, headers, text."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={**fields, **({"Cookie": cookie} if cookie else {})})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text.decode("utf-8", "replace")


class TestAccess:
    def test_page_without_a_cookie_says_how_to_get_in_and_nothing_else(self, server):
        status, headers, text = ask(server, "/")

        assert status == 403
        assert f"{sys.executable} -m local_mode page --root {server.root}" in text
        assert "many-" not in text
        assert "set-cookie" not in headers

    @pytest.mark.parametrize("path", ["/", "/-/jobs/many-0001", "/-/jobs/many-0001/job.json", "/-/jobs/nobody"])
    @pytest.mark.parametrize("wrong", ["", "x", "99999999999.abc", "é.é", "9" * 5000, "99999999999.", "-1.x"])
    def test_wrong_cookie_opens_no_page_and_no_file(self, server, path, wrong):
        assert ask(server, path, cookie=f"{access.COOKIE}={wrong}".encode())[0] == 403

    def test_link_that_the_command_prints_gives_a_cookie_that_scripts_cannot_read(self, server):
        command = [sys.executable, "-m", "local_mode", "page", "--root", str(server.root)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=30)
        link = urlsplit(done.stdout.strip())

        status, headers, text = ask(server, f"{link.path}?{link.query}", Sec_Fetch_Site="cross-site",
                                    Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")  # fmt: skip
        cookie, _, rest = headers["set-cookie"].partition(";")

        assert f"{link.scheme}://{link.netloc}" == server.url
        assert status == 200
        assert 'http-equiv="refresh" content="0; url=/"' in text
        assert {part.strip() for part in rest.split(";")} >= {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert "token" not in cookie
        assert "many-" not in text
        assert "many-0999" in ask(server, "/", cookie=cookie)[2]

    def test_service_says_the_link_when_it_starts(self, server):
        assert re.search(
            rf"in a browser, within the hour: {server.url}/\?token=\d+\.[0-9a-f]{{64}}", server.log.read_text()
        )

    def test_link_is_no_cookie_and_neither_is_good_for_ever(self, server):
        secret = server.found["secret"]
        link = access.link(server.url, secret, time.time()).partition("token=")[2]
        old = access.link(server.url, secret, time.time() - access.LINK_SECONDS - 5).partition("token=")[2]
        late = access.session(secret, time.time() - access.SESSION_SECONDS - 5)
        another = access.session("another secret", time.time())

        assert ask(server, "/", cookie=f"{access.COOKIE}={link}")[0] == 403
        assert ask(server, f"/?token={old}")[0] == 403
        assert [ask(server, "/", cookie=f"{access.COOKIE}={value}")[0] for value in (late, another)] == [403, 403]

    def test_other_sites_see_nothing_whatever_the_browser_sends_along(self, server, cookie):
        assert ask(server, "/", cookie=cookie, Origin="https://evil.example")[0] == 403
        assert ask(server, "/", cookie=cookie, Host="evil.example")[0] == 403
        for site in ("cross-site", "same-site"):
            seen = ask(server, "/-/jobs/many-0001", cookie=cookie, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors",
                       Sec_Fetch_Dest="image")  # fmt: skip
            assert seen[0] == 403

    def test_every_answer_forbids_framing_sniffing_caching_and_foreign_scripts(self, server, cookie):
        for path in ("/", "/-/jobs/many-0001", "/-/nothing", "/-/static/live.js", "/favicon.ico"):
            for sent in (None, cookie):
                headers = ask(server, path, cookie=sent)[1]
                policy = headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
                assert not [name for name in headers if name.startswith("access-control")]

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_cookie_is_good_for_looking_only(self, server, cookie, method):
        assert ask(server, "/-/jobs/many-0001", cookie=cookie, method=method)[0] == 403
        assert ask(server, "/", cookie=cookie, method=method, X_Amz_Target="SageMaker.ListTrainingJobs")[0] == 403

    def test_clients_that_sign_are_answered_as_before(self, server):
        assert [item["Name"] for item in server.client("s3").list_buckets()["Buckets"]] == [BUCKET]


def names(text):
    return re.findall(r'<a href="/-/jobs/([\w-]+)">', text)


class TestList:
    def test_thousand_jobs_are_paged_newest_first_and_fast(self, server, cookie):
        begin = time.monotonic()
        status, _, text = ask(server, "/", cookie=cookie)
        seconds = time.monotonic() - begin
        last = ask(server, "/?page=20", cookie=cookie)[2]

        assert status == 200
        assert names(text) == [f"many-{number:04}" for number in range(999, 949, -1)]
        assert names(last)[-1] == "many-0000"
        assert "page 1 of 20" in text
        assert seconds < 2  # tens of milliseconds; the machine may be busy

    def test_filters_by_name_and_status_and_sorts(self, server, cookie):
        text = ask(server, "/?name=MANY-00&status=Stopped&sort=name", cookie=cookie)[2]

        assert names(text) == [f"many-{number:04}" for number in range(0, 100, 10)]
        assert "Stopped 10" in text
        assert "Completed 90" in text

    @pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=99999999999999", "page=%C2%B2", "sort=x",
                                       "status=x", "name=%00%ff", "token=x", "name=" + "x" * 5000])  # fmt: skip
    def test_queries_that_make_no_sense_are_answered(self, server, cookie, query):
        assert ask(server, f"/?{query}", cookie=cookie)[0] == 200

    def test_what_is_searched_for_is_shown_as_text(self, server, cookie):
        text = ask(server, "/?name=%3Cscript%3Ealert(1)%3C/script%3E%22", cookie=cookie)[2]

        assert "<script>alert" not in text
        assert 'value="&lt;script&gt;alert(1)&lt;/script&gt;&#34;"' in text


@pytest.fixture(scope="module")
def run(server):
    """A job that really ran, and whose words mean no good."""
    server.client("s3").put_object(Bucket=BUCKET, Key="in/a", Body=b"a" * 3_000_000)
    metrics = {"MetricDefinitions": [{"Name": "a:loss", "Regex": "loss=([0-9.]+)"}]}
    act = json.dumps(["drain", 2, 1 << 20, 0.0, f"{EVIL}\x1b[31m red \x00"])
    server.create("evil", None, channels={"train": f"s3://{BUCKET}/in"}, algorithm=metrics,
                  HyperParameters={"act": act, "x": EVIL})  # fmt: skip
    return server.ended("evil")


class TestJob:
    def test_page_shows_how_the_job_went(self, server, cookie, run):
        status, _, text = ask(server, "/-/jobs/evil", cookie=cookie)
        shown = html.unescape(text)

        assert (status, run["TrainingJobStatus"]) == (200, "Completed")
        assert re.search(r'<svg class="timeline".*?class="step Training"', text, re.DOTALL)
        assert re.search(
            r'<svg class="metric-curve"[^>]*aria-label="a:loss over time">.*?<path class="line" d="M', text, re.DOTALL
        )
        assert re.search(
            r'<svg class="channel-curve"[^>]*aria-label="train over time">.*?<path class="line" d="M', text, re.DOTALL
        )
        assert "6 MB" in shown
        assert "<h2>Verdict</h2>" in text
        assert '<span class="ours">[local_mode] verdict: ' in text
        for file in ("model.tar.gz", "job.json", "request.json", "logs/algo-1.log"):
            assert f'href="/-/jobs/evil/{file}"' in text
        assert "an-image" not in text

    def test_words_of_a_job_are_text_and_never_markup(self, server, cookie, run):
        text = ask(server, "/-/jobs/evil", cookie=cookie)[2]

        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;alert(&#39;evil&#39;)&lt;/script&gt;") >= 2  # the log and the request
        assert re.findall(r"<script[^>]*>", text) == ['<script src="/-/static/live.js" defer>']
        assert "\x1b" not in text
        assert "\x00" not in text
        assert "<script>alert" not in ask(server, "/", cookie=cookie)[2]
        assert "<script>alert" not in ask(server, "/-/jobs/many-0007", cookie=cookie)[2]

    def test_files_are_downloads_and_never_shown(self, server, cookie, run):
        status, headers, text = ask(server, "/-/jobs/evil/logs/algo-1.log", cookie=cookie)

        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert headers["content-disposition"] == "attachment; filename=evil-algo-1.log"
        assert EVIL in text
        assert ask(server, "/-/jobs/evil/model.tar.gz", cookie=cookie)[1]["content-length"] != "0"

    def test_artifacts_without_compression_are_listed_and_downloads(self, server, cookie):
        output = {"S3OutputPath": f"s3://{BUCKET}/out", "CompressionType": "NONE"}
        server.create("loose", ["leave"], OutputDataConfig=output)
        assert server.ended("loose")["TrainingJobStatus"] == "Completed"
        text = ask(server, "/-/jobs/loose", cookie=cookie)[2]

        for file in ("model/run.sh", "model/1/saved%20model.pb", "output/inner/curve.csv"):
            assert f'href="/-/jobs/loose/{file}"' in text
            status, headers, _ = ask(server, f"/-/jobs/loose/{file}", cookie=cookie)
            assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert ask(server, "/-/jobs/loose/model/run.sh", cookie=cookie)[2] == "#!/bin/sh\n"

    @pytest.mark.parametrize("path", [
        "evil/../../endpoint.json", "evil/logs/../../../endpoint.json", "evil/%2e%2e/%2e%2e/endpoint.json",
        "evil/logs/%2e%2e/%2e%2e/%2e%2e/access_key.json", "evil/logs/..%2f..%2f..%2faccess_key.json",
        "evil//etc/passwd", "evil/checkpoints/out",
        "evil/checkpoints/folder/endpoint.json", "evil/lock", "evil/logs", "evil/logs/%00",
        "../endpoint.json", "..", "%2e%2e/endpoint.json", "evil/scratch/opt_ml/x",
    ])  # fmt: skip
    def test_nothing_but_what_a_job_left_can_be_downloaded(self, server, cookie, run, path):
        checkpoints = server.root / "jobs" / "evil" / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        for name, target in (("out", server.root / "endpoint.json"), ("folder", server.root)):
            if not (checkpoints / name).is_symlink():
                (checkpoints / name).symlink_to(target)
        status, _, text = ask(server, f"/-/jobs/{path}", cookie=cookie)

        assert status == 404
        assert server.found["secret"] not in text
        assert "checkpoints/out" not in ask(server, "/-/jobs/evil", cookie=cookie)[2]

    def test_running_job_is_live(self, server, cookie):
        server.create("live", ["wait_for_stop"])
        eventually(lambda: "ready" in ask(server, "/-/jobs/live", cookie=cookie)[2])
        text = ask(server, "/-/jobs/live", cookie=cookie)[2]

        assert 'id="live" data-seconds="2"' in text
        assert "Runs for" in text
        server.client("sagemaker").stop_training_job(TrainingJobName="live")
        server.ended("live")
        assert 'id="live" data-seconds="0"' in ask(server, "/-/jobs/live", cookie=cookie)[2]

    def test_failed_job_says_why_first(self, server, cookie):
        server.create("broken", ["end", 3, f"no such layer {EVIL}"])
        server.ended("broken")
        text = ask(server, "/-/jobs/broken", cookie=cookie)[2]

        assert "AlgorithmError: no such layer &lt;script&gt;" in text
        assert text.index("Why it failed") < text.index('<svg class="timeline"')

    def test_unknown_job_is_not_found(self, server, cookie):
        assert ask(server, "/-/jobs/nobody", cookie=cookie)[0] == 404
