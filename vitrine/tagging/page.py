"""A replay on disk: the video, its hotspots and pictures, and on request the page that plays them.

The layout is the same for any web server and for `vitrine serve` (``/replay/NAME/``), whose page and scripts
lie at the same relative addresses.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from PIL import Image

from stream.packets import is_playlist
from stream.recorded import Recording

WEB: Final = Path(__file__).resolve().parents[2] / "overlay" / "web"
PAGE: Final = "replay.html"
SCRIPTS: Final = (
    *("replay.js", "controls.js", "hls.js", "track.js", "vitrine-overlay.js", "page.js", "products.js"),
    *("webrtc.js", "style.css", "icons.svg", "mark.svg"),
)
"""What the page needs of `overlay/web`."""
MANIFEST: Final = "replay.json"
FACTS: Final = "overlay.json"
CARDS: Final = "cards.json"
"""Made by the server that plays a replay: its products as they are now."""
_PLAYED: Final = {"h264", "vp8", "vp9", "av1"}
_PLAYLISTS: Final = {"index", "master", "playlist", "main"}
_CONTAINERS: Final = ("mp4", "webm", "hls")
_URI: Final = re.compile(r'URI="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Replay:
    """What goes into a replay's folder.

    Attributes:
        video: path or address.
        documents: texts by file name.
        poster: its best moment.
        sheet: contact sheet, where there is one.
        pictures: product pictures by the path they get.
        recording: what the video is.
        made_from: see `vitrine.tagging.video`.
    """

    video: str
    documents: Mapping[str, str]
    poster: Image.Image
    sheet: Image.Image | None
    pictures: Mapping[str, Path]
    recording: Recording
    made_from: str


def video_name(video: str) -> str:
    """What people call a video, by its path or address: playlists all bear one name, their folders do not."""
    path = Path(urlsplit(video).path if "://" in video else video)
    return path.parent.name if path.stem in _PLAYLISTS and path.parent.name else path.stem


def write_replay(folder: Path, replay: Replay, *, static: bool) -> str:
    """Write a replay, over an earlier one.

    Args:
        folder: made where absent.
        replay: its content.
        static: also the page and its scripts.

    Returns:
        A remark when browsers may not be able to play the video, else empty.

    Raises:
        OSError: it cannot be written.
    """
    manifest = folder / MANIFEST
    folder.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)  # from here on nothing is whole
    for path, picture in replay.pictures.items():
        (folder / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, folder / path)
    for name, text in replay.documents.items():
        (folder / name).write_text(text, encoding="utf-8")
    replay.poster.save(folder / "poster.jpg", quality=88)
    if replay.sheet is not None:
        replay.sheet.save(folder / "contact.jpg", quality=85)
    if static:
        shutil.copyfile(WEB / PAGE, folder / "index.html")
        (folder / "static").mkdir(exist_ok=True)
        for name in SCRIPTS:
            shutil.copyfile(WEB / name, folder / "static" / name)
    recording = replay.recording
    facts = {
        "version": 1,
        "title": video_name(replay.video),
        "video": _place_video(folder, replay.video),
        "kind": "hls" if is_playlist(replay.video) else "file",
        "track": "overlay.vtt",
        "chapters": "chapters.vtt",
        "poster": "poster.jpg",
        "width": recording.width,
        "height": recording.height,
        "fps": round(recording.fps, 3),
        "start_ms": recording.start_ns // 1_000_000,
        "as_of_ms": time.time_ns() // 1_000_000,
        "made_from": replay.made_from,
    }
    if not static:  # played by a server that knows better
        facts["cards"] = CARDS
    fresh = manifest.with_name(manifest.name + ".new")
    fresh.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(manifest)
    return _remark(replay.video, recording)


def _place_video(folder: Path, video: str) -> str:
    """Put the video beside its page, without a second copy where the disk allows; an address stays one."""
    if "://" in video:
        return video
    source = Path(video)
    if is_playlist(video):
        for file in (source, *local_playlist(source)):
            _link(file, folder / "hls" / file.relative_to(source.parent))
        return f"hls/{source.name}"
    name = f"video{source.suffix.lower()}"
    _link(source, folder / name)
    return name


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def local_playlist(video: Path) -> list[Path]:
    """Files that a playlist on disk refers to, those of its variants too; none for anything else.

    Addresses, and paths that lead out of the playlist's folder, are left out.
    """
    if video.suffix.lower() != ".m3u8":
        return []
    root = video.resolve().parent
    found: dict[Path, None] = {}
    waiting = [video]
    while waiting:
        playlist = waiting.pop()
        with suppress(OSError, UnicodeDecodeError):
            for reference in _references(playlist.read_text(encoding="utf-8")):
                file = playlist.parent / reference
                inside = "://" not in reference and file.resolve().is_relative_to(root)
                if inside and file.is_file() and file not in found:
                    found[file] = None
                    waiting += [file] if file.suffix.lower() == ".m3u8" else []
    return list(found)


def _references(playlist: str) -> list[str]:
    """What a playlist's lines refer to (RFC 8216)."""
    lines = [line.strip() for line in playlist.splitlines()]
    uris = [uri for line in lines if line.startswith("#EXT") for uri in _URI.findall(line)]
    return uris + [line for line in lines if line and not line.startswith("#")]


def _remark(video: str, recording: Recording) -> str:
    container = any(name in recording.container for name in _CONTAINERS)
    if recording.codec in _PLAYED and container and not video.lower().endswith((".mkv", ".mov")):
        return ""
    return (
        f"browsers may not play {recording.codec} in {Path(urlsplit(video).path).suffix or 'this'}; convert"
        " it first: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p -c:a aac -movflags +faststart OUT.mp4"
    )
