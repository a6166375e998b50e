"""A network of this process's own, and packets that the kernel loses in it (iptables, ``-m statistic``).

Needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN; nothing outside the namespace notices, and it ends with the
processes in it (namespaces(7), iptables-extensions(8)).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

_CLONE_NEWNET = 0x40000000
_LINKS = tuple(
    words.split()
    for words in (
        "ip link set lo up",
        "ip link add outside type veth peer name nowhere",
        "ip address add 192.0.2.1/24 dev outside",
        "ip link set outside up",
        "ip link set nowhere up",
        "ip route add default via 192.0.2.2",
    )
)
"""Loopback, and a way out that leads nowhere: Chromium gathers no address at all on a machine without one."""


def own_network() -> str:
    """Move this process, and what it starts from now on, into a network in which it is alone.

    Call from the main thread, before there are sockets or other threads. Returns why that or the loss of
    packets is not possible here, in words; empty when it is.
    """
    for tool in ("ip", "iptables"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return "this system has no network namespaces"
    if libc.unshare(_CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    for command in (*_LINKS, _rule("-A", "--dport", 9, 0.5)):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{' '.join(command[:3])}: {done.stderr.strip()}"
    subprocess.run(_rule("-D", "--dport", 9, 0.5), check=True)
    return ""


class KernelLoss:
    """Lost packets to and from one UDP port of this namespace."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._share = 0.0

    def set(self, share: float) -> None:
        """From now on `share` (0..1) of the packets are lost, each way."""
        for action, value in (("-A", share), ("-D", self._share)):
            for end in ("--dport", "--sport") if value else ():
                subprocess.run(_rule(action, end, self._port, value), check=True)
        self._share = share


def _rule(action: str, end: str, port: int, share: float) -> list[str]:
    at_random = ["-m", "statistic", "--mode", "random", "--probability", f"{share:.4f}"] if share < 1 else []
    return ["iptables", "-w", action, "INPUT", "-p", "udp", end, str(port), *at_random, "-j", "DROP"]
