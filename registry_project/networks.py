"""Which addresses of the internet belong to everybody, and what an operator allows besides."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

USUAL_PORTS = frozenset({80, 443})

# IANA's registry of special-purpose IPv4 addresses, multicast and the reserved rest.
_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# All global unicast lies here; what is special within it (Teredo, documentation, 6to4 …) stands below.
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")
# ISATAP writes an IPv4 address of its own site into the lower half of any prefix.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def parse_address(text: str) -> Address:
    """This will read an address as the resolver gives it, and see through IPv4 that is dressed as IPv6."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one that anybody on the internet could call as well."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address not in _UNICAST_V6 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in network for network in _SPECIAL_V6)


@dataclass(frozen=True)
class AllowList:
    """`allow` holds networks (`10.0.0.0/8`), addresses, and names of hosts, exactly or as `*.example.org`."""

    allow: tuple[str, ...] = ()
    more_ports: tuple[int, ...] = ()
    ports: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ports", USUAL_PORTS | frozenset(self.more_ports))

    @cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(network for entry in self.allow if (network := find_network(entry)) is not None)

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(entry.lower() for entry in self.allow if find_network(entry) is None)

    def names(self, host: str) -> bool:
        """Whether a host may be called wherever its name leads; `host` in lower case."""
        return host in self._hosts or any(
            entry.startswith("*.") and host.endswith(entry[1:]) and host != entry[2:] for entry in self._hosts
        )

    def permits(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)


def find_network(text: str) -> Network | None:
    """A network or a single address; None for anything else, such as a name."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def client_address(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """The address that a request came from: `peer`, or what trusted proxies say was before them (X-Forwarded-For).

    The header is read from its end, because everything before the last trusted proxy's word may be made up.
    """
    address = peer
    for text in reversed(forwarded_for.split(",")) if trusted else ():
        if address and not _is_trusted(address, trusted):
            break
        try:
            address = str(parse_address(text.strip()))
        except ValueError:
            break
    return address


def _is_trusted(text: str, trusted: Collection[Network]) -> bool:
    try:
        address = parse_address(text)
    except ValueError:
        return False
    return any(address in network for network in trusted)
