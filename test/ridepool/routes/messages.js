import { all, get, run, now } from '../db.js';
import { h, must, number, text, whole } from '../errors.js';
import { member } from '../guards.js';
import { open } from '../holes.js';

export function messages(api) {
  api.post('/messages/send', member, h((req, res) => {
    const to = whole(req.body, 'to_member');
    const words = text(req.body, 'text', { max: 1000 });
    must(get('SELECT 1 FROM members WHERE id = ?', to), 404, 'to_member: no such member');
    must(to !== req.member.id, 400, 'to_member must be somebody else');
    const [a, b] = [Math.min(to, req.member.id), Math.max(to, req.member.id)];
    const thread = get('SELECT id FROM threads WHERE member_a = ? AND member_b = ?', a, b)
      ?? run('INSERT INTO threads (member_a, member_b) VALUES (?, ?)', a, b);
    const { id } = run('INSERT INTO messages (thread_id, from_id, text, sent_at) VALUES (?, ?, ?, ?)', thread.id, req.member.id, words, now());
    res.status(201).json({ messageId: id, threadId: thread.id });
  }));

  api.get('/threads', member, (req, res) => {
    const mine = all('SELECT * FROM threads WHERE ? IN (member_a, member_b)', req.member.id);
    res.json(mine.map((t) => ({ threadId: t.id, with: t.member_a === req.member.id ? t.member_b : t.member_a })));
  });

  api.get('/thread/:threadId', member, h((req, res) => {
    const t = get('SELECT * FROM threads WHERE id = ?', number(req, 'threadId'));
    must(t && (open('thread-of-others-read') || [t.member_a, t.member_b].includes(req.member.id)), 404, 'no such thread');
    res.json({ threadId: t.id, messages: all('SELECT id, from_id AS fromMember, text, sent_at AS sentAt FROM messages WHERE thread_id = ? ORDER BY id', t.id) });
  }));
}
