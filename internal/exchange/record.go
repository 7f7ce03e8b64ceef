package exchange

import "time"

// Decision is the record of what was ruled on a request, written before the
// first byte of the answer.
type Decision struct {
	Type      string            `json:"type"` // "decision"
	ID        string            `json:"id"`
	Time      time.Time         `json:"time"`
	API       string            `json:"api,omitempty"`
	Operation string            `json:"operation,omitempty"` // operation id
	Endpoint  string            `json:"endpoint,omitempty"`  // one of the gateway's own: "signals", "login"
	Method    string            `json:"method"`
	Host      string            `json:"host,omitempty"`
	Path      string            `json:"path"` // base path and template when the operation is known, else the normalised path
	Client    string            `json:"client"`
	Identity  *RecordedIdentity `json:"identity,omitempty"`
	Action    string            `json:"action"` // "allow" or "deny"
	Status    int               `json:"status,omitempty"`
	Code      string            `json:"code,omitempty"`
	Guard     string            `json:"guard,omitempty"`
	At        string            `json:"at,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Risk      float64           `json:"risk,omitempty"`
	Rulings   []RecordedRuling  `json:"rulings,omitempty"`
	Micros    int64             `json:"micros"` // from the head read to the decision
}

// RecordedIdentity is the part of an Identity that is recorded: nothing secret.
type RecordedIdentity struct {
	Subject    string   `json:"subject"`
	Issuer     string   `json:"issuer,omitempty"`
	Method     string   `json:"method"`
	Verified   bool     `json:"verified"`
	ClientID   string   `json:"client_id,omitempty"`
	Tenant     string   `json:"tenant,omitempty"`
	Roles      []string `json:"roles,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
	Session    string   `json:"session,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// RecordedRuling is one step's ruling as recorded.
type RecordedRuling struct {
	Guard  string         `json:"guard"`
	Phase  string         `json:"phase"`
	Mode   string         `json:"mode"`
	Action string         `json:"action"`
	Micros float64        `json:"micros"`
	Code   string         `json:"code,omitempty"`
	At     string         `json:"at,omitempty"`
	Reason string         `json:"reason,omitempty"`
	More   []Fault        `json:"more,omitempty"`
	Detail map[string]any `json:"detail,omitempty"`
}

// Completion is the record of how an exchange ended, written after the last byte.
type Completion struct {
	Type     string    `json:"type"` // "completion"
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Status   int       `json:"status"`
	BytesIn  int64     `json:"bytes_in"`
	BytesOut int64     `json:"bytes_out"`
	Micros   int64     `json:"micros"`          // whole exchange
	Upstream int64     `json:"upstream_micros"` // waiting for the upstream's head; 0 when not called
	Called   bool      `json:"upstream_called"`
	Aborted  string    `json:"aborted,omitempty"` // why the answer was cut short
	// Refused is the code for which the upstream's answer was kept from the client.
	Refused  string           `json:"refused,omitempty"`
	Stripped []string         `json:"stripped,omitempty"` // pointers removed from the answer
	Masked   []string         `json:"masked,omitempty"`
	Rulings  []RecordedRuling `json:"rulings,omitempty"` // response side
}
