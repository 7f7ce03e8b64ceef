package config

import (
	"strconv"
	"strings"
	"time"
)

// DecisionLog keeps each decision of the authz guards with all that it was made on,
// sealed, so that it can be made again. It is off unless it has keys or a sink.
type DecisionLog struct {
	// Keys seal what is kept, each a secret of at least 32 bytes. The first seals, all
	// of them open: rotate a key by putting a new one before it.
	Keys []Secret `yaml:"keys" example:"[\"${CRENEL_DECISION_KEY}\"]" unset:"nothing is kept"`
	// Dir takes the sealed segments. Relative to DataDir.
	Dir string `yaml:"dir" default:"decisions"`
	// Sample is the share of allowed calls that are kept.
	Sample float64 `yaml:"sample" default:"1" min:"0" max:"1"`
	// SampleDenied is the share of denied calls that are kept.
	SampleDenied float64 `yaml:"sample_denied" default:"1" min:"0" max:"1"`
	// Queue is how many decisions may wait to be written.
	Queue int `yaml:"queue" default:"8192" min:"1" max:"1048576"`
	// QueueSize is how much they may hold in memory.
	QueueSize Bytes `yaml:"queue_size" default:"64MiB" min:"1MiB" max:"16GiB"`
	// WhenFull says what happens when the disk fails or is full and the queue is too:
	// decisions are dropped and counted, or calls are refused with 503.
	WhenFull string `yaml:"when_full" default:"drop" enum:"drop,refuse"`
	// Rotate starts a new segment at this size, and after a day.
	Rotate Bytes `yaml:"rotate" default:"64MiB" min:"1MiB" max:"1TiB"`
	// Keep is how long segments are kept; 0 keeps them until MaxSize.
	Keep time.Duration `yaml:"keep" default:"30d" min:"0s"`
	// MaxSize is how large all segments may be together; the oldest go first.
	MaxSize Bytes `yaml:"max_size" default:"8GiB" min:"1MiB" max:"1024TiB"`
	// PoliciesSize is how large the kept policies and their data may be together.
	PoliciesSize Bytes `yaml:"policies_size" default:"256MiB" min:"1MiB" max:"1TiB"`
	// Labels are added to each event.
	Labels map[string]string `yaml:"labels" example:"{region: eu-1}"`
	// Mask names what is taken out of events that leave, by JSON pointer below /input,
	// /result or /nd_builtin_cache; * is any member.
	Mask []string `yaml:"mask" kind:"mask" example:"[/input/body/note]"`
	// MaskClasses are classes of data that are taken out wherever a name says so.
	// Secrets, tokens and claims always are.
	MaskClasses []string `yaml:"mask_classes" default:"financial,health,identifier" enum:"personal,financial,health,identifier,location"`
	// Sink is a log server that takes the masked events.
	Sink DecisionSink `yaml:"sink"`
}

// On reports whether decisions are logged at all.
func (d *DecisionLog) On() bool { return len(d.Keys) > 0 || d.Sink.URL != "" }

// DecisionSink is a log server as OPA's decision log plugin uploads to.
type DecisionSink struct {
	// URL takes POST of a gzipped JSON array of events.
	URL string `yaml:"url" kind:"url" example:"https://logs.example.com/logs" unset:"none"`
	// Token is sent as a bearer token.
	Token Secret `yaml:"token" example:"${LOGS_TOKEN}" unset:"none"`
	// Every is how often waiting events are sent.
	Every time.Duration `yaml:"every" default:"10s" min:"100ms" max:"1h"`
	// Backoff is the longest wait between two tries when the server does not answer.
	Backoff time.Duration `yaml:"backoff" default:"1m" min:"100ms" max:"1h"`
	// Buffer is how much may wait; the oldest events give way.
	Buffer Bytes `yaml:"buffer" default:"16MiB" min:"64KiB" max:"16GiB"`
	// Upload is the largest body, compressed.
	Upload Bytes `yaml:"upload" default:"1MiB" min:"4KiB" max:"1GiB"`
}

// AuthzShadow is a candidate policy that decides beside the active one, and
// changes nothing.
type AuthzShadow struct {
	// Policies are the candidate's Rego files or directories.
	Policies []string `yaml:"policies" kind:"files" example:"[policies-next/]" unset:"the active ones"`
	// Data are the candidate's JSON or YAML files or directories.
	Data []string `yaml:"data" kind:"files" unset:"the active ones"`
	// Bundle is the candidate as an OPA bundle, instead of policies and data.
	Bundle string `yaml:"bundle" kind:"file" example:"candidate.tar.gz" unset:"none"`
	// Sample is the share of decisions that the candidate makes too.
	Sample float64 `yaml:"sample" default:"1" min:"0" max:"1"`
	// Queue is how many decisions may wait for the candidate; more are left out, and counted.
	Queue int `yaml:"queue" default:"1024" min:"1" max:"1048576"`
	// CPU is the share of one processor that the candidate may take.
	CPU float64 `yaml:"cpu" default:"0.25" min:"0.01" max:"1"`
}

// On reports whether there is a candidate.
func (s *AuthzShadow) On() bool { return len(s.Policies)+len(s.Data) > 0 || s.Bundle != "" }

// AuthzActivation bounds what a new policy may change before it is activated. It
// is held against the decisions that decision_log has kept.
type AuthzActivation struct {
	// MaxChanged is the largest share of recent decisions that a new policy may make otherwise.
	MaxChanged string `yaml:"max_changed" kind:"percent" example:"0.1%" unset:"no bound"`
	// MaxSlower is by how much the new policy's median and 99th percentile may be slower.
	MaxSlower string `yaml:"max_slower" kind:"percent" example:"20%" unset:"no bound"`
	// Decisions is how many of the most recent decisions are made again.
	Decisions int `yaml:"decisions" default:"10000" min:"1" max:"10000000"`
	// MinDecisions refuses a new policy when fewer than this were recorded.
	MinDecisions int `yaml:"min_decisions" default:"0" min:"0" max:"10000000"`
}

// On reports whether anything is demanded.
func (a *AuthzActivation) On() bool {
	return a.MaxChanged != "" || a.MaxSlower != "" || a.MinDecisions > 0
}

// ParsePercent reads "0.1%" or "20 %" as a share: 0.001, 0.2.
func ParsePercent(s string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !ok {
		return 0, strconv.ErrSyntax
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || f < 0 || f > 1e6 || f != f {
		return 0, strconv.ErrSyntax
	}
	return f / 100, nil
}
