import { Refused } from './errors.js';

// So many in so long, for each key. What is refused counts as well.
export function limiter(most, windowMs) {
  const seen = new Map();
  return {
    take(key) {
      const t = Date.now();
      const entry = seen.get(key);
      const fresh = !entry || entry.until < t ? { n: 0, until: t + windowMs } : entry;
      fresh.n++;
      seen.set(key, fresh);
      if (fresh.n > most) throw new Refused(429, 'too many tries, wait a while');
    },
    forget: (key) => seen.delete(key),
  };
}
