import { randomBytes, randomInt } from 'node:crypto';
import { all, get, run, now, note } from '../db.js';
import { Refused, h, must, number, text } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';
import { limiter } from '../limiter.js';
import { hashPassword, passwordComplaint, passwordMatches } from '../passwords.js';

const hour = 3600e3;
const logins = limiter(8, hour / 4);
const forgets = limiter(4, hour);
const texts = limiter(5, hour);
const codes = limiter(6, hour);
const nobody = hashPassword(randomBytes(9).toString('hex'));

// What mails and text messages would be sent by; kept for whoever runs the tests by hand.
export const outbox = [];

const mailPattern = /^[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)+$/;
const phonePattern = /^\+[0-9]{8,15}$/;

function self(m) {
  return {
    id: m.id, email: m.email, displayName: m.display_name, phone_number: m.phone, about: m.about, role: m.role,
    phoneConfirmed: !!m.phone_confirmed, joined: m.joined, wallet_cents: m.wallet_cents,
  };
}

const preferences = new Map();

// Settings nest: {"notify": {"mail": true}} leaves notify.sms as it is.
function merge(into, from, depth = 0) {
  must(depth < 8, 400, 'preferences are nested too deeply');
  for (const key of Object.keys(from)) {
    if (!open('prototype-pollution') && ['__proto__', 'constructor', 'prototype'].includes(key)) continue;
    const value = from[key];
    if (value && typeof value === 'object' && !Array.isArray(value)) {
      if (!into[key] || typeof into[key] !== 'object') into[key] = {};
      merge(into[key], value, depth + 1);
    } else {
      into[key] = value;
    }
  }
  return into;
}

function shown(prefs) {
  const out = {};
  for (const key in prefs) out[key] = prefs[key];
  return out;
}

const defaults = () => ({ language: 'sv', notify: { mail: true, sms: false } });

