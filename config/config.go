package config

import (
	"net/netip"
	"time"
)

// Config is a whole crenel.yaml.
type Config struct {
	// Version of this file's format.
	Version int `yaml:"version" default:"1" min:"1" max:"1"`
	// DataDir holds all that Crenel keeps: certificates, the event file, the control
	// socket. Relative to the config file.
	DataDir string `yaml:"data_dir" default:"crenel-data"`
	// Server is the listening side that all APIs share.
	Server Server `yaml:"server"`
	// Admin is the listener for health, metrics and status.
	Admin Admin `yaml:"admin"`
	// Trail is the record of every exchange.
	Trail Trail `yaml:"trail"`
	// State is what gateways share: revocations, replay marks, posture of devices.
	State State `yaml:"state"`
	// Signals is the Shared Signals receiver.
	Signals Signals `yaml:"signals"`
	// Log is the operator's log on standard error.
	Log Log `yaml:"log"`
	// Tracing sends OpenTelemetry traces.
	Tracing Tracing `yaml:"tracing"`
	// Alarms are told when something needs a person: a dependency is down, the
	// audit queue is full, a new config was refused.
	Alarms Alarms `yaml:"alarms"`
	// DecisionLog keeps what the policies decided, sealed, to be made again.
	DecisionLog DecisionLog `yaml:"decision_log"`
	// DecisionPoint answers services that ask the policies themselves.
	DecisionPoint DecisionPoint `yaml:"decision_point"`
	// APIs behind the gateway: at least one.
	APIs []API `yaml:"apis"`

	path        string
	places      places
	warnings    []Mistake
	secretFiles []string
}

// Path is the file that the config was read from, "" when it came from memory.
func (c *Config) Path() string { return c.path }

// SecretFiles are the files that secrets were read from, so that a change of one
// can be noticed.
func (c *Config) SecretFiles() []string { return c.secretFiles }

// Server is the listening side that all APIs share.
type Server struct {
	// Listen are the addresses served.
	Listen []string `yaml:"listen" default:":8443" kind:"addr" example:"[\":8443\", \"127.0.0.1:9443\"]"`
	// TLS is how the server shows itself.
	TLS TLS `yaml:"tls"`
	// Protocols are the versions of HTTP served. h3 needs TLS and is left out without it.
	Protocols []string `yaml:"protocols" default:"h1,h2,h3" enum:"h1,h2,h3"`
	// TrustedProxies may set X-Forwarded-For, -Proto, -Host, -Port and -Prefix: addresses or prefixes.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" example:"[10.0.0.0/8, 192.0.2.7]" unset:"none"`
	// ClientCertificate says how trusted proxies pass client certificates on.
	ClientCertificate *ForwardedCertificate `yaml:"client_certificate"`
	// Timeouts bound every wait.
	Timeouts Timeouts `yaml:"timeouts"`
	// Limits bound every size. Each API may set its own.
	Limits Limits `yaml:"limits"`
	// Recheck is how often open WebSockets, event streams and long answers are ruled on
	// again without an occasion such as a revocation.
	Recheck time.Duration `yaml:"recheck" default:"30s" min:"1s" max:"1h"`
}

// TLS is how the server shows itself.
type TLS struct {
	// Mode is "auto" (local CA for local names, ACME for public ones), "local"
	// (always the local CA), "files" (Certificates) or "off" (plain HTTP, for a
	// local try or behind a terminating proxy).
	Mode string `yaml:"mode" default:"auto" enum:"auto,local,files,off" noun:"mode"`
	// Certificates are served for the names in them. With mode auto they come before
	// the local CA and ACME.
	Certificates []Certificate `yaml:"certificates"`
	// Email is given to the ACME authority.
	Email string `yaml:"email" example:"ops@example.com"`
	// ACMEDirectory is the authority's directory URL.
	ACMEDirectory string `yaml:"acme_directory" kind:"url" example:"https://acme.example/directory" unset:"Let's Encrypt"`
	// MinVersion is the least version of TLS.
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3"`
	// ClientCA is a PEM file of authorities whose client certificates are accepted.
	ClientCA string `yaml:"client_ca" kind:"file"`
	// ClientAuth says whether a client may or must show a certificate of ClientCA.
	ClientAuth string `yaml:"client_auth" enum:"request,require" unset:"request, when client_ca is set"`
}

