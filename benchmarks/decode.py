"""Decoding photographs for training: ours beside PIL, torchvision's decoder, tf.data and DALI's own readers.

    make bench/decode              REAL_DATA=DIR names CUB_200_2011 or its parent; DEVICE=gpu needs a GPU

Every round starts both images afresh, one after the other; each lets every contestant show an epoch of train crops.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rounds import ratio, report
from scripts.images.entry import image_name

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900
"""Bounds one image's part of a round."""


def main() -> int:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description="Decode photographs for training.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = _photographs(Path(scratch))
        figures: dict[str, list[float]] = {}
        for number in range(arguments.rounds):
            for framework in ("pytorch", "keras") if arguments.device == "cpu" else ("pytorch",):
                for name, figure in _round(framework, data, arguments.device).items():
                    figures.setdefault(name, []).append(figure)
                    print(f"round {number + 1}/{arguments.rounds}  {name:<24} {figure:>14,.4g}", flush=True)
    ratios = {
        "antialias_vs_pil": ("antialias", "pil"),
        "plain_vs_pil": ("plain", "pil"),
        "plain_vs_decode_jpeg": ("plain", "decode_jpeg"),
        "plain_vs_dali_reader": ("plain", "dali_reader"),
        "plain_vs_torchvision_cuda": ("plain", "torchvision_cuda"),
        "keras_file_vs_tf_data": ("keras_file", "tf_data"),
        "keras_file_vs_dali_dataset": ("keras_file", "dali_dataset"),
        "pipe_vs_file": ("pipe", "plain"),
        "keras_pipe_vs_file": ("keras_pipe", "keras_file"),
        "cached_vs_first": ("cached_later", "cached_first"),
    }
    both = {name: pair for name, pair in ratios.items() if set(pair) <= figures.keys()}
    report("decode", "images/s", figures, {name: ratio(figures, *pair) for name, pair in both.items()})
    return 0


def _round(framework: str, data: Path, device: str) -> dict[str, float]:
    folders = (ROOT, ROOT / "containers" / "common", ROOT / "containers" / framework)
    inside = [str(Path("/project") / folder.relative_to(ROOT)) for folder in folders]
    command = ["docker", "run", "--rm", "--network", "none", "--shm-size", "2g"]
    command += ["--volume", f"{ROOT}:/project:ro", "--volume", f"{data}:/photographs:ro", "--workdir", "/project"]
    command += ["--env", f"PYTHONPATH={':'.join(inside)}", "--env", "GOMP_SPINCOUNT=3000"]
    command += ["--gpus", "all"] if device == "gpu" else []
    command += [image_name(framework), "python", "-W", "ignore", "-m", f"benchmarks.decode_{framework}", "/photographs"]
    command += ["--device", device] if framework == "pytorch" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"error: the {framework} image ended with {done.returncode}: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _photographs(scratch: Path) -> Path:
    given = Path(os.environ.get("REAL_DATA") or ROOT.parent / "shared" / "data")
    if (given / "unpack.py").exists():
        subprocess.run([sys.executable, given / "unpack.py", "cub200", scratch], check=True, timeout=SECONDS)
        given = scratch
    for folder in (given / "images", given / "CUB_200_2011" / "images"):
        if folder.is_dir():
            return folder
    sys.exit(f"error: {given} holds no CUB-200-2011; name its folder or the parent of that in REAL_DATA")


if __name__ == "__main__":
    sys.exit(main())
