import { all, get, run, note } from '../db.js';
import { Refused, h, must, number } from '../errors.js';
import { dispatcher, member } from '../guards.js';
import { open } from '../holes.js';

const person = (m) => ({ id: m.id, email: m.email, name: m.display_name, phone: m.phone, role: m.role, wallet_cents: m.wallet_cents, suspended: !!m.suspended });

export function office(api) {
  if (open('office-by-another-case')) {
    api.use((req, res, next) => {
      if (req.path.startsWith('/backoffice/')) return dispatcher(req, res, next);
      next();
    });
  } else {
    api.use('/backoffice', dispatcher);
  }

  api.get('/backoffice/audit', (req, res) => res.json({ entries: all('SELECT * FROM audit ORDER BY id DESC LIMIT 50') }));

  api.get('/backoffice/stats', (req, res) => {
    res.json({
      members: get('SELECT count(*) AS n FROM members').n, rides: get('SELECT count(*) AS n FROM rides').n,
      turnover_cents: get('SELECT coalesce(sum(total_cents), 0) AS n FROM bookings').n,
    });
  });

  api.get('/adminMembers', member, h((req, res) => {
    if (!open('member-list-for-all')) must(req.member.role === 'dispatcher', 403, 'for dispatchers only');
    res.json({ members: all('SELECT * FROM members ORDER BY id LIMIT 100').map(person) });
  }));

  api.post('/adminMembers/:id/suspend', dispatcher, h((req, res) => {
    const id = number(req, 'id');
    must(id !== req.member.id, 400, 'not yourself');
    const { changes } = run('UPDATE members SET suspended = 1 WHERE id = ?', id);
    if (!changes) throw new Refused(404, 'no such member');
    note(req.member.id, `suspended ${id}`);
    res.json({ suspended: true });
  }));
}
