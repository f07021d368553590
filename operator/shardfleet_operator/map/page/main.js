// The map's page. `window.shardfleetMap` says what it is doing, for tests and for whoever is curious:
//
//   state        "connecting", "live", "paused" or "past"
//   connections  how often it has connected
//   frames       frames taken so far; frame: the last one's JSON
//   pictures     pictures drawn so far; pictureMs: how long the last one took, in milliseconds
//   shownMs      the moment that is shown, Unix milliseconds
//   selected     the picked entity's number, as text, or null
//   placeOf(id)  where an entity is on the screen, [x, y] in CSS pixels of the map, or null
//   view         zoom and middle

import { OwnerColours, pack, readTheme } from "./colours.js";
import { Api, Live } from "./connection.js";
import { Ground } from "./ground.js";
import { listenToMap, listenToPage, ZOOM_STEP } from "./keys.js";
import { ABSENT, SHARD_MASK } from "./messages.js";
import { Motion, ShownTime } from "./motion.js";
import { Arcs, drawOver } from "./over.js";
import { Announcer, clockText, Panel } from "./panel.js";
import { Past, Replay } from "./past.js";
import { Points } from "./points.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);
const REACH = 16; // CSS pixels around a click
const DETAILS_MS = 1000;
const TOKEN = "shardfleet-map-token";
const THEME = "shardfleet-map-theme";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const light = matchMedia("(prefers-color-scheme: light)");

class Page {
  constructor(api, fleet) {
    this.api = api;
    this.fleet = fleet;
    this.view = new View();
    this.motion = new Motion();
    this.time = new ShownTime();
    this.colours = new OwnerColours();
    this.announcer = new Announcer();
    this.panel = new Panel(this.colours, this.announcer);
    this.arcs = new Arcs();
    this.ground = new Ground(find("ground"));
    this.points = new Points(find("points"));
    this.past = new Past(api, fleet);
    this.ids = new BigUint64Array(0);
    this.frame = null;
    this.picked = null; // {id: text, slot, owner}
    this.mode = "live"; // or "still", "replay"
    this.pastUs = 0; // which kept frame is shown; 0: none
    this.drawnChanges = -1;
    this.restyle();
    new ResizeObserver(() => this.resize()).observe(find("map"));
    this.resize();
    this.report = window.shardfleetMap = {
      state: "connecting", connections: 0, frames: 0, frame: null, pictures: 0, pictureMs: 0, shownMs: 0, selected: null,
      view: this.view, placeOf: (id) => this.placeOf(id),
    };
    this.live = new Live(api, fleet, {
      open: () => this.opened(),
      state: (state) => this.connected(state),
      message: (message) => this.take(message),
    });
    setInterval(() => this.refreshDetails(), DETAILS_MS);
    requestAnimationFrame((atMs) => this.picture(atMs));
  }

  // --- what comes from the server ---------------------------------------------------------------------------------

  opened() {
    this.report.connections += 1;
    this.panel.forgetNews(); // another process may serve it now, with slots and news of its own
    if (this.picked) this.picked.slot = -1;
    if (this.mode === "live") this.jump();
    else this.stale = true; // what is shown stays until it goes on
  }

  connected(state) {
    this.connection = state;
    this.showState();
    if (state === "connecting") this.announcer.say("the connection is lost, trying again");
  }

  take(message) {
    if (message.type === "roster") this.takeRoster(message);
    else if (message.type === "frame") {
      if (this.mode === "live") this.show(message);
    } else if (message.type === "news") {
      find("trouble").hidden = !message.trouble;
      find("trouble").textContent = message.trouble;
      this.panel.news(message.items);
    }
  }

  takeRoster({ ids, slots }) {
    const highest = slots.reduce((most, slot) => Math.max(most, slot), -1);
    if (highest >= this.ids.length) {
      const grown = new BigUint64Array(Math.ceil(1.25 * (highest + 1)));
      grown.set(this.ids);
      this.ids = grown;
    }
    slots.forEach((slot, index) => (this.ids[slot] = ids[index]));
  }

