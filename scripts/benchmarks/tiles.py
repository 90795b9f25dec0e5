"""Time and memory of ``pcseg predict`` in tiles: ``python -m benchmarks.tiles POINTS CKPT`` predicts a LAZ file.

The file repeats a generated building with jitter. Memory is that of the process and its children, as the kernel counts
it (proportional set size), sampled ten times per second.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import laspy
import numpy as np

from pcseg.data.scenes import read_scene

COPIES = 8
"""Copies of each room at the same location, so that clouds are as dense as those of terrestrial scanners."""


def write_building(path: Path, rooms: list[Path], points: int) -> None:
    """Write ``points`` points of rooms in a grid of 12 meters, each with a jitter of 3 mm."""
    rng = np.random.default_rng(0)
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales = np.full(3, 0.001)
    with laspy.open(path, "w", header=header, do_compress=True) as out:
        for number in range(10**9):
            room = read_scene(rooms[number % len(rooms)])
            pos = room.pos - room.pos.min(axis=0) + np.array([12 * (number % 24), 12 * (number // 24), 0])
            for _ in range(COPIES):
                count = min(len(pos), points)
                if not count:
                    return
                part = laspy.ScaleAwarePointRecord.zeros(count, header=header)
                part.x, part.y, part.z = (pos[:count] + rng.normal(0, 0.003, (count, 3))).T
                assert room.color is not None
                part.red, part.green, part.blue = (room.color[:count].astype(np.uint16) * 257).T
                part.intensity, part.gps_time = (
                    rng.integers(0, 256, count),
                    (points - np.arange(count)) * 1e-5,
                )
                out.write_points(part)
                points -= count


def tree_memory(process: int) -> int:
    """Return the bytes of memory of a process and its children."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if process in (int(folder.name), parent):
                rollup = (folder / "smaps_rollup").read_text()
                total += 1024 * int(rollup.split("Pss:")[1].split()[0])
        except (OSError, ValueError, IndexError):  # has ended
            continue
    return total


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its wall time, its CPU time in seconds, and its peak memory in bytes."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, tree_memory(child.pid))
            time.sleep(0.1)
    if child.returncode:
        sys.exit(child.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu, peak


def main(points: int, ckpt: str, rooms: str = "data/rooms") -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "building.laz")
        write_building(source, sorted(Path(rooms).glob("Area_*/*.h5")), points)
        command = [sys.executable, "-m", "pcseg", "predict", str(source), "--ckpt", ckpt, "--out", folder]
        wall, cpu, peak = measure([*command, "--memory", "4GiB", "--together", "--progress_bar", "false"])
    cost, speed = 1e6 * cpu / points, points / wall
    print(f"| {points:,} | {wall:.0f} | {cpu:.0f} | {cost:.2f} | {speed:,.0f} | {peak / 2**30:.2f} |")


if __name__ == "__main__":
    main(int(float(sys.argv[1])), *sys.argv[2:])
