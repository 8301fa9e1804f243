import os
import subprocess
import sys

import pytest
from trainjob import cores


@pytest.mark.parametrize(
    ("have", "count", "parts"),
    [
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([4, 6, 8], 2, [[4], [6]]),
        ([5], 2, [[5], [5]]),
        ([0, 1], 1, [[0, 1]]),
    ],
)
def test_processes_have_as_many_cores_each_and_none_twice_where_they_go_round(have, count, parts):
    assert [cores.part(have, index, count) for index in range(count)] == parts


def test_what_is_started_meanwhile_uses_these_alone_and_this_process_all_afterwards():
    before = cores.usable()
    with cores.bound(before[:1]):
        told = subprocess.run(
            [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout.split() == [str(before[0])]
    assert cores.usable() == before == sorted(os.sched_getaffinity(0))
