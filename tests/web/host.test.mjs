// The words of the host's panels. Run by `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { taughtWords } from "../../overlay/web/enroll.js";
import { why } from "../../overlay/web/seen.js";

test("the reason names the next product, and says when viewers see nothing of it", () => {
  const seen = { id: 7, product_id: "mug", title: "Mug", state: "exact", reason: "seen from 6 views", next: "Jar", shown: true };
  assert.equal(why(seen), "seen from 6 views; next: Jar");
  assert.equal(why({ ...seen, shown: false }), "seen from 6 views; next: Jar. Viewers do not see it");
  assert.equal(why({ ...seen, state: "unsure", next: "", shown: false }), "seen from 6 views");
});

test("what was taught is told by kind", () => {
  assert.equal(taughtWords({ enrolled: 12, confirmed: 1 }), "12 views shown to the camera, 1 view confirmed");
  assert.equal(taughtWords({ vetoed: 2 }), "2 views that are not it");
  assert.equal(taughtWords({}), "");
});
