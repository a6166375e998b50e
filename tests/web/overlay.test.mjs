// The overlay element's core: history, drawing rule, epochs, log, retries. Run by `node --test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import {
  Announcer, backoffMs, canvasSize, closePlan, decodeBinary, disclosureWord, frameKey, hotspotAt, Impressions, isSoftwareRenderer, labelBox, labelLines, labelsAstray, OverlayModel,
  PaintStats, parseCard, parseSample, parseSpot, pictureRect, placeLabels, PredictionNeed, quantile, safeUrl, SampleHistory, SUBPROTOCOLS, ticksBetween,
} from "../../overlay/web/vitrine-overlay.js";

const MS = 90;
const U32 = 2 ** 32;
const spot = (id, x0, pid = id) => [id, pid, 0, 0, x0, 1000, x0 + 1000, 2000];
const sample = (rtp, x0, { measured = 1, epoch = 1, ids = [1] } = {}) =>
  parseSample([epoch, rtp >>> 0, measured, ids.map((id) => spot(id, x0))]);
const left = (drawing, id = 1) => Math.round(drawing.spots.find((s) => s.id === id).x0 * 10_000);

function historyOf(...samples) {
  const history = new SampleHistory();
  for (const one of samples) history.add(one);
  return history;
}

describe("timestamps", () => {
  test("differences are signed and right across a wrap", () => {
    assert.equal(ticksBetween(5, U32 - 5), 10);
    assert.equal(ticksBetween(U32 - 5, 5), -10);
  });

  test("a frame's key takes the offset off modulo 2^32", () => {
    assert.equal(frameKey(100, 300), U32 - 200);
    assert.equal(frameKey(100, 0), 100);
  });
});