export function accounts(api) {
  api.post('/member/signup', h((req, res) => {
    const email = text(req.body, 'email', { max: 120, pattern: mailPattern }).toLowerCase();
    const password = text(req.body, 'password', { max: 300 });
    const name = text(req.body, 'displayName', { max: 60 });
    const phone = text(req.body, 'phone_number', { optional: true, pattern: phonePattern });
    const complaint = open('weak-password') ? undefined : passwordComplaint(password, email);
    must(!complaint, 400, complaint);
    must(!get('SELECT 1 FROM members WHERE email = ?', email), 409, 'this e-mail address is taken');
    const { id } = run('INSERT INTO members (email, display_name, phone, pw_hash, wallet_cents, joined) VALUES (?, ?, ?, ?, 2000, ?)',
      email, name, phone ?? null, hashPassword(password), now());
    run('INSERT INTO vouchers (code, member_id, cents) VALUES (?, ?, 500)', `HEJ-${randomBytes(4).toString('hex').toUpperCase()}`, id);
    res.status(201).json({ memberId: id, displayName: name });
  }));

  api.post('/doLogin', h(async (req, res) => {
    const email = text(req.body, 'email', { max: 120 }).toLowerCase();
    const password = text(req.body, 'password', { max: 300 });
    if (!open('login-no-limit')) logins.take(email);
    const m = get('SELECT * FROM members WHERE email = ?', email);
    const ok = passwordMatches(password, m?.pw_hash ?? nobody);
    must(m && ok && !m.suspended, 401, 'e-mail or password is wrong');
    logins.forget(email);
    if (!open('session-fixation')) {
      await new Promise((done, fail) => req.session.regenerate((err) => (err ? fail(err) : done())));
    }
    req.session.memberId = m.id;
    res.json({ ok: true, memberId: m.id });
  }));

  api.post('/logout', member, h(async (req, res) => {
    if (!open('logout-keeps-session')) {
      await new Promise((done, fail) => req.session.destroy((err) => (err ? fail(err) : done())));
    }
    res.clearCookie('rp_sid').json({ ok: true });
  }));

  api.post('/member/forgot', h((req, res) => {
    const email = text(req.body, 'email', { max: 120, pattern: mailPattern }).toLowerCase();
    forgets.take(email);
    const m = get('SELECT id FROM members WHERE email = ?', email);
    if (!m) {
      must(!open('forgot-tells-who-is-there'), 404, 'no member has this e-mail address');
      return res.json({ sent: true });
    }
    const code = String(randomInt(1e8)).padStart(8, '0');
    run('UPDATE members SET reset_code = ?, reset_until = ?, reset_tries = 0 WHERE id = ?', code, Date.now() + hour / 2, m.id);
    outbox.push({ to: email, code });
    res.json(open('reset-code-in-answer') ? { sent: true, resetCode: code } : { sent: true });
  }));

  api.post('/member/resetPassword', h((req, res) => {
    const email = text(req.body, 'email', { max: 120 }).toLowerCase();
    const code = text(req.body, 'code', { max: 20 });
    const password = text(req.body, 'newPassword', { max: 300 });
    const complaint = open('weak-password') ? undefined : passwordComplaint(password, email);
    must(!complaint, 400, complaint);
    const m = get('SELECT * FROM members WHERE email = ?', email);
    if (m) run('UPDATE members SET reset_tries = reset_tries + 1 WHERE id = ?', m.id);
    must(m?.reset_code && m.reset_until > Date.now() && m.reset_tries < 5 && m.reset_code === code, 400, 'the code is wrong or has expired');
    run('UPDATE members SET pw_hash = ?, reset_code = NULL WHERE id = ?', hashPassword(password), m.id);
    logins.forget(email);
    note(m.id, 'set a new password');
    res.json({ ok: true });
  }));

  api.get('/me', member, (req, res) => res.json(self(req.member)));

  api.patch('/me', member, h((req, res) => {
    const set = {};
    const name = text(req.body, 'displayName', { max: 60, optional: true });
    const phone = text(req.body, 'phone_number', { optional: true, pattern: phonePattern });
    const about = text(req.body, 'about', { min: 0, max: 500, optional: true });
    if (name !== undefined) set.display_name = name;
    if (phone !== undefined) set.phone = phone;
    if (about !== undefined) set.about = about;
    if (open('profile-sets-anything')) {
      for (const column of ['role', 'wallet_cents', 'phone_confirmed', 'joined']) {
        if (['string', 'number'].includes(typeof req.body[column])) set[column] = req.body[column];
      }
    }
    for (const [column, value] of Object.entries(set)) run(`UPDATE members SET ${column} = ? WHERE id = ?`, value, req.member.id);
    res.json(self(get('SELECT * FROM members WHERE id = ?', req.member.id)));
  }));

  // What members see of each other.
  api.get('/members/:member_id', member, h((req, res) => {
    const m = get('SELECT * FROM members WHERE id = ?', number(req, 'member_id'));
    must(m, 404, 'no such member');
    const stars = get('SELECT avg(stars) AS avg FROM ratings r JOIN rides d ON d.id = r.ride_id WHERE d.driver_id = ?', m.id).avg;
    if (open('profile-tells-too-much')) {
      const { reset_code, reset_until, reset_tries, calendar_url, calendar_body, ...rest } = m;
      return res.json({ ...rest, displayName: m.display_name, stars });
    }
    res.json({ id: m.id, displayName: m.display_name, about: m.about, joined: m.joined, stars });
  }));

  api.get('/me/preferences', member, (req, res) => res.json(shown(preferences.get(req.member.id) ?? defaults())));

  api.put('/me/preferences', member, h((req, res) => {
    must(req.body && typeof req.body === 'object' && !Array.isArray(req.body), 400, 'preferences must be an object');
    const mine = merge(preferences.get(req.member.id) ?? defaults(), req.body);
    preferences.set(req.member.id, mine);
    res.json(shown(mine));
  }));

  api.post('/me/phone/sendCode', member, h((req, res) => {
    must(req.member.phone, 409, 'set phone_number first');
    if (!open('text-message-flood')) texts.take(req.member.id);
    const code = String(randomInt(1e6)).padStart(6, '0');
    req.session.phoneCode = { code, until: Date.now() + hour / 6 };
    outbox.push({ to: req.member.phone, code });
    if (outbox.length > 100) outbox.splice(0, 50);
    res.status(202).json({ sent_to: req.member.phone });
  }));

  api.post('/me/phone/confirm', member, h((req, res) => {
    const code = text(req.body, 'code', { max: 10 });
    codes.take(req.member.id);
    const sent = req.session.phoneCode;
    must(sent && sent.until > Date.now() && sent.code === code, 400, 'the code is wrong or has expired');
    delete req.session.phoneCode;
    run('UPDATE members SET phone_confirmed = 1 WHERE id = ?', req.member.id);
    res.json({ ok: true });
  }));

  api.get('/me/vouchers', member, (req, res) => {
    res.json({ vouchers: all('SELECT code, cents, used_at AS usedAt FROM vouchers WHERE member_id = ?', req.member.id) });
  });

  api.delete('/me', member, h(async (req, res) => {
    run('DELETE FROM cars WHERE owner_id = ?', req.member.id);
    run(`UPDATE rides SET status = 'called_off' WHERE driver_id = ?`, req.member.id);
    run('DELETE FROM members WHERE id = ?', req.member.id);
    preferences.delete(req.member.id);
    await new Promise((done, fail) => req.session.destroy((err) => (err ? fail(new Refused(500, 'try again')) : done())));
    res.clearCookie('rp_sid').status(204).end();
  }));
}
