package world

import (
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// By is the same call as somebody else (nil is nobody).
func (c *Call) By(a *actor.Actor) *Call {
	d := c.clone()
	d.As, d.Last = a, nil
	return d
}

// With is the same call with another value in one input: a JSON text, "" for none.
func (c *Call) With(where, text string) *Call {
	d := c.clone()
	d.Last = nil
	delete(d.Uses, where)
	d.override(where, text)
	return d
}

// On is the same call with an object's identifier in one input.
func (c *Call) On(where, text string, o *Object) *Call {
	d := c.With(where, text)
	d.Uses[where] = o
	// The state that a change was written after is that of the object which it names.
	for at, was := range c.Uses {
		if name := lockField(was, at); at != where && name != "" && o != nil && was.Resource == o.Resource {
			if state := o.Fields()[name]; state != "" {
				d.override(at, state)
				d.Uses[at] = o
			}
		}
	}
	return d
}

// Renew is what to bind so that the values that must be new each time are new
// in each run of a scenario; name sets them apart from those of its other steps.
func (c *Call) Renew(name string) map[string]string {
	bind := map[string]string{}
	for _, where := range slices.Sorted(maps.Keys(c.Fresh)) {
		bind[where] = named(c.Fresh[where], canaryName(identifier(name), where))
	}
	return bind
}

// Bind is what to bind so that a call names the recipe's objects in place of
// those that it was written after.
func (r *Recipe) Bind(c *Call) map[string]string {
	bind := map[string]string{}
	for where, o := range c.Uses {
		if name := lockField(o, where); name != "" {
			if made := r.of[o]; made != nil && made.locks[name] != "" {
				bind[where] = "${" + made.locks[name] + "}"
				if strings.HasPrefix(c.Values[where], `"`) {
					bind[where] = `"` + bind[where] + `"`
				}
			}
			continue
		}
		if v := r.Text(o, c.Values[where]); v != "" {
			bind[where] = v
		}
	}
	return bind
}

// Text is the placeholder for the identifier of one of the recipe's objects, in
// the form of the text (a JSON number or string) that it replaces; "" when the
// recipe makes no such object.
func (r *Recipe) Text(o *Object, text string) string {
	made := r.of[o]
	if made == nil {
		return ""
	}
	return variableOf(made, o, text)
}

// WithFile is the same call with another file in one input.
func (c *Call) WithFile(where string, f File) *Call {
	d := c.clone()
	d.Last = nil
	d.Files = maps.Clone(d.Files)
	d.Files[where] = f
	return d
}
