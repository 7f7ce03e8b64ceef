package config

import (
	"net/netip"
	"time"
)

// Config is a whole crenel.yaml.
type Config struct {
	// Version of this file's format. 1 is the only one.
	Version int `yaml:"version" default:"1" min:"1" max:"1"`
	// DataDir holds all that Crenel keeps: certificates, the event file, the
	// control socket. Relative to the config file. Default: "crenel-data".
	DataDir string  `yaml:"data_dir" default:"crenel-data"`
	Server  Server  `yaml:"server"`
	Admin   Admin   `yaml:"admin"`
	Trail   Trail   `yaml:"trail"`
	Log     Log     `yaml:"log"`
	Tracing Tracing `yaml:"tracing"`
	// Alarms are told when something needs a person: a dependency is down, the
	// audit queue is full, a new config was refused.
	Alarms Alarms `yaml:"alarms"`
	APIs   []API  `yaml:"apis"`

	path     string
	places   places
	warnings []Mistake
}

// Path is the file that the config was read from, "" when it came from memory.
func (c *Config) Path() string { return c.path }

// Server is the listening side that all APIs share.
type Server struct {
	// Listen are the addresses served. Default: ":8443".
	Listen []string `yaml:"listen" default:":8443" kind:"addr" example:"[\":8443\", \"127.0.0.1:9443\"]"`
	TLS    TLS      `yaml:"tls"`
	// Protocols: any of "h1", "h2", "h3". Default: all three.
	Protocols []string `yaml:"protocols" default:"h1,h2,h3" enum:"h1,h2,h3"`
	// TrustedProxies may set X-Forwarded-For and Forwarded. Default: none.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" example:"[10.0.0.0/8, 192.0.2.7]"`
	Timeouts       Timeouts       `yaml:"timeouts"`
	Limits         Limits         `yaml:"limits"`
}

// TLS is how the server shows itself.
type TLS struct {
	// Mode is "auto" (local CA for local names, ACME for public ones), "local"
	// (always the local CA), "files" (Certificates) or "off" (plain HTTP, for a
	// local try or behind a terminating proxy). Default: "auto".
	Mode         string        `yaml:"mode" default:"auto" enum:"auto,local,files,off" noun:"mode"`
	Certificates []Certificate `yaml:"certificates"`
	// Email is given to the ACME authority.
	Email string `yaml:"email" example:"ops@example.com"`
	// ACMEDirectory is the authority's directory URL. Default: Let's Encrypt.
	ACMEDirectory string `yaml:"acme_directory" kind:"url" example:"https://acme.example/directory"`
	// MinVersion is "1.2" or "1.3". Default: "1.2".
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3"`
	// ClientCA is a PEM file of authorities whose client certificates are accepted.
	ClientCA string `yaml:"client_ca" kind:"file"`
	// ClientAuth is "request" or "require" when ClientCA is set. Default: "request".
	ClientAuth string `yaml:"client_auth" enum:"request,require"`
}

// Certificate is a certificate chain and its key, PEM files.
type Certificate struct {
	Cert string `yaml:"cert" required:"true" kind:"file"`
	Key  string `yaml:"key" required:"true" kind:"file"`
}

// Timeouts bound every wait.
type Timeouts struct {
	ReadHeader time.Duration `yaml:"read_header" default:"10s" min:"100ms" max:"5m"` // default 10s
	ReadBody   time.Duration `yaml:"read_body" default:"60s" min:"100ms" max:"1h"`   // default 60s
	Write      time.Duration `yaml:"write" default:"0s" min:"0s" max:"24h"`          // default 0: none, so that streams live; slow readers are bounded by Idle
	Idle       time.Duration `yaml:"idle" default:"2m" min:"1s" max:"1h"`            // default 2m
	Shutdown   time.Duration `yaml:"shutdown" default:"30s" min:"0s" max:"1h"`       // grace for running requests; default 30s
}

