"""What a process tree costs, read from /proc: resident memory and processor time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.02


def tree(root: int) -> list[int]:
    """This will list `root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, ahead = [], [root]
    while ahead:
        found.append(pid := ahead.pop())
        ahead.extend(children.get(pid, []))
    return found


def resident_bytes(pids: list[int]) -> int:
    """This will add up the resident sizes, so that a page two processes share counts twice."""
    total = 0
    for pid in pids:
        try:
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return total


def proportional_bytes(pids: list[int]) -> int:
    """This will add up the proportional sizes (PSS), in which a shared page counts once."""
    total = 0
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def peak_resident_bytes(pid: int) -> int:
    """This will tell the largest resident size of a process since its start, or since `forget_peak`."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> None:
    (PROC / str(pid) / "clear_refs").write_text("5")  # proc(5)


def cpu_seconds(roots: list[int]) -> float:
    """This will add up user and system time of the trees, children that have ended included."""
    ticks = 0
    for root in roots:
        for pid in tree(root):
            if fields := _stat(pid):
                ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


class PeakMemory:
    """The largest resident size of a tree between the start and the end of `watch`."""

    def __init__(self) -> None:
        self.peak = 0

    @contextmanager
    def watch(self, root: int) -> Iterator[None]:
        ended = threading.Event()

        def sample() -> None:
            pids = tree(root)
            while not ended.wait(SAMPLE_SECONDS):
                self.peak = max(self.peak, resident_bytes(pids))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join()
            self.peak = max(self.peak, resident_bytes(tree(root)))


def postmaster(backend: int) -> int | None:
    """This will name the parent of a PostgreSQL backend, or None where the database is on another host."""
    fields = _stat(backend)
    if not fields or (PROC / str(backend) / "comm").read_text().strip() != "postgres":
        return None
    return int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command's name, which may itself hold spaces (proc(5))."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