// Certificate is a certificate chain and its key, PEM files.
type Certificate struct {
	// Cert is a PEM file: the certificate and those between it and the authority.
	Cert string `yaml:"cert" required:"true" kind:"file"`
	// Key is a PEM file, readable by nobody else.
	Key string `yaml:"key" required:"true" kind:"file"`
}

// Timeouts bound every wait.
type Timeouts struct {
	// ReadHeader is how long a request's head may take.
	ReadHeader time.Duration `yaml:"read_header" default:"10s" min:"100ms" max:"5m"`
	// ReadBody is how long a request's body may take.
	ReadBody time.Duration `yaml:"read_body" default:"60s" min:"100ms" max:"1h"`
	// Write is how long an answer may take; 0 is without end, so that streams live.
	// Slow readers are bounded by Idle.
	Write time.Duration `yaml:"write" default:"0s" min:"0s" max:"24h"`
	// Idle is how long a connection may be silent.
	Idle time.Duration `yaml:"idle" default:"2m" min:"1s" max:"1h"`
	// Shutdown is the grace that running requests get when the gateway stops.
	Shutdown time.Duration `yaml:"shutdown" default:"30s" min:"0s" max:"1h"`
}

// Limits bound every size. Each API may set its own body limits.
type Limits struct {
	// URI is the longest request target.
	URI int `yaml:"uri" default:"8KiB" min:"64" max:"1MiB" unit:"bytes"`
	// HeaderBytes is the largest header section.
	HeaderBytes int `yaml:"header_bytes" default:"64KiB" min:"1KiB" max:"16MiB" unit:"bytes"`
	// HeaderCount is the most header fields.
	HeaderCount int `yaml:"header_count" default:"100" min:"1" max:"10000"`
	// Body is the largest request body that is buffered and inspected.
	Body Bytes `yaml:"body" default:"1MiB" min:"1" max:"1GiB"`
	// Upload is the largest request body that is streamed.
	Upload Bytes `yaml:"upload" default:"64MiB" min:"1" max:"1TiB"`
	// Response is the largest answer that is buffered when a guard must see it whole.
	Response Bytes `yaml:"response" default:"4MiB" min:"1" max:"1GiB"`
	// Depth is the deepest nesting of a document.
	Depth int `yaml:"depth" default:"64" min:"1" max:"1000"`
	// Values is the most values in a document.
	Values int `yaml:"values" default:"100000" min:"1" max:"10000000"`
	// Keys is the most members of one object, and the most parts of a multipart body.
	Keys int `yaml:"keys" default:"1000" min:"1" max:"1000000"`
	// Items is the most elements of one array.
	Items int `yaml:"items" default:"10000" min:"1" max:"10000000"`
	// String is the longest string in a document.
	String Bytes `yaml:"string" default:"1MiB" min:"1" max:"1GiB"`
	// Ratio is how many times larger a compressed body may become.
	Ratio int `yaml:"ratio" default:"20" min:"1" max:"1000"`
	// Concurrent is the most requests served at once; beyond it clients get 503.
	Concurrent int `yaml:"concurrent" default:"10000" min:"1" max:"1000000"`
	// Connections is the most open at once. When all are taken, the address that has
	// the most gives one up for a newcomer that has fewer.
	Connections int `yaml:"connections" default:"8192" min:"1" max:"1000000"`
	// ConnectionsPerAddress is the most of one IPv4 address or IPv6 /64 at once;
	// trusted proxies have none.
	ConnectionsPerAddress int `yaml:"connections_per_address" default:"1024" min:"1" max:"1000000"`
	// Memory is the most that all buffered request bodies and held answers, with
	// their decoded trees, may take together; beyond it clients get 503.
	Memory Bytes `yaml:"memory" default:"512MiB" min:"1MiB" max:"1TiB"`
}

// Bytes is a size, written as a number or with a unit: 512, 64KiB, 1MiB.
type Bytes int64

// Admin is the listener for health, metrics and status.
type Admin struct {
	// Listen is the address of /healthz, /readyz and /metrics; off turns it off.
	Listen string `yaml:"listen" default:"127.0.0.1:9901"`
}