// Limits bound every size. Each API may set its own body limits.
type Limits struct {
	URI         int   `yaml:"uri" default:"8KiB" min:"64" max:"1MiB" unit:"bytes"`              // bytes of the request target; default 8KiB
	HeaderBytes int   `yaml:"header_bytes" default:"64KiB" min:"1KiB" max:"16MiB" unit:"bytes"` // default 64KiB
	HeaderCount int   `yaml:"header_count" default:"100" min:"1" max:"10000"`                   // default 100
	Body        Bytes `yaml:"body" default:"1MiB" min:"1" max:"1GiB"`                           // buffered request body; default 1MiB
	Upload      Bytes `yaml:"upload" default:"64MiB" min:"1" max:"1TiB"`                        // streamed request body; default 64MiB
	Response    Bytes `yaml:"response" default:"4MiB" min:"1" max:"1GiB"`                       // buffered answer when a guard needs it; default 4MiB
	Depth       int   `yaml:"depth" default:"64" min:"1" max:"1000"`                            // nesting of a document; default 64
	Values      int   `yaml:"values" default:"100000" min:"1" max:"10000000"`                   // values in a document; default 100000
	Keys        int   `yaml:"keys" default:"1000" min:"1" max:"1000000"`                        // members of one object; default 1000
	Items       int   `yaml:"items" default:"10000" min:"1" max:"10000000"`                     // elements of one array; default 10000
	String      Bytes `yaml:"string" default:"1MiB" min:"1" max:"1GiB"`                         // one string in a document; default 1MiB
	// Ratio is how many times larger a compressed body may become. Default 20.
	Ratio int `yaml:"ratio" default:"20" min:"1" max:"1000"`
	// Requests served at once; beyond it 503. Default 10000.
	Concurrent int `yaml:"concurrent" default:"10000" min:"1" max:"1000000"`
}

// Bytes is a size, written as a number or with a unit: 512, 64KiB, 1MiB.
type Bytes int64

// Admin is the listener for health, metrics and status.
type Admin struct {
	// Listen is the address of /healthz, /readyz and /metrics. Default:
	// "127.0.0.1:9901". "off" turns it off.
	Listen string `yaml:"listen" default:"127.0.0.1:9901"`
}

// Trail is the record of every exchange.
type Trail struct {
	// File takes one JSON line an event, appended. Default: "events.jsonl" in DataDir.
	File string `yaml:"file" default:"events.jsonl"`
	// Audit is "default" (the decision is queued before the first byte of the
	// answer) or "strict" (the answer waits until the decision is on disk).
	Audit string `yaml:"audit" default:"default" enum:"default,strict"`
	// Queue is how many records may wait; when it is full new requests get 503. Default 8192.
	Queue int `yaml:"queue" default:"8192" min:"1" max:"1048576"`
	// Rotate starts a new file at this size. Default 256MiB.
	Rotate Bytes `yaml:"rotate" default:"256MiB" min:"1MiB" max:"1TiB"`
	// Keep is how many rotated files are kept; 0 keeps all. Default 0.
	Keep int `yaml:"keep" default:"0" min:"0" max:"100000"`
}

// Log is the operator's log on standard error.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" noun:"level"` // "debug", "info", "warn", "error"; default "info"
	Format string `yaml:"format" default:"text" enum:"text,json" noun:"format"`           // "text" or "json"; default "text"
}

// Tracing sends OpenTelemetry traces.
type Tracing struct {
	// Endpoint is the OTLP/HTTP collector, such as http://127.0.0.1:4318. Empty: no tracing.
	Endpoint string `yaml:"endpoint" kind:"url" example:"http://127.0.0.1:4318"`
	// Sample is the share of requests traced, 0 to 1. Default 0.1.
	Sample float64 `yaml:"sample" default:"0.1" min:"0" max:"1"`
}

// Alarms says who is told.
type Alarms struct {
	// Webhook is sent a JSON document by POST for each alarm.
	Webhook string `yaml:"webhook" kind:"url" show:"origin" example:"${ALARM_WEBHOOK}"`
	// Every is the least time between two alarms of one kind. Default 1m.
	Every time.Duration `yaml:"every" default:"1m" min:"1s" max:"24h"`
}