  show(frame) {
    const atMs = performance.now();
    this.frame = frame;
    this.time.take(frame, atMs);
    this.motion.take(frame, this.time.nowMs);
    this.arcs.take(frame, atMs);
    this.view.setWorld(frame.world);
    if (this.colours.take(frame)) this.paint();
    this.panel.take(frame);
    this.watchPicked(frame);
    this.newFrame = true;
    this.report.frame = frame;
    this.report.frames += 1;
  }

  // --- pictures ---------------------------------------------------------------------------------------------------

  picture(atMs) {
    requestAnimationFrame((next) => this.picture(next));
    if (!this.frame) return;
    const began = performance.now();
    const moves = this.mode !== "still" && !still.matches;
    if (moves) this.time.advance(began);
    else if (still.matches && this.newFrame && this.mode !== "still") this.time.nowMs = this.frame.unix_us / 1000;
    const viewChanged = this.drawnChanges !== this.view.changes;
    if (!moves && !viewChanged && !this.newFrame) return;
    if (viewChanged || this.newFrame) this.ground.draw(this.frame, this.view, this.colours);
    this.drawnChanges = this.view.changes;
    this.newFrame = false;
    const nowMs = this.time.nowMs;
    this.points.draw(this.motion, this.view, nowMs, this.frame.entities);
    const place = this.picked && this.motion.place(this.picked.slot, nowMs);
    drawOver(find("over"), {
      frame: this.frame, view: this.view, colours: this.colours, arcs: this.arcs,
      picked: place && { place, label: this.picked.id }, crosshair: this.byKeys && document.activeElement === find("map"),
      atMs: this.mode === "still" ? this.stillMs : began,
    });
    Object.assign(this.report, { pictureMs: performance.now() - began, shownMs: nowMs });
    this.report.pictures += 1;
  }

  resize() {
    const { clientWidth, clientHeight } = find("map");
    this.view.resize(clientWidth, clientHeight);
    this.points.resize(this.view.width, this.view.height, devicePixelRatio);
  }

  restyle() {
    this.colours.theme = readTheme();
    this.paint();
    this.view.changes += 1;
  }

  paint() {
    this.points.paint(this.colours.packed(), pack(this.colours.theme.ring));
  }

  // --- one entity -------------------------------------------------------------------------------------------------

  pick(x, y, reach = REACH) {
    const slot = this.motion.nearest(...this.view.toWorld(x, y), reach / this.view.scale, this.time.nowMs);
    if (slot >= 0) this.showEntity(String(this.ids[slot]));
    else this.release();
  }

  pickMiddle() {
    this.pick(this.view.width / 2, this.view.height / 2, Math.max(this.view.width, this.view.height));
  }

  async showEntity(id) {
    find("entity-id").value = id;
    this.picked = { id, slot: -1 };
    this.report.selected = id;
    const found = await this.refreshDetails();
    if (found) this.announcer.say(`entity ${id}, owned by ${found.owner ?? "nobody"}`);
  }

  async refreshDetails() {
    const { picked } = this;
    if (!picked || (this.mode !== "live" && picked.slot >= 0)) return null;
    try {
      const found = await this.api.json(`/api/fleets/${this.fleet}/entities/${picked.id}`);
      if (this.picked !== picked) return null;
      picked.slot = found.slot;
      picked.owner = found.owner;
      const numbers = new Map((this.frame?.shards ?? []).map((shard) => [shard.name, shard.number]));
      this.panel.entity(found, (name) => this.colours.of(numbers.get(name) ?? 0));
      this.view.changes += 1;
      return found;
    } catch (error) {
      if (this.picked === picked && error.status === 404) {
        this.panel.noEntity(error.message);
        this.picked = this.report.selected = null;
      }
      return null;
    }
  }