describe("drawing rule", () => {
  test("a measured sample of the very frame is drawn as it is", () => {
    const drawing = historyOf(sample(0, 1000), sample(3000, 2000), sample(6000, 9000)).draw(1, 3000);
    assert.equal(drawing.kind, "exact");
    assert.equal(left(drawing), 2000);
  });

  test("between two measured samples the box is interpolated by id", () => {
    const drawing = historyOf(sample(0, 1000, { ids: [1, 2] }), sample(9000, 4000, { ids: [1, 3] })).draw(1, 3000);
    assert.equal(drawing.kind, "interpolated");
    assert.deepEqual(drawing.spots.map((s) => s.id), [1]);
    assert.equal(left(drawing), 2000);
  });

  test("between measured samples the box follows the path of its neighbours, at whatever distance they are", () => {
    const path = (ms) => 2000 + 0.002 * ms * ms - 0.8 * ms + (ms * ms * ms) / 1e6; // 1/10000 of the picture
    const times = [0, 130, 300, 500, 640];
    const all = historyOf(...times.map((ms) => sample(ms * MS, Math.round(path(ms)))));
    const alone = historyOf(...[130, 300].map((ms) => sample(ms * MS, Math.round(path(ms)))));
    for (const ms of [150, 200, 233, 290]) {
      assert.ok(Math.abs(left(all.draw(1, ms * MS)) - path(ms)) <= 2, `at ${ms} ms`);
    }
    assert.ok(Math.abs(left(alone.draw(1, 215 * MS)) - path(215)) > 10, "a line is not the path");
  });

  test("one neighbour bends the path as a parabola, and only within 600 ms", () => {
    const path = (ms) => 3000 + 0.004 * ms * ms;
    for (const times of [[0, 100, 300], [100, 300, 450]]) {
      const history = historyOf(...times.map((ms) => sample(ms * MS, Math.round(path(ms)))));
      assert.ok(Math.abs(left(history.draw(1, 200 * MS)) - path(200)) <= 1, String(times));
    }
    const far = historyOf(sample(0, 3000), sample(601 * MS, 5000), sample(801 * MS, 5000));
    assert.equal(left(far.draw(1, 701 * MS)), 5000);
  });

  test("a jump does not bend a path further than a quarter of the box", () => {
    const history = historyOf(sample(0, 0), sample(100 * MS, 5000), sample(200 * MS, 5000), sample(300 * MS, 9000));
    assert.ok(Math.abs(left(history.draw(1, 133 * MS)) - 5000) <= 250);
  });

  test("interpolation goes across the wrap of the clock", () => {
    const drawing = historyOf(sample(U32 - 3000, 1000), sample(3000, 3000)).draw(1, 0);
    assert.equal(drawing.kind, "interpolated");
    assert.equal(left(drawing), 2000);
  });

  test("measured samples 600 ms apart are interpolated, farther ones are not", () => {
    assert.equal(historyOf(sample(0, 0), sample(600 * MS, 6000)).draw(1, 300 * MS).kind, "interpolated");
    assert.equal(historyOf(sample(0, 0), sample(601 * MS, 6000)).draw(1, 300 * MS).kind, "extrapolated");
    assert.equal(historyOf(sample(0, 0), sample(1000 * MS, 6000)).draw(1, 500 * MS).kind, "none");
  });

  test("measured neighbours win over a prediction of the very frame", () => {
    const drawing = historyOf(sample(0, 0), sample(3000, 9000, { measured: 0 }), sample(6000, 2000)).draw(1, 3000);
    assert.equal(drawing.kind, "interpolated");
    assert.equal(left(drawing), 1000);
  });

  test("after the newest measurement the prediction of that frame is drawn", () => {
    const drawing = historyOf(sample(0, 0), sample(3000, 1500, { measured: 0 })).draw(1, 3000);
    assert.equal(drawing.kind, "predicted");
    assert.equal(left(drawing), 1500);
  });

  test("without one the last two samples are carried on for 400 ms, then nothing is shown", () => {
    const history = historyOf(sample(0, 1000), sample(3000, 1300));
    assert.equal(history.draw(1, 6000).kind, "extrapolated");
    assert.equal(left(history.draw(1, 6000)), 1600);
    assert.equal(history.draw(1, 3000 + 400 * MS).kind, "extrapolated");
    assert.deepEqual(history.draw(1, 3001 + 400 * MS).spots, []);
    assert.equal(history.draw(1, 3001 + 400 * MS).kind, "none");
  });

  test("a single sample is held, and a hotspot that left the picture is gone", () => {
    assert.equal(left(historyOf(sample(0, 4000)).draw(1, 3000)), 4000);
    const leaving = historyOf(sample(0, 5000), sample(9000, 9000)).draw(1, 18_000);
    assert.equal(leaving.kind, "extrapolated");
    assert.deepEqual(leaving.spots, []);
  });

  test("an empty measured sample clears the picture", () => {
    const drawing = historyOf(sample(0, 0), parseSample([1, 3000, 1, []])).draw(1, 3000);
    assert.equal(drawing.kind, "exact");
    assert.deepEqual(drawing.spots, []);
  });

  test("frames before the first sample show nothing", () => {
    assert.equal(historyOf(sample(9000, 0)).draw(1, 6000).kind, "none");
  });

  test("age is the media time since the newest measurement, never negative, unknown without one", () => {
    const history = historyOf(sample(0, 0), sample(3000, 0, { measured: 0 }), sample(9000, 0));
    assert.equal(history.draw(1, 6000).ageTicks, 0);
    assert.equal(history.draw(1, 12_000).ageTicks, 3000);
    assert.equal(historyOf(sample(0, 0, { measured: 0 })).draw(1, 0).ageTicks, null);
  });
});

describe("history", () => {
  test("samples are put in order however they arrive", () => {
    const history = historyOf(sample(6000, 2000), sample(0, 0));
    assert.equal(left(history.draw(1, 3000)), 1000);
  });

  test("a prediction never replaces a measurement, a measurement replaces a prediction", () => {
    const history = historyOf(sample(0, 100), sample(0, 900, { measured: 0 }));
    assert.equal(left(history.draw(1, 0)), 100);
    const other = historyOf(sample(0, 900, { measured: 0 }), sample(0, 100));
    assert.equal(other.draw(1, 0).kind, "exact");
    assert.equal(other.size, 1);
  });

  test("it stays bounded in samples, seconds and epochs", () => {
    const history = new SampleHistory();
    for (let i = 0; i < 5000; i++) history.add(sample(i * 3000, 0));
    assert.ok(history.size <= 241, `${history.size} samples`);
    for (let i = 0; i < 5000; i++) history.add(sample(i, 0, { epoch: 2 }));
    assert.ok(history.size <= 241 + 512, `${history.size} samples`);
    for (let epoch = 3; epoch < 100; epoch++) history.add(sample(0, 0, { epoch }));
    assert.equal(history.size, 4);
  });

  test("a clock that jumps by minutes starts over instead of hiding everything", () => {
    const history = historyOf(sample(0, 0), sample(3000 * 1000 * MS, 500));
    assert.equal(history.size, 1);
    assert.equal(left(history.draw(1, (3000 * 1000 * MS) >>> 0)), 500);
  });
});

