/** WHEP player: one `<video>`, one stream, kept alive. */

import { backoffMs } from "./vitrine-overlay.js";
import { exchange, release, roundTripMs, stats } from "./webrtc.js";

/** @typedef {"idle"|"connecting"|"playing"|"stalled"|"waiting"|"retrying"|"refused"} PlayerState */

const STALL_MS = 2500; // no new frame for so long: say so
const RENEW_MS = 12_000; // ... and for so long: connect again

/**
 * Plays `url` into `video`, reconnecting with full jitter. Fires "state" (detail: {state, words}) on every change.
 *
 * waiting: nobody is live (409, or 404 while the stream does not exist yet); asks again as the server wishes.
 * refused: the key or the offer was refused; `start` again to retry.
 */
export class WhepPlayer extends EventTarget {
  /** @type {PlayerState} */
  #state = "idle";
  #words = "";
  #video;
  #url;
  #key;
  #peer = null;
  #resource = "";
  #timer = 0;
  #watch = 0;
  #attempt = 0;
  #holdBackMs = 0;
  #frames = 0;
  #lastFrameMs = 0;
  #run = 0; // number of the current attempt; whatever belongs to an older one is dropped
  #figures = { fps: 0, kbps: 0, lostPercent: 0, rttMs: null, width: 0, height: 0, codec: "" };
  #previous = null;

  constructor(video, url, key = "") {
    super();
    this.#video = video;
    this.#url = url;
    this.#key = key;
    video.addEventListener("loadeddata", () => this.#peer && this.#set("playing", "")); // the first picture is there
    window.addEventListener("pagehide", () => this.stop());
    window.addEventListener("pageshow", (event) => event.persisted && this.start());
    window.addEventListener("online", () => this.wake());
  }

  get state() { return this.#state; }
  get words() { return this.#words; }
  /** Newest figures: fps, kbps, lostPercent, rttMs, width, height, codec. */
  get figures() { return this.#figures; }
  get peer() { return this.#peer; }

  /** How long to hold frames back so that their hotspots are here first, milliseconds. */
  set holdBackMs(value) {
    this.#holdBackMs = Math.min(4000, Math.max(0, Number(value) || 0));
    for (const receiver of this.#peer?.getReceivers() ?? []) this.#holdBack(receiver);
  }

  get holdBackMs() { return this.#holdBackMs; }

  start() {
    if (this.#state !== "idle" && this.#state !== "refused") return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Does not wait for the next retry: the network is back, or the overlay says that a host went live. */
  wake() {
    if (this.#state === "waiting" || this.#state === "retrying") this.#connect();
    else if (this.#state === "stalled") this.#fail("The video stopped.");
  }

  stop() {
    this.#drop();
    this.#set("idle", "");
  }

  async #connect() {
    this.#drop();
    const run = this.#run;
    this.#set("connecting", "Connecting to the video.");
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#peer = peer;
    const stream = new MediaStream();
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = ({ track, receiver }) => {
      stream.addTrack(track);
      this.#holdBack(receiver);
      if (run === this.#run && this.#video.srcObject !== stream) this.#video.srcObject = stream;
      this.#video.play().catch(() => {}); // without a gesture: only when muted, which the page's button solves
    };
    peer.onconnectionstatechange = () => run === this.#run && this.#connection(peer.connectionState);
    try {
      const resource = await exchange(peer, this.#url, this.#key);
      if (run !== this.#run) return release(resource, this.#key);
      this.#resource = resource;
      this.#lastFrameMs = performance.now();
      this.#watch = setInterval(() => this.#look(run, peer), 1000);
    } catch (error) {
      if (run === this.#run) this.#refused(error);
    }
  }

  #drop() {
    this.#run++;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    release(this.#resource, this.#key);
    this.#resource = "";
    this.#peer?.close();
    this.#peer = null;
    this.#frames = 0;
    this.#previous = null;
  }

  #connection(state) {
    if (state === "failed") this.#fail("The video connection failed.");
    else if (state === "disconnected") this.#set("stalled", "The video stopped.");
    else if (state === "closed") this.#fail("The video connection was closed.");
  }

  #refused(error) {
    const { status, code, message } = error;
    const nobody = status === 409 || status === 404;
    if (status === 0 || status >= 500 || status === 429 || nobody || status === undefined) {
      const delay = error.retryAfterMs ?? (nobody ? 2000 + Math.random() * 2000 : null);
      this.#fail(nobody ? "Nobody is live at the moment." : message, nobody ? "waiting" : "retrying", delay);
      return;
    }
    this.#drop();
    this.#set("refused", code === "http-401" || status === 401 ? "This link does not open the show. Ask the host for a new one." : message);
  }

  #fail(words, state = "retrying", delayMs = null) {
    this.#drop();
    this.#set(state, words);
    this.#timer = setTimeout(() => this.#connect(), delayMs ?? backoffMs(this.#attempt++, Math.random()));
  }

  #holdBack(receiver) {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = this.#holdBackMs;
    else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = this.#holdBackMs / 1000;
  }

  async #look(run, peer) {
    const reports = await stats(peer);
    if (run !== this.#run) return;
    const now = performance.now();
    const video = reports.find((r) => r.type === "inbound-rtp" && r.kind === "video");
    if (video) this.#measure(video, reports);
    if ((video?.framesDecoded ?? 0) > this.#frames) {
      this.#frames = video.framesDecoded;
      this.#lastFrameMs = now;
      this.#attempt = 0;
      this.#set("playing", "");
    } else if (now - this.#lastFrameMs > RENEW_MS) {
      this.#fail("The video stopped.");
    } else if (now - this.#lastFrameMs > STALL_MS) {
      this.#set("stalled", "The video stopped.");
    }
  }

  #measure(video, reports) {
    const before = this.#previous;
    this.#previous = { at: video.timestamp, bytes: video.bytesReceived, lost: video.packetsLost, got: video.packetsReceived };
    if (!before || video.timestamp <= before.at) return;
    const lost = Math.max(0, video.packetsLost - before.lost);
    const all = lost + Math.max(0, video.packetsReceived - before.got);
    this.#figures = {
      fps: video.framesPerSecond ?? 0, kbps: ((video.bytesReceived - before.bytes) * 8) / (video.timestamp - before.at),
      lostPercent: all > 0 ? (100 * lost) / all : 0, rttMs: roundTripMs(reports), width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      codec: (reports.find((r) => r.id === video.codecId)?.mimeType ?? "").replace("video/", ""),
    };
  }

  #set(state, words) {
    if (state === this.#state && words === this.#words) return;
    this.#state = state;
    this.#words = words;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, words } }));
  }
}
