// Which of the eight colours a shard has, and what they are in the theme of the moment.

export const COLOURS = 8;

// A shard keeps its colour; one that comes gets its number's, or the next that no neighbour has.
export class OwnerColours {
  constructor() {
    this.byShard = new Map();
    this.theme = null;
  }

  take(frame) {
    const neighbours = new Map(frame.shards.map((shard) => [shard.number, []]));
    for (const [one, other] of frame.links) {
      neighbours.get(one)?.push(other);
      neighbours.get(other)?.push(one);
    }
    let changed = false;
    for (const number of neighbours.keys()) {
      if (this.byShard.has(number)) continue;
      const taken = new Set(neighbours.get(number).map((other) => this.byShard.get(other)));
      const choices = Array.from({ length: COLOURS }, (_, index) => (number + index) % COLOURS);
      this.byShard.set(number, choices.find((index) => !taken.has(index)) ?? number % COLOURS);
      changed = true;
    }
    return changed;
  }

  of(number) {
    return this.byShard.get(number) ?? number % COLOURS;
  }

  css(number) {
    return this.theme.owners[this.of(number)];
  }

  // For pixels: 0x00BBGGRR by shard number.
  packed() {
    const highest = Math.max(0, ...this.byShard.keys());
    return Uint32Array.from({ length: highest + 1 }, (_, number) => pack(this.css(number)));
  }
}

export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    owners: Array.from({ length: COLOURS }, (_, index) => read(`--owner-${index}`)),
    text: read("--text"),
    soft: read("--soft"),
    line: read("--line"),
    ground: read("--ground"),
    bad: read("--bad"),
    ring: read("--ring"),
    accent: read("--accent"),
    cellFill: Number(read("--cell-fill")),
    cellLine: Number(read("--cell-line")),
  };
}

export function pack(hex) {
  const value = parseInt(hex.slice(1), 16);
  return ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16);
}
