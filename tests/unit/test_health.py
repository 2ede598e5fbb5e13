import http.server
import socket
import threading
from contextlib import contextmanager

import pytest

from registry_project.config import load_configuration
from registry_project.health import HealthMonitor

NO_STORAGE = {"REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "false"}


def monitor_of(environ, check_storage=lambda: None, **more):
    return HealthMonitor(load_configuration(None, environ).health, check_storage=check_storage, **more)


class Storage:
    def __init__(self):
        self.error = None

    def __call__(self):
        if self.error:
            raise OSError(self.error)


class Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.seen.append((self.command, self.path, self.headers.get("X-Probe")))
        moved = self.path == "/moved"
        self.send_response(302 if moved else int(self.path[1:]))
        if moved:
            self.send_header("Location", "/204")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815 - the name that the base class looks for

    def log_message(self, *args):
        pass


@pytest.fixture
def web():
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        server.seen = []
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one, one.getsockname()[1]


def test_is_healthy_before_the_first_check_and_without_checks():
    assert monitor_of({}).problems() == {}
    assert monitor_of(NO_STORAGE).checks == []


def test_storage_is_a_problem_after_three_failures_in_a_row():
    storage = Storage()
    monitor = monitor_of({}, storage)
    seen = []
    for error in ("full", "full", None, "full", "full", "full", "gone", None):
        storage.error = error
        monitor.run_all()
        seen.append(monitor.problems())
    assert seen == [{}, {}, {}, {}, {}, {"storagedriver": "full"}, {"storagedriver": "gone"}, {}]


@pytest.mark.parametrize("threshold", ["0", "1"])
def test_the_lowest_threshold_is_the_first_failure(threshold):
    storage = Storage()
    storage.error = "full"
    monitor = monitor_of({"REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD": threshold}, storage)
    monitor.run_all()
    assert monitor.problems() == {"storagedriver": "full"}


def test_a_file_takes_the_registry_out_of_service(tmp_path):
    down = tmp_path / "down"
    monitor = monitor_of({**NO_STORAGE, "REGISTRY_HEALTH_FILE_0_FILE": str(down)})
    monitor.run_all()
    assert monitor.problems() == {}
    down.touch()
    monitor.run_all()
    assert monitor.problems() == {str(down): "the file exists"}
    down.unlink()
    monitor.run_all()
    assert monitor.problems() == {}


@pytest.mark.parametrize(
    ("path", "expected", "problem"),
    [
        ("200", "200", None),
        ("204", "200", "answered 204, expected 200"),
        ("503", "200", "answered 503, expected 200"),
        ("404", "404", None),
        ("moved", "204", None),
    ],
)
def test_a_web_address_must_answer_with_its_status(web, path, expected, problem):
    uri = f"{web.address}/{path}"
    variables = {"URI": uri, "STATUSCODE": expected, "HEADERS_X-Probe": "[here]"}
    monitor = monitor_of({**NO_STORAGE, **{f"REGISTRY_HEALTH_HTTP_0_{k}": v for k, v in variables.items()}})
    monitor.run_all()
    assert monitor.problems() == ({uri: problem} if problem else {})
    assert {command for command, _, _ in web.seen} == {"HEAD"}
    assert web.seen[0][2] == "here"


def test_an_unreachable_web_address_is_a_problem_without_its_password():
    with free_port() as (_, port):
        uri = f"http://user:hunter2@127.0.0.1:{port}/"
        monitor = monitor_of({**NO_STORAGE, "REGISTRY_HEALTH_HTTP_0_URI": uri})
        monitor.run_all()
    (name,) = monitor.problems()
    assert name == f"http://127.0.0.1:{port}/"
    assert "hunter2" not in str(monitor.problems())


def test_a_tcp_address_must_accept_connections():
    with free_port() as (listener, port):
        environ = {**NO_STORAGE, "REGISTRY_HEALTH_TCP_0_ADDR": f"127.0.0.1:{port}"}
        monitor = monitor_of({**environ, "REGISTRY_HEALTH_TCP_0_THRESHOLD": "2"})
        monitor.run_all()
        assert monitor.problems() == {}
        monitor.run_all()
        assert list(monitor.problems()) == [f"127.0.0.1:{port}"]
        listener.listen()
        monitor.run_all()
        assert monitor.problems() == {}


def test_a_check_that_hangs_is_a_problem_and_does_not_stop_the_others(tmp_path):
    now = [1000.0]
    begun, release = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait()

    (tmp_path / "down").touch()
    environ = {"REGISTRY_HEALTH_FILE_0_FILE": f"{tmp_path}/down"}
    monitor = monitor_of(environ, hang, clock=lambda: now[0])
    monitor.start()
    threads = [check.thread for check in monitor.checks]
    monitor.start()
    try:
        assert [check.thread for check in monitor.checks] == threads
        assert begun.wait(30)
        while f"{tmp_path}/down" not in monitor.problems():
            threading.Event().wait(0.01)
        assert "storagedriver" not in monitor.problems()
        now[0] += 41
        assert monitor.problems()["storagedriver"] == "the check has not ended for 41 s"
    finally:
        monitor.stop()
        release.set()
        for check in monitor.checks:
            check.thread.join(30)
    assert not any(check.thread.is_alive() for check in monitor.checks)


def test_the_thread_repeats_its_check():
    times = []
    enough = threading.Event()

    def count():
        times.append(1)
        if len(times) == 3:
            enough.set()

    monitor = monitor_of({"REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL": "1ms"}, count)
    monitor.start()
    try:
        assert enough.wait(30)
    finally:
        monitor.stop()


def test_background_work_that_fails_is_a_warning_and_no_problem():
    celery = Storage()
    monitor = monitor_of(NO_STORAGE, check_celery=celery)
    celery.error = "no worker answers"
    for expected in ({}, {"celery": "no worker answers"}):
        monitor.run_all()
        assert (monitor.warnings(), monitor.problems()) == (expected, {})
    celery.error = None
    monitor.run_all()
    assert monitor.warnings() == {}
    assert monitor_of(NO_STORAGE).warnings() == {}
