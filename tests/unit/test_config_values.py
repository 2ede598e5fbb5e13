from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_project.config.http import parse_listen
from registry_project.config.values import parse_duration

MICROSECONDS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("12h", 43200),
        ("7d", 604800),
        ("1h30m", 5400),
        ("168h", 604800),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1d12h", 129600),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("0", 0),
        ("0s", 0),
        ("+5s", 5),
    ],
)
def test_reads_a_duration_as_go_writes_it(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "-5s", "s", "5 s", "5S", "1h30", "5w", "1e3s", "٣s", "5s\n", "99999999999999d"]
)
def test_refuses_what_is_not_a_duration(text):
    with pytest.raises(ValueError, match="expected a duration with its unit"):
        parse_duration(text)


@given(st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(sorted(MICROSECONDS))), min_size=1, max_size=6))
def test_a_duration_is_the_sum_of_its_parts(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    exact = sum(number * MICROSECONDS[unit] for number, unit in parts)
    assert abs(parse_duration(text) / timedelta(microseconds=1) - exact) <= len(parts)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000, True),
        ("127.9.9.9:80", "127.9.9.9", 80, True),
        ("localhost:5000", "localhost", 5000, True),
        ("[::1]:5000", "::1", 5000, True),
        (":5000", "", 5000, False),
        ("0.0.0.0:5000", "0.0.0.0", 5000, False),
        ("[::]:5000", "::", 5000, False),
        ("registry.example.org:443", "registry.example.org", 443, False),
        ("127.0.0.1.example.org:443", "127.0.0.1.example.org", 443, False),
    ],
)
def test_reads_an_address_to_listen_on(text, host, port, loopback):
    listen = parse_listen(text)
    assert (listen.host, listen.port, listen.is_loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    "text", ["", "5000", "localhost", "::1:5000", "[::1]", "[x]:1", "a:b", "a:65536", "a b:1", "a:"]
)
def test_refuses_what_is_not_an_address(text):
    with pytest.raises(ValueError, match="expected host:port"):
        parse_listen(text)
