// The last two minutes: which frames the server has kept, and going through them.

const STEP_MS = 1000;

export class Past {
  constructor(api, fleet) {
    this.path = `/api/fleets/${fleet}`;
    this.api = api;
    this.times = [];
    this.wanted = null;
    this.fetching = false;
  }

  async refresh() {
    this.times = (await this.api.json(`${this.path}/history`)).times;
  }

  // The kept time nearest to `unixMs`, in microseconds; undefined where nothing is kept.
  nearest(unixMs) {
    const away = (timeUs) => Math.abs(timeUs / 1000 - unixMs);
    return this.times.reduce((best, timeUs) => (best === undefined || away(timeUs) < away(best) ? timeUs : best), undefined);
  }

  after(timeUs) {
    return this.times.find((one) => one > timeUs);
  }

  async roster() {
    return this.api.message(`${this.path}/roster`);
  }

  async frame(timeUs) {
    return this.api.message(`${this.path}/frames/${timeUs}`);
  }

  // For a slider that is being dragged: of all that is asked for meanwhile, the last alone is fetched.
  async scrub(timeUs, show) {
    this.wanted = timeUs;
    if (this.fetching) return;
    this.fetching = true;
    try {
      while (this.wanted !== null) {
        const timeUs = this.wanted;
        this.wanted = null;
        await show(await this.frame(timeUs));
      }
    } finally {
      this.fetching = false;
    }
  }
}

// Plays kept frames at the speed at which they were made. `shown` is called with each frame, `ended` after the last.
export class Replay {
  constructor(past, timeUs, { shown, ended }) {
    this.past = past;
    this.atUs = timeUs;
    this.shown = shown;
    this.ended = ended;
    this.#next();
  }

  async #next() {
    try {
      await this.#play();
    } finally {
      if (!this.stopped) this.ended();
    }
  }

  async #play() {
    while (!this.stopped) {
      if (this.past.after(this.atUs) === undefined) await this.past.refresh();
      const nextUs = this.past.after(this.atUs);
      if (nextUs === undefined || this.stopped) return;
      const frame = await this.past.frame(nextUs);
      const waitMs = Math.min(5 * STEP_MS, (nextUs - this.atUs) / 1000);
      this.atUs = nextUs;
      if (this.stopped) return;
      await this.shown(frame);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  stop() {
    this.stopped = true;
  }
}