// API is one API behind the gateway.
type API struct {
	Name string `yaml:"name" required:"true" example:"petshop"`
	// Hosts the API answers to. Default: the hosts of the document's servers
	// are not used; an empty list answers to every host.
	Hosts []string `yaml:"hosts" kind:"host" example:"[api.example.com]"`
	// BasePath under which the document's paths lie at the gateway. Default: the
	// path of the document's first server.
	BasePath *string `yaml:"base_path" kind:"path" example:"/v1"`
	// Spec is the OpenAPI document: a file, relative to the config, or a URL.
	Spec string `yaml:"spec" kind:"file-or-url" example:"openapi.yaml"`
	// RemoteRefs lets the document's $ref reach other hosts while it is loaded.
	RemoteRefs bool     `yaml:"remote_refs"`
	Upstream   Upstream `yaml:"upstream"`
	// Mode is for every guard that sets none: "off", "monitor" or "enforce". Default "enforce".
	Mode string `yaml:"mode" default:"enforce" enum:"off,monitor,enforce" noun:"mode"`
	// Limits override the server's for this API.
	Limits *Limits `yaml:"limits" inherit:"server.limits"`
	CORS   *CORS   `yaml:"cors"`
	// WebSocketOrigins may open WebSockets and make cookie-authenticated writes
	// beside the API's own origin.
	AllowedOrigins []string `yaml:"allowed_origins" kind:"origin" example:"[https://app.example.com]"`
	Guards         Guards   `yaml:"guards"`
	// Operations override settings for single operations.
	Operations []OperationOverride `yaml:"operations"`
}

// Upstream is the API's own servers.
type Upstream struct {
	// URLs of the servers: http://, https:// or h2c://, one scheme for all.
	URLs []string `yaml:"urls" example:"[http://127.0.0.1:9000]"`
	// Balance is "round_robin", "least_conn", "random", "first", "ip_hash". Default "round_robin".
	Balance string `yaml:"balance" default:"round_robin" enum:"round_robin,least_conn,random,first,ip_hash"`
	// StripBasePath sends the path without BasePath.
	StripBasePath bool `yaml:"strip_base_path"`
	// Host sent upstream. Default: the client's.
	Host     string        `yaml:"host" kind:"hostport"`
	TLS      UpstreamTLS   `yaml:"tls"`
	Health   Health        `yaml:"health"`
	Dial     time.Duration `yaml:"dial_timeout" default:"5s" min:"10ms" max:"5m"`      // default 5s
	Response time.Duration `yaml:"response_timeout" default:"30s" min:"10ms" max:"1h"` // to the answer's head; default 30s
	// Credentials says what becomes of the client's credentials: "pass" (as sent)
	// or "strip". Default "pass" where the API issues its own, else "strip".
	Credentials string `yaml:"credentials" enum:"pass,strip"`
	// Sign adds a signed header by which the upstream can refuse whoever comes
	// around the gateway.
	Sign *Sign `yaml:"sign"`
}

