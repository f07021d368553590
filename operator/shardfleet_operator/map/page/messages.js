// The server's binary messages: u32 length of the JSON, the JSON, padding to 8, arrays. See frame.py.

export const ABSENT = 0xffff;
export const SHARD_MASK = 0x3fff;
export const STATE_SHIFT = 14;
export const STATES = ["owned", "passing", "frozen"];

const text = new TextDecoder();

// -> {type: "frame", ..., steps: Uint16Array(2n), tags: Uint16Array(n)} or {type: "roster", ids, slots}
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const message = JSON.parse(text.decode(new Uint8Array(buffer, 4, length)));
  const start = Math.ceil((4 + length) / 8) * 8;
  if (message.type === "frame") {
    message.steps = new Uint16Array(buffer, start, 2 * message.slots);
    message.tags = new Uint16Array(buffer, start + 4 * message.slots, message.slots);
  } else if (message.type === "roster") {
    message.ids = new BigUint64Array(buffer, start, message.count);
    message.slots = new Uint32Array(buffer, start + 8 * message.count, message.count);
  }
  return message;
}
