// HLS: playlists, codecs and times. Run by `node --test`.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { chooseVariant, codecsOf, codecsOfTs, firstNumber, parseAttributes, parsePlaylist, Runs, SegmentTimes, startedAnew } from "../../overlay/web/hls.js";

const BASE = "https://cdn.example/show/index.m3u8";
const list = (...lines) => parsePlaylist(["#EXTM3U", ...lines].join("\n"), BASE);

describe("playlists", () => {
  test("segments have address, number, duration and their initialisation segment", () => {
    const { segments, ended, target } = list("#EXT-X-TARGETDURATION:4", "#EXT-X-MEDIA-SEQUENCE:7", '#EXT-X-MAP:URI="init.mp4"', "#EXTINF:4.0,", "a.m4s",
      "#EXTINF:3.5,title", "https://other.example/b.m4s", "#EXT-X-ENDLIST");
    assert.deepEqual([ended, target], [true, 4]);
    const map = { url: "https://cdn.example/show/init.mp4", range: null };
    assert.deepEqual(segments, [
      { url: "https://cdn.example/show/a.m4s", range: null, number: 7, duration: 4, map, run: 0 },
      { url: "https://other.example/b.m4s", range: null, number: 8, duration: 3.5, map, run: 0 },
    ]);
  });

  test("byte ranges go on where the last one ended", () => {
    const { segments } = list('#EXT-X-MAP:URI="a.mp4",BYTERANGE="700@0"', "#EXT-X-BYTERANGE:1000@700", "#EXTINF:2,", "a.mp4", "#EXT-X-BYTERANGE:500", "#EXTINF:2,", "a.mp4");
    assert.deepEqual(segments.map((one) => [one.map.range, one.range]), [[[0, 700], [700, 1000]], [[0, 700], [1700, 500]]]);
  });

  test("a live list does not end, and discontinuities are counted, those that left the list too", () => {
    const lines = ["#EXTINF:2,", "a.ts", "#EXT-X-DISCONTINUITY", "#EXTINF:2,", "b.ts", "#EXTINF:2,", "c.ts"];
    const { segments, ended } = list(...lines);
    assert.deepEqual([ended, segments.map((one) => one.run)], [false, [0, 1, 1]]);
    assert.deepEqual(list("#EXT-X-DISCONTINUITY-SEQUENCE:7", ...lines).segments.map((one) => one.run), [7, 8, 8]);
  });

  test("a live list is joined at its hold-back, a recording at its beginning", () => {
    const five = ["#EXT-X-MEDIA-SEQUENCE:10", ...Array.from({ length: 5 }, (_, index) => [`#EXTINF:${index === 4 ? 1.5 : 2},`, `${index}.ts`]).flat()];
    assert.equal(firstNumber(list("#EXT-X-TARGETDURATION:2", ...five)), 11);
    assert.equal(firstNumber(list("#EXT-X-TARGETDURATION:2", "#EXT-X-SERVER-CONTROL:HOLD-BACK=3.5", ...five)), 13);
    assert.equal(firstNumber(list("#EXT-X-TARGETDURATION:2", ...five.slice(0, 3))), 10);
    assert.equal(firstNumber(list("#EXT-X-TARGETDURATION:2", ...five, "#EXT-X-ENDLIST")), 10);
    assert.equal(firstNumber(list("#EXT-X-TARGETDURATION:2")), 0);
  });

  test("a list that ends far before what was played is another one, an older copy of the same is not", () => {
    const ending = (number) => list(`#EXT-X-MEDIA-SEQUENCE:${number}`, "#EXTINF:2,", "a.ts");
    assert.deepEqual([40, 38, 36, 35, 0].map((number) => startedAnew(ending(number), 40)), [false, false, false, true, true]);
    assert.equal(startedAnew(list("#EXT-X-TARGETDURATION:2"), 40), false);
  });

  test("a master names variants and sound", () => {
    const { variants, audio } = list('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="other.m3u8"', '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",DEFAULT=YES,NAME="x",URI="sound/a.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1280x720,CODECS="avc1.64001f,mp4a.40.2",AUDIO="a"', "720.m3u8");
    assert.deepEqual(variants, [{ url: "https://cdn.example/show/720.m3u8", bandwidth: 2_500_000, height: 720, codecs: "avc1.64001f,mp4a.40.2", audio: "a" }]);
    assert.deepEqual([...audio], [["a", "https://cdn.example/show/sound/a.m3u8"]]);
  });

  test("what cannot be played is refused in words", () => {
    assert.throws(() => parsePlaylist("<html>", BASE), /no HLS playlist/);
    assert.throws(() => list('#EXT-X-KEY:METHOD=AES-128,URI="k"', "#EXTINF:2,", "a.ts"), /encrypted/);
    assert.doesNotThrow(() => list("#EXT-X-KEY:METHOD=NONE", "#EXTINF:2,", "a.ts"));
  });

  test("attributes may hold commas in quotes", () => {
    assert.deepEqual(parseAttributes('A=1,CODECS="x,y",URI="a=b"'), { A: "1", CODECS: "x,y", URI: "a=b" });
  });
});

