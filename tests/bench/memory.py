"""`python -m tests.bench.memory`: memory of a web process during many large uploads, then as many downloads.

One web process takes them all, which is the worst that can come to it. What is sent is made on the way and differs
for each upload; every digest is verified, by the registry and by the client that downloads.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from tests.bench.images import MIB, REPOSITORY
from tests.bench.processes import forget_peak, peak_resident_bytes, proportional_bytes, resident_bytes
from tests.bench.transfers import Client, chunked
from tests.bench.workers import Workers, meet, workers
from tests.live_server import LiveServer, default_database, live_server
from tests.s3_server import s3_server

# Wide enough for noise of the allocator, narrow enough to find a second buffer in each transfer.
MOST_MIB = {
    ("files", "uploads"): 4.0,
    ("files", "downloads"): 4.0,
    ("s3", "uploads"): 16.0,
    ("s3", "downloads"): 4.0,
}
# Stores put a large object together from its parts, which may be there twice for a while.
COPIES = {"files": 1, "s3": 2}
# Many transfers share two cores, and all of them end at once.
TIMEOUT_SECONDS = 1800
SAMPLE_SECONDS = 0.5
_SPAWNED = re.compile(r"Spawning worker-\d+ with PID: (\d+)")


@dataclass(frozen=True)
class Figures:
    """Bytes of one web process before and at the peak of `count` transfers of `size` bytes."""

    storage: str
    phase: str
    count: int
    size: int
    seconds: float
    before: int
    peak: int
    proportional: int

    @property
    def growth(self) -> int:
        return self.peak - self.before

    @property
    def bound(self) -> float:
        return self.count * MOST_MIB[self.storage, self.phase] * MIB

    @property
    def within(self) -> bool:
        return self.growth <= self.bound

    def line(self) -> str:
        each = self.growth / self.count / MIB
        rate = self.count * self.size / self.seconds / 1e6
        return (
            f"| {self.storage} | {self.count} {self.phase} of {self.size / MIB:,.0f} MiB | {self.before / MIB:.0f}"
            f" | {self.peak / MIB:.0f} | {self.proportional / MIB:.0f} | {self.growth / MIB:.0f} | {each:.1f}"
            f" | {self.bound / MIB:.0f} | {rate:.0f} |"
        )


HEAD = (
    "| storage | transfers at once | before, MiB | peak, MiB | peak of PSS, MiB | growth, MiB | for each, MiB"
    " | bound of growth, MiB | all together, MB/s |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    size = options.mib * MIB
    figures: list[Figures] = []
    for storage in options.storage or ["files", "s3"]:
        _check_space(storage, options.transfers * size * COPIES[storage])
        for one in measure(storage, options.transfers, size, dict(item.split("=", 1) for item in options.set)):
            _tell(one.line())
            figures.append(one)
    print("\n".join([HEAD, *(one.line() for one in figures)]))
    over = [one for one in figures if not one.within]
    for one in over:
        _tell(f"{one.storage}, {one.phase}: grew by more than {one.bound / MIB:.0f} MiB")
    return 1 if over else 0


def measure(storage: str, count: int, size: int, environ: dict[str, str]) -> Iterator[Figures]:
    """This will let one server take `count` uploads at once, and then serve them again. Raises WrongAnswer."""
    with _server(storage, environ) as server, workers(count) as clients:
        pid = int(_SPAWNED.findall(server.log())[-1])
        # Code that the first transfers load is there for good.
        _download(server.port, _upload(server.port, MIB), MIB)
        digests: list[str] = []

        def upload() -> None:
            digests.extend(clients.run(_upload, server.port, size))

        yield _watched(storage, "uploads", count, size, pid, upload)
        yield _watched(storage, "downloads", count, size, pid, lambda: _download_all(clients, server, digests, size))


def _watched(storage: str, phase: str, count: int, size: int, pid: int, work: Callable[[], None]) -> Figures:
    ended, proportional = threading.Event(), [proportional_bytes([pid])]

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            proportional.append(proportional_bytes([pid]))

    sampler = threading.Thread(target=sample, daemon=True)
    before, began = resident_bytes([pid]), time.monotonic()
    forget_peak(pid)
    sampler.start()
    try:
        work()
    finally:
        ended.set()
        sampler.join()
    seconds = time.monotonic() - began
    return Figures(storage, phase, count, size, seconds, before, peak_resident_bytes(pid), max(proportional))


def _upload(port: int, size: int) -> str:
    """The digest of new content, `size` bytes of it; starts together with the other clients."""
    block, hasher = bytearray(os.urandom(MIB)), hashlib.sha256()

    def frames() -> Iterator[bytes]:
        for number in range(size // MIB):
            block[:8] = number.to_bytes(8, "big")
            hasher.update(block)
            yield chunked(bytes(block), last=False)
        yield chunked(b"")

    client = Client("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    meet()
    client.upload_frames(frames(), lambda: f"sha256:{hasher.hexdigest()}")
    client.close()
    return f"sha256:{hasher.hexdigest()}"


def _download_all(clients: Workers, server: LiveServer, digests: list[str], size: int) -> None:
    asked = [clients.pool.apply_async(_download_together, (server.port, digest, size)) for digest in digests]
    for one in asked:
        one.get()


def _download_together(port: int, digest: str, size: int) -> None:
    meet()
    _download(port, digest, size)


def _download(port: int, digest: str, size: int) -> None:
    client = Client("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    client.download(f"/v2/{REPOSITORY}/blobs/{digest}", size, digest)
    client.close()


@contextmanager
def _server(storage: str, environ: dict[str, str]) -> Iterator[LiveServer]:
    store: AbstractContextManager[dict[str, str]] = _s3() if storage == "s3" else nullcontext({})
    with store as stored:
        everything = {"REGISTRY_WEB_WORKERS": "1", "REGISTRY_LOG_ACCESSLOG_DISABLED": "true"} | stored | environ
        with live_server(database=default_database(), environ=everything) as server:
            yield server


@contextmanager
def _s3() -> Iterator[dict[str, str]]:
    with s3_server() as server:
        # Downloads through the server are what costs it memory.
        yield server.environ() | {"REGISTRY_STORAGE_REDIRECT_DISABLE": "true"}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--storage", action="append", choices=list(COPIES), help="only this one; repeatable")
    parser.add_argument("--transfers", type=int, default=20, help="uploads, and then downloads, at once")
    parser.add_argument("--mib", type=int, default=1024, help="size of each")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for Lading's environment")
    return parser.parse_args(arguments)


def _check_space(storage: str, needed: int) -> None:
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < needed * 1.2:
        raise SystemExit(f"{folder} has too little room for {storage}; set TMPDIR to a folder with more")


def _tell(line: str) -> None:
    print(f"memory: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