describe("wire values", () => {
  test("a spot has eight numbers and a box", () => {
    assert.deepEqual(parseSpot([7, 1, 1, 1, 1200, 3000, 2600, 7100]),
      { id: 7, pid: 1, state: "similar", pinned: true, x0: 0.12, y0: 0.3, x1: 0.26, y1: 0.71 });
    for (const bad of [null, {}, [], [1, 2, 3], [1, 1, 0, 0, 5, 5, 5, 9], [-1, 1, 0, 0, 0, 0, 9, 9], [1, 70_000, 0, 0, 0, 0, 9, 9],
      [1, 1, 0, 0, "0", 0, 9, 9], [1, 1, 0, 0, 0, NaN, 9, 9]]) assert.equal(parseSpot(bad), null);
    assert.equal(parseSpot([1, 1, 9, 0, -50, 0, 20_000, 9]).state, "unsure");
    assert.equal(parseSpot([1, 1, 9, 0, -50, 0, 20_000, 9]).x1, 1);
  });

  test("a sample keeps its good spots", () => {
    assert.deepEqual([...parseSample([1, 2, 1, [null, spot(4, 0), "x"]]).spots.keys()], [4]);
    for (const bad of [null, [], [1, 2], [1, -2, 1, []], [1, 2, 1, {}], ["1", 2, 1, []]]) assert.equal(parseSample(bad), null);
  });

  test("a card has bounded text and nothing else", () => {
    const card = parseCard({ pid: 3, id: "a", title: "x".repeat(999), price: 12, onclick: "evil", third_party: "yes" });
    assert.equal(card.title.length, 150);
    assert.equal(card.price, "");
    assert.equal(card.third_party, false);
    assert.equal(card.availability, "in_stock");
    assert.ok(!("onclick" in card));
    for (const bad of [null, 1, [], { pid: 0, title: "x" }, { pid: "1", title: "x" }, { pid: 1 }]) assert.equal(parseCard(bad), null);
  });

  test("paid places and other sellers are told apart", () => {
    const word = (label, third) => disclosureWord(parseCard({ pid: 1, title: "x", label, third_party: third }));
    assert.equal(word("Paid placement by Brew", true), "Paid");
    assert.equal(word("Anzeige", false), "Paid");
    assert.equal(word("Sold by Brew", true), "Partner");
    assert.equal(word("", true), "Partner");
    assert.equal(word("", false), "");
    assert.equal(disclosureWord(undefined), "");
  });

  test("only http and https addresses pass", () => {
    assert.equal(safeUrl("/images/a/0", "https://shop.example/x"), "https://shop.example/images/a/0");
    for (const bad of ["javascript:alert(1)", "data:text/html,x", " java\nscript:alert(1)", "vbscript:x", "", null, 5, "http://"]) {
      assert.equal(safeUrl(bad, "https://shop.example/"), "", String(bad));
    }
  });
});

const SNAP = {
  t: "snap", v: 1, stream: "demo", log: "k3J9", seq: 41, live: true, latency_ms: 120, epochs: [[1, 1000]],
  products: [{ pid: 1, id: "mug", title: "Mug", price: "12.00 EUR", link: "", image: "", seller: "" }], pinned: [1], hidden: [],
  pos: { t: "pos", s: [[1, 9000, 1, [spot(7, 1000, 1)]]] }, recovered: false,
};

function modelOf(overrides = {}) {
  const model = new OverlayModel();
  model.apply({ ...SNAP, ...overrides });
  return model;
}

