// What a handler throws when the caller is to blame.
export class Refused extends Error {
  constructor(status, message, extra) {
    super(message);
    this.status = status;
    this.extra = extra;
  }
}

export const must = (ok, status, message) => {
  if (!ok) throw new Refused(status, message);
};

// Handlers may be async; what they throw goes to the error handler.
export const h = (fn) => (req, res, next) => Promise.resolve().then(() => fn(req, res, next)).catch(next);

// A field of the body that must be a text.
export function text(body, name, { min = 1, max = 200, optional = false, pattern } = {}) {
  const v = body?.[name];
  if (v === undefined || v === null) {
    must(optional, 400, `${name} is required`);
    return undefined;
  }
  must(typeof v === 'string', 400, `${name} must be a string`);
  must(v.length >= min && v.length <= max, 400, `${name} must be between ${min} and ${max} characters`);
  must(!pattern || pattern.test(v), 400, `${name} is not valid`);
  return v;
}

export function whole(body, name, { min = 1, max = 2 ** 31 - 1, optional = false } = {}) {
  const v = body?.[name];
  if (v === undefined || v === null) {
    must(optional, 400, `${name} is required`);
    return undefined;
  }
  must(Number.isInteger(v), 400, `${name} must be an integer`);
  must(v >= min && v <= max, 400, `${name} must be between ${min} and ${max}`);
  return v;
}

// An id in a path.
export function number(req, name) {
  must(/^\d{1,9}$/.test(req.params[name]), 400, `${name} must be a number`);
  return Number(req.params[name]);
}
