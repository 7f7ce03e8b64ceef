CREATE TABLE IF NOT EXISTS companies (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, vat_id TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS users (
  id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, phone TEXT NOT NULL DEFAULT '',
  role TEXT NOT NULL, company_id INTEGER NOT NULL, password_hash TEXT NOT NULL,
  balance_cents INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'active', created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
  jti TEXT PRIMARY KEY, user_id INTEGER NOT NULL, expires_at TEXT NOT NULL, ended_at TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user_id);
CREATE TABLE IF NOT EXISTS resets (
  token_hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL, expires_at TEXT NOT NULL, used_at TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS addresses (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, label TEXT NOT NULL, line1 TEXT NOT NULL,
  line2 TEXT NOT NULL DEFAULT '', city TEXT NOT NULL, postcode TEXT NOT NULL, country TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS addresses_customer ON addresses (customer_id);
CREATE TABLE IF NOT EXISTS depots (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, country TEXT NOT NULL,
  capacity INTEGER NOT NULL, opens TEXT NOT NULL, closes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parcels (
  id INTEGER PRIMARY KEY, tracking_code TEXT NOT NULL UNIQUE, customer_id INTEGER NOT NULL, company_id INTEGER NOT NULL,
  courier_id INTEGER NOT NULL DEFAULT 0, depot_id INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL, service TEXT NOT NULL,
  weight_grams INTEGER NOT NULL, recipient_name TEXT NOT NULL, recipient_email TEXT NOT NULL DEFAULT '',
  recipient_phone TEXT NOT NULL DEFAULT '', line1 TEXT NOT NULL, line2 TEXT NOT NULL DEFAULT '', city TEXT NOT NULL,
  postcode TEXT NOT NULL, country TEXT NOT NULL, reference TEXT NOT NULL DEFAULT '',
  declared_value_cents INTEGER NOT NULL DEFAULT 0, price_cents INTEGER NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS parcels_customer ON parcels (customer_id, id);
CREATE INDEX IF NOT EXISTS parcels_courier ON parcels (courier_id, status);
CREATE INDEX IF NOT EXISTS parcels_depot ON parcels (depot_id, status);
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, parcel_id INTEGER NOT NULL, at TEXT NOT NULL, status TEXT NOT NULL,
  depot_id INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS events_parcel ON events (parcel_id);
CREATE TABLE IF NOT EXISTS notes (
  id INTEGER PRIMARY KEY, parcel_id INTEGER NOT NULL, author_id INTEGER NOT NULL, text TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS notes_parcel ON notes (parcel_id);
CREATE TABLE IF NOT EXISTS payments (
  id TEXT PRIMARY KEY, parcel_id INTEGER NOT NULL, customer_id INTEGER NOT NULL, card_id TEXT NOT NULL,
  amount_cents INTEGER NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS invoices (
  id TEXT PRIMARY KEY, number TEXT NOT NULL, company_id INTEGER NOT NULL, period TEXT NOT NULL,
  total_cents INTEGER NOT NULL, status TEXT NOT NULL, card_id TEXT NOT NULL DEFAULT '', issued_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS invoices_company ON invoices (company_id);
CREATE TABLE IF NOT EXISTS invoice_lines (
  id INTEGER PRIMARY KEY, invoice_id TEXT NOT NULL, text TEXT NOT NULL, amount_cents INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS invoice_lines_invoice ON invoice_lines (invoice_id);
CREATE TABLE IF NOT EXISTS cards (
  id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, number TEXT NOT NULL, holder TEXT NOT NULL,
  expiry TEXT NOT NULL, brand TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS cards_customer ON cards (customer_id);
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, parcel_id INTEGER NOT NULL, kind TEXT NOT NULL,
  file_name TEXT NOT NULL, content_type TEXT NOT NULL, data BLOB NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS uploads_customer ON uploads (customer_id);
CREATE TABLE IF NOT EXISTS webhooks (
  id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS webhooks_customer ON webhooks (customer_id);
CREATE TABLE IF NOT EXISTS coupons (code TEXT PRIMARY KEY, amount_cents INTEGER NOT NULL, expires_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS redemptions (
  id INTEGER PRIMARY KEY, code TEXT NOT NULL, customer_id INTEGER NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS payouts (
  id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, amount_cents INTEGER NOT NULL, iban TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rates (country TEXT PRIMARY KEY, duty_percent REAL NOT NULL, updated_by TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL);
