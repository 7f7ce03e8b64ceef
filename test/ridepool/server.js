// Ridepool: members offer rides in their cars, others book seats.
// HOLES says which holes are open, PORT where to listen (0: any); loopback only.
import express from 'express';
import session from 'express-session';
import { randomBytes } from 'node:crypto';
import { open } from './holes.js';
import { get } from './db.js';
import { Refused } from './errors.js';
import { accounts } from './routes/accounts.js';
import { cars } from './routes/cars.js';
import { rides } from './routes/rides.js';
import { bookings } from './routes/bookings.js';
import { wallet } from './routes/wallet.js';
import { messages } from './routes/messages.js';
import { office } from './routes/office.js';
import { feeds } from './routes/feeds.js';
import { pages } from './routes/pages.js';
import { legacy } from './routes/legacy.js';

const webApp = 'https://app.ridepool.example';
const app = express();
app.disable('x-powered-by');
app.disable('etag');

app.use((req, res, next) => {
  res.set('X-Content-Type-Options', 'nosniff');
  res.set('X-Frame-Options', 'DENY');
  res.set('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  res.set('Referrer-Policy', 'no-referrer');
  res.set('Cache-Control', 'no-store');
  next();
});

app.use((req, res, next) => {
  const origin = req.get('Origin');
  if (origin) {
    res.vary('Origin');
    if (open('cors-any-origin') || origin === webApp) {
      res.set('Access-Control-Allow-Origin', origin);
      res.set('Access-Control-Allow-Credentials', 'true');
    }
    if (req.method === 'OPTIONS' && req.get('Access-Control-Request-Method')) {
      res.set('Access-Control-Allow-Methods', 'GET, POST, PUT, PATCH, DELETE');
      res.set('Access-Control-Allow-Headers', 'Content-Type');
      return res.sendStatus(204);
    }
  }
  next();
});

app.use(express.json({ limit: '100kb' }));
app.use(session({
  name: 'rp_sid',
  secret: randomBytes(24).toString('hex'),
  resave: false,
  saveUninitialized: open('session-fixation'),
  cookie: open('cookie-script-readable') ? { httpOnly: false } : { httpOnly: true, sameSite: 'lax' },
}));

// Who is calling: read anew each time, so that a suspended member is out at once.
app.use((req, res, next) => {
  const id = req.session.memberId;
  if (id) {
    const member = get('SELECT * FROM members WHERE id = ?', id);
    if (member && !member.suspended) req.member = member;
  }
  next();
});

const api = express.Router();
api.get('/health', (req, res) => res.json({ up: true, version: '2.3.0' }));
for (const part of [accounts, cars, rides, bookings, wallet, messages, office, feeds]) part(api);
app.use('/api/v2', api);
legacy(app);
pages(app);

app.use((req, res) => res.status(404).json({ error: 'nothing here' }));

// eslint-disable-next-line no-unused-vars
app.use((err, req, res, next) => {
  if (err instanceof Refused) return res.status(err.status).json({ error: err.message, ...err.extra });
  const status = err.status >= 400 && err.status < 500 ? err.status : 500;
  if (open('stack-traces')) return res.status(status).json({ error: err.message, stack: err.stack });
  if (status === 500) console.error(err);
  res.status(status).json({ error: status === 500 ? 'something went wrong' : 'the request cannot be read' });
});

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${server.address().port}` }));
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
// Started by a test: ends with it.
if (process.env.STOP_WITH_STDIN) process.stdin.on('end', () => process.exit(0)).resume();
