package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// errNoRecipe is why no recipe could be given: the run has not made such an object itself.
var errNoRecipe = errors.New("the run made no such object itself")

// Recipe gives the setup steps that make a fresh object of a resource as an
// actor, its parents first. The variables' names begin with prefix.
func (w *World) Recipe(ctx context.Context, r *graph.Resource, as *actor.Actor, prefix string) (*Recipe, error) {
	for _, o := range w.Objects(r, as) {
		if o.Made && !o.Deleted() && o.MadeBy != nil && o.MadeBy.Last != nil {
			if recipe, err := w.RecipeOf(o, prefix); err == nil {
				return recipe, nil
			}
		}
	}
	o, err := w.Make(ctx, r, as)
	if err != nil {
		return nil, err
	}
	return w.RecipeOf(o, prefix)
}

// RecipeOf gives the setup steps that make an object like o.
func (w *World) RecipeOf(o *Object, prefix string) (*Recipe, error) {
	b := &recipeWriter{w: w, of: map[*Object]*Recipe{}, taken: map[string]bool{}}
	if _, err := b.object(o, prefix, 0); err != nil {
		return nil, fmt.Errorf("writing how to make %s %s: %w", o.Resource.Name, o.ID, err)
	}
	r := b.of[o]
	return &Recipe{Steps: b.steps, IDs: r.IDs, ID: r.ID, Canaries: r.Canaries, of: b.of}, nil
}

type recipeWriter struct {
	w     *World
	steps []scenario.Step
	of    map[*Object]*Recipe
	taken map[string]bool
}

const maxParents = 8

func (b *recipeWriter) object(o *Object, prefix string, depth int) (*Recipe, error) {
	if r := b.of[o]; r != nil {
		return r, nil
	}
	switch {
	case o.MadeBy == nil || !o.Made:
		return nil, errNoRecipe
	case depth > maxParents:
		return nil, errors.New("its parents lie too deep")
	}
	for b.taken[prefix] {
		prefix += "2"
	}
	b.taken[prefix] = true
	bind, names := b.bindings(o, prefix, depth)
	b.w.mu.Lock()
	clashed := b.w.clashed[o.MadeBy.Op]
	b.w.mu.Unlock()
	if clashed {
		b.otherDays(o.MadeBy, bind)
	}
	step, err := b.w.Step(o.MadeBy, bind)
	if err != nil {
		return nil, err
	}
	step.ID, step.Part = "make_"+prefix, scenario.Setup
	step.Expect = []scenario.Expect{{Status: "2xx"}}
	r := &Recipe{IDs: map[string]string{}, Canaries: map[string]string{}}
	step.Save = b.saves(o, r, prefix, bind)
	b.steps = append(b.steps, step)
	field := idField(o.Resource, o.IDs())
	if r.ID = r.IDs[field]; r.ID == "" {
		r.ID = chosen(o, field, bind)
		r.IDs[field] = r.ID
	}
	if r.ID == "" {
		if err := b.findInList(o, prefix, field, names, r); err != nil {
			return nil, err
		}
	}
	for pointer, token := range o.Canaries() {
		for where, t := range o.tokens {
			if t == token && names[where] != "" {
				r.Canaries[pointer] = canaryText(o.MadeBy.Fresh[where], names[where])
			}
		}
	}
	b.of[o] = r
	return r, nil
}

// bindings says what the call that makes an object takes from the steps before, by
// Input.Where, and names what is new in it.
func (b *recipeWriter) bindings(o *Object, prefix string, depth int) (bind, names map[string]string) {
	bind, names = map[string]string{}, map[string]string{}
	for _, where := range slices.Sorted(maps.Keys(o.MadeBy.Uses)) {
		used := o.MadeBy.Uses[where]
		r := b.insteadOf(o, used)
		if r == nil && (!used.Made || used.MadeBy == nil || used == o) {
			continue // it was there before, and will be there again
		}
		if r == nil {
			var err error
			if r, err = b.object(used, prefix+"_"+used.Resource.Name, depth+1); err != nil {
				continue
			}
		}
		if v := variableOf(r, used, o.MadeBy.Values[where]); v != "" {
			bind[where] = v
		}
	}
	for _, where := range slices.Sorted(maps.Keys(o.MadeBy.Fresh)) {
		if _, used := bind[where]; used {
			continue
		}
		name := canaryName(prefix, where)
		names[where] = name
		bind[where] = named(o.MadeBy.Fresh[where], name)
		for twin, text := range o.MadeBy.Values { // a confirmation of it
			if _, other := o.MadeBy.Fresh[twin]; !other && bind[twin] == "" && text == o.MadeBy.Values[where] {
				bind[twin] = bind[where]
			}
		}
	}
	return bind, names
}

// saves lists what is kept of the answer for later steps, and notes it in the recipe.
func (b *recipeWriter) saves(o *Object, r *Recipe, prefix string, bind map[string]string) []scenario.Save {
	var out []scenario.Save
	for _, field := range slices.Sorted(maps.Keys(o.IDs())) {
		from, ok := o.sources[field]
		if !ok {
			continue
		}
		if from.input != "" { // what the call itself says
			if m := wholePlaceholder.FindStringSubmatch(bind[from.input]); m != nil {
				r.IDs[field] = m[1]
			}
			continue
		}
		v := prefix + "." + identifier(field)
		s := scenario.Save{As: v, At: from.at, Header: from.header, Pattern: from.pattern}
		if from.list != nil {
			continue
		}
		s.Optional = field != idField(o.Resource, o.IDs())
		out = append(out, s)
		r.IDs[field] = v
	}
	for _, name := range sortedKeys(o.locks) {
		v := prefix + ".lock_" + identifier(name)
		out = append(out, scenario.Save{As: v, At: o.locks[name].at, Header: o.locks[name].header, Optional: true})
		if r.locks == nil {
			r.locks = map[string]string{}
		}
		r.locks[name] = v
	}
	return out
}