// Trail is the record of every exchange.
type Trail struct {
	// File takes one JSON line an event, appended. Relative to DataDir.
	File string `yaml:"file" default:"events.jsonl"`
	// Audit is "default" (the decision is queued before the first byte of the answer)
	// or "strict" (the answer waits until the decision is on disk).
	Audit string `yaml:"audit" default:"default" enum:"default,strict"`
	// Queue is how many records may wait; when it is full new requests get 503.
	Queue int `yaml:"queue" default:"8192" min:"1" max:"1048576"`
	// Rotate starts a new file at this size.
	Rotate Bytes `yaml:"rotate" default:"256MiB" min:"1MiB" max:"1TiB"`
	// Keep is how many rotated files are kept; 0 keeps all.
	Keep int `yaml:"keep" default:"0" min:"0" max:"100000"`
}

// Log is the operator's log on standard error.
type Log struct {
	// Level is the least that is logged.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error" noun:"level"`
	// Format of a line.
	Format string `yaml:"format" default:"text" enum:"text,json" noun:"format"`
}

// Tracing sends OpenTelemetry traces.
type Tracing struct {
	// Endpoint is the OTLP/HTTP collector.
	Endpoint string `yaml:"endpoint" kind:"url" example:"http://127.0.0.1:4318" unset:"no tracing"`
	// Sample is the share of requests traced.
	Sample float64 `yaml:"sample" default:"0.1" min:"0" max:"1"`
}

// Alarms says who is told.
type Alarms struct {
	// Webhook is sent a JSON document by POST for each alarm.
	Webhook string `yaml:"webhook" kind:"url" show:"origin" example:"${ALARM_WEBHOOK}" unset:"none"`
	// Every is the least time between two alarms of one kind.
	Every time.Duration `yaml:"every" default:"1m" min:"1s" max:"24h"`
}

// API is one API behind the gateway.
type API struct {
	// Name of the API in records, metrics and messages.
	Name string `yaml:"name" required:"true" example:"petshop"`
	// Hosts the API answers to. The hosts of the document's servers are not used.
	Hosts []string `yaml:"hosts" kind:"host" example:"[api.example.com]" unset:"every host"`
	// BasePath under which the document's paths lie at the gateway.
	BasePath *string `yaml:"base_path" kind:"path" example:"/v1" unset:"the path of the document's first server"`
	// PublicURL is the API's base as clients see it, where something in front of the
	// gateway changes scheme, host or path: what proofs and signatures are made for.
	PublicURL string `yaml:"public_url" kind:"url" example:"https://api.example.com/v1" unset:"as the request says, and trusted_proxies forward"`
	// Spec is the OpenAPI document: a file, relative to the config, or a URL. Required
	// unless guard contract is off.
	Spec string `yaml:"spec" kind:"file-or-url" example:"openapi.yaml"`
	// RemoteRefs lets the document's $ref reach other hosts while it is loaded.
	RemoteRefs bool `yaml:"remote_refs"`
	// Upstream is the API's own servers.
	Upstream Upstream `yaml:"upstream"`
	// Mode is for every guard that sets none: "monitor" rules, records and lets pass.
	Mode string `yaml:"mode" default:"enforce" enum:"off,monitor,enforce" noun:"mode"`
	// Limits override the server's for this API.
	Limits *Limits `yaml:"limits" inherit:"server.limits" unset:"the server's"`
	// CORS is answered by the gateway, before authentication.
	CORS *CORS `yaml:"cors"`
	// AllowedOrigins may open WebSockets, make writes with cookies or client certificates, and be let
	// in with credentials by the API's own CORS answers, beside the API's own origin.
	AllowedOrigins []string `yaml:"allowed_origins" kind:"origin" example:"[https://app.example.com]"`
	// Login logs the users of web front ends in.
	Login *Login `yaml:"login"`
	// Guards are the guards' own settings.
	Guards Guards `yaml:"guards"`
	// Operations override settings for single operations.
	Operations []OperationOverride `yaml:"operations"`
}

