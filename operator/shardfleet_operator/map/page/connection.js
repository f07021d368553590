// The way to the server: a WebSocket on which the page asks for the next frame, and plain requests for all else.

import { decode } from "./messages.js";

const FIRST_AGAIN_MS = 250;
const LAST_AGAIN_MS = 4000;

export class Api {
  constructor(token) {
    this.token = token;
  }

  async get(path) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const response = await fetch(path, { headers });
    if (!response.ok) {
      const { error } = await response.json().catch(() => ({ error: response.statusText }));
      throw Object.assign(new Error(error), { status: response.status });
    }
    return response;
  }

  async json(path) {
    return (await this.get(path)).json();
  }

  async message(path) {
    return decode(await (await this.get(path)).arrayBuffer());
  }
}

// Calls on.message(message) with each frame, roster and news, and on.state("live" | "connecting"). It comes back by itself.
export class Live {
  constructor(api, fleet, on) {
    this.api = api;
    this.fleet = fleet;
    this.on = on;
    this.wanted = true;
    this.owed = false;
    this.againMs = FIRST_AGAIN_MS;
    this.connections = 0;
    this.open();
  }

  open() {
    const url = new URL(`/api/fleets/${this.fleet}/live`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const protocols = ["shardfleet.map.v1", ...(this.api.token ? [`token.${this.api.token}`] : [])];
    const socket = (this.socket = new WebSocket(url, protocols));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.againMs = FIRST_AGAIN_MS;
      this.connections += 1;
      this.on.open();
      this.on.state("live");
      this.ask();
    };
    socket.onmessage = ({ data }) => {
      const message = typeof data === "string" ? JSON.parse(data) : decode(data);
      this.on.message(message);
      if (message.type === "news") this.ask(); // it comes last
    };
    socket.onclose = () => {
      if (this.closed) return;
      this.on.state("connecting");
      setTimeout(() => this.closed || this.open(), this.againMs);
      this.againMs = Math.min(LAST_AGAIN_MS, this.againMs * 2);
    };
  }

  // While nothing is wanted (the page is paused, or looks at the past) nothing is asked for, and so nothing is sent.
  want(wanted) {
    this.wanted = wanted;
    if (wanted && this.owed) this.ask();
  }

  ask() {
    this.owed = !this.wanted;
    if (this.wanted && this.socket.readyState === WebSocket.OPEN) this.socket.send("next");
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
