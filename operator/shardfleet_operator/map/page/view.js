// Which part of the world is on the screen. Up is up: the world's y grows upwards, the screen's downwards.

const MARGIN = 0.94;
const LARGEST = 256; // times the scale that fits all

export class View {
  constructor() {
    this.world = [-1, -1, 1, 1];
    this.width = this.height = 1; // CSS pixels
    this.zoom = 1;
    this.middleX = this.middleY = 0;
    this.moved = false; // by the user: until then all is shown, however the world grows
    this.changes = 0;
  }

  get scale() {
    const [lowX, lowY, highX, highY] = this.world;
    return this.zoom * MARGIN * Math.min(this.width / (highX - lowX), this.height / (highY - lowY));
  }

  toScreen(x, y) {
    const scale = this.scale;
    return [this.width / 2 + (x - this.middleX) * scale, this.height / 2 - (y - this.middleY) * scale];
  }

  toWorld(x, y) {
    const scale = this.scale;
    return [this.middleX + (x - this.width / 2) / scale, this.middleY - (y - this.height / 2) / scale];
  }

  setWorld(world) {
    if (world.every((value, index) => value === this.world[index])) return;
    this.world = world;
    this.changes += 1;
    if (!this.moved) this.fit();
  }

  resize(width, height) {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    this.changes += 1;
  }

  fit() {
    const [lowX, lowY, highX, highY] = this.world;
    this.middleX = (lowX + highX) / 2;
    this.middleY = (lowY + highY) / 2;
    this.zoom = 1;
    this.moved = false;
    this.changes += 1;
  }

  // By screen pixels.
  pan(x, y) {
    const scale = this.scale;
    this.middleX = clamp(this.middleX - x / scale, this.world[0], this.world[2]);
    this.middleY = clamp(this.middleY + y / scale, this.world[1], this.world[3]);
    this.moved = true;
    this.changes += 1;
  }

  // What is at the screen point stays there.
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.toWorld(x, y);
    this.zoom = clamp(this.zoom * factor, 0.5, LARGEST);
    const after = this.toWorld(x, y);
    this.middleX += before[0] - after[0];
    this.middleY += before[1] - after[1];
    this.moved = true;
    this.changes += 1;
  }
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
