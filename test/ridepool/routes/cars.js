import { all, get, run } from '../db.js';
import { h, must, number, text, whole } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';

const shape = (c) => ({ carId: c.id, ownerId: c.owner_id, licence_plate: c.licence_plate, model: c.model, seats: c.seats, colour: c.colour });
const platePattern = /^[A-Za-zÅÄÖåäö0-9][A-Za-zÅÄÖåäö0-9 -]{1,11}$/;

export function cars(api) {
  api.get('/cars', member, (req, res) => {
    res.json(all('SELECT * FROM cars WHERE owner_id = ? ORDER BY id', req.member.id).map(shape));
  });

  api.post('/car/add', member, h((req, res) => {
    const plate = text(req.body, 'licence_plate', { min: 2, max: 12, pattern: platePattern });
    const model = text(req.body, 'model', { max: 60, optional: true });
    const colour = text(req.body, 'colour', { max: 30, optional: true });
    const seats = whole(req.body, 'seats', { max: 8 });
    must(get('SELECT count(*) AS n FROM cars WHERE owner_id = ?', req.member.id).n < 500, 409, 'you have too many cars');
    const { id } = run('INSERT INTO cars (owner_id, licence_plate, model, seats, colour) VALUES (?, ?, ?, ?, ?)',
      req.member.id, plate, model ?? null, seats, colour ?? null);
    res.status(201).json(shape(get('SELECT * FROM cars WHERE id = ?', id)));
  }));

  function mine(req, hole) {
    const car = get('SELECT * FROM cars WHERE id = ?', number(req, 'carId'));
    must(car && ((hole && open(hole)) || car.owner_id === req.member.id), 404, 'no such car');
    return car;
  }

  api.get('/car/:carId', member, h((req, res) => res.json(shape(mine(req)))));

  api.post('/car/:carId/update', member, h((req, res) => {
    const car = mine(req, 'car-of-another-changed');
    const model = text(req.body, 'model', { max: 60, optional: true });
    const colour = text(req.body, 'colour', { max: 30, optional: true });
    const seats = whole(req.body, 'seats', { max: 8, optional: true });
    run('UPDATE cars SET model = ?, colour = ?, seats = ? WHERE id = ?', model ?? car.model, colour ?? car.colour, seats ?? car.seats, car.id);
    res.json({ updated: true });
  }));

  api.delete('/car/:carId', member, h((req, res) => {
    const car = mine(req);
    must(!get(`SELECT 1 FROM rides WHERE car_id = ? AND status = 'open'`, car.id), 409, 'call off the rides of this car first');
    run('DELETE FROM cars WHERE id = ?', car.id);
    res.status(204).end();
  }));
}
