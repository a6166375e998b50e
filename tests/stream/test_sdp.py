from __future__ import annotations

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from stream.errors import SdpError
from stream.sdp import finish_answer, read_publisher_offer, read_viewer_offer
from tests.stream.offers import CHROMIUM, PCMU, audio, offer, video

CANDIDATES = (
    "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\n"
    "a=candidate:2 1 udp 2122260223 0f8fad5b-d9cb-469f-a165-70867728950e.local 50001 typ host\n"
    "a=candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\n"
    "a=end-of-candidates\n"
)


async def answer_to(reduced: str) -> str:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await pc.setRemoteDescription(RTCSessionDescription(reduced, "offer"))
        return str((await pc.createAnswer()).sdp)
    finally:
        await pc.close()


def refusal(text: str, codec: str | None = None) -> SdpError:
    with pytest.raises(SdpError) as caught:
        if codec is None:
            read_publisher_offer(text)
        else:
            read_viewer_offer(text, codec)
    return caught.value


def test_h264_is_preferred_to_vp8_whatever_the_order() -> None:
    read = read_publisher_offer(CHROMIUM)
    assert (read.codec, read.profile, read.video_mid, read.audio_mid) == ("H264", "42e01f", "1", "0")
    assert "m=video 9 UDP/TLS/RTP/SAVPF 108 109\r\n" in read.sdp
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" in read.sdp
    assert "VP8" not in read.sdp and "PCMU" not in read.sdp
    assert read.publisher == "Chromium or WebKit"
    assert read.ufrags == {"kSYd"}


async def test_the_stack_answers_exactly_the_chosen_codec() -> None:
    answer = await answer_to(read_publisher_offer(CHROMIUM).sdp)
    mapped = [line for line in answer.splitlines() if line.startswith("a=rtpmap:")]
    assert mapped == ["a=rtpmap:111 opus/48000/2", "a=rtpmap:108 H264/90000", "a=rtpmap:109 rtx/90000"]
    assert answer.count("a=recvonly") == 2


async def test_vp8_is_accepted_when_h264_is_missing() -> None:
    read = read_publisher_offer(offer(video(("VP9", "VP8", "RTX"))))
    assert (read.codec, read.profile) == ("VP8", None)
    assert "a=rtpmap:96 VP8/90000" in await answer_to(read.sdp)


async def test_high_profile_alone_is_accepted_and_put_back_into_the_answer() -> None:
    read = read_publisher_offer(offer(video(("H264-HIGH",))))
    assert (read.codec, read.profile) == ("H264", "64001f")
    answer = finish_answer(await answer_to(read.sdp), read)
    assert "profile-level-id=64001f" in answer
    assert "profile-level-id=42e01f" not in answer


@pytest.mark.parametrize(
    ("codecs", "named"),
    [
        (("H265",), "HEVC"),
        (("AV1",), "AV1"),
        (("VP9",), "VP9"),
        (("H264-0",), "H264"),
        (("H265", "AV1"), "AV1, HEVC"),
    ],
)
def test_other_codecs_are_refused_by_name(codecs: tuple[str, ...], named: str) -> None:
    error = refusal(offer(video(codecs)))
    assert (error.http_status, error.code) == (422, "sdp-codec")
    assert f"got video codecs {named}, expected H264 (packetization-mode 1) or VP8" in str(error)


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("", "sdp-malformed", 400),
        ("hello", "sdp-malformed", 400),
        ('{"type": "offer"}', "sdp-malformed", 400),
        ("v=0\r\nnonsense\r\n", "sdp-malformed", 400),
        ("v=0\r\nm=video\r\n", "sdp-malformed", 400),
        ("v=0\r\nm=video x UDP/TLS/RTP/SAVPF 96\r\n", "sdp-malformed", 400),
        ("v=0\r\ns=\x00\r\n", "sdp-malformed", 400),
        ("v=0\r\n", "sdp-no-video", 400),
        (offer(audio()), "sdp-no-video", 400),
        (offer(video(("H264",)), video(("H264",), mid="1")), "sdp-multiple-video", 422),
        (offer(video(("H264",)), audio(mid="1"), audio(mid="2")), "sdp-audio", 400),
        (offer(video(("H264",)), audio(codecs=(PCMU,))), "sdp-audio-codec", 422),
        (offer(video(("H264",), direction="recvonly")), "sdp-direction", 422),
        (offer(video(("H264",), direction="inactive")), "sdp-direction", 422),
        (offer(video(("H264",))).replace("a=ice-ufrag:kSYd\r\n", ""), "sdp-no-ice-ufrag", 400),
        (offer(video(("H264",))).replace("a=ice-pwd", "a=ice-pw"), "sdp-no-ice-pwd", 400),
        (offer(video(("H264",))).replace("a=fingerprint", "a=finger"), "sdp-no-fingerprint", 400),
        (
            offer(video(("H264",)), "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n"),
            "sdp-media",
            400,
        ),
        ("v=0\r\n" + "a=x\r\n" * 20_000, "sdp-too-large", 413),
    ],
)
def test_bad_offers_are_refused_with_a_code(text: str, code: str, status: int) -> None:
    error = refusal(text)
    assert (error.code, error.http_status) == (code, status)
    assert "got" in str(error)


