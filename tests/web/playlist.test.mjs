// The player of playlists, as far as it is words. Run by `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { playlistTrouble } from "../../overlay/web/playlist.js";

const told = (words) => playlistTrouble(words, "https://cdn.example/show/index.m3u8");

test("what keeps a playlist from playing is said in words, and waited for where that helps", () => {
  assert.equal(told("The video cannot be fetched (404).").state, "waiting");
  assert.equal(told("This HLS playlist holds no video yet.").state, "waiting");
  assert.match(told("Failed to fetch").words, /The video of cdn.example cannot be loaded/);
  assert.equal(told("Failed to fetch").state, "retrying");
  assert.equal(told("NetworkError when attempting to fetch resource.").state, "retrying");
  assert.equal(told("The server of the video fails (503).").state, "retrying");
  assert.deepEqual(told("This video is encrypted, which this page cannot play."), { state: "refused", words: "This video is encrypted, which this page cannot play." });
  assert.equal(told("This browser cannot play video/mp2t; offer it fragmented MP4.").state, "refused");
});
