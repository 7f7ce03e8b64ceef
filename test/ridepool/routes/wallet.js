import { all, get, run, now, note } from '../db.js';
import { h, must, text, whole } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';

// The bank's fraud service takes a moment to answer.
const fraudCheck = () => new Promise((done) => setTimeout(done, 15));

const balance = (id) => get('SELECT wallet_cents FROM members WHERE id = ?', id).wallet_cents;

export function wallet(api) {
  api.get('/wallet', member, (req, res) => res.json({ balance_cents: balance(req.member.id), currency: 'SEK' }));

  api.post('/wallet/transfer', member, h(async (req, res) => {
    const to = whole(req.body, 'toMember');
    const amount = whole(req.body, 'amount_cents', { min: open('negative-transfer') ? -(10 ** 6) : 1, max: 10 ** 6 });
    must(to !== req.member.id, 400, 'toMember must be somebody else');
    must(get('SELECT 1 FROM members WHERE id = ?', to), 404, 'toMember: no such member');
    must(balance(req.member.id) >= amount, 402, 'not enough in your wallet');
    await fraudCheck();
    if (open('transfer-race')) {
      run('UPDATE members SET wallet_cents = wallet_cents - ? WHERE id = ?', amount, req.member.id);
    } else {
      const { changes } = run('UPDATE members SET wallet_cents = wallet_cents - ? WHERE id = ? AND wallet_cents >= ?', amount, req.member.id, amount);
      must(changes === 1, 402, 'not enough in your wallet');
    }
    run('UPDATE members SET wallet_cents = wallet_cents + ? WHERE id = ?', amount, to);
    note(req.member.id, `moved ${amount} to ${to}`);
    res.json({ transferred: amount, balance_cents: balance(req.member.id) });
  }));

  api.post('/voucher/redeem', member, h((req, res) => {
    const code = text(req.body, 'code', { max: 40 });
    const v = get('SELECT * FROM vouchers WHERE code = ? AND member_id = ?', code, req.member.id);
    must(v, 404, 'no such voucher');
    must(open('voucher-used-again') || !v.used_at, 409, 'this voucher has been used');
    run('UPDATE vouchers SET used_at = ? WHERE code = ?', now(), code);
    run('UPDATE members SET wallet_cents = wallet_cents + ? WHERE id = ?', v.cents, req.member.id);
    res.json({ credited_cents: v.cents, balance_cents: balance(req.member.id) });
  }));

  // For dispatchers, to make up for a ride that went wrong.
  api.post('/vouchers/issue', member, h((req, res) => {
    if (!open('anyone-issues-vouchers')) must(req.member.role === 'dispatcher', 403, 'for dispatchers only');
    const to = whole(req.body, 'memberId');
    const cents = whole(req.body, 'cents', { max: 50000 });
    must(get('SELECT 1 FROM members WHERE id = ?', to), 404, 'no such member');
    const code = `SRY-${all('SELECT code FROM vouchers').length + 1000}-${Date.now().toString(36).toUpperCase()}`;
    run('INSERT INTO vouchers (code, member_id, cents) VALUES (?, ?, ?)', code, to, cents);
    res.status(201).json({ code, cents, memberId: to });
  }));
}
