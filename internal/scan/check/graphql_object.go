package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "graphql-object", Title: "Another user's object is open by a GraphQL query",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-APIT-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Makes objects by the mutations of a GraphQL schema, as a user, and reads, changes and deletes them as another, with their identifiers in the variables.",
	Proof: "The other user's answer holds a text that the owner put into the object a moment before; or the owner finds it changed or gone. Controls: the owner reads it; nobody without credentials, and an identifier of nothing, do not bring it; the other user's own lists do not show it, or it is of a kind that is somebody's nearly everywhere.",
	Fix:   "Ask in each resolver whose the object is, or read through a loader that knows the caller.",
	Mode:  Default,
	Run:   graphQLObjects,
})

// gqlType is a type of a GraphQL schema, as introspection gives it.
type gqlType struct {
	Kind, Name string
	OfType     *gqlType
	Fields     []gqlField
	Inputs     []gqlArg `json:"inputFields"`
}

type gqlField struct {
	Name string
	Args []gqlArg
	Type gqlType
}

type gqlArg struct {
	Name string
	Type gqlType
}

// plain is the type without what wraps it, whether it is a list, and whether it must be there.
func (t *gqlType) plain() (name, kind string, list, required bool) {
	required = t.Kind == "NON_NULL"
	for t.OfType != nil {
		list = list || t.Kind == "LIST"
		t = t.OfType
	}
	return t.Name, t.Kind, list, required
}

// text is the type as a query writes it.
func (t *gqlType) text() string {
	switch {
	case t.Kind == "NON_NULL" && t.OfType != nil:
		return t.OfType.text() + "!"
	case t.Kind == "LIST" && t.OfType != nil:
		return "[" + t.OfType.text() + "]"
	}
	return t.Name
}

// gqlSchema is what of a schema is used here.
type gqlSchema struct {
	path     string
	types    map[string]*gqlType
	query    []gqlField
	mutation []gqlField
}

const introspection = `{__schema{queryType{name}mutationType{name}types{kind name fields{name args{name type{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}type{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}inputFields{name type{kind name ofType{kind name ofType{kind name}}}}}}}`

// gqlSchemaAt asks an endpoint for its schema; nil when it does not tell.
func (p *Probe) gqlSchemaAt(ctx context.Context, path string, as *actor.Actor) (*gqlSchema, error) {
	x, err := p.Do(ctx, as, queryOf(path, jsonQuery(introspection)))
	if err != nil {
		return nil, err
	}
	var told struct {
		Data struct {
			Schema struct {
				QueryType, MutationType struct{ Name string }
				Types                   []gqlType
			} `json:"__schema"`
		}
	}
	if known := json.Unmarshal(x.Body, &told) == nil && len(told.Data.Schema.Types) > 0; !known {
		return nil, nil
	}
	s := &gqlSchema{path: path, types: map[string]*gqlType{}}
	for i := range told.Data.Schema.Types {
		t := &told.Data.Schema.Types[i]
		s.types[t.Name] = t
	}
	if t := s.types[told.Data.Schema.QueryType.Name]; t != nil {
		s.query = t.Fields
	}
	if t := s.types[told.Data.Schema.MutationType.Name]; t != nil {
		s.mutation = t.Fields
	}
	return s, nil
}

// scalars are the fields of a type that are read as they are.
func (s *gqlSchema) scalars(name string) []string {
	t := s.types[name]
	if t == nil {
		return nil
	}
	var out []string
	for _, f := range t.Fields {
		_, kind, list, _ := f.Type.plain()
		if (kind == "SCALAR" || kind == "ENUM") && !list && len(f.Args) == 0 && len(out) < 16 {
			out = append(out, f.Name)
		}
	}
	return out
}

var (
	reGQLID     = regexp.MustCompile(`(?i)^(id|uuid|[a-z]+_?(id|uuid))$`)
	reGQLMakes  = regexp.MustCompile(`(?i)^(create|add|new|make|insert|post|submit|place|save|write)|(create|add|insert)$`)
	reGQLAlters = regexp.MustCompile(`(?i)(update|edit|change|set|rename|modify|delete|remove|destroy|cancel|archive|close)`)
)

