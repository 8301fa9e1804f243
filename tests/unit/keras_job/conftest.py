"""The small job that every test here runs."""

import pytest
from trainjob.contract import FILE

from tests.small_job import Job


@pytest.fixture
def make_job(tmp_path):
    return lambda name="job", mode=FILE, **hyperparameters: Job(tmp_path / name, mode, **hyperparameters)
