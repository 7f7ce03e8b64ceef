package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/trail"
)

// outcome is what became of an attack at the gateway.
type outcome struct {
	Open     bool     // it worked
	Status   int      // of the denial
	Code     string   // of the denial, "" when nothing was denied
	Guard    string   // that denied, or that took something out of the answer
	Why      string   // for the operator; clients never see it
	Stripped []string // what was taken out of the answer
	Event    string   // id for crenel event
}

// expectation is what expected.yaml says of a hole: one of its fields.
type expectation struct {
	Refused  []string `yaml:"refused"`  // by one of these codes
	Stripped []string `yaml:"stripped"` // from the answer: at least these
	Headers  bool     `yaml:"headers"`  // the gateway's own header fields took the attack's effect away
	Open     string   `yaml:"open"`     // why it still works
	Alone    bool     `yaml:"alone"`    // beside one of these: authn and authz stop it without the other guards, though no code of theirs says so
}

func readExpected(raw []byte) (map[string]expectation, error) {
	all := map[string]expectation{}
	err := yaml.UnmarshalWithOptions(raw, &all, yaml.Strict())
	if err != nil {
		return nil, fmt.Errorf("reading expected.yaml: %w", err)
	}
	for id, e := range all {
		ways := 0
		for _, set := range []bool{len(e.Refused) > 0, len(e.Stripped) > 0, e.Headers, e.Open != ""} {
			if set {
				ways++
			}
		}
		if ways != 1 {
			return nil, fmt.Errorf("reading expected.yaml: %s must say exactly one of refused, stripped, headers and open", id)
		}
	}
	return all, nil
}

// met says whether an outcome is the expected one, and what is wrong when not.
func (e expectation) met(o outcome) (string, bool) {
	switch {
	case e.Open != "":
		if !o.Open {
			return "it no longer works; expected.yaml says that it is open", false
		}
	case o.Open:
		return "it works through the gateway", false
	case len(e.Refused) > 0:
		if !slices.Contains(e.Refused, o.Code) {
			return fmt.Sprintf("it was refused with %q, not with %s", o.Code, strings.Join(e.Refused, " or ")), false
		}
	case len(e.Stripped) > 0:
		for _, want := range e.Stripped {
			if !slices.Contains(o.Stripped, want) {
				return want + " was not taken out of the answer", false
			}
		}
	case o.Code != "" || len(o.Stripped) > 0:
		return "it was refused or stripped; header fields alone were to stop it", false
	}
	return "", true
}

// judge finds out why an attack did not work: the first denial of a hostile
// step, else what was taken out of an answer. events is the gateway's event file.
func judge(result harbour.Result, events string) (outcome, error) {
	if result.Open {
		return outcome{Open: true}, nil
	}
	var last outcome
	for _, x := range result.Exchanges {
		if !x.Hostile {
			continue
		}
		id := x.Header.Get("X-Crenel-Request-Id")
		if id == "" {
			continue
		}
		last.Event = id
		code := denial(x)
		rec, err := record(events, id)
		if err != nil {
			return last, err
		}
		if code != "" {
			return denied(x, code, rec), nil
		}
		if n := len(rec.Completion.Stripped); n > 0 && len(last.Stripped) == 0 {
			last.Stripped, last.Guard = rec.Completion.Stripped, "contract"
			last.Why = "taken out of the answer: " + strings.Join(rec.Completion.Stripped, ", ")
		}
	}
	if last.Guard == "" {
		last.Guard, last.Why = "headers", result.Evidence
	}
	return last, nil
}

func denied(x harbour.Exchange, code string, rec *trail.Record) outcome {
	o := outcome{Status: x.Status, Code: code, Event: rec.Decision.ID, Guard: rec.Decision.Guard, Why: rec.Decision.Reason}
	if rec.Completion.Refused != "" { // the call was allowed and its answer kept back
		for _, r := range rec.Completion.Rulings {
			if r.Code == code {
				o.Guard, o.Why = r.Guard, r.Reason
			}
		}
	}
	return o
}

// denial returns the code of the gateway's own refusal, "" for any other answer.
func denial(x harbour.Exchange) string {
	if x.Status < 400 {
		return ""
	}
	var problem struct {
		Type, Code string
	}
	if json.Unmarshal([]byte(x.Body), &problem) != nil || problem.Type != "urn:crenel:code:"+problem.Code {
		return ""
	}
	if _, known := exchange.LookupCode(problem.Code); !known {
		return ""
	}
	return problem.Code
}

// record reads an exchange's records, which are on disk a moment after its answer.
func record(events, id string) (*trail.Record, error) {
	for try := 0; ; try++ {
		rec, err := trail.Find(events, id)
		if err == nil && rec.Completion != nil && rec.Decision != nil {
			return rec, nil
		}
		if err != nil && !errors.Is(err, trail.ErrNotFound) || try == 250 {
			return nil, fmt.Errorf("looking for event %s: %w", id, errors.Join(err, errNoRecord))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var errNoRecord = errors.New("the gateway has not recorded the exchange")
