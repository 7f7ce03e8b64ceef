import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { h, must, number } from '../errors.js';
import { open } from '../holes.js';
import { rideById } from './rides.js';

const papers = fileURLToPath(new URL('../papers', import.meta.url));
const escaped = (s) => String(s ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

export function pages(app) {
  // To be sent to friends: no login.
  app.get('/share/ride/:id', h((req, res) => {
    const ride = rideById(number(req, 'id'));
    must(ride, 404, 'no such ride');
    const show = open('share-page-script') ? (s) => s ?? '' : escaped;
    if (open('share-page-script')) res.removeHeader('Content-Security-Policy');
    res.type('html').send(`<!doctype html><html lang="sv"><title>Ridepool</title>
<h1>${show(ride.origin)} – ${show(ride.destination)}</h1><p>${escaped(ride.departs_at)}</p><p>${show(ride.notes)}</p></html>`);
  }));

  app.get('/api/v2/papers', h((req, res) => {
    const name = String(req.query.file ?? 'terms.txt');
    must(name.length <= 300 && !name.includes('\0'), 400, 'file is not valid');
    let content;
    try {
      if (open('papers-from-anywhere')) {
        content = readFileSync(join(papers, name), 'utf8');
      } else {
        must(['terms.txt', 'privacy.txt'].includes(name) && name === basename(name), 404, 'no such paper');
        content = readFileSync(join(papers, name), 'utf8');
      }
    } catch {
      must(false, 404, 'no such paper');
    }
    res.type('text/plain').send(content);
  }));

  app.get('/api/v2/goto', h((req, res) => {
    const next = String(req.query.next ?? '/');
    if (!open('goto-anywhere')) {
      must(/^\/(?![/\\])[A-Za-z0-9/_.-]*$/.test(next), 400, 'next must be a path of ours');
    }
    res.redirect(302, next);
  }));
}