def test_a_viewers_offer_at_the_publishers_endpoint_is_told_where_to_go() -> None:
    assert "/whep/" in str(refusal(offer(video(("H264",), direction="recvonly"))))
    assert "/whip/" in str(refusal(offer(video(("H264",))), "H264"))


def test_viewer_gets_the_streams_codec_or_406() -> None:
    player = offer(
        video(("VP8", "RTX", "H264", "RTX-H264"), direction="recvonly"), audio(direction="recvonly")
    )
    assert read_viewer_offer(player, "VP8").codec == "VP8"
    assert "SAVPF 96 97\r\n" in read_viewer_offer(player, "VP8").sdp
    assert read_viewer_offer(player, "H264").audio_mid == "1"
    error = refusal(offer(video(("VP8",), direction="recvonly")), "H264")
    assert (error.http_status, error.code) == (406, "sdp-codec")


def test_session_level_direction_and_transport_count() -> None:
    section = video(("H264",)).replace("a=sendonly\n", "")
    lines = [line for line in section.splitlines() if not line.startswith(("a=ice", "a=finger", "a=setup"))]
    moved = [line for line in section.splitlines() if line.startswith(("a=ice", "a=finger", "a=setup"))]
    text = offer("\n".join(lines) + "\n", session="\n".join(["a=sendonly", *moved]) + "\n")
    assert read_publisher_offer(text).ufrags == {"kSYd"}


async def test_offer_without_candidates_setup_or_mid_is_fine() -> None:
    text = offer(video(("H264",))).replace("a=setup:actpass\r\n", "").replace("a=mid:0\r\n", "")
    text = text.replace("a=group:BUNDLE 0\r\n", "")
    read = read_publisher_offer(text)
    assert "a=mid:0\r\n" in read.sdp
    assert "a=rtpmap:108 H264/90000" in await answer_to(read.sdp)


def test_only_candidates_that_can_be_used_are_kept() -> None:
    read = read_publisher_offer(offer(video(("H264",), extra=CANDIDATES)))
    kept = [line for line in read.sdp.splitlines() if "candidate" in line]
    assert kept == ["a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"]


async def test_answer_is_finished() -> None:
    read = read_publisher_offer(CHROMIUM)
    raw = await answer_to(read.sdp)
    raw = raw.replace("a=mid:1\r\n", "a=mid:1\r\na=candidate:5 1 udp 2130706431 10.0.0.5 40000 typ host\r\n")
    answer = finish_answer(raw, read, start_kbps=2500, max_kbps=4000, public_ip="203.0.113.9")
    assert answer.count("a=rtcp-mux\r\na=rtcp-mux-only\r\n") == 2
    fmtp = next(line for line in answer.splitlines() if line.startswith("a=fmtp:108 "))
    assert fmtp.endswith(";x-google-start-bitrate=2500;x-google-max-bitrate=4000")
    lines = [line for line in answer.splitlines() if line.startswith("a=candidate:")]
    assert lines == [
        "a=candidate:5p 1 udp 2130706431 203.0.113.9 40000 typ host",
        "a=candidate:5 1 udp 2130706431 10.0.0.5 40000 typ host",
    ]


async def test_vp8_answer_gets_a_line_for_its_start_bitrate() -> None:
    read = read_publisher_offer(offer(video(("VP8", "RTX"))))
    answer = finish_answer(await answer_to(read.sdp), read, start_kbps=1800)
    assert "a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=1800\r\n" in answer


def test_ffmpeg_and_obs_are_recognised() -> None:
    text = offer(video(("H264",)))
    assert read_publisher_offer(text.replace("s=-", "s=FFmpegPublishSession")).publisher == "FFmpeg"
    assert read_publisher_offer(text.replace("o=- ", "o=rtc ")).publisher == "libdatachannel (OBS)"
    assert read_publisher_offer(text.replace("o=- 46117", "o=unknown 1")).publisher == ""
