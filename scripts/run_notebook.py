#!/usr/bin/env python3
"""Runs notebooks from top to bottom as they are, and writes what came of each as Markdown with its pictures.

    run_notebook.py cv_pytorch_pipe [--out docs/notebooks] [--seconds 600]

To be run by the interpreter of the notebooks' environment: `make notebook/cv_pytorch_pipe`. Nobody is there to be
asked, so what the last cell would ask is agreed to: it deletes what the notebook made, and no more.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
_STYLES = re.compile(r"<style scoped>.*?</style>\n", re.DOTALL)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one; the exit code is 1 where a cell failed, which is shown."""
    parser = argparse.ArgumentParser(description="Run a notebook, and write what came of it as Markdown.")
    parser.add_argument("name", help="of a notebook in notebooks/, without its suffix")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "notebooks", metavar="DIR", help="(%(default)s)")
    parser.add_argument("--seconds", type=int, default=1800, help="that a cell may take (%(default)s)")
    parser.add_argument("--where", choices=("local", "aws"), help="in place of what the first cell says")
    arguments = parser.parse_args(argv)
    notebook = nbformat.read(NOTEBOOKS / f"{arguments.name}.ipynb", as_version=4)
    if arguments.where:
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source = re.sub(r'^WHERE = "\w+"', f'WHERE = "{arguments.where}"', first.source, flags=re.MULTILINE)
    os.environ["YES"] = "1"
    begun = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=arguments.seconds, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        print(_COLOURS.sub("", f"{error}\n{error.ename}: {error.evalue}"), file=sys.stderr)
        return 1
    path = write(notebook, arguments.name, arguments.out)
    print(f"{path}: {time.perf_counter() - begun:.0f} s")
    return 0


def write(notebook: nbformat.NotebookNode, name: str, out: Path) -> Path:
    """The Markdown of a notebook that was run, its pictures in a folder beside it; those of an earlier run go."""
    folder = out / f"{name}_files"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    body, resources = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": name, "output_files_dir": folder.name}
    )
    for place, content in resources["outputs"].items():
        (out / place).write_bytes(content)
    text = _STYLES.sub("", _COLOURS.sub("", body)).replace(f"{ROOT}/", "")
    path = out / f"{name}.md"
    path.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip() + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
