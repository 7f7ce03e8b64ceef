package scenario

import (
	"slices"
	"strings"
)

// Reduce leaves out setup steps on which nothing depends: no later step that
// stays uses what they save, compute or plant (a canary in a request). Steps marked Keep by the caller, by id,
// stay; so does every step that is no setup.
func Reduce(s *Scenario, keep ...string) *Scenario {
	used := map[string]bool{}
	var out []Step
	for i := len(s.Steps) - 1; i >= 0; i-- {
		st := s.Steps[i]
		if st.Part == Setup && !slices.Contains(keep, st.ID) && !st.gives(used) && (len(st.Save) > 0 || len(st.Compute) > 0) {
			continue
		}
		for _, n := range st.uses() {
			used[n] = true
		}
		out = append(out, st)
	}
	slices.Reverse(out)
	return &Scenario{Name: s.Name, Steps: out}
}

func (st *Step) gives(used map[string]bool) bool {
	for _, s := range st.Save {
		if used[s.As] {
			return true
		}
	}
	for _, c := range st.Compute {
		if used[c.Set] {
			return true
		}
	}
	if st.Send != nil {
		for _, n := range st.uses() {
			if used[n] && isMade(n) {
				return true
			}
		}
	}
	return false
}

// isMade: the name is of a value made for this run, which a request plants.
func isMade(name string) bool {
	return strings.HasPrefix(name, "canary.") || strings.HasPrefix(name, "number.") || strings.HasPrefix(name, "uuid.")
}

// computes reports whether the step makes a variable itself, before it sends anything.
func (st *Step) computes(name string) bool {
	return slices.ContainsFunc(st.Compute, func(c Compute) bool { return c.Set == name })
}

// uses lists the placeholders of a step.
func (st *Step) uses() []string {
	var out []string
	add := func(texts ...string) {
		for _, t := range texts {
			out = append(out, names(t)...)
		}
	}
	if s := st.Send; s != nil {
		add(s.Path, s.RawQ, s.Body, s.Type, s.Host, s.Credential)
		for _, p := range slices.Concat(s.Query, s.Header) {
			add(p.Name, p.Value)
		}
	}
	if w := st.Raw; w != nil {
		add(w.Lines...)
		for _, p := range w.H2 {
			add(p.Value)
		}
	}
	for _, c := range st.Compute {
		for _, a := range c.Args {
			add(a)
		}
	}
	for _, v := range st.Serve {
		add(v.Type, v.Body)
		for _, p := range v.Header {
			add(p.Name, p.Value)
		}
	}
	for _, e := range st.Expect {
		add(e.Contains...)
		add(e.Lacks...)
		add(e.Matches)
		for _, p := range []*string{e.Equals, e.Differs} {
			if p != nil {
				add(*p)
			}
		}
	}
	return out
}
