/** Buttons below a picture that all players share: sound, hotspots, full screen. Each finds its elements by id. */

import { byId, iconAddress, setText } from "./page.js";

/** `#sound`: with the first touch the video may play aloud. */
export function soundButton(/** @type {HTMLVideoElement} */ video) {
  const button = byId("sound");
  const show = () => {
    button.querySelector("use").setAttribute("href", iconAddress(video.muted ? "muted" : "sound"));
    setText(button.querySelector("span"), video.muted ? "Unmute" : "Mute");
  };
  button.addEventListener("click", () => {
    video.muted = !video.muted;
    if (video.srcObject) video.play().catch(() => {}); // live: there is nothing to pause
    show();
  });
  video.addEventListener("volumechange", show);
  show();
}

/** `#hotspots` switches them on and off, `#density` says how many. */
export function hotspotButtons(/** @type {import("./vitrine-overlay.js").VitrineOverlay} */ overlay) {
  let last = "all";
  byId("hotspots").addEventListener("click", (event) => {
    const on = overlay.density === "off";
    if (!on) last = overlay.density;
    overlay.density = on ? last : "off";
    event.currentTarget.setAttribute("aria-pressed", String(on));
    setText(byId("hotspots-words"), on ? "Hotspots on" : "Hotspots off");
    byId("density").disabled = !on;
  });
  byId("density").addEventListener("change", (event) => { overlay.density = event.target.value; });
}

/** `#full` shows `frame` alone; `#picture` in it stands upright where the video does. */
export function fullScreenButton(/** @type {HTMLElement} */ frame, /** @type {HTMLElement} */ dialog) {
  byId("full").hidden = !frame.requestFullscreen;
  byId("full").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else frame.requestFullscreen().catch(() => {});
  });
  document.addEventListener("fullscreenchange", () => { // a modal outside the full-screen element would not be seen
    (document.fullscreenElement === frame ? frame : document.body).append(dialog);
  });
  const video = frame.querySelector("video");
  video.addEventListener("resize", () => byId("picture").classList.toggle("upright", video.videoHeight > video.videoWidth));
}
