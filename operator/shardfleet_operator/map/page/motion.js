// Where every entity is at a moment between two manifests: columns by slot, one pass a frame.

import { ABSENT, SHARD_MASK } from "./messages.js";

const CATCH_UP_MS = 60; // what came late is reached in this time, not in a jump
const TELEPORT = 0.25; // of the world: whoever is so much further on has not walked there

export class Motion {
  constructor() {
    this.size = 0;
    this.tags = new Uint16Array(0);
    this.fromX = this.fromY = this.toX = this.toY = new Float32Array(0);
    this.fromMs = this.toMs = new Float64Array(0);
  }

  reset() {
    this.tags.fill(ABSENT);
  }

  // `nowMs`: the moment that is shown now; entities go from where they are then to where the frame has them.
  take(frame, nowMs) {
    this.#grow(frame.slots);
    const [lowX, lowY, highX, highY] = frame.box;
    const scaleX = (highX - lowX) / 65535;
    const scaleY = (highY - lowY) / 65535;
    const far = TELEPORT * Math.max(frame.world[2] - frame.world[0], frame.world[3] - frame.world[1]);
    const times = new Float64Array(Math.max(0, ...frame.shards.map((shard) => shard.number)) + 1).fill(frame.unix_us / 1000);
    // A shard whose clock is ahead has published nothing that is yet to come.
    for (const shard of frame.shards) times[shard.number] = Math.min(shard.unix_us, frame.unix_us) / 1000;
    const { tags, steps } = frame;
    for (let slot = 0; slot < frame.slots; slot++) {
      const tag = tags[slot];
      const before = this.tags[slot];
      this.tags[slot] = tag;
      if (tag === ABSENT) continue;
      const x = lowX + steps[2 * slot] * scaleX;
      const y = lowY + steps[2 * slot + 1] * scaleY;
      const asOfMs = times[tag & SHARD_MASK] ?? nowMs;
      if (before === ABSENT) {
        this.#place(slot, x, y, asOfMs);
      } else if (asOfMs !== this.toMs[slot] || x !== this.toX[slot] || y !== this.toY[slot]) {
        const part = this.part(slot, nowMs);
        const nowX = this.fromX[slot] + part * (this.toX[slot] - this.fromX[slot]);
        const nowY = this.fromY[slot] + part * (this.toY[slot] - this.fromY[slot]);
        if (Math.abs(x - nowX) > far || Math.abs(y - nowY) > far) {
          this.#place(slot, x, y, asOfMs);
          continue;
        }
        this.fromX[slot] = nowX;
        this.fromY[slot] = nowY;
        this.fromMs[slot] = nowMs;
        this.toX[slot] = x;
        this.toY[slot] = y;
        this.toMs[slot] = Math.max(asOfMs, nowMs + CATCH_UP_MS);
      }
    }
    this.size = frame.slots;
  }

  // 0..1: how much of its way the entity has gone.
  part(slot, nowMs) {
    const span = this.toMs[slot] - this.fromMs[slot];
    if (!(span > 0)) return 1;
    const part = (nowMs - this.fromMs[slot]) / span;
    return part < 0 ? 0 : part > 1 ? 1 : part;
  }

  // [x, y] in world units; null where nobody shows it.
  place(slot, nowMs) {
    if (slot < 0 || slot >= this.size || this.tags[slot] === ABSENT) return null;
    const part = this.part(slot, nowMs);
    return [
      this.fromX[slot] + part * (this.toX[slot] - this.fromX[slot]),
      this.fromY[slot] + part * (this.toY[slot] - this.fromY[slot]),
    ];
  }

  // The slot nearest to (x, y) within `reach` world units, or -1.
  nearest(x, y, reach, nowMs) {
    let found = -1;
    let least = reach * reach;
    for (let slot = 0; slot < this.size; slot++) {
      const place = this.place(slot, nowMs);
      if (place === null) continue;
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance <= least) {
        least = distance;
        found = slot;
      }
    }
    return found;
  }

  #place(slot, x, y, ms) {
    this.fromX[slot] = this.toX[slot] = x;
    this.fromY[slot] = this.toY[slot] = y;
    this.fromMs[slot] = this.toMs[slot] = ms;
  }

  #grow(slots) {
    if (slots <= this.tags.length) return;
    const size = Math.ceil(slots * 1.25);
    const wider = (column, fill = 0) => {
      const grown = new column.constructor(size).fill(fill);
      grown.set(column);
      return grown;
    };
    this.tags = wider(this.tags, ABSENT);
    for (const name of ["fromX", "fromY", "toX", "toY", "fromMs", "toMs"]) this[name] = wider(this[name]);
  }
}

// The moment that is shown: behind the newest frame by as much as the next one will take, so that it is there in time.
export class ShownTime {
  constructor() {
    this.nowMs = 0;
    this.lagMs = 0;
    this.gaps = [];
  }

  take(frame, atMs) {
    const unixMs = frame.unix_us / 1000;
    if (this.frameMs) this.gaps.push(Math.min(2500, unixMs - this.frameMs));
    if (this.gaps.length > 8) this.gaps.shift();
    const ages = frame.shards.filter((shard) => shard.living && shard.unix_us && shard.shown).map((shard) => unixMs - shard.unix_us / 1000);
    const age = Math.min(3000, Math.max(0, ...ages));
    this.wantedMs = Math.max(100, ...this.gaps) + age + 20;
    if (!this.frameMs || Math.abs(unixMs - this.wantedMs - this.nowMs) > 2500) {
      this.lagMs = this.wantedMs;
      this.nowMs = unixMs - this.lagMs;
    }
    this.frameMs = unixMs;
    this.arrivedMs = atMs;
  }

  // Called for each picture; the lag changes by a tenth of the time that passes, so nothing ever jumps or runs back.
  advance(atMs) {
    if (!this.frameMs) return;
    const passed = Math.max(0, atMs - (this.pictureMs ?? atMs));
    this.pictureMs = atMs;
    this.lagMs += Math.max(-0.1 * passed, Math.min(0.1 * passed, this.wantedMs - this.lagMs));
    this.nowMs = Math.max(this.nowMs, this.frameMs + (atMs - this.arrivedMs) - this.lagMs);
  }

  forget() {
    this.frameMs = undefined;
    this.pictureMs = undefined;
    this.gaps = [];
  }
}
