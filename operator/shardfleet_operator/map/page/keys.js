// Pointer, wheel and keys on the map.

const PAN = 60; // CSS pixels a key
const ZOOM = 1.35;
const CLICK = 5; // a pointer that moved no further has clicked

export function listenToMap(map, view, { pick, pickMiddle, release }) {
  const pointers = new Map();
  let moved = 0;

  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (pointers.size === 1) moved = 0;
  });
  map.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.offsetX, event.offsetY];
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length) {
      const [other] = others;
      const spread = (place) => Math.max(20, Math.hypot(place[0] - other[0], place[1] - other[1]));
      view.zoomBy(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (moved > CLICK) {
      view.pan(now[0] - before[0], now[1] - before[1]);
      map.classList.add("dragging");
    }
    pointers.set(event.pointerId, now);
  });
  const lift = (event) => {
    const place = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    map.classList.remove("dragging");
    if (event.type === "pointerup" && place && moved <= CLICK) pick(...place);
  };
  map.addEventListener("pointerup", lift);
  map.addEventListener("pointercancel", lift);
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoomBy(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 400), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: () => view.pan(PAN, 0),
    ArrowRight: () => view.pan(-PAN, 0),
    ArrowUp: () => view.pan(0, PAN),
    ArrowDown: () => view.pan(0, -PAN),
    Enter: pickMiddle,
    Escape: release,
  };
  map.addEventListener("keydown", (event) => act(event, keys));
}

// Keys that work wherever the focus is, but where one types or where the key has a use of its own.
export function listenToPage({ view, pause, live, step, theme, help }) {
  const keys = {
    " ": pause,
    "+": () => view.zoomBy(ZOOM),
    "=": () => view.zoomBy(ZOOM),
    "-": () => view.zoomBy(1 / ZOOM),
    "0": () => view.fit(),
    ",": () => step(-1),
    ".": () => step(1),
    l: live,
    t: theme,
    "?": help,
  };
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (target.closest("dialog, select, input:not([type=range])")) return;
    if (event.key === " " && target.closest("button, a")) return;
    act(event, keys);
  });
}

function act(event, keys) {
  const does = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  does();
}

export const ZOOM_STEP = ZOOM;