describe("model", () => {
  test("a snapshot holds everything needed to draw", () => {
    const model = modelOf();
    assert.deepEqual(model.locate(10_000), { epoch: 1, key: 9000 });
    assert.equal(model.history.draw(1, 9000).kind, "exact");
    assert.equal(model.latencyMs, 120);
    assert.deepEqual(model.hello, { t: "hello", v: 1, resume: { log: "k3J9", seq: 41 } });
    assert.deepEqual(new OverlayModel().hello, { t: "hello", v: 1 });
    model.backMs = 60_000;
    assert.equal(model.hello.back_ms, 60_000);
  });

  test("events apply in order, old ones are dropped, a gap asks for a new connection", () => {
    const model = modelOf();
    assert.equal(model.apply({ t: "evt", seq: 42, ev: { k: "hide", pid: 1, on: true } }).gap, false);
    assert.ok(model.hidden.has(1));
    model.apply({ t: "evt", seq: 42, ev: { k: "hide", pid: 1, on: false } });
    assert.ok(model.hidden.has(1));
    assert.equal(model.apply({ t: "evt", seq: 44, ev: { k: "hide", pid: 1, on: false } }).gap, true);
    assert.equal(model.seq, 42);
  });

  test("after a recovered snapshot the missed events are replayed, whichever seq it names", () => {
    for (const seq of [41, 43]) {
      const model = modelOf();
      model.apply({ ...SNAP, seq, recovered: true });
      assert.equal(model.seq, 41);
      model.apply({ t: "evt", seq: 42, ev: { k: "pin", pid: 1, on: false } });
      assert.equal(model.apply({ t: "evt", seq: 43, ev: { k: "pin", pid: 1, on: true } }).gap, false);
      assert.ok(model.pinned.has(1));
    }
  });

  test("another log starts over", () => {
    const model = modelOf();
    model.apply({ ...SNAP, log: "other", seq: 3, pos: null });
    assert.equal(model.seq, 3);
    assert.equal(model.history.size, 0);
  });

  test("a new publisher brings its own epoch; frames of the old one keep their boxes", () => {
    const model = modelOf();
    model.apply({ t: "evt", seq: 42, ev: { k: "live", epoch: 2, offset: 500_000_000, latency_ms: 80 } });
    assert.equal(model.latencyMs, 80);
    assert.deepEqual(model.locate(10_000), { epoch: 1, key: 9000 });
    model.apply({ t: "pos", s: [[2, 77, 1, [spot(7, 0, 1)]]] });
    assert.deepEqual(model.locate(500_000_077), { epoch: 2, key: 77 });
    assert.deepEqual(model.locate(123_456_789), { epoch: 2, key: frameKey(123_456_789, 500_000_000) });
  });

  test("the end of a publisher hides hotspots and keeps products", () => {
    const model = modelOf();
    const spots = model.history.draw(1, 9000).spots;
    assert.equal(model.select(spots, "all").length, 1);
    model.apply({ t: "evt", seq: 42, ev: { k: "ended", reason: "left" } });
    assert.deepEqual(model.select(spots, "all"), []);
    assert.equal(model.products.size, 1);
    assert.equal(model.reason, "left");
  });

  test("availability and price change one card", () => {
    const model = modelOf();
    model.apply({ t: "evt", seq: 42, ev: { k: "availability", pid: 1, availability: "out_of_stock" } });
    assert.equal(model.products.get(1).availability, "out_of_stock");
    assert.equal(model.products.get(1).price, "12.00 EUR");
  });

  test("hidden, unknown and unsure ones are not shown; pinned come first; density limits", () => {
    const model = modelOf({ pinned: [5], hidden: [2] });
    const make = (id, pid, state = "exact") => ({ id, pid, state, pinned: false, x0: 0, y0: 0, x1: 0.1 * id, y1: 0.1 });
    const spots = [make(1, 1), make(2, 2), make(3, 0), make(4, 4, "unsure"), make(5, 5), make(6, 6, "similar"), make(7, 7)];
    assert.deepEqual(model.select(spots, "all").map((s) => s.id), [5, 7, 1, 6]);
    assert.deepEqual(model.select(spots, "few").map((s) => s.id), [5, 7, 1]);
    assert.deepEqual(model.select(spots, "pinned").map((s) => s.id), [5]);
    assert.deepEqual(model.select(spots, "off"), []);
  });

  test("nothing a server says makes it throw", () => {
    const model = modelOf();
    const nonsense = [null, 1, "x", [], {}, { t: "snap" }, { t: "snap", log: 1, seq: "1" }, { t: "pos" }, { t: "pos", s: [null, 5, [1, 2]] },
      { t: "evt" }, { t: "evt", seq: 42, ev: null }, { t: "evt", seq: 42, ev: { k: "what" } }, { t: "evt", seq: 43, ev: { k: "products" } },
      { t: "evt", seq: 44, ev: { k: "pin", pid: {} } }, { t: "evt", seq: 45, ev: { k: "live", epoch: -1 } }, { t: "card" }, { t: "err" },
      { t: "evt", seq: 46, ev: { k: "products", products: [null, {}, { pid: 1, title: "ok" }] } }];
    for (const message of nonsense) model.apply(message);
    assert.ok(model.ignored >= 12, `${model.ignored} ignored`);
    assert.equal(model.products.size, 1);
  });
});

