// A canvas as large as the view, cleared, in CSS pixels.
export function sized(canvas, view) {
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
  const width = Math.round(view.width * ratio);
  const height = Math.round(view.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  context.globalAlpha = 1;
  context.setLineDash([]);
  return context;
}
