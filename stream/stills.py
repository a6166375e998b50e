"""One picture out of recorded video, decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import av

from stream.decoder import low_delay_decoder
from stream.errors import SourceError
from stream.pixels import AvPixels, StreamReformatter


def decode_last(codec: str, units: Sequence[bytes]) -> AvPixels:
    """The picture of the last of `units`. Blocking: about a millisecond per unit at 720p.

    Args:
        codec: ``"H264"`` or ``"VP8"``.
        units: access units in decoding order, the first a keyframe.

    Raises:
        SourceError: the last unit gives no whole picture, or there is none.
    """
    decoder = low_delay_decoder(codec)
    picture: av.VideoFrame | None = None
    for number, unit in enumerate(units):
        packet = av.Packet(unit)
        packet.pts = number
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            if frame.pts == len(units) - 1 and not frame.is_corrupt:
                picture = frame
    if picture is None:
        raise SourceError(
            f"recorded {codec}: got no whole picture from {len(units)} frames; ask for a later moment",
            code="moment-undecodable",
            http_status=404,
        )
    return AvPixels(picture, StreamReformatter())
