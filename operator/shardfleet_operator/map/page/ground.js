// What lies under the entities: cells in their owners' colours, the world's edge, and links across the borders.

import { sized } from "./canvas.js";

const LINK_HALF = 11;

export class Ground {
  constructor(canvas) {
    this.canvas = canvas;
  }

  draw(frame, view, colours) {
    const context = sized(this.canvas, view);
    const { theme } = colours;
    const shards = new Map(frame.shards.map((shard) => [shard.number, shard]));
    for (const cell of frame.cells) this.#cell(context, cell, shards.get(cell.shard), frame, view, colours);
    const [left, top, width, height] = screenBox(frame.world, view);
    context.setLineDash([2, 4]);
    context.strokeStyle = theme.soft;
    context.globalAlpha = 0.6;
    context.strokeRect(left, top, width, height);
    context.setLineDash([]);
    context.globalAlpha = 1;
    for (const link of frame.links) this.#link(context, link, frame, view, theme);
  }

  #cell(context, cell, shard, frame, view, colours) {
    const [left, top, width, height] = screenBox(closed(cell.box, frame.world), view);
    const colour = colours.css(cell.shard);
    context.globalAlpha = colours.theme.cellFill;
    context.fillStyle = colour;
    context.fillRect(left, top, width, height);
    context.globalAlpha = colours.theme.cellLine;
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    context.globalAlpha = 1;
    if (shard && !shard.living) this.#hatch(context, left, top, width, height, colours.theme);
  }

  #hatch(context, left, top, width, height, theme) {
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.strokeStyle = theme.bad;
    context.globalAlpha = 0.35;
    context.beginPath();
    for (let at = -height; at < width; at += 14) {
      context.moveTo(left + at, top + height);
      context.lineTo(left + at + height, top);
    }
    context.stroke();
    context.restore();
  }

  // Two dots and a line across the middle of the border; without a link the dots are hollow and the line is gone.
  #link(context, [one, other, held], frame, view, theme) {
    const place = crossing(one, other, frame, view);
    if (place === null) return;
    const [x, y, alongX, alongY] = place;
    const ends = [-LINK_HALF, LINK_HALF].map((by) => [x + by * alongX, y + by * alongY]);
    context.strokeStyle = context.fillStyle = theme.soft;
    context.lineWidth = 1.2;
    if (held) {
      context.beginPath();
      context.moveTo(...ends[0]);
      context.lineTo(...ends[1]);
      context.stroke();
    }
    for (const [atX, atY] of ends) {
      context.beginPath();
      context.arc(atX, atY, 2.4, 0, 2 * Math.PI);
      held ? context.fill() : context.stroke();
    }
  }
}

// [x, y, dx, dy]: the middle of what two shards' cells have in common, and the direction from one to the other.
function crossing(one, other, frame, view) {
  for (const a of frame.cells) {
    if (a.shard !== one) continue;
    for (const b of frame.cells) {
      if (b.shard !== other) continue;
      const [lowX, lowY, highX, highY] = closed(a.box, frame.world);
      const [otherLowX, otherLowY, otherHighX, otherHighY] = closed(b.box, frame.world);
      const common = [Math.max(lowX, otherLowX), Math.max(lowY, otherLowY), Math.min(highX, otherHighX), Math.min(highY, otherHighY)];
      if (common[0] > common[2] || common[1] > common[3]) continue;
      const at = view.toScreen((common[0] + common[2]) / 2, (common[1] + common[3]) / 2);
      const from = view.toScreen((lowX + highX) / 2, (lowY + highY) / 2);
      const to = view.toScreen((otherLowX + otherHighX) / 2, (otherLowY + otherHighY) / 2);
      // Across a border, not along the line of centres; across a corner, by the diagonal.
      const flat = common[2] - common[0] < 1e-9 && common[3] - common[1] > 1e-9;
      const tall = common[3] - common[1] < 1e-9 && common[2] - common[0] > 1e-9;
      const x = tall ? 0 : Math.sign(to[0] - from[0]);
      const y = flat ? 0 : Math.sign(to[1] - from[1]);
      const length = Math.hypot(x, y) || 1;
      return [at[0], at[1], x / length, y / length];
    }
  }
  return null;
}

// Open sides end where the world is shown to end.
export function closed(box, world) {
  return box.map((value, index) => value ?? world[index]);
}

// [left, top, width, height] on the screen.
export function screenBox([lowX, lowY, highX, highY], view) {
  const [left, bottom] = view.toScreen(lowX, lowY);
  const [right, top] = view.toScreen(highX, highY);
  return [left, top, right - left, bottom - top];
}