  watchPicked(frame) {
    const tag = this.picked?.slot >= 0 ? frame.tags[this.picked.slot] : ABSENT;
    if (tag === undefined || tag === ABSENT) return;
    const owner = frame.shards.find((shard) => shard.number === (tag & SHARD_MASK))?.name;
    if (owner && this.picked.owner && owner !== this.picked.owner) {
      this.picked.owner = owner;
      this.announcer.say(`entity ${this.picked.id} is owned by ${owner} now`);
      this.refreshDetails();
    }
  }

  release() {
    this.picked = this.report.selected = null;
    find("entity-id").value = "";
    this.panel.entity(null);
    this.view.changes += 1;
  }

  placeOf(id) {
    const slot = this.ids.indexOf(BigInt(id));
    const place = this.motion.place(slot, this.time.nowMs);
    return place && this.view.toScreen(...place);
  }

  // --- time -------------------------------------------------------------------------------------------------------

  pause() {
    if (this.mode === "still") this.pastUs ? this.replay() : this.goLive();
    else this.halt();
  }

  halt() {
    this.replaying?.stop();
    this.mode = "still";
    this.stillMs = performance.now();
    this.live.want(false);
    this.showState();
  }

  goLive() {
    this.replaying?.stop();
    this.mode = "live";
    if (this.pastUs || this.stale) this.jump();
    this.pastUs = 0;
    this.stale = false;
    this.time.forget();
    this.live.want(true);
    this.showState();
  }

  jump() {
    this.motion.reset();
    this.arcs.clear();
    this.time.forget();
  }

  async step(seconds) {
    const fromMs = this.pastUs ? this.pastUs / 1000 : this.time.nowMs;
    await this.lookBack(fromMs + 1000 * seconds);
  }

  // Shows what was at that time, and stays there.
  async lookBack(unixMs) {
    this.halt();
    try {
      await this.past.refresh();
      const timeUs = this.past.nearest(unixMs);
      if (timeUs === undefined) return;
      await this.past.scrub(timeUs, async (frame) => {
        if (this.mode === "still") await this.showPast(frame);
      });
    } catch (error) {
      this.announcer.say(`the past cannot be shown: ${error.message}`);
    }
  }

  async showPast(frame) {
    await this.knowSlots(frame);
    this.pastUs = frame.unix_us;
    this.jump();
    this.show(frame);
    this.time.nowMs = frame.unix_us / 1000;
    this.stillMs = performance.now();
    this.showState();
  }

  async knowSlots(frame) {
    if (frame.slots > this.ids.length) this.takeRoster(await this.past.roster());
  }

  replay() {
    this.mode = "replay";
    this.jump();
    this.replaying = new Replay(this.past, this.pastUs, {
      shown: async (frame) => {
        await this.knowSlots(frame);
        if (this.mode !== "replay") return;
        this.pastUs = frame.unix_us;
        this.show(frame);
        this.showState();
      },
      ended: () => this.goLive(),
    });
    this.showState();
  }

  showState() {
    const lost = this.connection !== "live";
    const state = this.pastUs ? "past" : this.mode === "still" ? "paused" : lost ? "connecting" : "live";
    const words = { past: this.mode === "replay" ? "replay" : "past", paused: "paused", connecting: "connecting", live: "live" };
    this.report.state = state;
    find("status").dataset.state = state;
    find("status").textContent = words[state];
    const halted = this.mode === "still";
    find("play").textContent = halted ? "Play" : "Pause";
    find("play").setAttribute("aria-pressed", String(halted));
    find("go-live").disabled = this.mode === "live";
    const ago = this.pastUs ? Math.round((Date.now() - this.pastUs / 1000) / 1000) : 0;
    const moment = this.pastUs ? `${clockText(this.pastUs)}, ${ago} s ago` : halted ? "paused" : "live";
    find("moment").textContent = moment;
    if (document.activeElement !== find("scrubber") || this.mode !== "still") find("scrubber").value = String(-ago);
    find("scrubber").setAttribute("aria-valuetext", moment);
  }
}