// chosen is the variable of an identifier that whoever makes the object chooses: a
// title, a user's name. "": the API gives it.
func chosen(o *Object, field string, bind map[string]string) string {
	for _, where := range slices.Sorted(maps.Keys(o.MadeBy.Fresh)) {
		if id := o.IDs()[field]; id == "" || scalarText(o.MadeBy.Values[where]) != id {
			continue
		}
		if m := wholePlaceholder.FindStringSubmatch(bind[where]); m != nil {
			return m[1]
		}
	}
	return ""
}

// findInList adds the step that learns an identifier from a list, by the canary beside it.
func (b *recipeWriter) findInList(o *Object, prefix, field string, names map[string]string, r *Recipe) error {
	from, ok := o.sources[field]
	if !ok || from.list == nil {
		return errors.New("the answer that made it does not say its identifier")
	}
	step, err := b.w.Step(from.list, nil)
	if err != nil {
		return err
	}
	name := names[from.token]
	if name == "" {
		return errors.New("its identifier is only seen in a list of many, with nothing to tell it by")
	}
	v := prefix + "." + identifier(field)
	mark := canaryText(o.MadeBy.Fresh[from.token], name)
	key := regexp.QuoteMeta(`"`+from.key+`"`) + `\s*:\s*"?([^",}\s]+)`
	at := key + `"?[^{}]*` + mark
	if from.after {
		at = mark + `[^{}]*` + key
	}
	step.ID, step.Part = "find_"+prefix, scenario.Setup
	step.Expect = []scenario.Expect{{Status: "2xx"}}
	step.Save = []scenario.Save{{As: v, Pattern: at}}
	b.steps = append(b.steps, step)
	r.IDs[field], r.ID = v, v
	return nil
}

// variableOf is the placeholder for the value of an object that a call holds.
func variableOf(r *Recipe, o *Object, text string) string {
	field := idField(o.Resource, o.IDs())
	if r.is != nil {
		return standText(r.is, o, text)
	}
	for f, v := range o.IDs() {
		if v == scalarText(text) && r.IDs[f] != "" && (f == field || o.IDs()[field] != v) {
			field = f
		}
	}
	v := r.IDs[field]
	if v == "" {
		return ""
	}
	if from := o.sources[field]; from.header != "" || from.pattern != "" {
		if !strings.HasPrefix(text, `"`) {
			return "${" + v + "|raw}" // a number, saved as the text that it was found as
		}
	}
	if strings.HasPrefix(text, `"`) {
		return `"${` + v + `}"`
	}
	return "${" + v + "}"
}

var notIdentifier = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// identifier makes a name fit for a variable.
func identifier(s string) string { return strings.Trim(notIdentifier.ReplaceAllString(s, "_"), "_") }

// canaryName is the name of the canary that an input takes in a recipe.
func canaryName(prefix, where string) string {
	_, rest, _ := strings.Cut(where, ".")
	return identifier(prefix + "_" + rest)
}

// named gives the unnamed placeholders of a fresh value a name.
func named(fresh, name string) string {
	return strings.NewReplacer("${canary", "${canary."+name, "${number", "${number."+name, "${uuid", "${uuid."+name).Replace(fresh)
}

// canaryText is the part of a fresh value that is found again: the placeholder alone.
func canaryText(fresh, name string) string {
	if m := freshPart.FindString(fresh); m != "" {
		return named(m, name)
	}
	return named(strings.Trim(fresh, `"`), name)
}

// wholePlaceholder is a value that is nothing but one placeholder.
var wholePlaceholder = regexp.MustCompile(`^"?\$\{([^}|]+)\}"?$`)

var freshPart = regexp.MustCompile(`\$\{(canary|number|uuid)(\|[a-z]+)*\}`)

var reDay = regexp.MustCompile(`^"(\d{4}-\d\d-\d\d)(T[^"]*|\s[^"]*)?"$`)

// otherDays lets what can be had once a day be made on another day in each run: days
// to come, moved together.
func (b *recipeWriter) otherDays(c *Call, bind map[string]string) {
	today := b.w.o.Now().UTC().Truncate(24 * time.Hour)
	ahead, nearest := map[string]int{}, 0
	for where, text := range c.Values {
		m := reDay.FindStringSubmatch(text)
		if m == nil || bind[where] != "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, m[1])
		days := int(at.Sub(today) / (24 * time.Hour))
		if err != nil || days < 3 {
			continue
		}
		ahead[where] = days
		if nearest == 0 || days < nearest {
			nearest = days
		}
	}
	for where, days := range ahead {
		m := reDay.FindStringSubmatch(c.Values[where])
		bind[where] = fmt.Sprintf(`"${day.%d.%d}%s"`, days, nearest-1, m[2])
	}
}
