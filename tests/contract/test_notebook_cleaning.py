"""What the last cells of a notebook find and delete: all that its run made, and nothing beside it."""

from types import SimpleNamespace

import pytest

from notebooks import workshop
from tests.contract.endpoint import BUCKET, Server
from tests.contract.tuning import create, ended

RUN, NEIGHBOUR = "cifar10-1126", "cifar10-1126-other"
SHARED = "trial-of-somebody-else"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0


def place(server, run):
    session = SimpleNamespace(boto_session=server)  # it has `client`, which is all that is asked of it
    return workshop.Place(session=session, bucket=BUCKET, role="", image="", instance_type="", run=run)


def make(server, run, tags):
    """A training job, a tuning job with a trial, an object, and an experiment with both jobs, all of a run."""
    server.create(f"{run}-first", ["learn"], Tags=tags)
    create(server, f"{run}-tune", jobs=1, parallel=1, Tags=tags)
    server.client("s3").put_object(Bucket=BUCKET, Key=f"{run}/train/part", Body=b"1")
    assert server.ended(f"{run}-first")["TrainingJobStatus"]
    ended(server, f"{run}-tune")
    sagemaker = server.client("sagemaker")
    sagemaker.create_experiment(ExperimentName=run, Tags=tags)
    sagemaker.create_trial(TrialName=f"{run}-trial", ExperimentName=run, Tags=tags)
    for trial in (f"{run}-trial", SHARED):
        sagemaker.associate_trial_component(TrialName=trial, TrialComponentName=f"{run}-first-aws-training-job")
    (tuned,) = sagemaker.list_training_jobs(NameContains=f"{run}-tune-")["TrainingJobSummaries"]
    name = f"{tuned['TrainingJobName']}-aws-training-job"
    sagemaker.associate_trial_component(TrialName=f"{run}-trial", TrialComponentName=name)


def test_everything_of_a_run_is_found_and_deleted_and_its_neighbours_stay(server, monkeypatch, capsys):
    here, beside = place(server, RUN), place(server, NEIGHBOUR)
    sagemaker = server.client("sagemaker")
    sagemaker.create_experiment(ExperimentName="somebody-elses")
    sagemaker.create_trial(TrialName=SHARED, ExperimentName="somebody-elses")
    make(server, RUN, here.tags)
    make(server, NEIGHBOUR, beside.tags)
    server.create(f"{RUN}-untagged", ["learn"])
    server.ended(f"{RUN}-untagged")
    before = workshop.made(beside)

    found = workshop.made(here)
    assert sorted(name.partition(RUN)[2][:6] for name in found.training_jobs) == ["-first", "-tune-"]
    assert found.tuning_jobs == [f"{RUN}-tune"]
    assert found.objects == [f"{RUN}/train/part"]
    assert len(found.streams) == 2
    assert (found.trials, found.experiments) == ([f"{RUN}-trial"], [RUN])

    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    workshop.clean(here, found)
    assert workshop.made(here) == found

    monkeypatch.setattr("builtins.input", lambda question: "y")
    workshop.clean(here, found)
    nothing = {kind: [] for kind in ("objects", "streams", "training_jobs", "tuning_jobs", "trials", "experiments")}
    assert workshop.made(here) == workshop.Made(**nothing)
    assert workshop.made(beside) == before
    assert server.describe(f"{RUN}-untagged")["TrainingJobStatus"]
    components = sagemaker.list_trial_components()["TrialComponentSummaries"]
    left = [each["TrialComponentName"] for each in components if each["TrialComponentName"].startswith(f"{RUN}-first")]
    assert left == [f"{RUN}-first-aws-training-job"], "that another trial has, too"
    assert "   0 tuning jobs" in capsys.readouterr().out
