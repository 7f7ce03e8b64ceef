import { all, get } from '../db.js';
import { h, must, number } from '../errors.js';
import { open } from '../holes.js';

// What should have gone with version 1.
export function legacy(app) {
  if (open('version-1-still-there')) {
    app.get('/api/v1/members/:member_id', h((req, res) => {
      const m = get('SELECT id, email, display_name, phone, wallet_cents, joined FROM members WHERE id = ?', number(req, 'member_id'));
      must(m, 404, 'no such member');
      res.json(m);
    }));
    app.get('/api/v1/rides', (req, res) => res.json(all('SELECT * FROM rides LIMIT 20')));
  }
  if (open('debug-config')) {
    app.get('/debug/config', (req, res) => {
      res.json({ node: process.version, cwd: process.cwd(), env: { NODE_ENV: 'production', SESSION_SECRET: 'b41d-not-so-secret-now', PATH: process.env.PATH }, memory: process.memoryUsage() });
    });
  }
}
