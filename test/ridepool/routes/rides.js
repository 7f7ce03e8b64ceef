import { execFileSync, execSync } from 'node:child_process';
import { all, get, run } from '../db.js';
import { h, must, number, text, whole } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';

const taken = `(SELECT coalesce(sum(seats), 0) FROM bookings b WHERE b.ride_id = r.id AND b.status = 'booked')`;
const columns = `r.*, m.display_name AS driver_name, r.seats_total - ${taken} AS seats_left`;
const from = 'rides r LEFT JOIN members m ON m.id = r.driver_id';

const shape = (r) => ({
  id: r.id, driver: { id: r.driver_id, name: r.driver_name }, origin: r.origin, destination: r.destination, departs_at: r.departs_at,
  seatsTotal: r.seats_total, seats_left: r.seats_left, priceCents: r.price_cents, notes: r.notes, status: r.status,
});

export const rideById = (id) => get(`SELECT ${columns} FROM ${from} WHERE r.id = ?`, id);

const soonPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

function when(body, optional) {
  const v = text(body, 'departs_at', { max: 40, pattern: soonPattern, optional });
  if (v === undefined) return v;
  const t = Date.parse(v);
  must(t > Date.now(), 400, 'departs_at must be in the future');
  return new Date(t).toISOString().replace(/\.\d+Z$/, 'Z');
}

