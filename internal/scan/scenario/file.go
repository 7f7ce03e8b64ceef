package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Parse reads a scenario in YAML, and refuses fields that it does not know.
func Parse(data []byte) (*Scenario, error) {
	var s Scenario
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField()).Decode(&s); err != nil {
		return nil, fmt.Errorf("reading a scenario: %w", err)
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Bounds of what a file can ask for: its requests are all written before the first is sent.
const (
	maxTimes = 10_000
	maxWait  = time.Hour
)

// Check says what is wrong with a scenario, all of it together.
func (s *Scenario) Check() error {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(s.Steps) == 0 {
		say("it has no steps")
	}
	seen := map[string]bool{}
	proves := false
	for i := range s.Steps {
		st := &s.Steps[i]
		name := fmt.Sprintf("step %d (%s)", i+1, st.ID)
		switch {
		case st.ID == "":
			say("step %d has no id", i+1)
		case seen[st.ID]:
			say("%s: another step has the same id", name)
		}
		if st.Part == "" {
			st.Part = Attack
		}
		if !slices.Contains([]Part{Setup, Control, Attack, Observe, Cleanup}, st.Part) {
			say("%s: part %q: want setup, control, attack, observe or cleanup", name, st.Part)
		}
		if (st.Part == Attack || st.Part == Observe) && len(st.Expect) > 0 {
			proves = true
		}
		if st.Send != nil {
			if st.Send.Method == "" || !strings.HasPrefix(st.Send.Path, "/") {
				say("%s: send needs a method, and a path that begins with /", name)
			}
		} else if len(st.Save) > 0 && st.Handshake == nil && st.Raw == nil {
			say("%s: it saves from an answer but sends nothing", name)
		}
		kinds := 0
		for _, has := range []bool{st.Send != nil, st.Handshake != nil, st.Raw != nil} {
			if has {
				kinds++
			}
		}
		if kinds > 1 {
			say("%s: it has more than one of send, handshake and raw", name)
		}
		if err := st.bounded(); err != nil {
			say("%s: %v", name, err)
		}
		if st.Together && st.Send == nil {
			say("%s: only requests (send) go together", name)
		}
		if st.Handshake != nil {
			if err := st.Handshake.check(); err != nil {
				say("%s: %v", name, err)
			}
		}
		if st.Raw != nil {
			if err := st.Raw.check(); err != nil {
				say("%s: %v", name, err)
			}
		}
		for _, e := range st.Expect {
			for _, other := range []string{e.Like, e.Unlike, e.Slower, e.Longer} {
				if other != "" && !seen[other] {
					say("%s: it compares with step %q, which does not come before it", name, other)
				}
			}
		}
		if slices.ContainsFunc(st.Expect, func(e Expect) bool { return e.Steady > 0 }) && (st.Times < 6 || st.Together) {
			say("%s: what is steady is seen in six answers or more, one after the other (times)", name)
		}
		seen[st.ID] = true
	}
	if len(s.Steps) > 0 && !proves {
		say("no attack and no observation expects anything, so it would prove everything")
	}
	if wrong != nil {
		return fmt.Errorf("scenario %q: %s", s.Name, strings.Join(wrong, "; "))
	}
	return nil
}

// bounded says what is wrong with how often and after how long a step is sent.
func (st *Step) bounded() error {
	switch {
	case st.Times < 0 || st.Times > maxTimes:
		return fmt.Errorf("times: %d: want up to %d", st.Times, maxTimes)
	case st.Wait < 0 || st.Wait > maxWait:
		return fmt.Errorf("wait: %v: want up to %v", st.Wait, maxWait)
	case st.Times < 2 && slices.ContainsFunc(st.Expect, func(e Expect) bool { return e.Within > 0 }):
		return errors.New("within is about several requests (times)")
	}
	return nil
}

// YAML is the scenario as a file.
func (s *Scenario) YAML() ([]byte, error) {
	out, err := WriteYAML(s)
	if err != nil {
		return nil, fmt.Errorf("writing scenario %q: %w", s.Name, err)
	}
	return out, nil
}

// WriteYAML writes a value so that it is the same when it is read again: as YAML usually
// looks, or in the form of JSON, which is YAML as well, where a text would be lost (the
// library leaves "? x", a lone tab and carriage returns without quotes).
func WriteYAML(v any) ([]byte, error) {
	out, err := yaml.Marshal(v)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says of what
	}
	sure, err := yaml.MarshalWithOptions(v, yaml.JSON())
	if err != nil {
		return nil, err //nolint:wrapcheck // the same
	}
	var plain, want any
	if err := yaml.Unmarshal(sure, &want); err != nil {
		return nil, err //nolint:wrapcheck // the same
	}
	if err := yaml.Unmarshal(out, &plain); err != nil || !reflect.DeepEqual(plain, want) {
		return sure, nil //nolint:nilerr // what cannot be read again is not what is written
	}
	return out, nil
}

// Actors lists whom the scenario's steps are done as, nobody left out.
func (s *Scenario) Actors() []string {
	var out []string
	for _, st := range s.Steps {
		if st.As != "" && !slices.Contains(out, st.As) {
			out = append(out, st.As)
		}
	}
	return out
}
