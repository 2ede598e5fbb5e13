"""A small HTTP/1.1 load generator that compares every answer with the expected one, byte for byte.

The usual tools, wrk and h2load, look at no bodies.
"""

import re
import select
import socket
import time
from dataclasses import dataclass

RECEIVE = 256 * 1024
SILENCE_SECONDS = 20
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEADERS_END = b"\r\n\r\n"


class WrongAnswer(Exception):
    """A server answered something else than it was filled with, or nothing."""


@dataclass(frozen=True)
class Question:
    """One request, repeated, and the only answer that counts: 200, `length`, and `body` unless it is HEAD."""

    host: str
    port: int
    method: str
    path: str
    accept: str
    body: bytes

    @property
    def request(self) -> bytes:
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Accept: {self.accept}\r\nUser-Agent: lading-bench\r\n\r\n"
        ).encode()


@dataclass(frozen=True)
class Load:
    """How many answers came in `seconds`, and the latencies (seconds) that half and 99 of 100 stayed below."""

    answers: int
    seconds: float
    slowest_percent: float
    median: float


class Connection:
    """One keep-alive connection with one request under way."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.request = question.request
        self.expected = b"" if question.method == "HEAD" else question.body
        self.socket = socket.create_connection((question.host, question.port), SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.asked_at = 0.0

    def ask(self) -> None:
        self.received = b""
        self.asked_at = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """This will say whether the answer is complete. Raises WrongAnswer."""
        data = self.socket.recv(RECEIVE)
        if not data:
            raise WrongAnswer(f"{self.question.path}: closed by the server after {self.received[:300]!r}")
        self.received = self.received + data if self.received else data
        end = self.received.find(HEADERS_END)
        if end < 0:
            return False
        if len(self.received) - end - len(HEADERS_END) < len(self.expected):
            return False
        self._check(end)
        return True

    def _check(self, end: int) -> None:
        length = LENGTH.search(self.received, 0, end + 2)
        if (
            not self.received.startswith(b"HTTP/1.1 200")
            or not length
            or int(length[1]) != len(self.question.body)
            or self.received[end + len(HEADERS_END) :] != self.expected
        ):
            raise WrongAnswer(f"{self.question.method} {self.question.path}: {self.received[:300]!r}")


def load(question: Question, connections: int, seconds: float) -> Load:
    """This will repeat `question` on `connections` connections at once for `seconds`.

    Raises WrongAnswer at the first answer that differs, and when no answer comes for 20 seconds.
    """
    opened = {one.socket.fileno(): one for one in (Connection(question) for _ in range(connections))}
    poll = select.epoll()
    try:
        for number in opened:
            poll.register(number, select.EPOLLIN)
        return _repeat(opened, poll, seconds)
    finally:
        poll.close()
        for one in opened.values():
            one.socket.close()


def _repeat(opened: dict[int, Connection], poll: select.epoll, seconds: float) -> Load:
    latencies: list[float] = []
    started = time.perf_counter()
    deadline = started + seconds
    for one in opened.values():
        one.ask()
    busy = len(opened)
    while busy:
        ready = poll.poll(SILENCE_SECONDS)
        if not ready:
            raise WrongAnswer(f"no answer for {SILENCE_SECONDS} seconds")
        for number, _ in ready:
            one = opened[number]
            if not one.receive():
                continue
            now = time.perf_counter()
            latencies.append(now - one.asked_at)
            if now < deadline:
                one.ask()
            else:
                busy -= 1
    elapsed = time.perf_counter() - started
    latencies.sort()
    return Load(len(latencies), elapsed, latencies[int(len(latencies) * 0.99)], latencies[len(latencies) // 2])
