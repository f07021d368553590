// All that is text: figures, the table of shards, transfers, the log, and one entity's history.

import { STATES } from "./messages.js";

const LOG_LINES = 200;
const TRANSFER_LINES = 12;
const RATE_MS = 3000;
const ANNOUNCE_MS = 1500;

const find = (id) => document.getElementById(id);

export function clockText(unixUs) {
  return new Date(unixUs / 1000).toLocaleTimeString("en-GB");
}

function element(name, { text, className, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// What a screen reader says; what comes too quickly is said together.
export class Announcer {
  constructor() {
    this.waiting = [];
  }

  say(message) {
    this.waiting.push(message);
    if (this.waiting.length > 6) this.waiting.splice(0, this.waiting.length - 6);
    this.timer ??= setTimeout(() => {
      find("announcer").textContent = this.waiting.splice(0).join(". ");
      this.timer = undefined;
    }, this.saidMs && performance.now() - this.saidMs < ANNOUNCE_MS ? ANNOUNCE_MS : 50);
    this.saidMs = performance.now();
  }
}

export class Panel {
  constructor(colours, announcer) {
    this.colours = colours;
    this.announcer = announcer;
    this.completed = [];
    this.rows = new Map();
    this.lastItem = 0;
  }

  take(frame) {
    const number = (value) => value.toLocaleString("en");
    find("figure-entities").textContent = number(frame.entities) + (frame.hidden ? ` (+${number(frame.hidden)})` : "");
    find("figure-passing").textContent = number(frame.passing);
    find("figure-frozen").textContent = number(frame.frozen);
    find("figure-handoffs").textContent = number(Math.round(this.#rate(frame)));
    this.#shards(frame);
    this.#transfers(frame);
  }

  #rate(frame) {
    const atMs = frame.unix_us / 1000;
    if (this.completed.length && atMs < this.completed.at(-1)[0]) this.completed = [];
    this.completed.push([atMs, frame.handoffs_total]);
    while (this.completed.length > 2 && this.completed[1][0] < atMs - RATE_MS) this.completed.shift();
    const [firstMs, first] = this.completed[0];
    return atMs > firstMs ? Math.max(0, (1000 * (frame.handoffs_total - first)) / (atMs - firstMs)) : 0;
  }

  #shards(frame) {
    const body = find("shards").tBodies[0];
    const seen = new Set();
    for (const shard of frame.shards) {
      seen.add(shard.name);
      let row = this.rows.get(shard.name);
      if (!row) {
        row = element("tr", {}, element("th", { scope: "row" }), ...Array.from({ length: 4 }, () => element("td")));
        row.cells[0].append(element("span", { className: "swatch", "aria-hidden": "true" }), shard.name);
        for (const index of [2, 3, 4]) row.cells[index].className = "number";
        row.cells[4].append(element("meter", { min: 0, max: 1, high: 0.8, optimum: 0 }), element("span", { className: "share" }));
        this.rows.set(shard.name, row);
        body.append(row);
      }
      this.#shard(row, shard);
    }
    for (const [name, row] of this.rows) {
      if (seen.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
  }

  #shard(row, shard) {
    const [name, state, entities, tick, load] = row.cells;
    name.firstChild.className = `swatch owner-${this.colours.of(shard.number)}`;
    write(state, shard.state + (shard.leader ? " ★" : ""));
    state.className = `state-${shard.state}`;
    state.title = shard.error || (shard.leader ? "owns the entity stream" : "");
    write(entities, shard.shown.toLocaleString("en"));
    write(tick, `${milliseconds(shard.tick_p50_ms)} / ${milliseconds(shard.tick_p99_ms)}`);
    load.firstChild.value = shard.load ?? 0;
    const words = shard.load === null ? "unknown" : `${(100 * shard.load).toFixed(shard.load < 0.1 ? 1 : 0)} %`;
    write(load.lastChild, words);
    load.title = `${words} of a tick's time, over the last seconds`;
  }

  #transfers(frame) {
    const names = new Map(frame.shards.map((shard) => [shard.number, shard.name]));
    find("transfer-count").textContent = frame.transfers.length ? frame.transfers.length : "none";
    const lines = frame.transfers.slice(0, TRANSFER_LINES).map((transfer) => {
      const words = `${names.get(transfer.source) ?? "?"} → ${names.get(transfer.target) ?? "?"}`;
      const many = `${transfer.entities} ${transfer.entities === 1 ? "entity" : "entities"}`;
      return element("li", {}, element("span", { className: `swatch owner-${this.colours.of(transfer.target)}`, "aria-hidden": "true" }), `${words}: ${transfer.state}, ${many}`);
    });
    find("transfers").replaceChildren(...lines);
  }

  // What happened before the page came (or came back) is written down, and not said.
  news(items) {
    const log = find("log");
    const isLate = !this.heard;
    this.heard = true;
    for (const item of items) {
      if (item.number <= this.lastItem) continue;
      this.lastItem = item.number;
      log.prepend(element("li", { "data-kind": item.kind },
        element("time", { text: clockText(item.unix_us), datetime: new Date(item.unix_us / 1000).toISOString() }),
        element("span", { className: "kind", text: item.kind }), item.text));
      if (item.kind !== "link" && !isLate) this.announcer.say(`${item.kind}: ${item.text}`);
    }
    while (log.childElementCount > LOG_LINES) log.lastChild.remove();
  }

  // The server counts its news from its own start.
  forgetNews() {
    this.lastItem = 0;
    this.heard = false;
    find("log").replaceChildren();
  }

  entity(found, colourOf) {
    const details = find("entity-details");
    details.hidden = find("entity-close").hidden = found === null;
    if (found === null) return;
    const facts = [
      ["owner", found.owner ?? "nobody shows it"],
      ["state", found.state === null ? "gone" : STATES[found.state]],
      ["version", found.version],
      ["position", found.position.map((value) => value.toFixed(2)).join(", ")],
    ];
    const list = element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]));
    const owners = found.owners.toReversed().map((one) => element("li", {},
      element("time", { text: clockText(one.unix_us), datetime: new Date(one.unix_us / 1000).toISOString() }),
      element("span", { className: `swatch owner-${colourOf(one.owner)}`, "aria-hidden": "true" }),
      one.version === null ? `${one.owner}, when it was first seen` : `${one.owner}, version ${one.version}`));
    details.replaceChildren(list, element("ol", { className: "lines", "aria-label": `Owners of entity ${found.entity}, newest first` }, ...owners));
  }

  noEntity(message) {
    find("entity-close").hidden = false;
    find("entity-details").hidden = false;
    find("entity-details").replaceChildren(element("p", { text: message }));
    this.announcer.say(message);
  }
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function milliseconds(value) {
  return value === null ? "–" : value.toFixed(value < 10 ? 1 : 0);
}
