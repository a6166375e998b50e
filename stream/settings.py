"""Settings of the WebRTC side, as value objects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RtcSettings:
    """How publishers and viewers are connected.

    Attributes:
        loopback: gather 127.0.0.1 only: nothing outside this machine can connect. Firefox never connects to
            that address; it is given the machine's own ones, on which only this machine is heard.
        udp_ports: first and last UDP port for media, or None for any free one. One port per connection.
        public_ip: address to announce beside the machine's own (1:1 NAT), or None.
        media_timeout_ms: a publisher from which nothing arrives for so long is gone.
        silence_timeout_ms: a publisher that is alive but sends no media for so long is gone.
        connect_timeout_ms: time to the first packet of a new connection.
        start_bitrate_kbps: what the answer tells a browser to begin with.
        max_bitrate_kbps: the most a publisher is allowed.
        loss_patience_ms: how long a lost packet is waited for before its frame is given up.
        decoder_queue: access units that may wait for the decoder.
        viewer_queue: encoded frames that may wait for one viewer.
        pace_kbps: a viewer is sent bursts (keyframes, what it begins with) no faster than this.
        viewer_grace_ms: viewers stay connected so long after the publisher has gone.
    """

    loopback: bool = True
    udp_ports: tuple[int, int] | None = None
    public_ip: str | None = None
    media_timeout_ms: int = 2500
    silence_timeout_ms: int = 30_000
    connect_timeout_ms: int = 10_000
    start_bitrate_kbps: int = 2500
    max_bitrate_kbps: int = 4000
    loss_patience_ms: int = 200
    decoder_queue: int = 15
    viewer_queue: int = 90
    pace_kbps: int = 25_000
    viewer_grace_ms: int = 30_000
