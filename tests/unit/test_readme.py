"""The README's tree names every source file, and no other."""

import re
import subprocess
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).resolve().parents[2]
TREE = re.search(r"## The tree\n(.*)", (ROOT / "README.md").read_text(), re.DOTALL)


def test_tree_names_every_python_file_outside_the_tests():
    assert TREE
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    sources = [Path(name) for name in listed.stdout.splitlines() if not name.startswith("tests/")]
    sources = [path for path in sources if path.name != "__init__.py" and "source" not in path.parts]
    assert sources, "git lists the sources"
    missing = [str(path) for path in sources if path.name not in TREE[1]]
    assert not missing


def test_job_by_boto3_is_shown_as_it_is_tested():
    _, code = (ROOT / "examples" / "boto3_job.py").read_text().split('"""\n\n')

    assert indent(code, "    ") in (ROOT / "README.md").read_text()


def test_tree_names_no_python_file_that_is_not_there():
    assert TREE
    known = {path.name for path in ROOT.rglob("*.py") if not {".venv", ".local_mode"} & set(path.parts)}
    unknown = [name for name in re.findall(r"[\w-]+\.py\b", TREE[1]) if name not in known]
    assert not unknown
