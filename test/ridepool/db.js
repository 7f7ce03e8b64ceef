// SQLite in memory, compiled to WebAssembly: nothing to build, nothing left behind.
import initSqlJs from 'sql.js';
import { hashPassword } from './passwords.js';

const SQL = await initSqlJs();
const db = new SQL.Database();

db.run(`
  CREATE TABLE members (
    id INTEGER PRIMARY KEY, email TEXT UNIQUE NOT NULL, display_name TEXT NOT NULL, phone TEXT, about TEXT,
    pw_hash TEXT NOT NULL, role TEXT NOT NULL DEFAULT 'member', wallet_cents INTEGER NOT NULL DEFAULT 0,
    phone_confirmed INTEGER NOT NULL DEFAULT 0, suspended INTEGER NOT NULL DEFAULT 0, joined TEXT NOT NULL,
    reset_code TEXT, reset_until INTEGER, reset_tries INTEGER NOT NULL DEFAULT 0,
    calendar_url TEXT, calendar_body TEXT);
  CREATE TABLE cars (
    id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL, licence_plate TEXT NOT NULL, model TEXT, seats INTEGER NOT NULL, colour TEXT);
  CREATE TABLE rides (
    id INTEGER PRIMARY KEY, driver_id INTEGER NOT NULL, car_id INTEGER NOT NULL, origin TEXT NOT NULL, destination TEXT NOT NULL,
    departs_at TEXT NOT NULL, seats_total INTEGER NOT NULL, price_cents INTEGER NOT NULL, notes TEXT, status TEXT NOT NULL DEFAULT 'open');
  CREATE TABLE bookings (
    id INTEGER PRIMARY KEY, ride_id INTEGER NOT NULL, member_id INTEGER NOT NULL, seats INTEGER NOT NULL,
    total_cents INTEGER NOT NULL, pickup_note TEXT, status TEXT NOT NULL DEFAULT 'booked', made_at TEXT NOT NULL);
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY, thread_id INTEGER NOT NULL, from_id INTEGER NOT NULL, text TEXT NOT NULL, sent_at TEXT NOT NULL);
  CREATE TABLE threads (id INTEGER PRIMARY KEY, member_a INTEGER NOT NULL, member_b INTEGER NOT NULL);
  CREATE TABLE ratings (
    id INTEGER PRIMARY KEY, ride_id INTEGER NOT NULL, author_id INTEGER NOT NULL, stars INTEGER NOT NULL, remark TEXT);
  CREATE TABLE vouchers (code TEXT PRIMARY KEY, member_id INTEGER NOT NULL, cents INTEGER NOT NULL, used_at TEXT);
  CREATE TABLE audit (id INTEGER PRIMARY KEY, at TEXT NOT NULL, who INTEGER, what TEXT NOT NULL);
`);

export function all(sql, ...params) {
  const st = db.prepare(sql);
  try {
    st.bind(params);
    const rows = [];
    while (st.step()) rows.push(st.getAsObject());
    return rows;
  } finally {
    st.free();
  }
}

export const get = (sql, ...params) => all(sql, ...params)[0];

export function run(sql, ...params) {
  db.run(sql, params);
  return { changes: db.getRowsModified(), id: db.exec('SELECT last_insert_rowid()')[0].values[0][0] };
}

export const now = () => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

export function note(who, what) {
  run('INSERT INTO audit (at, who, what) VALUES (?, ?, ?)', now(), who ?? null, what);
}

// The people who are there from the start, and three hundred rides of theirs.
function seed() {
  const people = [
    ['mara@ridepool.example', 'Mara Lindqvist', '+46705550101', 'dispatcher', 'wintry-harvest-of-74-plums'],
    ['jonas@ridepool.example', 'Jonas Bergström', '+46705550102', 'member', 'slow-trams-in-the-4-lanes'],
    ['petra@ridepool.example', 'Petra Nyholm', '+46705550103', 'member', 'green-door-by-the-9-mills'],
    ['olle@ridepool.example', 'Olle Sandin', '+46705550104', 'member', 'seven-herons-on-1-roof'],
  ];
  for (const [email, name, phone, role, password] of people) {
    run(`INSERT INTO members (email, display_name, phone, role, pw_hash, wallet_cents, joined) VALUES (?, ?, ?, ?, ?, 5000, ?)`,
      email, name, phone, role, hashPassword(password), '2025-03-14T08:00:00Z');
  }
  for (const [owner, plate, model] of [[2, 'KLM 482', 'Volvo V60'], [3, 'RTS 915', 'Kia Niro'], [4, 'BDH 330', 'VW Caddy']]) {
    run('INSERT INTO cars (owner_id, licence_plate, model, seats, colour) VALUES (?, ?, ?, 4, ?)', owner, plate, model, 'blue');
  }
  const towns = ['Uppsala', 'Stockholm', 'Västerås', 'Enköping', 'Gävle', 'Örebro', 'Norrtälje'];
  for (let i = 0; i < 300; i++) {
    const driver = 2 + (i % 3);
    const day = new Date(Date.UTC(2027, 0, 1 + (i % 120), 5 + (i % 14)));
    run(`INSERT INTO rides (driver_id, car_id, origin, destination, departs_at, seats_total, price_cents, notes) VALUES (?, ?, ?, ?, ?, 4, ?, ?)`,
      driver, driver - 1, towns[i % 7], towns[(i + 1 + (i % 5)) % 7], day.toISOString().replace('.000Z', 'Z'), 4000 + 50 * (i % 60), 'Meet at the station.');
  }
  for (let i = 0; i < 12; i++) {
    run(`INSERT INTO bookings (ride_id, member_id, seats, total_cents, pickup_note, made_at) VALUES (?, ?, 1, 4500, ?, ?)`,
      1 + 7 * i, 2 + ((i + 1) % 3), `Door code ${4100 + 37 * i}, second floor`, '2026-11-02T17:20:00Z');
    run('INSERT INTO ratings (ride_id, author_id, stars, remark) VALUES (?, ?, ?, ?)', 1 + 7 * i, 2 + ((i + 1) % 3), 3 + (i % 3), 'On time.');
  }
  run('INSERT INTO threads (member_a, member_b) VALUES (2, 3)');
  run('INSERT INTO messages (thread_id, from_id, text, sent_at) VALUES (1, 2, ?, ?)', 'Is there room for a cello?', '2026-11-03T10:00:00Z');
  note(1, 'opened the books');
}

seed();
