import { all, get, run, now } from '../db.js';
import { h, must, number, text, whole } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';
import { rideById } from './rides.js';

const shape = (b) => ({
  bookingId: b.id, ride_id: b.ride_id, memberId: b.member_id, seats: b.seats, total_cents: b.total_cents, pickup_note: b.pickup_note,
  status: b.status, madeAt: b.made_at,
});

export function bookings(api) {
  api.get('/bookings', member, h((req, res) => {
    const sort = String(req.query.sort ?? 'made_at');
    const columns = ['made_at', 'total_cents', 'seats', 'status'];
    if (!open('sort-sql')) must(columns.includes(sort), 400, `sort must be one of ${columns.join(', ')}`);
    res.json({ data: all(`SELECT * FROM bookings WHERE member_id = ? ORDER BY ${sort}`, req.member.id).map(shape) });
  }));

  api.post('/bookings', member, h((req, res) => {
    const rideId = whole(req.body, 'ride_id');
    const seats = whole(req.body, 'seats', { max: 8 });
    const note = text(req.body, 'pickup_note', { max: 200, optional: true });
    const ride = rideById(rideId);
    must(ride && ride.status === 'open', 404, 'no such ride, or it is closed');
    must(ride.driver_id !== req.member.id, 409, 'you drive this ride yourself');
    must(ride.seats_left >= seats, 409, 'not enough seats left');
    let total = ride.price_cents * seats;
    if (open('price-from-client')) total = whole(req.body, 'total_cents', { min: 0, optional: true }) ?? total;
    const { id } = run('INSERT INTO bookings (ride_id, member_id, seats, total_cents, pickup_note, made_at) VALUES (?, ?, ?, ?, ?, ?)',
      rideId, req.member.id, seats, total, note ?? null, now());
    res.status(201).json({ bookingId: id, status: 'booked', total_cents: total });
  }));

  function booking(id, req, hole) {
    const b = get('SELECT * FROM bookings WHERE id = ?', id);
    must(b && ((hole && open(hole)) || b.member_id === req.member.id), 404, 'no such booking');
    return b;
  }

  api.get('/booking/:bookingId', member, h((req, res) => {
    res.json(shape(booking(number(req, 'bookingId'), req, 'booking-of-another-read')));
  }));

  api.patch('/booking/:bookingId', member, h((req, res) => {
    const b = booking(number(req, 'bookingId'), req);
    must(b.status === 'booked', 409, 'this booking has been cancelled');
    const note = text(req.body, 'pickup_note', { max: 200 });
    run('UPDATE bookings SET pickup_note = ? WHERE id = ?', note, b.id);
    res.json(shape({ ...b, pickup_note: note }));
  }));

  api.post('/booking/:bookingId/cancel', member, h((req, res) => {
    const b = booking(number(req, 'bookingId'), req, 'booking-of-another-cancelled');
    run(`UPDATE bookings SET status = 'cancelled' WHERE id = ?`, b.id);
    res.json({ done: true });
  }));

  api.post('/receipts/get', member, h((req, res) => {
    const b = booking(whole(req.body, 'booking_id'), req, 'receipt-of-another');
    const ride = rideById(b.ride_id);
    const m = get('SELECT * FROM members WHERE id = ?', b.member_id);
    res.json({
      receiptNo: `RP-${10000 + b.id}`, passenger: m?.display_name, email: m?.email, text: `${b.seats} seat(s), ${ride?.origin} to ${ride?.destination}`,
      note: b.pickup_note, total: (b.total_cents / 100).toFixed(2), currency: 'SEK',
    });
  }));
}
