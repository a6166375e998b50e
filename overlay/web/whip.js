/** WHIP publisher: camera, screen or file to the server, kept alive. */

import { backoffMs } from "./vitrine-overlay.js";
import { exchange, release, roundTripMs, stats } from "./webrtc.js";

/** @typedef {"idle"|"connecting"|"live"|"weak"|"retrying"|"refused"} PublisherState */

/** Why a camera or screen cannot be had, in words a host can act on. */
export function mediaProblem(error, secure) {
  if (!secure) {
    return "Browsers give camera and screen only to pages opened over HTTPS or on this same machine. " +
      "Open this page through https:// (start the server with a certificate, or with --tls self-signed).";
  }
  switch (error?.name) {
    case "NotAllowedError": return "The browser was not allowed to use it. Allow it in the address bar, then try again.";
    case "NotFoundError": return "There is no camera or microphone on this device.";
    case "NotReadableError": return "Another program is using the camera. Close it, then try again.";
    case "OverconstrainedError": return "The camera cannot deliver this format.";
    case "AbortError": return "Choosing was cancelled.";
    default: return `It did not work: ${error?.message ?? error}`;
  }
}

/** Camera with microphone, 720p30 where the camera has it. */
export function camera() {
  if (!navigator.mediaDevices?.getUserMedia) throw new TypeError("no camera access on this page");
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: "environment" };
  return navigator.mediaDevices.getUserMedia({ video, audio: { echoCancellation: true } }).catch((error) => {
    if (error.name !== "NotFoundError" && error.name !== "NotReadableError") throw error;
    return navigator.mediaDevices.getUserMedia({ video }); // no microphone is no reason not to go live
  });
}

/** Screen or window, with its sound where the browser offers it. */
export function screen() {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new TypeError("this browser cannot share a screen");
  return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
}

/** A video file, played in a loop. `element` becomes the player. */
export async function file(blob, element) {
  element.srcObject = null;
  element.src = URL.createObjectURL(blob);
  element.loop = true;
  element.muted = true;
  const failed = new Promise((_, reject) => element.addEventListener("error", () =>
    reject(new Error("this browser cannot play the file; MP4 with H.264 works everywhere")), { once: true }));
  await Promise.race([element.play(), failed]);
  const capture = element.captureStream ?? element.mozCaptureStream;
  if (!capture) throw new Error("this browser cannot stream from a file; Chrome, Edge and Firefox can");
  return capture.call(element);
}

/** H264 first, VP8 after it: what the engine takes (retransmission and the like stay). */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = ({ mimeType, sdpFmtpLine = "" }) => {
    if (/H264/i.test(mimeType)) return sdpFmtpLine.includes("packetization-mode=1") ? 0 : 9;
    if (/VP8/i.test(mimeType)) return 1;
    return /rtx|red|ulpfec/i.test(mimeType) ? 2 : 9;
  };
  const wanted = codecs.filter((codec) => rank(codec) < 9).sort((a, b) => rank(a) - rank(b));
  if (wanted.some((codec) => rank(codec) < 2)) transceiver.setCodecPreferences(wanted);
}

/** Publishes a MediaStream. Fires "state" (detail: {state, words}) and, each second, "figures". */
export class WhipPublisher extends EventTarget {
  /** @type {PublisherState} */
  #state = "idle";
  #words = "";
  #url;
  #key = "";
  #media = null;
  #peer = null;
  #resource = "";
  #timer = 0;
  #watch = 0;
  #attempt = 0;
  #run = 0;
  #previous = null;
  #figures = { fps: 0, kbps: 0, lostPercent: 0, rttMs: null, width: 0, height: 0, codec: "", limited: "none" };