test("the variant is what the picture and the connection have a use for", () => {
  const variants = [[400, 234], [1500, 540], [3000, 720], [6000, 1080]].map(([kbps, height]) => ({ bandwidth: kbps * 1000, height }));
  const chosen = (height, kbps) => chooseVariant(variants, height, kbps * 1000).height;
  assert.deepEqual([chosen(500, 9000), chosen(720, 9000), chosen(2000, 9000), chosen(2000, 2000), chosen(720, 100)], [540, 720, 1080, 540, 234]);
});

/** An MP4 box. */
const box = (type, ...parts) => {
  const body = parts.flat(Infinity);
  const size = body.length + 8;
  return [size >>> 24, (size >>> 16) & 255, (size >>> 8) & 255, size & 255, ...[...type].map((char) => char.charCodeAt(0)), ...body];
};
const zeros = (count) => Array(count).fill(0);
const track = (entry) => box("trak", box("mdia", box("minf", box("stbl", box("stsd", zeros(8), entry)))));
const init = (...entries) => new Uint8Array([...box("ftyp", zeros(4)), ...box("moov", box("mvhd", zeros(4)), ...entries.map(track))]).buffer;

test("codecs are read from the initialisation segment", () => {
  const video = box("avc1", zeros(78), box("avcC", [1, 0x64, 0, 0x1f, 0xff]));
  assert.equal(codecsOf(init(video, box("mp4a", zeros(28)))), "avc1.64001f,mp4a.40.2");
  assert.equal(codecsOf(init(box("vp09", zeros(78), box("vpcC", zeros(4), [0, 31, 0x80])))), "vp09.00.1f.08");
  assert.equal(codecsOf(init(box("av01", zeros(78), box("av1C", [0x81, 0x05, 0, 0])))), "av01.0.05M.08");
  assert.equal(codecsOf(init(box("Opus", zeros(28)))), "opus");
  for (const junk of [[], [0, 0, 0, 4, 1, 2], zeros(40), box("moov", [0, 0, 1, 0, 65, 65, 65, 65])]) assert.equal(codecsOf(new Uint8Array(junk).buffer), "");
});

test("codecs of a transport stream are read from its programme map", () => {
  const packet = (pid, table) => [0x47, 0x40 | (pid >> 8), pid & 255, 0x10, 0, ...table, ...Array(188 - 5 - table.length).fill(0xff)];
  const pat = [0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00, 0, 0, 0, 0];
  const pmt = [2, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xe1, 0x00, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0, 0, 0, 0, 0];
  assert.equal(codecsOfTs(new Uint8Array([...packet(0, pat), ...packet(0x1000, pmt)]).buffer), "avc1.640028,mp4a.40.2");
  assert.equal(codecsOfTs(new Uint8Array(400).buffer), "");
});

describe("times of segments", () => {
  const segments = [5, 6, 7, 8].map((number) => ({ number, duration: 2 }));

  test("count from the one that is known, both ways", () => {
    const times = new SegmentTimes();
    times.anchor(6, 1.4);
    assert.deepEqual([0, 1, 2, 4].map((index) => times.startOf(segments, index)), [-0.6000000000000001, 1.4, 3.4, 7.4]);
  });

  test("give the segment that holds a time", () => {
    const times = new SegmentTimes();
    times.anchor(5, 10);
    assert.deepEqual([0, 10, 11.9, 12, 17.9, 99].map((time) => times.indexAt(segments, time)), [0, 0, 0, 1, 3, 3]);
  });
});

describe("runs of timestamps", () => {
  test("the first one stays where it is, the next one is put behind it, and the media's own times are told to the tick", () => {
    const runs = new Runs();
    assert.deepEqual(runs.at(5), { run: 0, time: 5 });
    assert.equal(runs.place(3, 1.4667, 1.4667), 0);
    const shift = runs.place(4, 1.466667, 101.2503);
    assert.equal(shift, 99.784);
    assert.equal(runs.shiftOf(4), shift);
    assert.equal(runs.shiftOf(5), undefined);
    assert.deepEqual(runs.at(101.2), { run: 3, time: 101.2 });
    for (const tick of [132_000, 135_003, 999_999]) {
      const shown = runs.at(Math.round((tick / 90_000 + shift) * 1e6) / 1e6);
      assert.deepEqual([shown.run, Math.round(shown.time * 90_000)], [4, tick]);
    }
  });

  test("one that lies before the first is found too", () => {
    const runs = new Runs();
    runs.place(3, 50, 50);
    runs.place(2, 900, 10);
    assert.deepEqual([runs.at(12).run, runs.at(60).run], [2, 3]);
  });
});
