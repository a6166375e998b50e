// Recorded tracks: what is read from WebVTT, and what belongs on a frame. Run by `node --test`.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseCues, RecordedTrack } from "../../overlay/web/track.js";
import { OverlayModel } from "../../overlay/web/vitrine-overlay.js";

const HEAD = { version: 2, products: [{ id: "mug", title: "Mug", price: "12.00 EUR", image: "products/0.jpg", shown: [[1000, 1300]] }, { id: "hat", title: "Hat" }] };
const clock = (ms) => new Date(ms).toISOString().slice(11, 23);
const cue = (id, from, to, body) => `${id}\n${clock(from)} --> ${clock(to)}\n${JSON.stringify(body)}`;
const at = (x) => [{ id: 7, product: "mug", state: "exact", box: [x, 0.2, x + 0.1, 0.4] }];
const file = (...cues) => ["WEBVTT", cue("products", 0, 2000, HEAD), ...cues].join("\n\n");
const track = (...cues) => new RecordedTrack(parseCues(file(...cues)), (path) => path && `https://cdn.example/${path}`);
const left = (drawing) => drawing.spots.map((spot) => Math.round(spot.x0 * 1000));
const THREE = [
  cue("1", 1000, 1100, { pts: 90_000, hotspots: at(0.1) }), cue("2", 1100, 1200, { pts: 99_000, hotspots: at(0.3) }),
  cue("3", 1200, 1300, { pts: 108_000, hotspots: at(0.5) }),
];

describe("WebVTT", () => {
  test("cues have their name, times and text; notes, styles and settings are passed over", () => {
    const text = "\uFEFFWEBVTT - title\r\n\r\nNOTE\r\nhello\r\n\r\nSTYLE\r\n::cue { }\r\n\r\na\r\n00:01.500 --> 01:00:02.000 line:0\r\none\r\ntwo\r\n\r\n00:00:03.000 --> 00:00:04.000\r\n";
    assert.deepEqual(parseCues(text), [
      { id: "a", startMs: 1500, endMs: 3_602_000, text: "one\ntwo" }, { id: "", startMs: 3000, endMs: 4000, text: "" },
    ]);
  });

  test("another file is refused", () => {
    for (const text of ["", "WEBVTTX", "{}", "1\n00:00:01,000 --> 00:00:02,000\nsrt"]) assert.throws(() => parseCues(text), /no WebVTT/);
    assert.throws(() => new RecordedTrack(parseCues("WEBVTT\n\n00:01.000 --> 00:02.000\nHello")), /vitrine tag/);
  });
});

describe("what belongs on a frame", () => {
  test("the frame that was looked at has its own boxes, those between are interpolated", () => {
    const recorded = track(...THREE);
    assert.deepEqual([recorded.draw(0, 90_000).kind, left(recorded.draw(0, 90_000))], ["exact", [100]]);
    assert.deepEqual([recorded.draw(0, 93_000).kind, left(recorded.draw(0, 93_000))], ["interpolated", [167]]);
  });

  test("the path bends as the two samples on either side say", () => {
    const xs = [0.1, 0.3, 0.5, 0.3];
    const recorded = track(...xs.map((x, n) => cue(String(n), 1000 + 100 * n, 1100 + 100 * n, { pts: 90_000 + 9000 * n, hotspots: at(x) })));
    assert.equal(left(recorded.draw(0, 103_500))[0], 425); // between the second and the third; a line would have 400
  });

  test("any order of frames gives the same, as seeking does", () => {
    const recorded = track(...THREE);
    const forward = [90_000, 93_000, 99_000, 102_000].map((key) => left(recorded.draw(0, key)));
    const backward = [102_000, 99_000, 93_000, 90_000].map((key) => left(recorded.draw(0, key))).reverse();
    assert.deepEqual(backward, forward);
  });

  test("nothing is shown before the first cue, after the end of one, and in between two", () => {
    const recorded = track(THREE[0], THREE[2]);
    for (const key of [0, 89_000, 99_000, 105_000, 117_000, 500_000]) assert.deepEqual(left(recorded.draw(0, key)), [], String(key));
    assert.deepEqual(left(recorded.draw(0, 108_000)), [500]);
  });

  test("without a timestamp of its own a cue counts from its start", () => {
    assert.deepEqual(left(track(cue("1", 1000, 1100, { hotspots: at(0.3) })).draw(0, 90_000)), [300]);
  });

  test("a recording longer than the clock goes round", () => {
    const late = 2 ** 32 + 90_000;
    const recorded = track(cue("1", 47_722_858, 47_722_958, { pts: late, hotspots: at(0.3) }));
    assert.deepEqual(left(recorded.draw(0, late >>> 0)), [300]);
  });

  test("damaged cues and spots are left out", () => {
    const recorded = track(cue("1", 0, 10, 5), "2\n00:00:00.010 --> 00:00:00.020\n{", cue("3", 20, 30, { hotspots: [null, { id: 1 }, { id: 2, product: "no", state: "?", box: [2, 2, 1, 1] }] }), THREE[0]);
    assert.deepEqual(left(recorded.draw(0, 90_000)), [100]);
  });
});

test("to the element a track is a stream: products by number, pictures beside the track, hotspots of a frame", () => {
  const recorded = track(...THREE);
  const model = new OverlayModel();
  model.apply(recorded.snapshot);
  model.history = recorded;
  assert.deepEqual([...model.products.values()].map((card) => [card.pid, card.title, card.image]), [[1, "Mug", "https://cdn.example/products/0.jpg"], [2, "Hat", ""]]);
  assert.deepEqual(recorded.shown.get(1), [{ startMs: 1000, endMs: 1300 }]);
  const place = model.locate(93_000);
  assert.deepEqual(place, { epoch: 0, key: 93_000 });
  assert.deepEqual(model.select(model.history.draw(place.epoch, place.key).spots, "all").map((spot) => spot.pid), [1]);
});

test("a player whose clock starts elsewhere is told once", () => {
  const model = new OverlayModel();
  const recorded = track(...THREE);
  model.apply(recorded.snapshot);
  model.history = recorded;
  model.epochs = [[0, (-90_000) >>> 0]]; // native HLS: the first frame is at 0
  const place = model.locate(3000);
  assert.deepEqual(left(model.history.draw(place.epoch, place.key)), [167]);
});

test("prices and stock become those of now, what shows what stays", () => {
  const head = { version: 1, pts: 0, products: [
    { id: "mug", title: "Mug", price: "12.00 EUR", sale_price: "10.00 EUR", image: "m.jpg", shown: [[0, 900]] },
    { id: "hat", title: "Hat", price: "30.00 EUR", shown: [[100, 200]] },
  ] };
  const recorded = new RecordedTrack(parseCues(`WEBVTT\n\nproducts\n00:00.000 --> 00:01.000\n${JSON.stringify(head)}\n`));
  const now = new Map([["mug", { pid: 0, id: "mug", title: "Stone mug", price: "11.00 EUR", image: "" }]]);
  assert.equal(recorded.update(now), true);
  const [mug, hat] = recorded.snapshot.products;
  assert.deepEqual([mug.title, mug.price, mug.sale_price, mug.availability, mug.pid, mug.image], ["Stone mug", "11.00 EUR", "", "in_stock", 1, "m.jpg"]);
  assert.deepEqual([hat.price, hat.availability, hat.pid], ["30.00 EUR", "out_of_stock", 2], "gone from the shop");
  assert.deepEqual(recorded.shown.get(1), [{ startMs: 0, endMs: 900 }]);
  assert.equal(recorded.update(now), false, "nothing new");
});
