import json
from pathlib import Path

import pytest

from local_mode.errors import StandInError
from local_mode.runners.stand_in import StandInFile, find

ENTRY = {"interpreter": "/bin/sh", "train": ["-c", "true"]}


def test_stand_in_that_is_added_to_the_file_later_is_found(tmp_path: Path):
    path = tmp_path / "stand-ins.json"
    path.write_text("{}")
    stand_ins = StandInFile(path)
    with pytest.raises(StandInError, match=r"No stand-in for image 'a' \(known: none\)"):
        find(stand_ins, "a")

    path.write_text(json.dumps({"a": ENTRY}))

    assert find(stand_ins, "a").train == ("-c", "true")
    assert (list(stand_ins), len(stand_ins)) == (["a"], 1)


def test_file_of_stand_ins_that_is_none_is_refused_before_any_job(tmp_path: Path):
    with pytest.raises(StandInError, match=r"missing\.json"):
        StandInFile(tmp_path / "missing.json")
