// Entities as pixels. Fifty thousand calls of a canvas would take longer than a picture has; fifty thousand stamps into
// one buffer do not. A stamp is a shape's pixels for one of 4 x 4 places within a pixel, so slow entities glide.

import { ABSENT, SHARD_MASK, STATE_SHIFT } from "./messages.js";

const PHASES = 4;
const EDGE = 24; // CSS pixels of the buffer beyond the canvas: twice the largest stamp's reach, for stamps are never cut
const MOST_PIXELS = 3_200_000; // of the buffer: a larger screen gets coarser points, not fewer pictures

export class Points {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.colours = new Uint32Array(0);
    this.ring = 0;
    this.radius = 0;
  }

  resize(width, height, pixelRatio) {
    this.ratio = Math.min(pixelRatio, 2, Math.sqrt(MOST_PIXELS / Math.max(1, width * height)));
    this.canvas.width = Math.max(1, Math.round(width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(height * this.ratio));
    this.edge = Math.ceil(EDGE * this.ratio);
    this.image = this.context.createImageData(this.canvas.width + 2 * this.edge, this.canvas.height + 2 * this.edge);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.radius = 0;
  }

  // `colours`: by shard number, 0x00BBGGRR; `ring`: around what passes.
  paint(colours, ring) {
    this.colours = colours;
    this.ring = ring;
  }

  draw(motion, view, nowMs, count) {
    this.#cut(radiusFor(count, view.zoom) * this.ratio);
    const { pixels, stamps, colours } = this;
    const { width, height } = this.image;
    const { tags, fromX, fromY, toX, toY, fromMs, toMs } = motion;
    pixels.fill(0);
    const scale = view.scale * this.ratio;
    const left = width / 2 - view.middleX * scale;
    const top = height / 2 + view.middleY * scale;
    const border = this.reach;
    for (let slot = 0; slot < motion.size; slot++) {
      const tag = tags[slot];
      if (tag === ABSENT) continue;
      const span = toMs[slot] - fromMs[slot];
      let part = span > 0 ? (nowMs - fromMs[slot]) / span : 1;
      part = part < 0 ? 0 : part > 1 ? 1 : part;
      const x = left + (fromX[slot] + part * (toX[slot] - fromX[slot])) * scale;
      const y = top - (fromY[slot] + part * (toY[slot] - fromY[slot])) * scale;
      if (!(x >= border && y >= border && x < width - border && y < height - border)) continue;
      const column = Math.floor(x);
      const row = Math.floor(y);
      const phase = Math.floor((y - row) * PHASES) * PHASES + Math.floor((x - column) * PHASES);
      const stamp = stamps[tag >> STATE_SHIFT][phase];
      const colour = colours[tag & SHARD_MASK];
      const at = row * width + column;
      for (let index = 0; index < stamp.length; index += 2) {
        const pixel = at + stamp[index];
        const alpha = stamp[index + 1];
        if ((alpha & 0xff) > pixels[pixel] >>> 24) pixels[pixel] = (alpha > 255 ? this.ring : colour) | (alpha << 24);
      }
    }
    this.context.putImageData(this.image, -this.edge, -this.edge);
  }

  // Stamps: pairs of (offset in the buffer, alpha; 256 more where the pixel is the ring's).
  #cut(radius) {
    if (radius === this.radius) return;
    this.radius = radius;
    this.reach = Math.ceil(ringOf(radius, this.ratio)[1]) + 2;
    const shapes = [disc(radius), passing(radius, this.ratio), frozen(radius, this.ratio)];
    this.stamps = shapes.map((shape) =>
      Array.from({ length: PHASES * PHASES }, (_, phase) => this.#stamp(shape, phase)));
  }

  #stamp(shape, phase) {
    const offsetX = ((phase % PHASES) + 0.5) / PHASES;
    const offsetY = (Math.floor(phase / PHASES) + 0.5) / PHASES;
    const found = [];
    for (let y = -this.reach; y <= this.reach; y++) {
      for (let x = -this.reach; x <= this.reach; x++) {
        const [alpha, isRing] = shape(x + 0.5 - offsetX, y + 0.5 - offsetY);
        const value = Math.round(255 * Math.min(1, alpha));
        if (value > 8) found.push(y * this.image.width + x, value + (isRing ? 256 : 0));
      }
    }
    return Int32Array.from(found);
  }
}

// In CSS pixels. Few are large, many are small, and zooming in shows them larger.
export function radiusFor(count, zoom) {
  const alone = 5.2 - 0.86 * Math.log10(Math.max(10, count) / 10);
  return Math.round(4 * Math.min(6.5, Math.max(1.3, alone * zoom ** 0.35))) / 4;
}

function ringOf(radius, ratio) {
  return [radius + 1.6 * ratio, radius + 3.2 * ratio];
}

const cover = (inside) => Math.max(0, Math.min(1, inside + 0.5));

function disc(radius) {
  return (x, y) => [cover(radius - Math.hypot(x, y)), false];
}

function passing(radius, ratio) {
  const [inner, outer] = ringOf(radius, ratio);
  return (x, y) => {
    const distance = Math.hypot(x, y);
    const ring = Math.min(cover(distance - inner), cover(outer - distance));
    return ring > 0 ? [ring, true] : [cover(radius - distance), false];
  };
}

function frozen(radius, ratio) {
  const half = radius + 1.5 * ratio;
  return (x, y) => {
    const distance = Math.max(Math.abs(x), Math.abs(y));
    return [Math.min(cover(half - distance), cover(distance - half + 1.6 * ratio)), false];
  };
}