describe("binary encoding", () => {
  const vectors = JSON.parse(readFileSync(new URL("../../docs/protocol-vectors.json", import.meta.url), "utf8"));
  const bufferOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)).buffer;

  test("it is offered first, JSON beside it", () => {
    assert.deepEqual(SUBPROTOCOLS, [vectors.subprotocol, "vitrine.json.1"]);
  });

  for (const { name, json, hex } of vectors.valid) {
    test(`reads ${name}`, () => assert.deepEqual(decodeBinary(bufferOf(hex)), json));
  }
  for (const { name, hex } of vectors.invalid) {
    test(`refuses ${name}`, () => assert.equal(decodeBinary(bufferOf(hex)), null));
  }

  test("a model cannot tell it from JSON", () => {
    const { json, hex } = vectors.valid.find((vector) => vector.name === "five hotspots");
    const [text, binary] = [json, decodeBinary(bufferOf(hex))].map((message) => {
      const model = new OverlayModel();
      assert.ok(model.apply(message).changed.has("positions"));
      return model.history.newest(1);
    });
    assert.equal(text.spots.size, 5);
    assert.deepEqual(binary, text);
  });
});

describe("retries", () => {
  test("full jitter between half a second and a cap that doubles to eight seconds", () => {
    assert.deepEqual([0, 1, 2, 3, 9].map((n) => backoffMs(n, 1)), [1000, 2000, 4000, 8000, 8000]);
    for (let n = 0; n < 12; n++) assert.equal(backoffMs(n, 0), 500);
  });

  test("close codes decide: stop, wait as asked, or back off", () => {
    for (const code of [4400, 4401]) {
      assert.equal(closePlan(code, 0, 0.5).delayMs, null);
      assert.equal(closePlan(code, 0, 0.5).state, "refused");
    }
    assert.equal(closePlan(4404, 0, 0).state, "missing");
    assert.ok(closePlan(4404, 0, 0).delayMs >= 5000);
    assert.ok(closePlan(4429, 0, 0).delayMs >= 5000);
    assert.equal(closePlan(1001, 0, 0).delayMs, 200);
    assert.equal(closePlan(1001, 0, 1).delayMs, 3000);
    for (const code of [1000, 1006, 1011, 3008, 4408]) assert.equal(closePlan(code, 2, 1).delayMs, 4000);
  });

  test("codes that are not known yet are understood by their range", () => {
    for (const code of [4402, 4403, 4500, 4999]) assert.equal(closePlan(code, 0, 0.5).delayMs, null);
    assert.equal(closePlan(4407, 0, 0).state, "missing");
    assert.equal(closePlan(4410, 0, 0).delayMs, 5000);
    for (const code of [3000, 3999, 4000, 4409]) assert.equal(closePlan(code, 2, 1).delayMs, 4000);
  });
});

