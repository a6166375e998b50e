from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stream.pixels import AvPixels, StreamReformatter, _rotate_vectors, _unrotate
from tests.stream.media import picture, read_barcode, write_clip

QUADRANTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))


def quadrants(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    out = np.zeros((height, width, 3), np.uint8)
    for n, colour in enumerate(QUADRANTS):
        y, x = divmod(n, 2)
        out[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = colour
    return out


def pixels_of(array: NDArray[np.uint8]) -> AvPixels:
    frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p")
    return AvPixels(frame, VideoReformatter())


def decoded_with_motion(clip: Path) -> list[AvPixels]:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"flags2": "+export_mvs"}
        return [AvPixels(frame, VideoReformatter()) for frame in container.decode(stream)]


def living_pictures() -> int:
    return sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())


def near(pixel: NDArray[np.uint8], colour: tuple[int, ...], tolerance: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - np.array(colour)).max() <= tolerance)


def test_sizes_are_those_of_the_picture() -> None:
    pixels = pixels_of(quadrants())
    assert (pixels.width, pixels.height) == (64, 48)
    assert pixels.rgb().shape == (48, 64, 3)


@pytest.mark.parametrize(("order", "red"), [("rgb", (255, 0, 0)), ("bgr", (0, 0, 255))])
def test_channel_order(order: str, red: tuple[int, int, int]) -> None:
    array = pixels_of(quadrants()).scaled(32, 24, order)
    assert array.shape == (24, 32, 3)
    assert array.dtype == np.uint8
    assert near(array[4, 4], red)


def test_planes_are_the_channels_of_the_scaled_picture_and_read_only() -> None:
    pixels = pixels_of(quadrants())
    planes = pixels.planes(32, 24)
    np.testing.assert_array_equal(np.stack(planes, axis=2), pixels.scaled(32, 24, "rgb"))
    for plane, colour in zip(planes, QUADRANTS[0], strict=True):
        assert abs(int(plane[4, 4]) - colour) <= 12
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 1
    with pytest.raises(ValueError, match="size: got 32x0"):
        pixels.planes(32, 0)


def test_planes_stay_when_the_next_picture_is_converted() -> None:
    reformatter = StreamReformatter()
    first, second = (av.VideoFrame.from_ndarray(picture(n, 640, 360), format="rgb24") for n in (5, 9))
    held = AvPixels(first.reformat(format="yuv420p"), reformatter).planes(320, 180)
    before = [plane.copy() for plane in held]
    AvPixels(second.reformat(format="yuv420p"), reformatter).planes(320, 180)
    del first
    np.testing.assert_array_equal(held, before)


def test_colours_keep_their_edges_when_scaled() -> None:
    # Red beside blue: formats that halve the chroma once more smear it over four pixels.
    array = np.zeros((64, 64, 3), np.uint8)
    array[:, :32] = (255, 0, 0)
    array[:, 32:] = (0, 0, 255)
    row = pixels_of(array).scaled(32, 32, "bgr")[16].astype(int)
    assert near(row[14, ::-1].astype(np.uint8), (255, 0, 0), 20)
    assert near(row[17, ::-1].astype(np.uint8), (0, 0, 255), 20)


def test_a_turned_picture_has_turned_planes() -> None:
    pixels = pixels_of(quadrants())
    pixels._turns = 1
    assert (pixels.width, pixels.height) == (48, 64)
    np.testing.assert_array_equal(
        np.stack(pixels.planes(24, 32), axis=2), np.rot90(pixels_of(quadrants()).scaled(32, 24, "rgb"))
    )
    assert pixels.scaled(24, 32, "gray").shape == (32, 24)
    assert pixels.rgb().shape == (64, 48, 3)


def test_few_converters_are_kept() -> None:
    reformatter = StreamReformatter()
    pixels = AvPixels(av.VideoFrame.from_ndarray(quadrants(), format="rgb24"), reformatter)
    for side in range(8, 48):
        assert pixels.scaled(side, side).shape == (side, side, 3)
    assert len(reformatter._converters) == 12


def test_gray_is_luma() -> None:
    array = pixels_of(quadrants()).scaled(32, 24, "gray")
    assert array.shape == (24, 32)
    assert int(array[20, 28]) > int(array[4, 28]) > int(array[4, 4]) > int(array[20, 4])


@pytest.mark.parametrize(("box", "colour"), list(zip(
    [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)], QUADRANTS, strict=True
)))  # fmt: skip
def test_crop_cuts_the_box(box: tuple[float, float, float, float], colour: tuple[int, int, int]) -> None:
    cut = pixels_of(quadrants()).crop(box, 16)
    assert cut.shape == (16, 16, 3)
    assert near(cut[8, 8], colour) and near(cut[2, 2], colour)


