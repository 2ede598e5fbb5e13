"""A proxy before PostgreSQL that fails at chosen statements: late, broken off, its answer lost, or silent."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["delay", "reset", "lost", "hang"]
KINDS: tuple[Kind, ...] = ("delay", "reset", "lost", "hang")
DELAY_SECONDS = 0.3
_BLOCK = 1 << 16
# First bytes of the messages that begin a statement: Query, Parse, Bind (PostgreSQL, "Message Formats").
_STATEMENT = b"QPB"


@dataclass
class StatementProxy:
    """What is wrong with statements `first` to `last`, counted over all connections from `fail` on.

    `struck` are those that it hit. `delay` passes one on late, `reset` breaks its connection before the database has
    seen it, `lost` after the database has carried it out, and `hang` keeps it and never answers.
    """

    target_port: int
    port: int = 0
    kind: Kind | None = None
    first: int = 1
    last: float = 0
    seen: int = 0
    struck: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, kind: Kind, *, first: int = 1, last: float = float("inf")) -> None:
        with self.lock:
            self.kind, self.first, self.last, self.seen, self.struck = kind, first, last, 0, []

    def heal(self) -> None:
        with self.lock:
            self.kind = None

    def next_fault(self, message: bytes) -> Kind | None:
        if message[:1] not in (_STATEMENT[i : i + 1] for i in range(3)):
            return None
        with self.lock:
            self.seen += 1
            if self.kind is None or not self.first <= self.seen <= self.last:
                return None
            self.struck.append(message)
            return self.kind


class _Link:
    """One connection and its other half."""

    def __init__(self, proxy: StatementProxy, client: socket.socket) -> None:
        self._proxy, self._client = proxy, client
        self._server = socket.create_connection(("127.0.0.1", proxy.target_port))
        for end in (client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer_is_lost = False
        for pump in (self._pass_statements, self._pass_answers):
            threading.Thread(target=pump, daemon=True).start()

    def _pass_statements(self) -> None:
        with suppress(OSError):
            while message := self._client.recv(_BLOCK):
                fault = self._proxy.next_fault(message)
                if fault == "delay":
                    time.sleep(DELAY_SECONDS)
                elif fault == "reset":
                    break
                elif fault == "hang":
                    # Until the client has had enough.
                    while self._client.recv(_BLOCK):
                        pass
                    break
                self._answer_is_lost = fault == "lost"
                self._server.sendall(message)
        self._cut()

    def _pass_answers(self) -> None:
        with suppress(OSError):
            # PostgreSQL sends the answer of a statement, and of COMMIT, when it is carried out.
            while (answer := self._server.recv(_BLOCK)) and not self._answer_is_lost:
                self._client.sendall(answer)
        self._cut()

    def _cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                # Linger for no time: the client sees a reset.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def statement_proxy(target_port: int) -> Iterator[StatementProxy]:
    """This will pass everything on to a PostgreSQL on the loopback address until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = StatementProxy(target_port, listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listener, proxy), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.heal()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, proxy: StatementProxy) -> None:
    with suppress(OSError):
        while True:
            _Link(proxy, listener.accept()[0])
