import { get, run } from '../db.js';
import { Refused, h, must, text } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';

// Who may be asked: PARTNERS is a list of origins, as the operator trusts them.
const partners = (process.env.PARTNERS ?? 'https://calendar.ridepool.example,https://id.partner.example').split(',');

function address(body, name, anyHost) {
  const raw = text(body, name, { max: 500 });
  let url;
  try {
    url = new URL(raw);
  } catch {
    throw new Refused(400, `${name} must be an absolute URL`);
  }
  must(['http:', 'https:'].includes(url.protocol), 400, `${name} must be an http or https URL`);
  must(anyHost || partners.includes(url.origin), 422, `${name} must be at one of our partners`);
  return url;
}

async function fetched(url, redirect) {
  try {
    const answer = await fetch(url, { redirect, signal: AbortSignal.timeout(4000), headers: { 'User-Agent': 'ridepool/2.3' } });
    return { status: answer.status, body: (await answer.text()).slice(0, 20000) };
  } catch (err) {
    throw new Refused(502, 'the address did not answer');
  }
}

export function feeds(api) {
  api.post('/me/calendar', member, h(async (req, res) => {
    const anyHost = open('calendar-fetches-anything');
    const url = address(req.body, 'feed_url', anyHost);
    const { status, body } = await fetched(url, anyHost ? 'follow' : 'error');
    run('UPDATE members SET calendar_url = ?, calendar_body = ? WHERE id = ?', url.href, body, req.member.id);
    res.json({ fetched: status === 200, status, bytes: body.length });
  }));

  api.get('/me/calendar', member, (req, res) => {
    const m = get('SELECT calendar_url, calendar_body FROM members WHERE id = ?', req.member.id);
    res.json({ feed_url: m.calendar_url, content: m.calendar_body });
  });

  // Takes over what a partner knows of you.
  api.post('/me/importProfile', member, h(async (req, res) => {
    const trusting = open('partner-profile-trusted');
    const url = address(req.body, 'profile_url', trusting);
    const { body } = await fetched(url, trusting ? 'follow' : 'error');
    let profile;
    try {
      profile = JSON.parse(body);
    } catch {
      throw new Refused(502, 'the partner did not answer with JSON');
    }
    must(profile && typeof profile === 'object', 502, 'the partner did not answer with an object');
    const columns = trusting ? ['display_name', 'about', 'phone', 'role', 'wallet_cents', 'phone_confirmed'] : ['display_name', 'about'];
    const taken = [];
    for (const column of columns) {
      const value = profile[column];
      if (!['string', 'number'].includes(typeof value)) continue;
      if (!trusting && (typeof value !== 'string' || value.length > 60)) continue;
      run(`UPDATE members SET ${column} = ? WHERE id = ?`, value, req.member.id);
      taken.push(column);
    }
    res.json({ imported: taken });
  }));
}
