"""How busy the machine is, read from files of a kernel."""

import pytest

from local_mode.tracking.machine import Machine

STAT = "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n"
MEMORY = "MemTotal:       1024000 kB\nMemFree:  1 kB\nMemAvailable:    256000 kB\n"


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "stat").write_text(STAT.format(busy=100, idle=100))
    (folder / "meminfo").write_text(MEMORY)
    return folder


def test_processors_are_told_since_the_last_sample(proc, tmp_path):
    machine = Machine(tmp_path, proc, lambda: "")
    (proc / "stat").write_text(STAT.format(busy=130, idle=110))

    assert machine.sample()["system/cpu_utilization_percentage"] == 75
    assert "system/cpu_utilization_percentage" not in machine.sample()


def test_memory_and_disk_are_told(proc, tmp_path):
    found = Machine(tmp_path, proc, lambda: "").sample()

    assert found["system/system_memory_usage_percentage"] == 75
    assert found["system/system_memory_usage_megabytes"] == 750
    assert 0 < found["system/disk_usage_percentage"] <= 100


def test_every_gpu_is_told_by_its_number(proc, tmp_path):
    found = Machine(tmp_path, proc, lambda: "50, 1000, 4000\n0, 0, 4000\n").sample()

    assert found["system/gpu_0_utilization_percentage"] == 50
    assert found["system/gpu_0_memory_usage_percentage"] == 25
    assert found["system/gpu_1_memory_usage_megabytes"] == 0


def test_machine_that_tells_nothing_is_no_error(tmp_path):
    def broken():
        raise OSError

    assert set(Machine(tmp_path, tmp_path / "none", broken).sample()) == {
        "system/disk_usage_percentage", "system/disk_available_megabytes",
    }  # fmt: skip
