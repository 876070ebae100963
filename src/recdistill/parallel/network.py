"""The network interface by which gloo joins processes of several machines."""

import ipaddress
import logging
import os
import socket

import psutil

from recdistill.errors import UserError

logger = logging.getLogger("recdistill")

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Environment variable: the interface that gloo uses. Without it gloo takes the address of the machine's own name."""


def choose_interface() -> None:
    """Name the interface that other machines can reach, where gloo would take one that they cannot.

    Debian and Ubuntu give a machine's own name the address 127.0.1.1 (`/etc/hosts`), where no other machine reaches it.

    Raises:
        UserError: there is no other interface than that, or there are several.
    """
    if os.environ.get(INTERFACE) or not _is_own(own := _own_address()):
        return
    found = _interfaces()
    if len(found) != 1:
        told = f"one of {', '.join(found)}" if found else "none was found"
        raise UserError(
            f"nodes: this machine's name, {socket.gethostname()}, has the address {own or 'of none'} here, which other "
            f"machines cannot reach; set {INTERFACE} to the network interface that they reach it by ({told})"
        )
    os.environ[INTERFACE] = found[0]
    logger.info("network interface: %s, since %s is %s here", found[0], socket.gethostname(), own or "not known")


def _own_address() -> str:
    """What this machine's name is first looked up as; empty where it is not known."""
    try:
        return str(socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror:
        return ""


def _interfaces() -> list[str]:
    """Interfaces that are up and have an address which others can reach."""
    up = {name for name, about in psutil.net_if_stats().items() if about.isup}
    return [
        name
        for name, addresses in psutil.net_if_addrs().items()
        if name in up
        and any(each.family in (socket.AF_INET, socket.AF_INET6) and not _is_own(each.address) for each in addresses)
    ]


def _is_own(address: str) -> bool:
    """Whether an address is of no use to other machines: none, loopback, or good on one cable alone."""
    if not address:
        return True
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.is_loopback or parsed.is_link_local
