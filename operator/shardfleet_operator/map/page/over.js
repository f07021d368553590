// What lies above the entities: the cells' names, an arc for each transfer, and the ring around the picked entity.

import { sized } from "./canvas.js";
import { closed, screenBox } from "./ground.js";

const FADE_MS = 1100; // a handoff takes a tenth of a second: its arc stays until an eye has seen it
const MOST_ARCS = 160;
const MOST_LABELS = 10;
const SMALLEST_NAMED = 64; // CSS pixels: a cell below that has no room for its name
const HALO = 3; // around words and arcs, in the ground's colour: below them it may be crowded
const HOP = 46; // CSS pixels that an arc goes into its target's cell
const DASHES = { started: [1.5, 4], accepted: [7, 4] };

export class Arcs {
  constructor() {
    this.arcs = new Map();
  }

  // Arcs of open transfers, by their id, and of what changed hands between two frames.
  take(frame, atMs) {
    const open = new Set();
    for (const transfer of frame.transfers) {
      if (!transfer.place) continue;
      open.add(transfer.id);
      this.#put(transfer.id, { ...transfer, seenMs: atMs });
    }
    for (const [source, target, entities, x, y] of frame.handoffs) {
      const own = [...this.arcs].find(([, arc]) => arc.source === source && arc.target === target && arc.state !== "switched");
      const place = own ? own[1].place : [x, y];
      if (own) this.arcs.delete(own[0]);
      this.#put(`${source}>${target}`, { source, target, entities, place, state: "switched", seenMs: atMs });
    }
    for (const [id, arc] of this.arcs) {
      if (!open.has(id) && atMs - arc.seenMs > FADE_MS) this.arcs.delete(id);
    }
  }

  get moving() {
    return this.arcs.size > 0;
  }

  clear() {
    this.arcs.clear();
  }

  #put(id, arc) {
    this.arcs.delete(id); // so that the newest comes last
    this.arcs.set(id, arc);
    if (this.arcs.size > MOST_ARCS) this.arcs.delete(this.arcs.keys().next().value);
  }

  draw(context, frame, view, colours, atMs) {
    const boxes = new Map();
    for (const cell of frame.cells) if (!boxes.has(cell.shard)) boxes.set(cell.shard, closed(cell.box, frame.world));
    const labelled = this.arcs.size <= MOST_LABELS ? new Set() : null; // pairs whose newest arc has its words
    context.lineCap = "round";
    for (const arc of [...this.arcs.values()].toReversed()) {
      const left = 1 - (atMs - arc.seenMs) / FADE_MS;
      const box = boxes.get(arc.target);
      if (left <= 0 || !box) continue;
      context.globalAlpha = Math.min(1, 1.6 * left);
      this.#arc(context, arc, box, view, colours, labelled);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  #arc(context, arc, box, view, colours, labelled) {
    const [x, y] = view.toScreen(...arc.place);
    const [toX, toY] = landing(x, y, box, view);
    const bend = 0.35 * Math.hypot(toX - x, toY - y);
    const middleX = (x + toX) / 2 - ((toY - y) / Math.hypot(toX - x, toY - y)) * bend;
    const middleY = (y + toY) / 2 + ((toX - x) / Math.hypot(toX - x, toY - y)) * bend;
    context.fillStyle = colours.css(arc.target);
    const width = 1.6 + Math.min(4, Math.log2(arc.entities + 1) * 0.6);
    const line = new Path2D();
    line.moveTo(x, y);
    line.quadraticCurveTo(middleX, middleY, toX, toY);
    context.strokeStyle = colours.theme.ground;
    context.lineWidth = width + HALO;
    context.stroke(line);
    context.strokeStyle = colours.css(arc.target);
    context.lineWidth = width;
    context.setLineDash(DASHES[arc.state] ?? []);
    context.stroke(line);
    context.setLineDash([]);
    head(context, middleX, middleY, toX, toY);
    const pair = `${arc.source}>${arc.target}`;
    if (!labelled || labelled.has(pair)) return;
    labelled.add(pair);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const words = arc.entities > 1 ? `${arc.state} ${arc.entities}` : arc.state;
    context.textAlign = toX >= x ? "left" : "right";
    write(context, words, toX + (toX >= x ? 9 : -9), toY, colours.theme.text, colours.theme);
    context.textAlign = "left";
  }
}

// A little way into the target's cell, from where the entities cross.
function landing(x, y, [lowX, lowY, highX, highY], view) {
  const [left, bottom] = view.toScreen(lowX, lowY);
  const [right, top] = view.toScreen(highX, highY);
  const clampTo = (value, low, high) => Math.min(Math.max(value, Math.min(low, high)), Math.max(low, high));
  const insetX = Math.min(HOP, (right - left) / 2);
  const insetY = Math.min(HOP, (bottom - top) / 2);
  const toX = clampTo(x, left + insetX, right - insetX);
  const toY = clampTo(y, top + insetY, bottom - insetY);
  return toX === x && toY === y ? [x + HOP / 2, y - HOP / 2] : [toX, toY];
}

function head(context, fromX, fromY, x, y) {
  const angle = Math.atan2(y - fromY, x - fromX);
  context.beginPath();
  context.moveTo(x, y);
  for (const side of [-0.45, 0.45]) context.lineTo(x - 8 * Math.cos(angle + side), y - 8 * Math.sin(angle + side));
  context.closePath();
  context.fill();
}

function nameCells(context, frame, view, colours) {
  const shards = new Map(frame.shards.map((shard) => [shard.number, shard]));
  context.textBaseline = "top";
  for (const cell of frame.cells) {
    const [left, top, width, height] = screenBox(closed(cell.box, frame.world), view);
    const shard = shards.get(cell.shard);
    if (width < SMALLEST_NAMED || height < SMALLEST_NAMED / 2 || !shard) continue;
    const x = Math.max(left, 0) + 14;
    const y = Math.max(top, 0) + 14;
    context.font = "600 13px system-ui, sans-serif";
    write(context, shard.name, x, y, colours.css(cell.shard), colours.theme, width - 20);
    context.font = "12px system-ui, sans-serif";
    const many = `${shard.shown.toLocaleString("en")} ${shard.shown === 1 ? "entity" : "entities"}`;
    write(context, shard.living ? many : `${many}, no lease`, x, y + 17, colours.theme.soft, colours.theme, width - 20);
  }
}

function write(context, words, x, y, colour, theme, room) {
  context.lineWidth = HALO;
  context.lineJoin = "round";
  context.strokeStyle = theme.ground;
  context.strokeText(words, x, y, room);
  context.fillStyle = colour;
  context.fillText(words, x, y, room);
}

export function drawOver(canvas, { frame, view, colours, arcs, picked, crosshair, atMs }) {
  const context = sized(canvas, view);
  if (frame) {
    nameCells(context, frame, view, colours);
    arcs.draw(context, frame, view, colours, atMs);
  }
  if (picked) {
    const [x, y] = view.toScreen(...picked.place);
    context.strokeStyle = colours.theme.accent;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 13, 0, 2 * Math.PI);
    context.stroke();
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    write(context, picked.label, x + 19, y, colours.theme.text, colours.theme);
  }
  if (crosshair) {
    context.strokeStyle = colours.theme.accent;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const [x, y] of [[-10, 0], [10, 0], [0, -10], [0, 10]]) {
      context.moveTo(view.width / 2 + 0.35 * x, view.height / 2 + 0.35 * y);
      context.lineTo(view.width / 2 + x, view.height / 2 + y);
    }
    context.stroke();
  }
}