describe("figures", () => {
  test("quantiles by nearest rank", () => {
    assert.equal(quantile([], 0.5), 0);
    assert.equal(quantile([4, 1, 3, 2], 0.5), 2);
    assert.equal(quantile([4, 1, 3, 2], 0.95), 4);
  });

  test("a report says how many frames had a box of their own, and empties the counters", () => {
    const stats = new PaintStats();
    for (const kind of ["exact", "interpolated", "predicted", "none"]) stats.add(kind, 900);
    assert.deepEqual(stats.take(2000), { t: "report", frames: 4, with_box: 2, age_ms: [10, 10], fps: 2 });
    assert.deepEqual(stats.take(0), { t: "report", frames: 0, with_box: 0, age_ms: [0, 0], fps: 0 });
    assert.equal(stats.total.frames, 4);
  });

  test("predictions are given up after three seconds without one, and wanted back with the first frame that needs one", () => {
    const need = new PredictionNeed();
    for (const [at, kind] of [[0, "exact"], [1500, "interpolated"], [2999, "exact"]]) assert.equal(need.update(at, kind), null);
    assert.deepEqual(need.update(3000, "exact"), { t: "want", predicted: false });
    assert.equal(need.update(9000, "interpolated"), null, "said once");
    assert.deepEqual(need.update(9033, "extrapolated"), { t: "want", predicted: true });
    assert.equal(need.update(9066, "predicted"), null);
    assert.equal(need.update(9100, "exact"), null);
    assert.deepEqual(need.update(12_100, "exact"), { t: "want", predicted: false });
  });

  test("a new connection is told anew that predictions are not needed", () => {
    const need = new PredictionNeed();
    need.update(0, "exact");
    need.update(3000, "exact");
    need.reset();
    assert.equal(need.update(3033, "exact"), null);
    assert.deepEqual(need.update(6033, "exact"), { t: "want", predicted: false });
  });

  test("products are announced together, at most every five seconds, and not again while they stay", () => {
    const announcer = new Announcer();
    assert.equal(announcer.update(0, new Map([[1, "Mug"], [2, "Kettle"]])), "In the picture: Mug, Kettle");
    assert.equal(announcer.update(1000, new Map([[1, "Mug"], [3, "Tray"]])), "");
    assert.equal(announcer.update(5000, new Map([[1, "Mug"]])), "In the picture: Tray");
    assert.equal(announcer.update(20_000, new Map([[1, "Mug"], [2, "Kettle"]])), "");
    assert.equal(announcer.update(90_000, new Map([[2, "Kettle"]])), "In the picture: Kettle");
  });

  test("an impression is one second on end, counted once", () => {
    const impressions = new Impressions();
    assert.deepEqual(impressions.update(0, [1]), []);
    assert.deepEqual(impressions.update(900, []), []);
    assert.deepEqual(impressions.update(1000, [1]), []);
    assert.deepEqual(impressions.update(2000, [1]), [1]);
    assert.deepEqual(impressions.update(3000, [1]), []);
  });
});

