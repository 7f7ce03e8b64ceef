package signals

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/value"
)

// Where the types of events begin.
const (
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"
	ssf  = "https://schemas.openid.net/secevent/ssf/event-type/"
)

// effect is what comes of an event.
type effect uint8

const (
	record    effect = iota // nothing but the record
	revoke                  // what was issued before is refused
	disable                 // all of an account is refused, until it is enabled
	enable                  // it is enabled again
	compliant               // the posture of a device
	verified                // the stream works
	updated                 // the transmitter changed the stream
)

// effects are those of each type of event, by its short name.
var effects = map[string]effect{
	caep + "session-revoked":          revoke,
	caep + "token-claims-change":      revoke, // tokens with the old claims are out
	caep + "credential-change":        revoke, // but for one that was added
	caep + "assurance-level-change":   revoke, // when it sank
	caep + "risk-level-change":        record,
	caep + "session-established":      record,
	caep + "session-presented":        record,
	caep + "device-compliance-change": compliant,

	risc + "account-disabled":                   disable,
	risc + "account-purged":                     disable,
	risc + "account-enabled":                    enable,
	risc + "account-credential-change-required": revoke,
	risc + "credential-compromise":              revoke,
	risc + "sessions-revoked":                   revoke,
	risc + "identifier-changed":                 revoke,
	risc + "identifier-recycled":                revoke,
	risc + "recovery-activated":                 record,
	risc + "recovery-information-changed":       record,
	risc + "opt-in":                             record,
	risc + "opt-out-initiated":                  record,
	risc + "opt-out-cancelled":                  record,
	risc + "opt-out-effective":                  record,

	ssf + "verification":   verified,
	ssf + "stream-updated": updated,
}

// event is one of a token's.
type event struct {
	kind    string // its URI
	name    string // the last part of it
	effect  effect
	subject *value.Value
	at      time.Time // when it happened
	payload *value.Value
}

// set is a security event token whose signature has been verified.
type set struct {
	id     string // jti
	at     time.Time
	events []event
}

// malformed is a token whose claims are not those of a security event token.
type malformed struct{ reason string }

func (m *malformed) Error() string { return m.reason }

func bad(reason string) error { return &malformed{reason} }

// Bounds of a token.
const (
	maxID     = 512
	maxEvents = 32
	maxSkew   = 5 * time.Minute
	// maxAge is how old a token may be when it arrives. Tokens are marked as seen for
	// longer than that, so that none can be replayed.
	maxAge = 30 * 24 * time.Hour
)

// readSet reads the claims (RFC 8417 section 2.2, SSF 1.0 section 4.1).
func readSet(claims *value.Value, now time.Time) (*set, error) {
	s := &set{id: claims.Get("jti").Str()}
	if s.id == "" || len(s.id) > maxID {
		return nil, bad("jti is missing or longer than 512 bytes")
	}
	if claims.Get("exp") != nil {
		return nil, bad("a security event token has no exp")
	}
	if claims.Get("sub") != nil {
		return nil, bad("a security event token has no sub: the subject is in sub_id")
	}
	var err error
	if s.at, err = date(claims.Get("iat")); err != nil {
		return nil, bad("iat: " + err.Error())
	}
	switch {
	case s.at.After(now.Add(maxSkew)):
		return nil, bad("iat is in the future")
	case s.at.Before(now.Add(-maxAge)):
		return nil, bad("the token was issued more than 30 days ago")
	}
	happened := s.at
	if toe := claims.Get("toe"); toe != nil {
		if happened, err = date(toe); err != nil {
			return nil, bad("toe: " + err.Error())
		}
	}
	events := claims.Get("events")
	if events == nil || events.Kind != value.Object || len(events.Kids) == 0 {
		return nil, bad("there are no events")
	}
	if len(events.Kids) > maxEvents {
		return nil, bad("there are more than 32 events")
	}
	for i := range events.Kids {
		payload := &events.Kids[i]
		if payload.Kind != value.Object {
			return nil, bad("the payload of an event is not an object")
		}
		e, err := readEvent(payload.Name, payload, claims.Get("sub_id"), happened)
		if err != nil {
			return nil, err
		}
		if e.at.After(now.Add(maxSkew)) {
			return nil, bad("an event is in the future")
		}
		s.events = append(s.events, e)
	}
	return s, nil
}

// readEvent reads one event. Transmitters of drafts put the subject into it.
func readEvent(kind string, payload, subject *value.Value, happened time.Time) (event, error) {
	e := event{kind: kind, name: kind[strings.LastIndexByte(kind, '/')+1:], effect: effects[kind], payload: payload, subject: subject, at: happened}
	if e.subject == nil {
		e.subject = payload.Get("subject")
	}
	if at := payload.Get("event_timestamp"); at != nil {
		t, err := date(at)
		if err != nil {
			return e, bad("event_timestamp: " + err.Error())
		}
		e.at = t
	}
	return e, nil
}

// known reports whether the type of event is one that a standard defines.
func (e *event) known() bool { _, ok := effects[e.kind]; return ok }

// comesOf is what comes of the event, as the transmitter's settings say.
func (e *event) comesOf(settings map[string]string) effect {
	what := e.effect
	switch {
	case e.kind == caep+"credential-change" && slices.Contains([]string{"create", "update"}, e.payload.Get("change_type").Str()) && settings[e.name] == "":
		// A credential more, or a new name for one, makes nothing untrue that was issued before.
		what = record
	case e.kind == caep+"assurance-level-change" && e.payload.Get("change_direction").Str() == "increase":
		return record
	}
	if what == enable || what == compliant || what == verified || what == updated {
		return what
	}
	switch settings[e.name] {
	case "record":
		return record
	case "revoke":
		if what == record {
			return revoke
		}
	}
	return what
}

// reason is the event for the operator.
func (e *event) reason() string {
	text := e.name
	for _, name := range []string{"reason_admin", "reason"} {
		why := e.payload.Get(name)
		if why == nil {
			continue
		}
		if why.Kind == value.Object && len(why.Kids) > 0 { // by language
			if en := why.Get("en"); en != nil {
				why = en
			} else {
				why = &why.Kids[0]
			}
		}
		if s := why.Str(); s != "" {
			return text + ": " + shorten(s, 200)
		}
	}
	return text
}

// shorten keeps what a stranger wrote from filling a record.
func shorten(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

var errDate = errors.New("it is not a date")

// date reads a NumericDate (RFC 7519 section 2). Some transmitters count
// milliseconds, which as seconds would be in thousands of years.
func date(v *value.Value) (time.Time, error) {
	if v == nil {
		return time.Time{}, errors.New("it is missing")
	}
	n, err := strconv.ParseFloat(v.Text, 64)
	if v.Kind != value.Number || err != nil || math.IsNaN(n) || n <= 0 || n > 253402300799e3 {
		return time.Time{}, errDate
	}
	if n > 253402300799 {
		n /= 1000
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}