// Upstream is the API's own servers.
type Upstream struct {
	// URLs of the servers: http://, https:// or h2c://, one scheme for all. Required.
	URLs []string `yaml:"urls" example:"[http://127.0.0.1:9000]"`
	// Balance is how a server is chosen.
	Balance string `yaml:"balance" default:"round_robin" enum:"round_robin,least_conn,random,first,ip_hash"`
	// StripBasePath sends the path without BasePath.
	StripBasePath bool `yaml:"strip_base_path"`
	// Host is the Host header sent upstream.
	Host string `yaml:"host" kind:"hostport" unset:"the client's"`
	// TLS is TLS towards the upstream.
	TLS UpstreamTLS `yaml:"tls"`
	// Health is how a sick server is noticed.
	Health Health `yaml:"health"`
	// Dial is how long connecting may take.
	Dial time.Duration `yaml:"dial_timeout" default:"5s" min:"10ms" max:"5m"`
	// Response is how long the answer's head may take.
	Response time.Duration `yaml:"response_timeout" default:"30s" min:"10ms" max:"1h"`
	// Credentials says what becomes of the client's credentials: passed as sent, or stripped.
	Credentials string `yaml:"credentials" enum:"pass,strip" unset:"pass where the API issues its own, else strip"`
	// Sign adds a signed header by which the upstream can refuse whoever comes
	// around the gateway.
	Sign *Sign `yaml:"sign"`
	// Token is an access token that the gateway puts into the requests.
	Token *UpstreamToken `yaml:"token"`
}