describe("geometry", () => {
  test("the picture's place follows object-fit", () => {
    assert.deepEqual(pictureRect("contain", 400, 400, 1600, 900), { x: 0, y: 87.5, width: 400, height: 225 });
    assert.deepEqual(pictureRect("fill", 400, 400, 1600, 900), { x: 0, y: 0, width: 400, height: 400 });
    assert.equal(pictureRect("cover", 400, 400, 1600, 800).width, 800);
    assert.equal(pictureRect("scale-down", 400, 400, 100, 100).width, 100);
    assert.equal(pictureRect("contain", 400, 400, 0, 0).height, 400);
  });

  test("with a graphics processor the canvas has the displayed pixels, up to a limit", () => {
    assert.deepEqual(canvasSize({ width: 400, height: 225 }, 2, true), { width: 800, height: 450 });
    assert.deepEqual(canvasSize({ width: 1920, height: 1080 }, 1, true), { width: 1920, height: 1080 });
    assert.deepEqual(canvasSize({ width: 1920, height: 1080 }, 3, true), { width: 2560, height: 1440 });
    assert.deepEqual(canvasSize({ width: 0.4, height: 0 }, 1, true), { width: 2, height: 2 });
  });

  test("without one the limit is 1280 x 720", () => {
    assert.deepEqual(canvasSize({ width: 1060, height: 596 }, 1, false), { width: 1060, height: 596 });
    assert.deepEqual(canvasSize({ width: 1920, height: 1080 }, 2, false), { width: 1280, height: 720 });
    assert.deepEqual(canvasSize({ width: 540, height: 960 }, 3, false), { width: 720, height: 1280 });
  });

  test("a renderer that runs on the processor is told from a graphics card", () => {
    for (const name of ["ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)), SwiftShader driver)", "llvmpipe, or similar",
      "Microsoft Basic Render Driver", "Apple Software Renderer"]) assert.equal(isSoftwareRenderer(name), true, name);
    for (const name of ["Apple GPU", "Adreno (TM) 740", "ANGLE (NVIDIA, NVIDIA GeForce RTX 3060 Direct3D11)", "Mali-G710"]) {
      assert.equal(isSoftwareRenderer(name), false, name);
    }
  });

  test("a point belongs to the smallest hotspot that contains it, and a finger needs 44 pixels", () => {
    const box = (id, x0, y0, x1, y1) => ({ id, x0, y0, x1, y1 });
    const spots = [box(1, 0, 0, 0.5, 1), box(2, 0.2, 0.4, 0.3, 0.6), box(3, 0.9, 0.5, 0.901, 0.501)];
    const at = (x, y) => hotspotAt(spots, x, y, 1000, 500)?.id ?? null;
    assert.equal(at(50, 50), 1);
    assert.equal(at(250, 250), 2); // both contain it
    assert.equal(at(900 + 21, 250 - 21), 3); // a box of one pixel
    assert.equal(at(900 + 24, 250), null);
    assert.equal(at(700, 250), null);
  });

  test("a label is set on one line, its title shortened; a narrow picture breaks it instead", () => {
    const measure = (_, text) => 10 * text.length;
    const words = [["title", "Stoneware mug"], ["price", "18 EUR"]];
    const texts = ({ lines }) => lines.map((line) => line.map((word) => word.text));
    const wide = labelLines(words, measure, { maxWidth: 300, gap: 5, wrap: false });
    assert.deepEqual(texts(wide), [["Stoneware mug", "18 EUR"]]);
    assert.equal(wide.width, 195);
    assert.equal(wide.lines[0][1].x, 135);
    const narrow = labelLines(words, measure, { maxWidth: 150, gap: 5, wrap: false });
    assert.deepEqual(texts(narrow), [["Stonewa…", "18 EUR"]]);
    assert.ok(narrow.width <= 150);
    assert.deepEqual(texts(labelLines(words, measure, { maxWidth: 150, gap: 5, wrap: true })), [["Stoneware mug"], ["18 EUR"]]);
    assert.deepEqual(texts(labelLines([["title", "Stoneware mug, white"]], measure, { maxWidth: 100, gap: 5, wrap: true })), [["Stoneware…"]]);
    assert.deepEqual(texts(labelLines([["ad", "Ad"], ["title", "Stoneware mug"]], measure, { maxWidth: 100, gap: 5, wrap: true })), [["Ad", "Stonew…"]]);
    assert.deepEqual(labelLines([], measure, { maxWidth: 100, gap: 5, wrap: true }), { width: 0, lines: [[]] });
  });

  test("labels neither cover each other nor leave the picture; the most important is placed first", () => {
    const item = (id, x, y) => ({ id, x, y, width: 100, height: 24, side: "below" });
    assert.equal(placeLabels([item(1, 200, 100)], 400, 200).get(1), "below");
    assert.equal(placeLabels([item(1, 200, 190)], 400, 200).get(1), "above");
    const two = placeLabels([item(1, 200, 100), item(2, 210, 104)], 400, 200);
    assert.equal(two.get(1), "below");
    assert.notEqual(two.get(2), "below");
    assert.equal(placeLabels([{ ...item(1, 20, 20), width: 300 }], 100, 60).get(1), "none");
  });

  test("labels that came to lie on each other, on another pin or at the edge are noticed, hidden ones are not", () => {
    const item = (id, x, y, side = "below") => ({ id, x, y, width: 100, height: 24, side });
    const astray = (items) => labelsAstray(items, 400, 200);
    assert.equal(astray([item(1, 100, 100), item(2, 250, 100)]), false);
    assert.equal(astray([item(1, 100, 100), item(2, 190, 100)]), true);
    assert.equal(astray([item(1, 100, 100), item(2, 199, 100)]), false); // they touch
    assert.equal(astray([item(1, 100, 100), item(2, 190, 100, "none")]), false);
    assert.equal(astray([item(1, 100, 100), item(2, 120, 130, "none")]), true); // on its pin
    assert.equal(astray([item(1, 100, 100)]), false);
    assert.equal(astray([item(1, 51, 100)]), false);
    assert.equal(astray([item(1, 49, 100)]), true); // cut off at the left
    assert.equal(astray([item(1, 351, 100)]), true);
    assert.equal(astray([item(1, 100, 180)]), true);
    assert.equal(astray([item(1, 10, 10, "none")]), false);
  });

  test("a label lies beside its pin, on the side it was given", () => {
    assert.deepEqual(labelBox("below", 200, 100, 80, 20), { x0: 160, y0: 116, x1: 240, y1: 136 });
    assert.deepEqual(labelBox("above", 200, 100, 80, 20), { x0: 160, y0: 64, x1: 240, y1: 84 });
    assert.deepEqual(labelBox("right", 200, 100, 80, 20), { x0: 216, y0: 90, x1: 296, y1: 110 });
    assert.deepEqual(labelBox("left", 200, 100, 80, 20), { x0: 104, y0: 90, x1: 184, y1: 110 });
    assert.equal(labelBox("none", 200, 100, 80, 20), null);
  });
});

