"""The benchmark itself: it refuses wrong answers, reads /proc rightly and replaces only its own part of a page."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.bench.chart import chart
from tests.bench.images import MIB
from tests.bench.memory import Figures as Memory
from tests.bench.processes import cpu_seconds, forget_peak, peak_resident_bytes, resident_bytes, tree
from tests.bench.report import BEGIN, END, replace_between_markers, table
from tests.bench.rounds import Figures
from tests.bench.systems import REFERENCE, System
from tests.bench.transfers import CHUNK, chunked
from tests.bench.wire import Question, WrongAnswer, load

BODY = b"the answer " * 300


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    def do_HEAD(self) -> None:
        self.do_GET()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the load generator hangs up at a wrong answer
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_load_counts_right_answers(port: int, method: str) -> None:
    result = load(Question("127.0.0.1", port, method, "/", "*/*", BODY), connections=4, seconds=0.1)
    assert result.answers >= 4


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", BODY[:-1] + b"!"),
        ("GET", "/", BODY[:-1]),
        ("HEAD", "/", BODY + b"!"),
        ("GET", "/missing", BODY),
    ],
    ids=["other body", "longer body", "other length", "other status"],
)
def test_load_stops_at_a_wrong_answer(port: int, method: str, path: str, expected: bytes) -> None:
    with pytest.raises(WrongAnswer):
        load(Question("127.0.0.1", port, method, path, "*/*", expected), connections=2, seconds=0.1)


def test_chunked_frames_each_piece_and_ends() -> None:
    content = os.urandom(CHUNK + 5)
    assert chunked(content) == b"8000\r\n" + content[:CHUNK] + b"\r\n5\r\n" + content[CHUNK:] + b"\r\n0\r\n\r\n"


def test_chunked_frames_of_one_body_can_follow_each_other() -> None:
    content = os.urandom(2 * CHUNK)
    frames = chunked(content[:CHUNK], last=False) + chunked(content[CHUNK:], last=False) + chunked(b"")
    assert frames == chunked(content)


def test_tree_holds_grandchildren_and_their_cost() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            while len(tree(child.pid)) < 2:
                assert child.poll() is None
            assert child.pid in tree(os.getpid())
            assert resident_bytes(tree(child.pid)) > resident_bytes([child.pid]) > 0
            assert cpu_seconds([os.getpid()]) > 0
        finally:
            child.communicate(b"\n")


def test_peak_of_a_process_is_remembered_until_it_is_forgotten() -> None:
    pid, size = os.getpid(), 64 * MIB
    forget_peak(pid)
    before = peak_resident_bytes(pid)
    held = bytearray(size)
    assert peak_resident_bytes(pid) - before > size // 2
    held.clear()
    assert peak_resident_bytes(pid) - before > size // 2
    forget_peak(pid)
    assert peak_resident_bytes(pid) - before < size // 2


@pytest.mark.parametrize(("each", "within"), [(3.9, True), (4.1, False)])
def test_memory_of_transfers_is_held_against_its_bound(each: float, within: bool) -> None:
    peak = 100 * MIB + int(20 * each * MIB)
    one = Memory("files", "uploads", 20, 1024 * MIB, 60.0, 100 * MIB, peak, 90 * MIB)
    assert one.within is within
    assert f"| {each:.1f} |" in one.line()


def figures(name: str, *values: float) -> Figures:
    made = Figures(System(name, 0, 0, "1"))
    made.values["manifest_tag"].extend(values)
    return made


def test_table_holds_median_spread_and_ratio() -> None:
    text = table([figures("Lading", 300, 100, 200), figures(REFERENCE, 50, 50, 50)])
    assert "| manifest GET by tag | answers/s | 200 ±50% | 50 ±0% | 4.00 |" in text


def test_table_has_no_ratio_without_the_reference() -> None:
    assert "÷" not in table([figures("Lading", 1)])


def test_chart_needs_the_reference() -> None:
    assert chart([figures("Lading", 1)]) is None
    drawn = chart([figures("Lading", 300), figures(REFERENCE, 200)])
    assert drawn
    assert ">1.50<" in drawn


def test_page_keeps_what_stands_around_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_between_markers(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_page_without_markers_is_refused_and_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before {BEGIN} after")
    with pytest.raises(ValueError, match="lacks"):
        replace_between_markers(page, "new")
    assert page.read_text() == f"before {BEGIN} after"
