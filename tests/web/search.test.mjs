// The search box and its questions. Run by `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { agoWords, boxWords, fitBox, keyBox, LatestWins, MIN_SIDE, moveBox, resizeBox, STEP, wireBox } from "../../overlay/web/searchbox.js";

const BOX = { x0: 0.2, y0: 0.3, x1: 0.4, y1: 0.6 };
const near = (box, wanted) => Object.keys(wanted).forEach((key) => assert.ok(Math.abs(box[key] - wanted[key]) < 1e-9, `${key}: ${box[key]}`));

test("a box is kept within the picture, the right way round and large enough", () => {
  near(fitBox({ x0: 0.8, y0: 1.4, x1: -0.2, y1: 0.5 }), { x0: 0, y0: 0.5, x1: 0.8, y1: 1 });
  near(fitBox({ x0: 0.5, y0: 0, x1: 0.5, y1: 0 }), { x0: 0.5 - MIN_SIDE / 2, x1: 0.5 + MIN_SIDE / 2, y0: 0, y1: MIN_SIDE });
  near(fitBox({ x0: 1, y0: 1, x1: 1.2, y1: 1.2 }), { x0: 1 - MIN_SIDE, x1: 1, y0: 1 - MIN_SIDE, y1: 1 });
});

test("moving stops at the edge and never changes the size", () => {
  near(moveBox(BOX, -0.5, 0.1), { x0: 0, x1: 0.2, y0: 0.4, y1: 0.7 });
  near(moveBox(BOX, 0.9, 0.9), { x0: 0.8, x1: 1, y0: 0.7, y1: 1 });
});

test("an edge does not pass the opposite one", () => {
  near(resizeBox(BOX, "e", -0.5, 0), { x0: 0.2, x1: 0.2 + MIN_SIDE, y0: 0.3, y1: 0.6 });
  near(resizeBox(BOX, "nw", 0.05, -0.5), { x0: 0.25, x1: 0.4, y0: 0, y1: 0.6 });
});

test("arrows move, with shift they resize, other keys do nothing", () => {
  near(keyBox(BOX, "ArrowRight", false), { x0: 0.2 + STEP, x1: 0.4 + STEP, y0: 0.3, y1: 0.6 });
  near(keyBox(BOX, "ArrowUp", false), { x0: 0.2, x1: 0.4, y0: 0.3 - STEP, y1: 0.6 - STEP });
  near(keyBox(BOX, "ArrowDown", true), { x0: 0.2, x1: 0.4, y0: 0.3, y1: 0.6 + STEP });
  near(keyBox(BOX, "ArrowLeft", true), { x0: 0.2, x1: 0.4 - STEP, y0: 0.3, y1: 0.6 });
  assert.equal(keyBox(BOX, "Enter", false), null);
});

test("boxes are told to servers in 0..1 and to people in words", () => {
  assert.deepEqual(wireBox({ x0: -1e-9, y0: 1 / 3, x1: 1.0000001, y1: 0.5 }), [0, 0.3333, 1, 0.5]);
  assert.equal(boxWords(BOX), "20 % from the left, 30 % from the top, 20 % wide, 30 % high");
  assert.deepEqual([500, 8_200, 125_000].map(agoWords), ["just now", "8 seconds ago", "2 minutes ago"]);
});

/** A LatestWins with timers that run when told and answers that come when told. */
function rig() {
  const asked = [], news = [], timers = new Map();
  let count = 0;
  const ask = (query, signal) => new Promise((resolve, reject) => {
    asked.push({ query, signal, resolve, reject });
    signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });
  const later = (work, ms) => { timers.set(++count, { work, ms }); return count; };
  const wins = new LatestWins(ask, (one) => news.push(one), { waitMs: 100, later, forget: (id) => timers.delete(id) });
  const run = () => { const due = [...timers.values()]; timers.clear(); due.forEach(({ work }) => work()); return due.map(({ ms }) => ms); };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { wins, asked, news, run, settle };
}

test("a question that changes again is asked once", async () => {
  const { wins, asked, news, run, settle } = rig();
  wins.change("a");
  wins.change("b");
  wins.change("c");
  run();
  assert.deepEqual(asked.map(({ query }) => query), ["c"]);
  asked[0].resolve("answer");
  await settle();
  assert.deepEqual(news.map(({ state }) => state), ["asking", "answered"]);
  assert.equal(news[1].answer, "answer");
});

test("the newest question wins, whichever answer comes first", async () => {
  const { wins, asked, news, settle } = rig();
  wins.now("old");
  wins.now("new");
  assert.ok(asked[0].signal.aborted);
  asked[1].resolve(2);
  asked[0].resolve(1);
  await settle();
  assert.deepEqual(news.filter(({ state }) => state === "answered").map(({ answer }) => answer), [2]);
  wins.now("gone");
  wins.cancel();
  asked[2].resolve(3);
  await settle();
  assert.equal(news.at(-1).state, "asking");
});

test("a busy server is asked again twice, any other failure is told at once", async () => {
  const { wins, asked, news, run, settle } = rig();
  const busy = Object.assign(new Error("busy"), { status: 503, retryAfterMs: 2000 });
  wins.now("a");
  for (const expected of [[2000], [2000], []]) {
    asked.at(-1).reject(busy);
    await settle();
    assert.deepEqual(run(), expected);
  }
  assert.equal(asked.length, 3);
  assert.equal(news.at(-1).error, busy);
  wins.now("b");
  asked.at(-1).reject(Object.assign(new Error("gone"), { status: 410 }));
  await settle();
  assert.equal(news.at(-1).error.message, "gone");
});