describe("a picture that is seconds behind", () => {
  const second = (n) => n * 1000 * MS;

  /** Epochs by [number, first second, last second], a sample each 100 ms. */
  function behind(...epochs) {
    const model = new OverlayModel();
    model.history = model.history.longer(90_000);
    model.epochs = epochs.map(([epoch]) => [epoch, 12_345]); // offsets are for WebRTC viewers: these keys are the media's own
    for (const [epoch, from, to] of epochs) for (let ms = from * 1000; ms <= to * 1000; ms += 100) model.history.add(sample(ms * MS, 1000, { epoch }));
    return model;
  }
  const found = (model, at, run = 0) => {
    const { epoch, key } = model.locateMedia(second(at), run);
    assert.equal(key, second(at));
    return epoch;
  };

  test("finds its samples by the media's own times, a minute later still", () => {
    const model = behind([1, 10, 80]);
    assert.equal(found(model, 12), 1);
    assert.equal(model.history.draw(1, second(12)).kind, "exact");
    const short = new SampleHistory();
    for (let ms = 0; ms <= 20_000; ms += 100) short.add(sample(ms * MS, 1000));
    assert.equal(short.draw(1, second(5)).kind, "none");
  });

  test("an encoder that began anew with the same times is told apart by the player's run", () => {
    const model = behind([1, 0, 30], [2, 0, 20]);
    model.locateMedia(second(29), 0); // the screen is still before the break
    assert.deepEqual([29.5, 30].map((at) => found(model, at, 0)), [1, 1]);
    assert.deepEqual([0, 5, 19].map((at) => found(model, at, 1)), [2, 2, 2]);
    assert.equal(found(model, 10, 0), 1); // somebody went back
  });

  test("before the break is not after it, however soon the times meet again", () => {
    const model = behind([1, 0, 30]);
    assert.equal(found(model, 5, 0), 1);
    model.epochs.push([2, 0]);
    for (let ms = 0; ms <= 20_000; ms += 100) model.history.add(sample(ms * MS, 5000, { epoch: 2 }));
    assert.deepEqual([6, 10, 20].map((at) => found(model, at, 0)), [1, 1, 1]);
    assert.equal(found(model, 1, 1), 2);
  });

  test("an engine that began anew while the video went on is followed within the run", () => {
    const model = behind([1, 0, 10], [2, 9, 30]);
    model.locateMedia(second(5), 0);
    assert.deepEqual([9.5, 10, 10.2, 12].map((at) => found(model, at, 0)), [1, 1, 2, 2]);
  });

  test("a run of which nothing is known yet has no hotspots, and no epoch before it", () => {
    const model = behind([1, 0, 30]);
    model.locateMedia(second(29), 0);
    model.epochs.push([2, 0]);
    const { epoch, key } = model.locateMedia(second(3), 1);
    assert.equal(model.history.draw(epoch, key).kind, "none");
    assert.equal(new OverlayModel().locateMedia(0, 0), null);
  });

  test("what is kept is bounded in hotspots too", () => {
    const history = new SampleHistory().longer(90_000);
    const ids = Array.from({ length: 64 }, (_, index) => index + 1);
    for (let n = 0; n < 900; n++) history.add(sample(n * 3000, 1000, { ids, epoch: n < 400 ? 1 : 2 }));
    assert.ok(history.size * 64 <= 40_000 + 16 * 64, String(history.size));
    assert.equal(history.draw(2, 899 * 3000).kind, "exact");
    assert.equal(history.draw(1, 0).kind, "none");
  });

  test("hotspots stay on it when the host has gone", () => {
    const model = behind([1, 0, 10]);
    const spots = [...model.history.newest(1).spots.values()];
    assert.equal(model.select(spots, "all").length, 0);
    assert.equal(model.select(spots, "all", true).length, 1);
  });
});
