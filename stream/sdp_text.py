"""SDP as text: sections, attributes and codecs, without any opinion (RFC 8866)."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.errors import SdpError

MAX_SDP_BYTES = 64 * 1024
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(slots=True)
class Media:
    """One media section: the words of its m-line and its other lines."""

    kind: str
    head: list[str]
    lines: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Values of the attribute `name`."""
        prefix = f"a={name}:"
        return [line[len(prefix) :] for line in self.lines if line.startswith(prefix)]

    def direction(self, default: str) -> str:
        """The section's direction, or the session's."""
        for line in self.lines:
            if line[2:] in DIRECTIONS and line.startswith("a="):
                return line[2:]
        return default

    def codecs(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Payload type -> (encoding name, fmtp parameters), in the order of the m-line."""
        names = {}
        for value in self.values("rtpmap"):
            payload, _, mapping = value.partition(" ")
            names[payload] = mapping.split("/")[0]
        parameters = {}
        for value in self.values("fmtp"):
            payload, _, text = value.partition(" ")
            pairs = (part.strip().partition("=") for part in text.split(";"))
            parameters[payload] = {key.lower(): val for key, _, val in pairs if key}
        return {p: (names[p], parameters.get(p, {})) for p in self.head[3:] if p in names}


def lines(text: str) -> list[str]:
    """Lines without line ends; empty ones are left out."""
    return [line for line in (raw.strip() for raw in text.splitlines()) if line]


def split(text: str) -> tuple[list[str], list[Media]]:
    """Session lines and media sections.

    Raises:
        SdpError: not SDP (400), or too much of it (413).
    """
    if len(text.encode("utf-8", "replace")) > MAX_SDP_BYTES:
        raise SdpError(
            f"SDP: got more than {MAX_SDP_BYTES} bytes, expected a session description",
            code="sdp-too-large",
            http_status=413,
        )
    all_lines = lines(text)
    if not all_lines or all_lines[0] != "v=0":
        got = all_lines[0][:40] if all_lines else "nothing"
        raise SdpError(
            f"SDP: got {got!r} as first line, expected 'v=0'; send the offer itself as the body",
            code="sdp-malformed",
        )
    session: list[str] = []
    media: list[Media] = []
    for line in all_lines:
        if len(line) < 2 or line[1] != "=" or "\x00" in line:
            raise SdpError(
                f"SDP: got line {line[:60]!r}, expected '<letter>=<value>' (RFC 8866)", code="sdp-malformed"
            )
        if line.startswith("m="):
            head = line[2:].split(" ")
            if len(head) < 4 or not head[1].isdigit():
                raise SdpError(
                    f"SDP: got media line {line[:60]!r}, expected 'm=<kind> <port> <profile> <formats>'",
                    code="sdp-malformed",
                )
            media.append(Media(head[0], head))
        elif media:
            media[-1].lines.append(line)
        else:
            session.append(line)
    return session, media
