// What the pages compute without a document. Run by `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { niceCeiling, runs } from "../../overlay/web/plot.js";
import { HttpError, retryAfterMs, roundTripMs, withKey } from "../../overlay/web/webrtc.js";
import { mediaProblem } from "../../overlay/web/whip.js";

test("Retry-After comes in seconds or as a date, and is at most five minutes", () => {
  assert.equal(retryAfterMs("2", 0), 2000);
  assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:00:30 GMT", 10_000), 20_000);
  assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:00:30 GMT", 60_000), 0);
  assert.equal(retryAfterMs("999999", 0), 300_000);
  for (const senseless of [null, "", "soon"]) assert.equal(retryAfterMs(senseless, 0), null);
});

test("the key goes into a header, and only when there is one", () => {
  assert.deepEqual(withKey("", { A: "1" }), { A: "1" });
  assert.deepEqual(withKey("k", { A: "1" }), { A: "1", Authorization: "Bearer k" });
});

test("an error keeps what the server said", () => {
  const error = new HttpError(409, "stream-not-live", "nobody is live", 1000);
  assert.deepEqual([error.status, error.code, error.message, error.retryAfterMs], [409, "stream-not-live", "nobody is live", 1000]);
});

test("the round trip is that of the nominated pair", () => {
  const pair = { type: "candidate-pair", state: "succeeded", currentRoundTripTime: 0.02 };
  assert.equal(roundTripMs([{ ...pair, nominated: false, currentRoundTripTime: 9 }, { ...pair, nominated: true }]), 20);
  assert.equal(roundTripMs([]), null);
});

test("a missing camera is explained; without HTTPS that comes first", () => {
  assert.match(mediaProblem(null, false), /HTTPS/);
  assert.match(mediaProblem({ name: "NotAllowedError" }, true), /Allow it/);
  assert.match(mediaProblem({ name: "NotReadableError" }, true), /Another program/);
  assert.match(mediaProblem(new Error("strange"), true), /strange/);
});

test("axes end at a round number at or above the largest value", () => {
  assert.deepEqual([0.7, 1, 1.2, 23, 26, 60, 99, 101].map(niceCeiling), [1, 1, 2, 25, 50, 100, 100, 200]);
  for (const senseless of [0, -3, NaN, undefined]) assert.equal(niceCeiling(senseless), 1);
});

test("gaps split a line into runs", () => {
  assert.deepEqual(runs([null, 1, 2, null, undefined, 3]), [[[1, 1], [2, 2]], [[5, 3]]]);
  assert.deepEqual(runs([]), []);
});