  constructor(url) {
    super();
    this.#url = url;
    window.addEventListener("pagehide", () => this.#drop());
    window.addEventListener("online", () => this.#state === "retrying" && this.#connect());
  }

  get state() { return this.#state; }
  get words() { return this.#words; }
  get figures() { return this.#figures; }

  start(media, key) {
    this.stop();
    this.#media = media;
    this.#key = key;
    this.#attempt = 0;
    const [video] = media.getVideoTracks();
    if (video) {
      video.contentHint = "motion";
      video.addEventListener("ended", () => this.#media === media && this.stop("The source was ended."));
    }
    this.#connect();
  }

  stop(words = "") {
    this.#drop();
    for (const track of this.#media?.getTracks() ?? []) track.stop();
    this.#media = null;
    this.#set("idle", words);
  }

  async #connect() {
    this.#hangUp();
    const run = this.#run;
    if (this.#state !== "retrying") this.#set("connecting", "Connecting.");
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#peer = peer;
    for (const track of this.#media.getTracks()) {
      const encodings = track.kind === "video" ? [{ maxBitrate: 4_000_000, maxFramerate: 30 }] : [{}];
      const transceiver = peer.addTransceiver(track, { direction: "sendonly", streams: [this.#media], sendEncodings: encodings });
      if (track.kind === "video") {
        preferH264(transceiver);
        this.#keepResolution(transceiver.sender);
      }
    }
    peer.onconnectionstatechange = () => run === this.#run && this.#connection(peer.connectionState);
    try {
      const resource = await exchange(peer, this.#url, this.#key);
      if (run !== this.#run) return release(resource, this.#key);
      this.#resource = resource;
      this.#watch = setInterval(() => this.#look(run, peer), 1000);
    } catch (error) {
      if (run === this.#run) this.#refused(error);
    }
  }

  /** Small products need pixels more than they need frames. */
  async #keepResolution(sender) {
    try {
      const parameters = sender.getParameters();
      parameters.degradationPreference = "maintain-resolution";
      await sender.setParameters(parameters);
    } catch {
      // not offered by this browser
    }
  }

  /** Ends the show at the server too. */
  #drop() {
    release(this.#resource, this.#key);
    this.#resource = "";
    this.#hangUp();
  }

  /** Leaves the session to the server: the next one takes it over, so that viewers see a pause and not an end. */
  #hangUp() {
    this.#run++;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#peer?.close();
    this.#peer = null;
    this.#previous = null;
  }

  #connection(state) {
    if (state === "connected") {
      this.#attempt = 0;
      this.#set("live", "");
    } else if (state === "disconnected") {
      this.#set("weak", "The connection is interrupted.");
    } else if (state === "failed" || state === "closed") {
      this.#retry("The connection was lost; connecting again.");
    }
  }

  #refused(error) {
    if (error.status === undefined || error.status === 0 || error.status >= 500 || error.status === 429) {
      return this.#retry(error.message, error.retryAfterMs);
    }
    this.#drop();
    const words = error.status === 401 || error.status === 403 ? "The server does not accept this key." : error.message;
    this.#set("refused", words);
  }

  #retry(words, delayMs = null) {
    this.#hangUp();
    this.#set("retrying", words);
    this.#timer = setTimeout(() => this.#connect(), delayMs ?? backoffMs(this.#attempt++, Math.random()));
  }

  async #look(run, peer) {
    const reports = await stats(peer);
    if (run !== this.#run) return;
    const video = reports.find((r) => r.type === "outbound-rtp" && r.kind === "video");
    if (!video) return;
    const before = this.#previous;
    this.#previous = { at: video.timestamp, bytes: video.bytesSent };
    if (!before || video.timestamp <= before.at) return;
    const remote = reports.find((r) => r.type === "remote-inbound-rtp" && r.kind === "video");
    this.#figures = {
      fps: video.framesPerSecond ?? 0, kbps: ((video.bytesSent - before.bytes) * 8) / (video.timestamp - before.at),
      lostPercent: Math.max(0, (remote?.fractionLost ?? 0) * 100), rttMs: roundTripMs(reports),
      width: video.frameWidth ?? 0, height: video.frameHeight ?? 0,
      codec: (reports.find((r) => r.id === video.codecId)?.mimeType ?? "").replace("video/", ""),
      limited: video.qualityLimitationReason ?? "none",
    };
    this.dispatchEvent(new CustomEvent("figures", { detail: this.#figures }));
  }

  #set(state, words) {
    if (state === this.#state && words === this.#words) return;
    this.#state = state;
    this.#words = words;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, words } }));
  }
}