// named is the argument that names one object; alone: it must be the only one that
// has to be there.
func (f *gqlField) named(alone bool) *gqlArg {
	var id *gqlArg
	for i := range f.Args {
		a := &f.Args[i]
		_, kind, list, required := a.Type.plain()
		switch {
		case reGQLID.MatchString(a.Name) && kind == "SCALAR" && !list && (id == nil || required):
			id = a
		case alone && required && id != a:
			return nil
		}
	}
	return id
}

// filled writes the arguments that a call must have, but one: texts are canaries.
// ok is false when something is asked for that nobody knows.
func (s *gqlSchema) filled(f *gqlField, mark, but string) (vars map[string]any, canary, ok bool) {
	vars = map[string]any{}
	var fill func(a *gqlArg, depth int) (any, bool, bool)
	fill = func(a *gqlArg, depth int) (v any, use, fits bool) {
		name, kind, list, required := a.Type.plain()
		switch {
		case list:
			return []any{}, required, true
		case kind == "INPUT_OBJECT" && depth < 3:
			m := map[string]any{}
			for i := range s.types[name].Inputs {
				in := &s.types[name].Inputs[i]
				v, use, fits := fill(in, depth+1)
				if !fits {
					return nil, false, !required
				}
				if use {
					m[in.Name] = v
				}
			}
			return m, required || len(m) > 0, true
		case name == "String" && strings.Contains(strings.ToLower(a.Name), "email"):
			return "${canary." + mark + "}@example.com", required, true
		case name == "String":
			canary = true
			return "${canary." + mark + "}", true, true
		case name == "Int" || name == "Float":
			return 1, required, true
		case name == "Boolean":
			return false, required, true
		}
		return nil, false, !required // identifiers, enums, other scalars
	}
	for i := range f.Args {
		if f.Args[i].Name == but {
			continue
		}
		v, use, fits := fill(&f.Args[i], 0)
		if !fits {
			return nil, false, false
		}
		if use {
			vars[f.Args[i].Name] = v
		}
	}
	return vars, canary, true
}

// ask is a query or a mutation as a request: its variables hold the values.
func (s *gqlSchema) ask(kind string, f *gqlField, vars map[string]any) *scenario.Send {
	var decls, args []string
	for i := range f.Args {
		a := &f.Args[i]
		if _, used := vars[a.Name]; used {
			decls, args = append(decls, "$"+a.Name+":"+a.Type.text()), append(args, a.Name+":$"+a.Name)
		}
	}
	text := kind
	if len(decls) > 0 {
		text += "(" + strings.Join(decls, ",") + ")"
	}
	text += "{" + f.Name
	if len(args) > 0 {
		text += "(" + strings.Join(args, ",") + ")"
	}
	if name, kind, _, _ := f.Type.plain(); kind == "OBJECT" {
		text += "{" + strings.Join(s.scalars(name), " ") + "}"
	}
	// A placeholder in a JSON text is encoded there; one that is a whole value keeps its type.
	body := strings.NewReplacer(`"${victim}"`, "${victim}").Replace(jsonOf(map[string]any{"query": text + "}", "variables": vars}))
	return &scenario.Send{Method: http.MethodPost, Path: s.path, Body: body, Type: "application/json"}
}

