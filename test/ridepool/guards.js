import { Refused } from './errors.js';

export function member(req, res, next) {
  if (!req.member) throw new Refused(401, 'log in first');
  next();
}

export function dispatcher(req, res, next) {
  if (!req.member) throw new Refused(401, 'log in first');
  if (req.member.role !== 'dispatcher') throw new Refused(403, 'for dispatchers only');
  next();
}
