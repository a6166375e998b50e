"""UDP sockets for media, from the configured range."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket

from stream.errors import PortsExhausted

_RECEIVE_BUFFER = 1 << 20


def bind_udp(address: str, udp_ports: tuple[int, int] | None) -> socket.socket | None:
    """A UDP socket on `address`, or None where the address cannot be bound at all.

    Raises:
        PortsExhausted: the address is fine but no port of the range is free.
    """
    version = ipaddress.ip_address(address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    first, last = udp_ports or (0, 0)
    candidates = list(range(first, last + 1))
    random.shuffle(candidates)
    for port in candidates:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.bind((address, port))
        except OSError as error:
            sock.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                return None
            continue
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return sock
    raise PortsExhausted(
        f"UDP ports: all of {first}-{last} are taken on {address}; widen --udp-ports "
        "(each publisher and each WebRTC viewer needs one) or send viewers to an SFU"
    )