func graphQLObjects(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	var paths []string
	for _, op := range p.Graph.Ops {
		if op.Method == http.MethodPost && !strings.Contains(op.Path, "{") && (strings.Contains(strings.ToLower(op.Path), "graphql") || takesQuery(op)) {
			paths = append(paths, op.Path)
		}
	}
	if len(paths) == 0 {
		paths = graphPaths[:2]
	}
	for _, path := range paths {
		s, err := p.gqlSchemaAt(ctx, path, user)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		tried := 0
		for i := range s.query {
			if tried++; tried > 40 {
				break
			}
			if err := p.gqlReads(ctx, s, &s.query[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// takesQuery: an operation takes a query and its variables.
func takesQuery(op *graph.Op) bool {
	has := func(pointer string) bool {
		return slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool {
			return in.Pointer == pointer || strings.HasPrefix(in.Pointer, pointer+"/")
		})
	}
	return has("/query") && has("/variables")
}

// gqlReads looks for how objects of what a query reads are made, and tries the
// query and the mutations of the same kind on them as another user.
func (p *Probe) gqlReads(ctx context.Context, s *gqlSchema, read *gqlField) error {
	name, kind, list, _ := read.Type.plain()
	id := read.named(true)
	if list || kind != "OBJECT" || id == nil {
		return nil
	}
	idField := ""
	for _, f := range s.scalars(name) {
		if f == id.Name || idField == "" && (strings.EqualFold(f, "id") || strings.EqualFold(f, "uuid")) {
			idField = f
		}
	}
	for i := range s.mutation {
		m := &s.mutation[i]
		made, _, many, _ := m.Type.plain()
		if made != name || many || idField == "" || !reGQLMakes.MatchString(m.Name) {
			continue
		}
		vars, canary, ok := s.filled(m, "text", "")
		if !ok || !canary {
			continue
		}
		return p.gqlTries(ctx, s, read, m, vars, id, idField)
	}
	return nil
}

// gqlMark is what an object that a mutation makes for a proof holds.
const gqlMark = "${canary.text}"

func gqlStep(id string, part scenario.Part, as, note string, send *scenario.Send, e ...scenario.Expect) scenario.Step {
	return scenario.Step{ID: id, Part: part, As: as, Note: note, Send: send, Expect: e}
}

func (p *Probe) gqlTries(ctx context.Context, s *gqlSchema, read, maker *gqlField, vars map[string]any, id *gqlArg, idField string) error {
	other := p.Attackers()[0]
	kind, _, _, _ := read.Type.plain()
	snake := snakeCase(strings.ToLower(kind[:1]) + kind[1:])
	mark, step := []string{gqlMark}, gqlStep
	victim := map[string]any{id.Name: "${victim}"}
	void := map[string]any{id.Name: "999999937"}
	if t, _, _, _ := id.Type.plain(); t == "Int" {
		void[id.Name] = 999999937
	}
	own := s.ask("query", read, victim)
	made := step("make", scenario.Setup, actor.User, "a user makes one", s.ask("mutation", maker, vars), scenario.Expect{Status: "2xx"})
	made.Save = []scenario.Save{{As: "victim", At: "/data/" + maker.Name + "/" + idField}}
	list := []scenario.Step{
		made,
		step("own", scenario.Control, actor.User, "its owner reads it", own, scenario.Expect{Status: "2xx", Contains: mark}),
		step("nobody", scenario.Control, actor.Nobody, "nobody without credentials does", own, scenario.Expect{Lacks: mark}),
		step("absent", scenario.Control, other.Name, "an identifier of nothing gives nothing", s.ask("query", read, void), scenario.Expect{Lacks: mark}),
	}
	told := usuallyPrivate.MatchString(snake) // that it is somebody's
	var lists []scenario.Step
	for i := range s.query {
		f := &s.query[i]
		if of, _, many, _ := f.Type.plain(); of != kind || !many || slices.ContainsFunc(f.Args, func(a gqlArg) bool { _, _, _, must := a.Type.plain(); return must }) {
			continue
		}
		all := s.ask("query", f, nil)
		lists = append(lists, step("list_"+f.Name, scenario.Control, other.Name, "another user is shown it in "+f.Name, all, scenario.Expect{Status: "2xx", Contains: mark}))
		list = append(list, step("list_"+f.Name, scenario.Control, other.Name, "what another user is shown in "+f.Name+" is without it", all, scenario.Expect{Lacks: mark}))
		told = true
	}
	if !told || usuallyShared.MatchString(snake) && !usuallyPrivate.MatchString(snake) && len(list) == 4 {
		return nil
	}
	what := strings.ReplaceAll(snake, "_", " ")
	attack := step("attack", scenario.Attack, other.Name, other.Name+", another user, reads it", own, scenario.Expect{Status: "2xx", Contains: mark})
	if _, err := p.Prove(ctx, Hypothesis{
		Method: http.MethodPost, Path: s.path, Where: "variables." + read.Name + "." + id.Name, CVSS: Find("bola-read").CVSS,
		Title:       fmt.Sprintf("The GraphQL query %s shows another user's %s", read.Name, what),
		Description: fmt.Sprintf("A user who does not own the %s gets it by its identifier in the variables of %s.", what, read.Name),
		Scenario:    &scenario.Scenario{Name: "GraphQL: " + read.Name + " as another user", Steps: append(slices.Clone(list), attack)},
	}); err != nil {
		return err
	}
	return p.gqlWrites(ctx, s, &gqlObject{kind: kind, what: what, made: made, own: own, lists: lists})
}
