"""A real server that is killed, a receiver that goes away, and every event of what clients were told succeeded."""

import json
import logging
import subprocess
import threading
import time
from itertools import groupby, pairwise

import httpx
import pytest

from oci import media_types
from tests.events.receiver import Receiver
from tests.factories import digest_of, encode, image_manifest
from tests.live_server import live_server

logging.getLogger("httpx").setLevel(logging.WARNING)
pytestmark = pytest.mark.timeout(600)

CLIENTS = 8
PULLS = 18
# Each round of a client is a push, its pulls and a deletion.
ROUND = PULLS + 2
EVENTS = 10_000
CANARY = "hunter2canary"


def environ_of(receiver, **more):
    endpoint = {
        "name": "sink",
        "url": f"{receiver.url}{CANARY}",
        "headers": {"Authorization": [f"Bearer {CANARY}"]},
        "secret": CANARY,
        "timeout": "2s",
        "threshold": 2,
        "backoff": "200ms",
        "ignore": {"mediatypes": ["application/octet-stream"]},
        **more,
    }
    return {"REGISTRY_NOTIFICATIONS_ENDPOINTS": json.dumps([endpoint]), "REGISTRY_WEB_WORKERS": "2"}


class Worker(threading.Thread):
    """A client that repeats each request until it is answered; `done` says what happened and how often it was asked."""

    def __init__(self, server, name, rounds):
        super().__init__(daemon=True)
        self.server, self.name, self.rounds = server, name, rounds
        self.repository = f"live/{name}"
        self.done = []
        self.error = None

    def run(self):
        try:
            with httpx.Client(base_url=self.server.url, timeout=60, trust_env=False) as self.http:
                digest = digest_of(b"{}")
                self.ask("POST", f"blobs/uploads/?digest={digest}", {201}, content=b"{}")
                for number in range(self.rounds):
                    self.do_round(f"v{number}")
        except Exception as error:  # noqa: BLE001 - told by the test
            self.error = error

    def do_round(self, tag):
        payload = encode(image_manifest())
        headers = {"Content-Type": media_types.OCI_MANIFEST}
        self.note("push", tag, self.ask("PUT", f"manifests/{tag}", {201}, content=payload, headers=headers))
        for _ in range(PULLS):
            self.note("pull", tag, self.ask("HEAD", f"manifests/{tag}", {200}))
        # What a killed server deleted before it could say so is gone when it is asked again.
        self.note("delete", tag, self.ask("DELETE", f"manifests/{tag}", {202}, again={404}))

    def ask(self, method, path, expected, *, again=frozenset(), **more):
        """How many times it took."""
        for times in range(1, 1000):
            try:
                answer = self.http.request(method, f"/v2/{self.repository}/{path}", **more)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if answer.status_code in expected or (times > 1 and answer.status_code in again):
                return times
            # Between its stop and its end a server may refuse.
            assert answer.status_code in (503, 500), answer.text
        raise AssertionError("never answered")

    def note(self, action, tag, times):
        self.done.append((action, tag, times))


def parsed(receiver):
    return [json.loads(body)["events"][0] for _, _, body in list(receiver.requests)]


def wait_for(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.1)


def assert_in_order(found):
    """Each arrival is the one after the last, or goes back to one that came before."""
    first = {}
    for event in found:
        first.setdefault(event["id"], len(first))
    arrivals = [first[event["id"]] for event in found]
    leaps = [(a, b) for a, b in pairwise(arrivals) if b > a + 1]
    assert leaps == []


def assert_tells_exactly(found, worker):
    """What was asked once is told once, in the same order; what was asked again may have happened more often."""
    mine = (event for event in found if event["target"]["repository"] == worker.repository)
    told = runs((event["action"], event["target"]["tag"], 1) for event in mine)
    asked = runs(worker.done)
    assert [run[:2] for run in told] == [run[:2] for run in asked]
    wrong = [(t, a) for t, a in zip(told, asked, strict=True) if not a[2] <= t[2] <= a[3]]
    assert wrong == []


def runs(done):
    """Neighbours of one kind as (action, tag, how many, how often asked for)."""
    groups = (list(group) for _, group in groupby(done, key=lambda item: item[:2]))
    return [(*group[0][:2], len(group), sum(times for *_, times in group)) for group in groups]


def test_every_event_arrives_in_order_and_none_is_invented(database):
    rounds = EVENTS // CLIENTS // ROUND + 1
    with Receiver() as receiver, live_server(database=database, environ=environ_of(receiver)) as server:
        workers = [Worker(server, f"client{number}", rounds) for number in range(CLIENTS)]
        for worker in workers:
            worker.start()

        def progress():
            return sum(len(worker.done) for worker in workers)

        for share, act in (
            (0.15, receiver.stop),
            (0.3, receiver.start),
            (0.45, lambda: (server.kill(), server.start())),
            (0.6, receiver.stop),
            (0.75, lambda: (server.kill(), server.start())),
            (0.9, receiver.start),
        ):
            wait_for(
                lambda share=share: progress() >= share * EVENTS or not any(worker.is_alive() for worker in workers),
                f"{share:.0%} is done",
            )
            act()
        for worker in workers:
            worker.join(300)
        assert [worker.error for worker in workers if worker.error or worker.is_alive()] == []
        assert progress() >= EVENTS
        wait_for(lambda: len({event["id"] for event in parsed(receiver)}) >= progress(), "as many events came")
        wait_for(lambda: "waiting: 0" in listing(server), "nothing waits any more")
        found = parsed(receiver)
        assert_in_order(found)
        unique = list({event["id"]: event for event in found}.values())
        for worker in workers:
            assert_tells_exactly(unique, worker)
        assert len(unique) < progress() + 100
        assert receiver.connections < 500, "connections are kept"
        assert all(headers["Authorization"] == f"Bearer {CANARY}" for _, headers, _ in receiver.requests)
        assert CANARY not in server.log()


def test_no_secret_is_shown_when_a_receiver_fails(database):
    with Receiver(lambda path: (401, {}, CANARY.encode())) as receiver:
        environ = environ_of(receiver, ignore={})
        with live_server(database=database, environ=environ) as server:
            answer = httpx.post(f"{server.url}/v2/live/a/blobs/uploads/?digest={digest_of(b'x')}", content=b"x")
            assert answer.status_code == 201
            wait_for(lambda: "parked: 1" in listing(server), "the event is parked")
            shown = listing(server)
            assert "last error: answered 401" in shown
            assert "sink" in server.log()
            assert CANARY not in server.log() + shown


def listing(server):
    command = [*server.command()[:-1], "notifications"]
    return subprocess.run(command, env=server.environ, check=True, capture_output=True, text=True).stdout