export function rides(api) {
  api.get('/rides', member, h((req, res) => {
    const asked = req.query.limit === undefined ? 20 : Number(req.query.limit);
    const offset = req.query.offset === undefined ? 0 : Number(req.query.offset);
    must(Number.isInteger(asked) && asked > 0 && Number.isInteger(offset) && offset >= 0 && offset < 1e9, 400, 'limit and offset must be whole numbers');
    const limit = open('ride-list-unbounded') ? Math.min(asked, 2 ** 31) : Math.min(asked, 50);
    const items = all(`SELECT ${columns} FROM ${from} WHERE r.status = 'open' ORDER BY r.id LIMIT ? OFFSET ?`, limit, offset);
    res.json({ items: items.map(shape), total: get(`SELECT count(*) AS n FROM rides WHERE status = 'open'`).n });
  }));

  api.get('/rides/search', member, h((req, res) => {
    const origin = String(req.query.from ?? '');
    const destination = String(req.query.to ?? '');
    const rows = open('search-sql')
      ? all(`SELECT ${columns} FROM ${from} WHERE r.status = 'open' AND r.origin LIKE '%${origin}%' AND r.destination LIKE '%${destination}%' ORDER BY r.departs_at LIMIT 20`)
      : all(`SELECT ${columns} FROM ${from} WHERE r.status = 'open' AND instr(lower(r.origin), lower(?)) > 0 AND instr(lower(r.destination), lower(?)) > 0 ORDER BY r.departs_at LIMIT 20`, origin, destination);
    res.json({ results: rows.map(shape) });
  }));

  api.post('/ride', member, h((req, res) => {
    const origin = text(req.body, 'origin', { max: 80 });
    const destination = text(req.body, 'destination', { max: 80 });
    const notes = text(req.body, 'notes', { max: 500, optional: true });
    const carId = whole(req.body, 'carId');
    const seats = whole(req.body, 'seatsTotal', { max: 8 });
    const price = whole(req.body, 'priceCents', { min: 0, max: 100000 });
    const departs = when(req.body);
    const car = get('SELECT * FROM cars WHERE id = ? AND owner_id = ?', carId, req.member.id);
    must(car, 422, 'carId must be one of your cars');
    must(seats <= car.seats, 422, `seatsTotal must be at most ${car.seats}, the seats of the car`);
    const { id } = run('INSERT INTO rides (driver_id, car_id, origin, destination, departs_at, seats_total, price_cents, notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      req.member.id, carId, origin, destination, departs, seats, price, notes ?? null);
    res.status(201).json(shape(rideById(id)));
  }));

  api.get('/ride/:id', member, h((req, res) => {
    const ride = rideById(number(req, 'id'));
    must(ride, 404, 'no such ride');
    res.json(shape(ride));
  }));

  function driven(req, name) {
    const ride = rideById(number(req, name));
    must(ride, 404, 'no such ride');
    must(ride.driver_id === req.member.id, 403, 'you do not drive this ride');
    return ride;
  }

  api.put('/ride/:id', member, h((req, res) => {
    const ride = driven(req, 'id');
    const notes = text(req.body, 'notes', { max: 500, optional: true });
    const price = whole(req.body, 'priceCents', { min: 0, max: 100000, optional: true });
    const departs = when(req.body, true);
    run('UPDATE rides SET notes = ?, price_cents = ?, departs_at = ? WHERE id = ?', notes ?? ride.notes, price ?? ride.price_cents, departs ?? ride.departs_at, ride.id);
    res.json(shape(rideById(ride.id)));
  }));

  api.post('/ride/:id/call_off', member, h((req, res) => {
    const ride = driven(req, 'id');
    run(`UPDATE rides SET status = 'called_off' WHERE id = ?`, ride.id);
    run(`UPDATE bookings SET status = 'called_off' WHERE ride_id = ?`, ride.id);
    res.json({ status: 'called_off' });
  }));

  // Who comes along, with numbers to call: for the driver.
  const passengers = h((req, res) => {
    const ride = open('passengers-without-login') ? rideById(number(req, 'ride_id')) : driven(req, 'ride_id');
    must(ride, 404, 'no such ride');
    res.json({
      passengers: all(`SELECT m.id AS member_id, m.display_name AS displayName, m.phone AS phone_number, b.seats, b.pickup_note
        FROM bookings b JOIN members m ON m.id = b.member_id WHERE b.ride_id = ? AND b.status = 'booked'`, ride.id),
    });
  });
  if (open('passengers-without-login')) api.get('/rides/:ride_id/passengers', passengers);
  else api.get('/rides/:ride_id/passengers', member, passengers);

  // The departure on a clock in another time zone.
  api.get('/rides/:ride_id/departure', member, h((req, res) => {
    const ride = rideById(number(req, 'ride_id'));
    must(ride, 404, 'no such ride');
    const tz = String(req.query.tz ?? 'Europe/Stockholm');
    must(tz.length <= 200, 400, 'tz is too long');
    if (open('time-zone-command')) {
      const local = execSync(`TZ=${tz} date -d ${ride.departs_at} '+%F %H:%M'`, { timeout: 15000, stdio: ['ignore', 'pipe', 'pipe'] });
      return res.json({ ride: ride.id, local: local.toString().trim() });
    }
    must(/^[A-Za-z_]+(\/[A-Za-z_]+){0,2}$/.test(tz), 400, 'tz must be a time zone such as Europe/Stockholm');
    const local = execFileSync('date', ['-d', ride.departs_at, '+%F %H:%M'], { env: { TZ: tz }, timeout: 15000 });
    res.json({ ride: ride.id, local: local.toString().trim() });
  }));

  api.get('/rides/:ride_id/ratings', member, h((req, res) => {
    const ride = rideById(number(req, 'ride_id'));
    must(ride, 404, 'no such ride');
    res.json(all('SELECT id, author_id AS authorId, stars, remark FROM ratings WHERE ride_id = ?', ride.id));
  }));

  api.post('/rides/:ride_id/ratings', member, h((req, res) => {
    const ride = rideById(number(req, 'ride_id'));
    must(ride, 404, 'no such ride');
    const stars = whole(req.body, 'stars', { max: 5 });
    const remark = text(req.body, 'remark', { max: 300, optional: true });
    must(ride.driver_id !== req.member.id, 403, 'you cannot rate your own ride');
    must(!get('SELECT 1 FROM ratings WHERE ride_id = ? AND author_id = ?', ride.id, req.member.id), 409, 'you have rated this ride');
    const { id } = run('INSERT INTO ratings (ride_id, author_id, stars, remark) VALUES (?, ?, ?, ?)', ride.id, req.member.id, stars, remark ?? null);
    res.status(201).json({ id, stars, remark });
  }));

  // Grew for the winter report; nobody wrote it down.
  api.get('/rides/export', h((req, res) => {
    if (!open('forgotten-export')) must(req.member?.role === 'dispatcher', 404, 'nothing here');
    const rows = all(`SELECT r.id, r.origin, r.destination, m.display_name, m.email, m.phone FROM rides r JOIN members m ON m.id = r.driver_id LIMIT 100`);
    res.type('text/csv').send(['ride,origin,destination,driver,email,phone', ...rows.map((r) => Object.values(r).join(','))].join('\n'));
  }));
}
