// Two ways to put a box on a recorded video, from the same track that Vitrine's page plays:
//   cuechange: the browser's own metadata track; a div moved when a cue begins;
//   time: a div moved on every animation frame to where `currentTime` says, interpolated between cues.
const mode = new URLSearchParams(location.search).get("mode");
const video = document.querySelector("video");
const box = document.getElementById("box");

function place(corners) {
  box.style.visibility = corners ? "visible" : "hidden";
  if (!corners) return;
  const [x0, y0, x1, y1] = corners;
  box.style.transform = `translate(${((x0 + x1) / 2) * 1280}px, ${((y0 + y1) / 2) * 720}px)`;
}

const boxOf = (cue) => (cue ? JSON.parse(cue.text).hotspots?.[0]?.box : null);

if (mode === "cuechange") {
  const element = document.createElement("track");
  Object.assign(element, { kind: "metadata", src: "overlay.vtt", default: true });
  video.append(element);
  element.track.mode = "hidden";
  element.track.addEventListener("cuechange", () => place(boxOf([...element.track.activeCues].find((cue) => cue.id !== "products"))));
} else {
  const blocks = (await (await fetch("overlay.vtt")).text()).split("\n\n").slice(2);
  const cues = blocks.map((block) => block.split("\n")[2]).filter(Boolean).map((text) => ({ at: JSON.parse(text).pts / 90_000, corners: boxOf({ text }) }));
  const tick = () => {
    const now = video.currentTime;
    const next = cues.findIndex((cue) => cue.at > now);
    const [from, to] = [cues[next - 1], cues[next]];
    if (from && to) place(from.corners.map((edge, k) => edge + ((to.corners[k] - edge) * (now - from.at)) / (to.at - from.at)));
    requestAnimationFrame(tick);
  };
  tick();
}
