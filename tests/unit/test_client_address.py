"""Whose word about the client's address is believed."""

from ipaddress import ip_network

import pytest

from registry_project.networks import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.9", "198.51.100.9"),  # what the client made up stands first
        ("10.0.0.1", "198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "rubbish, 10.0.0.3", "10.0.0.3"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.9", "198.51.100.9"),  # through a Unix socket
    ],
)
def test_reads_from_the_end(peer, forwarded, expected):
    assert client_address(peer, forwarded, PROXIES) == expected


def test_believes_nobody_by_default():
    assert client_address("127.0.0.1", "198.51.100.9", ()) == "127.0.0.1"