// UpstreamTLS is TLS towards the upstream.
type UpstreamTLS struct {
	// CA is a PEM file of authorities that the upstream is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Cert is the client certificate, a PEM file.
	Cert string `yaml:"cert" kind:"file"`
	// Key is the client certificate's key, a PEM file.
	Key string `yaml:"key" kind:"file"`
	// Name is the server name to verify.
	Name string `yaml:"name" unset:"the URL's host"`
	// InsecureSkipVerify turns verification off. Reported by config check.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Health is how a sick upstream is noticed.
type Health struct {
	// Path is asked for again and again by an active check. Without it only failed
	// requests tell (passive checks).
	Path string `yaml:"path" kind:"path" example:"/healthz" unset:"passive checks only"`
	// Interval between two active checks.
	Interval time.Duration `yaml:"interval" default:"10s" min:"100ms" max:"1h"`
	// Timeout of an active check.
	Timeout time.Duration `yaml:"timeout" default:"2s" min:"10ms" max:"10m"`
	// Fails is how many failed requests leave a server out.
	Fails int `yaml:"fails" default:"3" min:"1" max:"10000"`
	// FailFor is how long a failed request counts.
	FailFor time.Duration `yaml:"fail_for" default:"10s" min:"100ms" max:"1h"`
}

// Sign is the signed header towards the upstream.
type Sign struct {
	// Key is an HMAC-SHA-256 secret of at least 32 bytes.
	Key Secret `yaml:"key" required:"true" example:"${CRENEL_SIGNING_KEY}"`
	// Header is its name.
	Header string `yaml:"header" default:"X-Crenel-Signature" kind:"header"`
}

// CORS is answered by the gateway, before authentication.
type CORS struct {
	// Origins that may call; "*" only without Credentials.
	Origins []string `yaml:"origins" required:"true" kind:"cors-origin" example:"[https://app.example.com]"`
	// Methods that may be called.
	Methods []string `yaml:"methods" kind:"method" unset:"those of the operation"`
	// Headers that may be sent.
	Headers []string `yaml:"headers" default:"Authorization,Content-Type" kind:"header"`
	// Expose are the answer headers that scripts may read.
	Expose []string `yaml:"expose" kind:"header"`
	// Credentials lets browsers send cookies and authorization.
	Credentials bool `yaml:"credentials"`
	// MaxAge is how long a browser may remember the answer.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"0s" max:"24h"`
}

// OperationOverride changes settings for the operations that it matches.
type OperationOverride struct {
	// Operation is an operationId, or "METHOD /path/template" with * for any run of characters.
	Operation string `yaml:"operation" required:"true" example:"\"POST /login*\""`
	// Mode for all guards of these operations.
	Mode string `yaml:"mode" enum:"off,monitor,enforce" noun:"mode"`
	// Modes by guard name.
	Modes map[string]string `yaml:"modes" enum:"off,monitor,enforce" noun:"mode" example:"{waf: monitor}"`
	// BodyLimit is the largest request body of these operations.
	BodyLimit Bytes `yaml:"body_limit" min:"1" max:"1TiB"`
	// Responses says what becomes of these operations' answers that are not what the document says.
	Responses string `yaml:"responses" enum:"off,record,strip,refuse"`
	// Public lets these operations be called without credentials, whatever the document says.
	Public *bool `yaml:"public"`
	// Roles of which the caller must hold one.
	Roles []string `yaml:"roles"`
	// StepUp is how the caller must have signed in.
	StepUp *StepUp `yaml:"step_up"`
	// Ends is what a success of these operations takes back, such as a logout's: the credential
	// of the call, all of its session, or all that its subject was given until then.
	Ends string `yaml:"ends" enum:"credential,session,subject"`
	// Rates in addition to the API's.
	Rates []Rate `yaml:"rates"`
	// Cost is how many requests a call counts as, for all rates; 0 counts none.
	Cost *int `yaml:"cost" min:"0" max:"1000000" unset:"1"`
	// Login marks operations at which passwords or codes can be guessed.
	Login *LoginOperation `yaml:"login"`
	// Priority says which calls go first when the upstream has no room for all.
	Priority string `yaml:"priority" enum:"low,normal,high" unset:"normal"`
	// WritableBy maps a body field's JSON pointer to the roles that may write it.
	WritableBy map[string][]string `yaml:"writable_by" example:"{/status: [admin]}"`
}

// Guards are the guards' own settings.
type Guards struct {
	// Contract checks calls against the OpenAPI document.
	Contract Contract `yaml:"contract"`
	// Authn finds out who is calling.
	Authn Authn `yaml:"authn"`
	// Authz decides with Open Policy Agent.
	Authz Authz `yaml:"authz"`
	// Limit bounds how much.
	Limit Limit `yaml:"limit"`
	// WAF inspects for attacks with the OWASP Core Rule Set.
	WAF WAF `yaml:"waf"`
	// Upload checks that files are what they say they are.
	Upload Upload `yaml:"upload"`
}

// GuardCommon is what each guard has.
type GuardCommon struct {
	// Mode of this guard.
	Mode string `yaml:"mode" enum:"off,monitor,enforce" noun:"mode" unset:"the API's"`
	// Fail says what becomes of a call when the guard cannot decide.
	Fail string `yaml:"fail" default:"closed" enum:"closed,open"`
}

// Contract checks calls against the OpenAPI document.
type Contract struct {
	GuardCommon `yaml:",inline"`
	// UnknownProperties of a body that the document does not declare (mass assignment).
	UnknownProperties string `yaml:"unknown_properties" default:"refuse" enum:"refuse,allow"`
	// UnknownParameters of the query that the document does not declare. Header fields
	// that it does not declare always pass.
	UnknownParameters string `yaml:"unknown_parameters" default:"refuse" enum:"refuse,allow"`
	// Responses that are not what the document says are let pass and recorded, stripped
	// of what is not in the schema, or refused.
	Responses string `yaml:"responses" default:"record" enum:"off,record,strip,refuse"`
	// Undocumented says what becomes of calls to paths that the document lacks.
	Undocumented string `yaml:"undocumented" default:"refuse" enum:"refuse,allow"`
}

// Authn finds out who is calling.
type Authn struct {
	GuardCommon `yaml:",inline"`
	// Methods are tried by what the request carries. At least one for an API
	// with protected operations.
	Methods []AuthnMethod `yaml:"methods"`
	// ClockSkew allowed on exp and nbf.
	ClockSkew time.Duration `yaml:"clock_skew" default:"30s" min:"1s" max:"5m"`
	// Resource publishes where clients get tokens for this API (RFC 9728).
	Resource *Resource `yaml:"resource"`
	// TokenSize is the largest credential that is read. The header section's own limit holds too.
	TokenSize Bytes `yaml:"token_size" default:"16KiB" min:"256" max:"256KiB"`
}

// AuthnMethod is exactly one of its fields.
type AuthnMethod struct {
	// Schemes are the names of the document's security schemes that this method satisfies.
	Schemes []string `yaml:"schemes" unset:"all that fit its kind"`
	// JWT verifies tokens of one issuer.
	JWT *JWTMethod `yaml:"jwt"`
	// Introspection asks an authorization server about tokens.
	Introspection *Introspection `yaml:"introspection"`
	// APIKey verifies Crenel's own API keys.
	APIKey *KeyMethod `yaml:"api_key"`
	// Own is a credential that the API issues and checks itself.
	Own *OwnMethod `yaml:"own"`
	// MTLS takes client certificates.
	MTLS *MTLSMethod `yaml:"mtls"`
	// Signature verifies signed requests of partners (RFC 9421).
	Signature *SignatureMethod `yaml:"signature"`
	// Session is the session of a browser that logged in at the gateway.
	Session *SessionMethod `yaml:"session"`
}

// JWTMethod verifies bearer JWTs of one issuer.
type JWTMethod struct {
	// Issuer is the expected iss. Without JWKS and Secret its keys are found by OIDC discovery.
	Issuer     string `yaml:"issuer" example:"https://id.example.com"`
	IssuerKeys `yaml:",inline"`
	// JWKS is a key set: a file, relative to the config, or a URL.
	JWKS string `yaml:"jwks" kind:"file-or-url" example:"https://id.example.com/jwks.json"`
	// Secret is the HMAC key of an API that signs its own tokens so; at least 32 bytes.
	Secret Secret `yaml:"secret" example:"${JWT_SECRET}"`
	// Audience of which one must be in aud. Reported by config check when empty.
	Audience []string `yaml:"audience"`
	// Algorithms allowed. HMAC ones need Secret, the others a key set.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,HS256,HS384,HS512" noun:"algorithm" unset:"RS256, PS256, ES256, EdDSA; with a secret HS256"`
	// Type are the allowed values of typ.
	Type []string `yaml:"type" unset:"any but those of other kinds of token"`
	// Header that carries the token.
	Header string `yaml:"header" kind:"header" unset:"Authorization, unless cookie is set"`
	// Prefix is the word before the token.
	Prefix *string `yaml:"prefix" unset:"Bearer in Authorization, else none"`
	// Cookie that carries the token, instead of a header.
	Cookie string `yaml:"cookie" kind:"cookie"`
	// Claims names the claims that an identity is read from.
	Claims Claims `yaml:"claims"`
	// DPoP says how tokens are taken that are bound to a key of the caller (RFC 9449).
	DPoP *DPoP `yaml:"dpop"`
	// IDTokens takes ID tokens for access too. They are made for a client, not for an
	// API: reported by config check.
	IDTokens bool `yaml:"id_tokens"`
	// RequireExp refuses tokens that never expire.
	RequireExp *bool `yaml:"require_exp" default:"true"`
}

// Claims names the claims that an identity is read from; dots descend.
type Claims struct {
	// Subject is the claim that names the caller.
	Subject string `yaml:"subject" default:"sub"`
	// Roles is the claim with the caller's roles.
	Roles string `yaml:"roles" default:"roles"`
	// Tenant is the claim with the caller's tenant.
	Tenant string `yaml:"tenant"`
	// Scope is the claim with the granted scopes.
	Scope string `yaml:"scope" unset:"scope, then scp"`
}

// KeyMethod verifies Crenel's own API keys, or a list of hashed keys.
type KeyMethod struct {
	// Header that carries the key.
	Header string `yaml:"header" kind:"header" unset:"where the scheme says, else X-API-Key"`
	// Query parameter that carries the key. Reported by config check: URLs are logged.
	Query string `yaml:"query"`
	// Cookie that carries the key.
	Cookie string `yaml:"cookie" kind:"cookie"`
	// File of hashed keys. Made by crenel keys create.
	File string `yaml:"file" required:"true" kind:"file" example:"keys.yaml"`
}

// OwnMethod is a credential that the API issues and checks itself: it must be
// present and is passed on, unverified unless the API is asked whose it is.
type OwnMethod struct {
	// Header that carries the credential.
	Header string `yaml:"header" kind:"header"`
	// Prefix that the header's value must have, such as Bearer.
	Prefix string `yaml:"prefix"`
	// Cookie that carries the credential.
	Cookie string `yaml:"cookie" kind:"cookie"`
	// Query parameter that carries the credential.
	Query string `yaml:"query"`
	// WhoAmI asks the API who the caller is, so that limits, policies and records
	// know. Without it the caller is only known by the credential's digest.
	WhoAmI *WhoAmI `yaml:"who_am_i"`
}

// Authz decides with Open Policy Agent.
type Authz struct {
	GuardCommon `yaml:",inline"`
	// Policies are Rego files or directories. Without them the document's security alone decides.
	Policies []string `yaml:"policies" kind:"files" example:"[policies/]" unset:"the built-in policy"`
	// Data are JSON or YAML files or directories, as OPA loads them.
	Data []string `yaml:"data" kind:"files"`
	// Sources are data that are kept up to date: users, roles, objects, owners.
	Sources []Source `yaml:"sources"`
	// Bundles are OPA bundles: policies and data from servers, registries and archives.
	Bundles []Bundle `yaml:"bundles"`
	// Query is the rule that decides.
	Query string `yaml:"query" default:"data.crenel.authz.decision"`
	// Timeout of one evaluation.
	Timeout time.Duration `yaml:"timeout" default:"50ms" min:"1ms" max:"10s"`
	// Body gives the policy the decoded body.
	Body *bool `yaml:"body" default:"true"`
	// Shadow is a candidate policy that decides beside the active one.
	Shadow AuthzShadow `yaml:"shadow"`
	// Activation bounds what a new policy may change.
	Activation AuthzActivation `yaml:"activation"`
	// Filters have lists hold only what the policy lets the caller see.
	Filters []AuthzFilter `yaml:"filters"`
	// MaskKey is the key of masks of the kind hash, so that gateways make the same.
	MaskKey Secret `yaml:"mask_key" example:"${CRENEL_MASK_KEY}" unset:"a random one at each start"`
}

// Upload checks that files are what they say they are.
type Upload struct {
	GuardCommon `yaml:",inline"`
	// Types are media types of files taken by every operation beside those that the
	// document names: "application/pdf", "image/*". Programs, scripts and HTML must be
	// named in full here or in the document.
	Types []string `yaml:"types" example:"[application/pdf]"`
}

// WAF inspects for attacks with the OWASP Core Rule Set.
type WAF struct {
	GuardCommon `yaml:",inline"`
	// Inspection says whose verdict counts: exact is the rule set's own on everything, tuned
	// leaves out what the contract has settled and weighs rules by what they read.
	Inspection string `yaml:"inspection" default:"tuned" enum:"tuned,exact"`
	// Paranoia is the rule set's level: higher finds more and is wrong more often.
	Paranoia int `yaml:"paranoia" default:"1" min:"1" max:"4"`
	// Threshold is the inbound anomaly score that denies.
	Threshold int `yaml:"threshold" default:"5" min:"1" max:"1000"`
	// Operations are judged by another level or threshold than the rest of the API.
	Operations []WAFOperation `yaml:"operations"`
	// Skip is fields that are not inspected, as "OPERATION AT", such as "createNote /text".
	Skip []string `yaml:"skip" example:"[\"createNote /text\"]"`
	// Exclusions silence rules where they are wrong. crenel waf allow writes them.
	Exclusions []WAFExclusion `yaml:"exclusions"`
	// Rules are files of further SecLang rules: SecRule, SecAction, SecMarker, SecRuleRemoveById.
	Rules []string `yaml:"rules" kind:"file"`
	// Directives are such rules, written here. Write $$ for a dollar sign before a brace.
	Directives string `yaml:"directives"`
	// Value is the longest value inspected whole: see Over.
	Value Bytes `yaml:"value" default:"64KiB" min:"64" max:"16MiB"`
	// Values is how many values of one request are inspected: see Over.
	Values int `yaml:"values" default:"1000" min:"1" max:"100000"`
	// Budget is what one inspection may cost, by an estimate made before it: the time that
	// the engine takes on one core for the values that the triage could not clear.
	Budget time.Duration `yaml:"budget" default:"20ms" min:"1ms" max:"1m"`
	// Over says what becomes of a request beyond Value, Values or Budget: it is refused,
	// or as much of it is inspected as the budget allows, first what looks worst.
	Over string `yaml:"over" default:"refuse" enum:"refuse,sample"`
	// Timeout is how long one inspection may take in fact, with its wait for a
	// processor; one that takes longer is refused.
	Timeout time.Duration `yaml:"timeout" default:"1s" min:"1ms" max:"1m"`
	// AllowURLs are hosts ("hooks.internal", "*.svc.example", "10.0.0.5:8080") or URL
	// prefixes ("http://10.0.0.5:8080/hooks/") in private networks that requests may name.
	AllowURLs []string `yaml:"allow_urls" example:"[\"hooks.internal\"]"`
}