@pytest.mark.parametrize(
    "box", [(-1, -1, 2, 2), (0.9, 0.9, 0.1, 0.1), (0.5, 0.5, 0.5, 0.5), (1, 1, 1, 1), (2, 2, 3, 3)]
)
def test_crop_of_any_box_is_a_picture(box: tuple[float, float, float, float]) -> None:
    assert pixels_of(quadrants()).crop(box, 8).shape == (8, 8, 3)


def test_crop_of_odd_sizes() -> None:
    assert pixels_of(quadrants(62, 46)).crop((0.33, 0.21, 0.77, 0.93), 31).shape == (31, 31, 3)


def test_bad_arguments_are_named() -> None:
    pixels = pixels_of(quadrants())
    with pytest.raises(ValueError, match="order: got 'hsv'"):
        pixels.scaled(10, 10, "hsv")
    with pytest.raises(ValueError, match="size: got 0x10"):
        pixels.scaled(0, 10)
    with pytest.raises(ValueError, match="size: got 0"):
        pixels.crop((0, 0, 1, 1), 0)


def test_arrays_belong_to_the_caller() -> None:
    pixels = pixels_of(quadrants())
    first = pixels.scaled(32, 24, "rgb")
    before = first.copy()
    pixels.scaled(32, 24, "bgr")[:] = 0
    assert np.array_equal(first, before)
    first[:] = 7  # writable


def test_frames_of_a_stream_may_be_converted_in_several_threads() -> None:
    reformatter = StreamReformatter()
    frames = [av.VideoFrame.from_ndarray(picture(n, 640, 360), format="rgb24") for n in range(8)]
    pixels = [AvPixels(frame.reformat(format="yuv420p"), reformatter) for frame in frames]

    def read(n: int) -> list[int]:
        sizes = ((320, 180), (640, 360), (416, 234))
        return [read_barcode(pixels[n % 8].scaled(*sizes[k % 3], "gray")) for k in range(30)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(16))) == [[n % 8] * 30 for n in range(16)]


def test_full_picture_carries_the_barcode() -> None:
    gray = pixels_of(picture(0xDEADBEEF, 640, 360)).scaled(320, 180, "gray")
    assert read_barcode(gray) == 0xDEADBEEF


def test_motion_vectors_point_where_the_square_went(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=10, gop=100)
    decoded = decoded_with_motion(clip)
    assert decoded[0].motion_vectors() is None  # intra-coded
    vectors = decoded[5].motion_vectors()
    assert vectors is not None and vectors.dtype == np.float32 and vectors.shape[1] == 4
    assert vectors[:, :2].min() >= 0 and vectors[:, :2].max() <= 1
    moving = vectors[np.abs(vectors[:, 2]) > 1e-3]
    assert len(moving)
    assert np.median(moving[:, 2]) == pytest.approx(6 / 320, abs=1 / 320)  # the square moves 6 px a frame
    assert np.median(moving[:, 3]) == pytest.approx(0, abs=1 / 240)


def test_reading_motion_vectors_leaves_no_picture_to_the_garbage_collector(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=12, gop=100)
    gc.collect()
    gc.disable()
    try:
        before = living_pictures()
        moved = sum(pixels.motion_vectors() is not None for pixels in decoded_with_motion(clip))
        after = living_pictures()
    finally:
        gc.enable()
    assert moved == 11
    assert after == before


def test_vp8_has_no_motion_vectors(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.webm", codec="libvpx", frames=5)
    with av.open(str(clip)) as container:
        frames = list(container.decode(video=0))
    assert AvPixels(frames[3], VideoReformatter()).motion_vectors() is None


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_boxes_and_vectors_turn_with_the_picture(turns: int) -> None:
    coded = quadrants()
    shown = np.rot90(coded, turns)
    height, width = shown.shape[:2]
    for box in ((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5)):
        x0, y0, x1, y1 = box
        wanted = shown[int((y0 + y1) / 2 * height), int((x0 + x1) / 2 * width)]
        u0, v0, u1, v1 = _unrotate(box, turns)
        found = coded[int((v0 + v1) / 2 * coded.shape[0]), int((u0 + u1) / 2 * coded.shape[1])]
        assert np.array_equal(wanted, found)
        assert u0 < u1 and v0 < v1
    point = np.array([[0.75, 0.25, 0.1, 0.0]], np.float32)  # moves right in the coded picture
    expected = {
        0: (0.75, 0.25, 0.1, 0.0),
        1: (0.25, 0.25, 0.0, -0.1),
        2: (0.25, 0.75, -0.1, 0.0),
        3: (0.75, 0.75, 0.0, 0.1),
    }[turns]
    assert _rotate_vectors(point, turns)[0].tolist() == pytest.approx(expected)
