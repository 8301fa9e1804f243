"""How busy this machine is, under the names that MLflow shows apart as system metrics."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

_PROC = Path("/proc")
_MB = 1 << 20
_GPU_SECONDS = 5
_GPU_QUERY = ("utilization.gpu", "memory.used", "memory.total")


class Machine:
    """Samples of processors, memory, disk and NVIDIA GPUs. Not of one job: jobs share the machine."""

    def __init__(self, disk: Path, proc: Path = _PROC, ask: Callable[[], str] | None = None) -> None:
        """`disk` is a folder on the disk that is meant; `ask` answers in place of nvidia-smi."""
        self._disk, self._proc = disk, proc
        self._ask = ask or (_nvidia_smi if shutil.which("nvidia-smi") else lambda: "")
        self._busy, self._all = self._ticks()

    def sample(self) -> Mapping[str, float]:
        """The state of now; processors since the last sample. What this machine does not tell is not there."""
        found: dict[str, float] = {}
        busy, whole = self._ticks()
        if whole > self._all:
            found["cpu_utilization_percentage"] = 100 * (busy - self._busy) / (whole - self._all)
        self._busy, self._all = busy, whole
        with contextlib.suppress(OSError, KeyError, ValueError):
            found |= self._memory()
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self._disk)
            found["disk_usage_percentage"] = 100 * disk.used / disk.total
            found["disk_available_megabytes"] = disk.free / _MB
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            found |= self._gpus()
        return {f"system/{name}": value for name, value in found.items()}

    def _ticks(self) -> tuple[int, int]:
        with contextlib.suppress(OSError, ValueError):
            first = (self._proc / "stat").read_text().splitlines()[0]
            ticks = [int(word) for word in first.split()[1:9]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, and waiting for a disk
        return 0, 0

    def _memory(self) -> dict[str, float]:
        lines = (line.split() for line in (self._proc / "meminfo").read_text().splitlines())
        kib = {words[0].rstrip(":"): int(words[1]) for words in lines}
        used = kib["MemTotal"] - kib["MemAvailable"]
        return {
            "system_memory_usage_megabytes": used / 1024,
            "system_memory_usage_percentage": 100 * used / kib["MemTotal"],
        }

    def _gpus(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for number, line in enumerate(self._ask().splitlines()):
            busy, used, total = (float(word) for word in line.split(","))
            found[f"gpu_{number}_utilization_percentage"] = busy
            found[f"gpu_{number}_memory_usage_megabytes"] = used
            found[f"gpu_{number}_memory_usage_percentage"] = 100 * used / total
        return found


def _nvidia_smi() -> str:
    command = ["nvidia-smi", f"--query-gpu={','.join(_GPU_QUERY)}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_GPU_SECONDS).stdout
