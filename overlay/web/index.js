/** The front page: which shows there are, and which recordings of some. */

import { byId, count, getJson, h, icon, poll, setText } from "./page.js";

let look = "";

function show(streams) {
  const list = streams.filter((stream) => typeof stream?.id === "string");
  list.sort((a, b) => Number(b.live) - Number(a.live) || a.id.localeCompare(b.id));
  setText(byId("notice"), list.length > 0 ? "" : "No show is set up on this server yet.");
  if (JSON.stringify(list) === look) return;
  look = JSON.stringify(list);
  byId("shows").replaceChildren(...list.map(({ id, live, viewers }) =>
    h("li.show", {},
      h("a.watch-link", { href: `/watch/${encodeURIComponent(id)}` },
        h("span.badge", { "data-tone": live ? "live" : "idle" }, h("span.dot"), live ? "Live" : "Off air"),
        h("span.name", {}, id),
        h("span.viewers", {}, live ? count(Number(viewers) || 0, "viewer") : ""),
        icon("next")),
      h("a.quiet", { href: `/host/${encodeURIComponent(id)}` }, "Host"))));
}

function showReplays(replays) {
  const list = replays.filter((replay) => typeof replay?.name === "string");
  byId("recorded").hidden = list.length === 0;
  byId("replays").replaceChildren(...list.map(({ name, title }) =>
    h("li.show", {}, h("a.watch-link", { href: `/replay/${encodeURIComponent(name)}/` }, h("span.name", {}, String(title || name)), icon("next")))));
}

getJson("/api/replays").then(({ replays }) => showReplays(Array.isArray(replays) ? replays : []), () => {}); // shows matter more

poll(async () => {
  try {
    const { streams } = await getJson("/api/streams");
    show(Array.isArray(streams) ? streams : []);
  } catch (error) {
    setText(byId("notice"), error.message);
  }
}, 3000);
