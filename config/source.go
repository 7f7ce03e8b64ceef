package config

import "time"

// Source is data of users, roles, objects and owners that policies read, kept up
// to date while the gateway runs. Exactly one of SQL, HTTP, LDAP and File.
type Source struct {
	// At is where policies find it: owners is data.owners, relations/owners data.relations.owners.
	At string `yaml:"at" required:"true" example:"owners"`
	// SQL reads it from a database.
	SQL *SQLSource `yaml:"sql"`
	// HTTP reads it from a URL.
	HTTP *HTTPSource `yaml:"http"`
	// LDAP reads it from a directory.
	LDAP *LDAPSource `yaml:"ldap"`
	// File reads it from a file.
	File *FileSource `yaml:"file"`
	// Every is the time between two looks at the source.
	Every time.Duration `yaml:"every" default:"30s" min:"100ms" max:"24h"`
	// Full is how often a source that tells changes is read whole all the same, to
	// find what was deleted without a word.
	Full time.Duration `yaml:"full" default:"1h" min:"1s" max:"168h"`
	// MaxAge is how long the last good state decides while the source cannot be
	// heard; then calls are refused with authz.unavailable.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"1s" max:"168h"`
	// Timeout of one look.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"100ms" max:"1h"`
	// MinRows refuses an answer with fewer rows than this: a table that was emptied by mistake.
	MinRows int `yaml:"min_rows" default:"0" min:"0" max:"1000000000"`
	// MaxRows refuses an answer with more rows.
	MaxRows int `yaml:"max_rows" default:"5000000" min:"1" max:"1000000000"`
	// MaxMemory is the most that the data may take in memory; 100 MB of JSON take about 60.
	MaxMemory Bytes `yaml:"max_memory" default:"512MiB" min:"64KiB" max:"64GiB"`
	// MaxRead is how many values one reference of a policy may take out at once. Of
	// an object with more a policy may look up members, and count them.
	MaxRead int `yaml:"max_read" default:"100000" min:"100" max:"100000000"`
}

// Rows says how rows become data. With key [id], a row is the member named by
// its id; with [tenant, id], a member of the member named by its tenant.
type Rows struct {
	// Key are the columns that name a row. Required for SQL and LDAP; without it JSON
	// and YAML are taken as they are.
	Key []string `yaml:"key" example:"[id]"`
	// Value is the one column that is the row's value.
	Value string `yaml:"value" example:"owner" unset:"an object of all columns but the key's"`
	// Many collects the values of all rows with the same key in an array.
	Many bool `yaml:"many"`
	// Cursor is a column that grows with each change, such as updated_at: its
	// greatest value is what changes are asked for by.
	Cursor string `yaml:"cursor" example:"updated_at"`
	// Tombstone is a column that is true, or not null, in a row that was deleted.
	Tombstone string `yaml:"tombstone" example:"deleted_at"`
}

// SQLSource reads from a database, in read-only transactions.
type SQLSource struct {
	Rows `yaml:",inline"`
	// Driver of the database.
	Driver string `yaml:"driver" required:"true" enum:"postgres,sqlite" noun:"driver"`
	// DSN is how to reach PostgreSQL: a postgres:// URL.
	DSN Secret `yaml:"dsn" example:"${DATABASE_URL}"`
	// Path is the file of SQLite.
	Path string `yaml:"path" kind:"file" example:"app.db"`
	// Query that reads everything.
	Query string `yaml:"query" required:"true" example:"\"SELECT id, owner, updated_at FROM objects\""`
	// Changed is the query that reads what changed since a value of Cursor, its one
	// parameter: $1, or ? with SQLite. Of rows with Many it must give all of a key that changed.
	Changed string `yaml:"changed" example:"\"SELECT id, owner, updated_at FROM objects WHERE updated_at >= $1\"" unset:"every look reads everything"`
	// JSON are columns of text that hold JSON. PostgreSQL's json and jsonb need no mention.
	JSON []string `yaml:"json"`
}