function themeNow() {
  return localStorage.getItem(THEME) ?? (light.matches ? "light" : "dark");
}

function applyTheme() {
  document.documentElement.dataset.theme = themeNow();
}

// The token comes in the fragment, which no server and no log sees, and leaves the address bar at once.
function takeFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("token")) {
    sessionStorage.setItem(TOKEN, given.get("token"));
    given.delete("token");
    history.replaceState(null, "", `${location.pathname}${given.size ? `#${given}` : ""}`);
  }
  return { token: sessionStorage.getItem(TOKEN) ?? "", fleet: given.get("fleet") ?? "" };
}

async function chooseFleet(api, wanted) {
  for (;;) {
    try {
      const { fleets } = await api.json("/api/fleets");
      const fleet = fleets.includes(wanted) ? wanted : fleets[0];
      find("trouble").hidden = fleet !== undefined;
      find("trouble").textContent = "there is no fleet yet";
      if (fleet !== undefined) return [fleet, fleets];
    } catch (error) {
      find("trouble").hidden = false;
      find("trouble").textContent = error.message;
      if (error.status === 401) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function offerFleets(fleet, fleets) {
  find("fleet-name").textContent = fleet;
  document.title = `${fleet} · shardfleet map`;
  const choice = find("fleet-choice");
  choice.hidden = fleets.length < 2;
  find("fleet-name").hidden = fleets.length > 1;
  choice.replaceChildren(...fleets.map((name) => new Option(name, name, false, name === fleet)));
  choice.onchange = () => {
    location.hash = new URLSearchParams({ fleet: choice.value });
    location.reload();
  };
}

async function begin() {
  applyTheme();
  const { token, fleet: wanted } = takeFragment();
  const api = new Api(token);
  const [fleet, fleets] = await chooseFleet(api, wanted);
  offerFleets(fleet, fleets);
  const page = new Page(api, fleet);
  const theme = () => {
    localStorage.setItem(THEME, themeNow() === "light" ? "dark" : "light");
    applyTheme();
    page.restyle();
  };
  light.onchange = () => {
    applyTheme();
    page.restyle();
  };
  const map = find("map");
  listenToMap(map, page.view, {
    pick: (x, y) => page.pick(x, y),
    pickMiddle: () => page.pickMiddle(),
    release: () => page.release(),
  });
  map.addEventListener("pointerdown", () => (page.byKeys = false));
  map.addEventListener("focus", () => { page.byKeys = map.matches(":focus-visible"); page.view.changes += 1; });
  map.addEventListener("blur", () => (page.view.changes += 1));
  listenToPage({
    view: page.view, theme,
    pause: () => page.pause(),
    live: () => page.goLive(),
    step: (seconds) => page.step(seconds),
    help: () => find("help").showModal(),
  });
  find("help-button").onclick = () => find("help").showModal();
  find("theme-button").onclick = theme;
  find("zoom-in").onclick = () => page.view.zoomBy(ZOOM_STEP);
  find("zoom-out").onclick = () => page.view.zoomBy(1 / ZOOM_STEP);
  find("zoom-fit").onclick = () => page.view.fit();
  find("play").onclick = () => page.pause();
  find("go-live").onclick = () => page.goLive();
  find("scrubber").oninput = ({ target }) => {
    const seconds = Number(target.value);
    if (seconds === 0) page.goLive();
    else page.lookBack(Date.now() + 1000 * seconds);
  };
  find("entity-form").onsubmit = (event) => {
    event.preventDefault();
    const id = find("entity-id").value.trim();
    if (/^[0-9]{1,20}$/.test(id)) page.showEntity(BigInt(id).toString());
  };
  find("entity-close").onclick = () => page.release();
}

begin().catch((error) => {
  if (error.status !== 401) throw error; // it says itself what to do
});
