"""Offers as real publishers and players send them, shortened to what matters."""

from __future__ import annotations

DIGEST = ":".join(f"{byte:02X}" for byte in range(32))
_TRANSPORT = f"""a=ice-ufrag:kSYd
a=ice-pwd:wMCgJhZB2sPBkBTtV1FyLYE4
a=fingerprint:sha-256 {DIGEST}
a=setup:actpass
"""

CODECS = {
    "VP8": (
        "96",
        "a=rtpmap:96 VP8/90000\na=rtcp-fb:96 goog-remb\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack pli\n",
    ),
    "RTX": ("97", "a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"),
    "VP9": ("98", "a=rtpmap:98 VP9/90000\na=fmtp:98 profile-id=0\n"),
    "AV1": ("45", "a=rtpmap:45 AV1/90000\na=fmtp:45 level-idx=5;profile=0;tier=0\n"),
    "H265": ("49", "a=rtpmap:49 H265/90000\na=fmtp:49 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST\n"),
    "H264-0": (
        "102",
        "a=rtpmap:102 H264/90000\n"
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f\n",
    ),
    "H264-HIGH": (
        "112",
        "a=rtpmap:112 H264/90000\na=rtcp-fb:112 nack pli\n"
        "a=fmtp:112 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f\n",
    ),
    "H264": (
        "108",
        "a=rtpmap:108 H264/90000\na=rtcp-fb:108 goog-remb\na=rtcp-fb:108 nack\na=rtcp-fb:108 nack pli\n"
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n",
    ),
    "RTX-H264": ("109", "a=rtpmap:109 rtx/90000\na=fmtp:109 apt=108\n"),
}

AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF {payloads}\nc=IN IP4 0.0.0.0\na=mid:{mid}\na={direction}\na=rtcp-mux\n"
    "{codecs}" + _TRANSPORT
)
OPUS = ("111", "a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n")
PCMU = ("0", "a=rtpmap:0 PCMU/8000\n")


def video(codecs: tuple[str, ...], *, direction: str = "sendonly", mid: str = "0", extra: str = "") -> str:
    """A video section offering `codecs` in this order."""
    payloads = " ".join(CODECS[name][0] for name in codecs)
    body = "".join(CODECS[name][1] for name in codecs)
    return (
        f"m=video 9 UDP/TLS/RTP/SAVPF {payloads}\nc=IN IP4 0.0.0.0\na=mid:{mid}\na={direction}\na=rtcp-mux\n"
        f"{body}{extra}{_TRANSPORT}"
    )


def audio(
    *, direction: str = "sendonly", mid: str = "1", codecs: tuple[tuple[str, str], ...] = (OPUS, PCMU)
) -> str:
    """An audio section."""
    return AUDIO.format(
        payloads=" ".join(c[0] for c in codecs),
        codecs="".join(c[1] for c in codecs),
        mid=mid,
        direction=direction,
    )


def offer(*sections: str, session: str = "") -> str:
    """A whole offer with CRLF line ends, bundled."""
    mids = [line[6:] for s in sections for line in s.splitlines() if line.startswith("a=mid:")]
    head = (
        "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
        f"a=group:BUNDLE {' '.join(mids)}\n{session}"
    )
    return (head + "".join(sections)).replace("\n", "\r\n")


CHROMIUM = offer(
    audio(mid="0"),
    video(("VP8", "RTX", "VP9", "AV1", "H264-0", "H264-HIGH", "H264", "RTX-H264"), mid="1"),
    session="a=extmap-allow-mixed\na=msid-semantic: WMS stream\n",
)
