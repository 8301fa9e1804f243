"""A Docker Engine that restarts in the middle of a job: one of the test's own, never this machine's."""

import gc

import pytest

from local_mode.runners.docker import DockerRunner
from tests.containers import miss
from tests.contract.lab import Lab, eventually
from tests.contract.private_engine import IMAGE, PrivateEngine, put_image, why_not

pytestmark = [
    pytest.mark.drill,
    # The docker SDK leaves a socket of its own open, for each call that finds no engine.
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket fd=[0-9]+, family=1:ResourceWarning"),
]


@pytest.fixture
def engine(tmp_path, request):
    if reason := why_not():
        miss(reason)
    made = PrivateEngine(tmp_path / "engine", live_restore=request.param)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(engine, tmp_path):
    client = engine.client()
    put_image(client)
    yield Lab(runner=DockerRunner(client), kind="docker", folder=tmp_path, client=client)
    client.close()
    gc.collect()  # of those sockets, before a test that comes later is told of them


def start(lab, source):
    algorithm = {"TrainingImage": IMAGE}
    return lab.start(
        ["none"], channels={"train": f"{source}/"}, mode="File", algorithm=algorithm, EnableNetworkIsolation=True
    )


@pytest.mark.parametrize("engine", [False], indirect=True)
@pytest.mark.contract("endpoint", "U", "An engine that restarts and ends its containers ends a job with what they left")
def test_job_fails_with_its_model_when_the_engine_restarts_and_ends_its_container(engine, lab, source):
    run = start(lab, source)
    assert run.recorder.ready.wait(20)
    engine.end()
    engine.start()
    run.end()

    assert run.status == "Failed"
    assert run.description["FailureReason"] == "AlgorithmError: , exit code: 7"
    assert run.packed("model.tar.gz") == {"weights": b"stopped\n"}


@pytest.mark.parametrize("engine", [True], indirect=True)
@pytest.mark.contract(
    "endpoint", "U", "A job goes on, and its log with no line lost, when an engine restarts that keeps containers"
)
def test_job_goes_on_with_every_line_when_the_engine_restarts_and_keeps_its_container(engine, lab, source):
    run = start(lab, source)
    assert run.recorder.ready.wait(20)
    engine.end()
    engine.start()
    seen = len(run.recorder.lines)
    eventually(lambda: len(run.recorder.lines) > seen + 10)
    (source / "go").touch()
    run.end()

    assert run.status == "Completed"
    assert run.packed("model.tar.gz") == {"weights": b"trained\n"}
    lines = [line for line in run.recorder.lines if line != "ready\n"]
    count = len(lines) - 1
    assert lines == [f"line {number}\n" for number in range(1, count + 1)] + [f"last {count}\n"]
