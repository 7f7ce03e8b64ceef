// Which holes are open: HOLES=all, HOLES=none (the default) or HOLES=id,id.
// holes.json says what each one is.
import { readFileSync } from 'node:fs';

const known = JSON.parse(readFileSync(new URL('holes.json', import.meta.url))).map((h) => h.id);
const asked = (process.env.HOLES ?? 'none').split(',').map((s) => s.trim()).filter(Boolean);
const chosen = new Set(asked.includes('all') ? known : asked.filter((id) => id !== 'none'));

for (const id of chosen) {
  if (!known.includes(id)) {
    console.error(`HOLES: there is no hole ${id}; there are: ${known.join(', ')}`);
    process.exit(2);
  }
}

export function open(id) {
  if (!known.includes(id)) throw new Error(`the code asks for a hole that holes.json lacks: ${id}`);
  return chosen.has(id);
}