// HTTPSource reads from a URL.
type HTTPSource struct {
	Rows `yaml:",inline"`
	// URL that answers with the data. An ETag is used.
	URL string `yaml:"url" required:"true" kind:"url" show:"origin" example:"https://directory.internal/owners"`
	// Format of the answer.
	Format string `yaml:"format" enum:"json,ndjson,csv" noun:"format" unset:"by its Content-Type"`
	// Pointer is the JSON pointer of the data within the answer.
	Pointer string `yaml:"pointer" example:"/items"`
	// Since is a parameter of the query that asks for what changed since a value of
	// Cursor, which is sent as it was received.
	Since string `yaml:"since" example:"since"`
	// Authorization is the value of the Authorization header, such as Bearer …
	Authorization Secret `yaml:"authorization" example:"${OWNERS_TOKEN}"`
	// CA is a PEM file of authorities that the server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Cert is a client certificate, a PEM file.
	Cert string `yaml:"cert" kind:"file"`
	// CertKey is the client certificate's key, a PEM file.
	CertKey string `yaml:"cert_key" kind:"file"`
	// MaxBytes is the longest answer, decompressed.
	MaxBytes Bytes `yaml:"max_bytes" default:"1GiB" min:"1KiB" max:"1TiB"`
}

// LDAPSource reads from a directory. Attributes are columns; dn is the entry's name.
type LDAPSource struct {
	// URL of the server: ldap:// or ldaps://.
	URL string `yaml:"url" required:"true" kind:"ldap-url" example:"ldaps://ldap.internal"`
	// StartTLS begins TLS on an ldap:// connection.
	StartTLS bool `yaml:"start_tls"`
	// CA is a PEM file of authorities that the server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// BindDN is who to bind as.
	BindDN string `yaml:"bind_dn" example:"\"cn=crenel,ou=services,dc=example,dc=com\"" unset:"anonymous"`
	// Password to bind with.
	Password Secret `yaml:"password" example:"${LDAP_PASSWORD}"`
	// Base under which entries are searched.
	Base string `yaml:"base" required:"true" example:"\"ou=people,dc=example,dc=com\""`
	// Filter of the entries (RFC 4515).
	Filter string `yaml:"filter" default:"(objectClass=*)" example:"(objectClass=inetOrgPerson)"`
	// Key is the attribute that names an entry's member.
	Key string `yaml:"key" default:"dn" example:"uid"`
	// Value is the one attribute that is the member's value.
	Value string `yaml:"value" unset:"an object of Attributes"`
	// Attributes that are read.
	Attributes []string `yaml:"attributes" required:"true" example:"[mail, memberOf]"`
	// Many are attributes that are arrays, whether an entry has one value or several;
	// of all others an entry may have but one.
	Many []string `yaml:"many" example:"[memberOf]"`
	// Names are attributes whose values are names of entries (DNs), of which only the
	// first part's value is kept: cn=admins,ou=groups becomes admins.
	Names []string `yaml:"names" example:"[memberOf]"`
	// Incremental asks by modifyTimestamp for what changed, and reads everything once
	// in Full, which finds what was deleted.
	Incremental bool `yaml:"incremental"`
	// Page is how many entries are asked for at once (RFC 2696).
	Page int `yaml:"page" default:"1000" min:"1" max:"100000"`
}

// FileSource reads from a file, when it changes.
type FileSource struct {
	Rows `yaml:",inline"`
	// Path of the file.
	Path string `yaml:"path" required:"true" kind:"file" example:"owners.ndjson"`
	// Format of the file.
	Format string `yaml:"format" enum:"json,ndjson,csv,yaml" noun:"format" unset:"by its ending"`
	// Pointer is the JSON pointer of the data within the file.
	Pointer string `yaml:"pointer" example:"/items"`
	// MaxBytes is the longest file.
	MaxBytes Bytes `yaml:"max_bytes" default:"1GiB" min:"1KiB" max:"1TiB"`
}