// UpstreamTLS is TLS towards the upstream.
type UpstreamTLS struct {
	CA   string `yaml:"ca" kind:"file"`   // PEM file of authorities; default: the system's
	Cert string `yaml:"cert" kind:"file"` // client certificate
	Key  string `yaml:"key" kind:"file"`
	Name string `yaml:"name"` // server name to verify; default: the URL's host
	// InsecureSkipVerify turns verification off. Reported by config check.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Health is how a sick upstream is noticed.
type Health struct {
	Path     string        `yaml:"path" kind:"path" example:"/healthz"`         // active check; empty: passive only
	Interval time.Duration `yaml:"interval" default:"10s" min:"100ms" max:"1h"` // default 10s
	Timeout  time.Duration `yaml:"timeout" default:"2s" min:"10ms" max:"10m"`   // default 2s
	Fails    int           `yaml:"fails" default:"3" min:"1" max:"10000"`       // passive: failures before a server is left out; default 3
	FailFor  time.Duration `yaml:"fail_for" default:"10s" min:"100ms" max:"1h"` // passive: how long a failure counts; default 10s
}

// Sign is the signed header towards the upstream.
type Sign struct {
	// Key is an HMAC-SHA-256 secret of at least 32 bytes.
	Key Secret `yaml:"key" required:"true" example:"${CRENEL_SIGNING_KEY}"`
	// Header is its name. Default "X-Crenel-Signature".
	Header string `yaml:"header" default:"X-Crenel-Signature" kind:"header"`
}

// CORS is answered by the gateway, before authentication.
type CORS struct {
	Origins     []string      `yaml:"origins" required:"true" kind:"cors-origin" example:"[https://app.example.com]"` // exact origins; "*" only without Credentials
	Methods     []string      `yaml:"methods" kind:"method"`                                                          // default: those of the operation
	Headers     []string      `yaml:"headers" default:"Authorization,Content-Type" kind:"header"`                     // default: Authorization, Content-Type
	Expose      []string      `yaml:"expose" kind:"header"`
	Credentials bool          `yaml:"credentials"`
	MaxAge      time.Duration `yaml:"max_age" default:"10m" min:"0s" max:"24h"` // default 10m
}

// OperationOverride changes settings for the operations that it matches.
type OperationOverride struct {
	// Operation is an operationId, or "METHOD /path/template" with * for any run of characters.
	Operation string `yaml:"operation" required:"true" example:"\"POST /login*\""`
	// Mode for all guards of these operations.
	Mode string `yaml:"mode" enum:"off,monitor,enforce" noun:"mode"`
	// Modes by guard name.
	Modes map[string]string `yaml:"modes" enum:"off,monitor,enforce" noun:"mode" example:"{waf: monitor}"`
	// BodyLimit for these operations.
	BodyLimit Bytes `yaml:"body_limit" min:"1" max:"1TiB"`
	// Public lets these operations be called without credentials, whatever the document says.
	Public *bool `yaml:"public"`
	// Roles of which the caller must hold one.
	Roles []string `yaml:"roles"`
	// Rates in addition to the API's.
	Rates []Rate `yaml:"rates"`
	// WritableBy maps a body field's JSON pointer to the roles that may write it.
	WritableBy map[string][]string `yaml:"writable_by" example:"{/status: [admin]}"`
}

// Guards are the guards' own settings.
type Guards struct {
	Contract Contract `yaml:"contract"`
	Authn    Authn    `yaml:"authn"`
	Authz    Authz    `yaml:"authz"`
	Limit    Limit    `yaml:"limit"`
	WAF      WAF      `yaml:"waf"`
}

// GuardCommon is what each guard has.
type GuardCommon struct {
	Mode string `yaml:"mode" enum:"off,monitor,enforce" noun:"mode"` // "off", "monitor", "enforce"; default: the API's
	Fail string `yaml:"fail" default:"closed" enum:"closed,open"`    // "closed" or "open"; default "closed"
}

// Contract checks calls against the OpenAPI document.
type Contract struct {
	GuardCommon `yaml:",inline"`
	// UnknownProperties and UnknownParameters: "refuse" or "allow". Default "refuse".
	UnknownProperties string `yaml:"unknown_properties" default:"refuse" enum:"refuse,allow"`
	UnknownParameters string `yaml:"unknown_parameters" default:"refuse" enum:"refuse,allow"`
	// UnknownHeaders that the document does not declare always pass; declared ones are checked.
	// Responses: "off", "record", "strip" (remove what is not in the schema) or "refuse". Default "record".
	Responses string `yaml:"responses" default:"record" enum:"off,record,strip,refuse"`
	// Undocumented says what becomes of calls to paths that the document lacks: "refuse" or "allow". Default "refuse".
	Undocumented string `yaml:"undocumented" default:"refuse" enum:"refuse,allow"`
}

// Authn finds out who is calling.
type Authn struct {
	GuardCommon `yaml:",inline"`
	// Methods are tried by what the request carries. At least one for an API
	// with protected operations.
	Methods []AuthnMethod `yaml:"methods"`
	// ClockSkew allowed on exp and nbf. Default 30s, at most 5m.
	ClockSkew time.Duration `yaml:"clock_skew" default:"30s" min:"0s" max:"5m"`
}

// AuthnMethod is exactly one of its fields.
type AuthnMethod struct {
	// Schemes are the names of the document's security schemes that this method
	// satisfies. Default: all that fit its kind.
	Schemes []string   `yaml:"schemes"`
	JWT     *JWTMethod `yaml:"jwt"`
	APIKey  *KeyMethod `yaml:"api_key"`
	Own     *OwnMethod `yaml:"own"`
}

// JWTMethod verifies bearer JWTs of one issuer.
type JWTMethod struct {
	Issuer   string   `yaml:"issuer" example:"https://id.example.com"`                            // expected iss; keys by OIDC discovery unless JWKS is set
	JWKS     string   `yaml:"jwks" kind:"file-or-url" example:"https://id.example.com/jwks.json"` // file or URL of a key set
	Secret   Secret   `yaml:"secret" example:"${JWT_SECRET}"`                                     // HMAC key, for APIs that sign their own tokens so; at least 32 bytes
	Audience []string `yaml:"audience"`                                                           // one must be in aud; empty is reported by config check
	// Algorithms allowed. Default: RS256, PS256, ES256, EdDSA with keys; HS256 with Secret.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,HS256,HS384,HS512" noun:"algorithm"`
	Type       []string `yaml:"type"`                 // allowed typ; default: any but known other kinds
	Header     string   `yaml:"header" kind:"header"` // default Authorization
	Prefix     *string  `yaml:"prefix"`               // default "Bearer"
	Cookie     string   `yaml:"cookie" kind:"cookie"` // read from this cookie instead
	Claims     Claims   `yaml:"claims"`
	RequireExp *bool    `yaml:"require_exp" default:"true"` // default true
}

// Claims names the claims that an identity is read from; dots descend.
type Claims struct {
	Subject string `yaml:"subject" default:"sub"` // default "sub"
	Roles   string `yaml:"roles" default:"roles"` // default "roles"
	Tenant  string `yaml:"tenant"`                // default: none
	Scope   string `yaml:"scope"`                 // default "scope", then "scp"
}

// KeyMethod verifies Crenel's own API keys, or a list of hashed keys.
type KeyMethod struct {
	Header string `yaml:"header" kind:"header"` // default: where the scheme says, else X-API-Key
	Query  string `yaml:"query"`
	Cookie string `yaml:"cookie" kind:"cookie"`
	// File of keys: YAML list of {id, hash, subject, scopes, roles, tenant, expires}.
	// Made by crenel keys create.
	File string `yaml:"file" required:"true" kind:"file" example:"keys.yaml"`
}

// OwnMethod is a credential that the API issues and checks itself: it must be
// present and is passed on, unverified.
type OwnMethod struct {
	Header string `yaml:"header" kind:"header"`
	Prefix string `yaml:"prefix"`
	Cookie string `yaml:"cookie" kind:"cookie"`
	Query  string `yaml:"query"`
}

// Authz decides with Open Policy Agent.
type Authz struct {
	GuardCommon `yaml:",inline"`
	// Policies are Rego files or directories. Default: the built-in policy alone
	// (what the document's security says).
	Policies []string `yaml:"policies" kind:"files" example:"[policies/]"`
	// Data are JSON or YAML files or directories, as OPA loads them.
	Data []string `yaml:"data" kind:"files"`
	// Query is the rule that decides. Default "data.crenel.authz.decision".
	Query string `yaml:"query" default:"data.crenel.authz.decision"`
	// Timeout of one evaluation. Default 50ms.
	Timeout time.Duration `yaml:"timeout" default:"50ms" min:"1ms" max:"10s"`
	// Body gives the policy the decoded body. Default true.
	Body *bool `yaml:"body" default:"true"`
}

// Limit bounds how much.
type Limit struct {
	GuardCommon `yaml:",inline"`
	// Rates that all operations share. Default: 50/s, burst 200, by address, and the same by identity.
	Rates []Rate `yaml:"rates"`
}

// Rate is one token bucket.
type Rate struct {
	// By is "address", "identity", "operation" (each operation its own bucket per caller) or "api".
	By string `yaml:"by" default:"address" enum:"address,identity,operation,api"`
	// Rate is "N/s", "N/m", "N/h" or "N/d".
	Rate string `yaml:"rate" required:"true" kind:"rate" example:"5/m"`
	// Burst is the bucket's size. Default: the rate's number.
	Burst int `yaml:"burst" min:"0" max:"10000000"`
}

// WAF inspects for attacks with the OWASP Core Rule Set.
type WAF struct {
	GuardCommon `yaml:",inline"`
	Paranoia    int `yaml:"paranoia" default:"1" min:"1" max:"4"`     // 1 to 4; default 1
	Threshold   int `yaml:"threshold" default:"5" min:"1" max:"1000"` // inbound anomaly score that denies; default 5
	// Skip is fields that are not inspected, as "OPERATION AT", such as "createNote /text".
	Skip []string `yaml:"skip" example:"[\"createNote /text\"]"`
	// Rules are files of further SecLang directives.
	Rules []string `yaml:"rules" kind:"file"`
	// Value is the longest value inspected; longer ones are refused. Default 64KiB.
	Value Bytes `yaml:"value" default:"64KiB" min:"64" max:"16MiB"`
}
