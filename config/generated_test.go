package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const reference = "../docs/configuration.md"

// TestGenerated keeps schema.json and the reference as the types have it. With
// -update (go generate) it writes them.
func TestGenerated(t *testing.T) {
	comments := readComments(t)
	for file, want := range map[string][]byte{
		"schema.json": jsonSchema(t, comments),
		reference:     markdown(t, comments),
	} {
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./config", file, err)
		}
	}
}

// comments are the doc comments of types ("Server") and fields ("Server.Listen").
type comments map[string]string

func readComments(t *testing.T) comments {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := comments{}
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out.add(file)
	}
	return out
}

func (out comments) add(file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, s := range gen.Specs {
			spec := s.(*ast.TypeSpec)
			out[spec.Name.Name] = oneLine(gen.Doc)
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range st.Fields.List {
				for _, n := range f.Names {
					out[spec.Name.Name+"."+n.Name] = oneLine(f.Doc)
				}
			}
		}
	}
}

func oneLine(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }

// owner is the type that declares a field: for an inlined one that is not t.
func owner(t reflect.Type, f fieldInfo) string {
	for _, i := range f.index[:len(f.index)-1] {
		t = t.Field(i).Type
	}
	return t.Name()
}

// text is a field's comment in the words of the file: its keys instead of Go's names.
func (c comments) text(t *testing.T, typ reflect.Type, f fieldInfo) string {
	t.Helper()
	s := c[owner(typ, f)+"."+f.goName]
	if s == "" {
		t.Errorf("%s.%s has no comment", typ.Name(), f.goName)
	}
	for _, other := range fieldsOf(typ).list {
		s = replaceWord(s, other.goName, other.key)
	}
	s = replaceWord(s, "DataDir", "data_dir")
	return strings.ToUpper(s[:1]) + s[1:]
}

// replaceWord replaces a name that is no ordinary word, and any name that begins the sentence.
func replaceWord(s, name, key string) string {
	if rest, ok := strings.CutPrefix(s, name+" "); ok && !strings.EqualFold(name, key) {
		s = "`" + key + "` " + rest
	}
	if !strings.EqualFold(name, key) && strings.ContainsAny(name[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && strings.ToUpper(name) != name {
		words := strings.Split(s, " ")
		for i, w := range words {
			if bare := strings.TrimRight(w, ".,;:)"); bare == name {
				words[i] = "`" + key + "`" + w[len(bare):]
			}
		}
		s = strings.Join(words, " ")
	}
	return s
}

const variable = `\$\{`

func jsonSchema(t *testing.T, c comments) []byte {
	defs := map[string]any{
		"variable": map[string]any{"type": "string", "pattern": variable, "description": "${NAME} or ${NAME:-default}, replaced by the environment's value"},
	}
	var ofType func(typ reflect.Type, f fieldInfo) map[string]any
	var ofStruct func(typ reflect.Type)
	ofType = func(typ reflect.Type, f fieldInfo) map[string]any {
		or := func(s map[string]any) map[string]any {
			return map[string]any{"anyOf": []any{s, map[string]any{"$ref": "#/$defs/variable"}}}
		}
		switch {
		case typ == typeSecret:
			return map[string]any{"type": "string", "pattern": `^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+)$`}
		case typ == typePrefix:
			return map[string]any{"type": "string"}
		case typ == typeDuration:
			return map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$|` + variable}
		case typ == typeBytes || f.unit == "bytes":
			return map[string]any{"type": []any{"integer", "string"}, "minimum": 0, "pattern": `^[0-9]+ *([KMGT]i?B|kB|B)?$|` + variable}
		}
		switch typ.Kind() {
		case reflect.Pointer:
			return ofType(typ.Elem(), f)
		case reflect.Struct:
			ofStruct(typ)
			return map[string]any{"$ref": "#/$defs/" + typ.Name()}
		case reflect.Slice:
			return map[string]any{"type": "array", "items": ofType(typ.Elem(), f)}
		case reflect.Map:
			return map[string]any{"type": "object", "additionalProperties": ofType(typ.Elem(), f)}
		case reflect.Bool:
			return or(map[string]any{"type": "boolean"})
		case reflect.Int, reflect.Float64:
			s := map[string]any{"type": map[bool]string{true: "integer", false: "number"}[typ.Kind() == reflect.Int]}
			if f.min != "" {
				s["minimum"] = json.Number(f.min)
			}
			if f.max != "" {
				s["maximum"] = json.Number(f.max)
			}
			return or(s)
		}
		if len(f.enum) > 0 {
			s := map[string]any{"enum": f.enum}
			if _, err := strconv.ParseFloat(f.enum[0], 64); err == nil {
				var both []any // 1.2 may be written without quotes
				for _, e := range f.enum {
					both = append(both, e, json.Number(e))
				}
				s = map[string]any{"enum": both}
			}
			return or(s)
		}
		return map[string]any{"type": "string"}
	}
	ofStruct = func(typ reflect.Type) {
		if _, done := defs[typ.Name()]; done {
			return
		}
		s := map[string]any{"type": "object", "additionalProperties": false, "description": c[typ.Name()]}
		defs[typ.Name()] = s
		properties, required := map[string]any{}, []string{}
		for _, f := range fieldsOf(typ).list {
			p := ofType(f.typ, f)
			p["description"] = c.text(t, typ, f)
			if f.hasDef {
				p["default"] = defaultValue(f)
			}
			properties[f.key] = p
			if f.required {
				required = append(required, f.key)
			}
		}
		s["properties"] = properties
		if len(required) > 0 {
			s["required"] = required
		}
	}
	ofStruct(reflect.TypeFor[Config]())
	out, err := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "crenel.yaml", "$ref": "#/$defs/Config", "$defs": defs,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func defaultValue(f fieldInfo) any {
	v := reflect.New(f.typ).Elem()
	setDefault(v, &f)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Int && f.unit == "" || v.Kind() == reflect.Bool || v.Kind() == reflect.Float64 || v.Kind() == reflect.Slice {
		return v.Interface()
	}
	return written(v, &f)
}

func markdown(t *testing.T, c comments) []byte {
	var b strings.Builder
	b.WriteString(`# Configuration

Generated from the types in ` + "`config`" + ` by ` + "`go generate ./config`" + `; edit the types, not this page.

Crenel reads one YAML file, ` + "`crenel.yaml`" + ` unless ` + "`-c`" + ` names another. ` + "`crenel config check`" + ` prints every
mistake at once, each with its place and what would be right; ` + "`crenel config show`" + ` prints what takes
effect; ` + "`crenel config schema`" + ` prints the JSON Schema for editors.

- **Variables.** ` + "`${NAME}`" + ` in any value is replaced by the environment's, ` + "`${NAME:-default}`" + ` when it may be
  unset; ` + "`$$`" + ` is a dollar sign. A variable that is not set is a mistake.
- **Secrets** are written as ` + "`${NAME}`" + ` or ` + "`file:PATH`" + `, never as themselves.
- **Durations** have a unit: ` + "`500ms`, `30s`, `5m`, `2h`, `1d`" + `. **Sizes** are bytes or have one: ` + "`512`, `64KiB`, `1MiB`" + `.
- **Paths** are relative to the config file.
- Unknown keys and keys that stand twice are refused.
`)
	seen := map[reflect.Type]string{}
	var section func(typ reflect.Type, path string)
	section = func(typ reflect.Type, path string) {
		seen[typ] = path
		title := path
		if title == "" {
			title = "Top level"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | allowed | |\n|---|---|---|---|---|\n", title, c[typ.Name()])
		type sub struct {
			typ  reflect.Type
			path string
		}
		var subs []sub
		for _, f := range fieldsOf(typ).list {
			inner, suffix := f.typ, ""
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct && inner.Elem() != typePrefix {
				if inner.Kind() == reflect.Slice {
					suffix = "[]"
				}
				inner = inner.Elem()
			}
			kind := kindName(f.typ, f)
			if inner.Kind() == reflect.Struct && inner != typeSecret && inner != typePrefix {
				at := join(path, f.key) + suffix
				if first, done := seen[inner]; done {
					at = first
				} else {
					seen[inner] = at
					subs = append(subs, sub{inner, at})
				}
				kind = "[" + map[bool]string{true: "list", false: "mapping"}[suffix != ""] + "](#" + anchorOf(at) + ")"
			}
			def := f.unset
			if f.hasDef {
				def = "`" + strings.ReplaceAll(f.def, ",", "`, `") + "`"
			} else if f.required {
				def = "**required**"
			}
			allowed := ""
			switch {
			case len(f.enum) > 0:
				allowed = "`" + strings.Join(f.enum, "`, `") + "`"
			case f.min != "" && f.min == f.max:
				allowed = f.min
			case f.min != "":
				allowed = strings.ReplaceAll(strings.TrimPrefix((&f).bounds(), "from "), " to ", " … ")
			}
			text := c.text(t, typ, f)
			if f.example != "" {
				text += " Example: `" + f.key + ": " + f.example + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.key, kind, def, allowed, strings.ReplaceAll(text, "|", `\|`))
		}
		for _, s := range subs {
			section(s.typ, s.path)
		}
	}
	section(reflect.TypeFor[Config](), "")
	return []byte(b.String())
}

func anchorOf(path string) string {
	return strings.NewReplacer(".", "", "[", "", "]", "").Replace(path)
}

func kindName(typ reflect.Type, f fieldInfo) string {
	switch {
	case typ == typeSecret:
		return "secret"
	case typ == typePrefix:
		return "address"
	case typ == typeDuration:
		return "duration"
	case typ == typeBytes || f.unit == "bytes":
		return "size"
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return kindName(typ.Elem(), f)
	case reflect.Slice:
		return "list of " + kindName(typ.Elem(), f)
	case reflect.Map:
		return "mapping to " + kindName(typ.Elem(), f)
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

// TestSchemaAgrees holds the schema against the loader: what loads validates,
// and a wrong key, type or word is refused by both.
func TestSchemaAgrees(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("crenel.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("crenel.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Validate(v)
	}
	var shownYAML bytes.Buffer
	if err := parse(t, minimal, Options{}).WriteYAML(&shownYAML); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"minimal": minimal, "shown": shownYAML.String(), "variable": strings.Replace(minimal, "name: pets", "name: pets\n  mode: ${MODE}", 1)} {
		if err := validate(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"unknown_key", "unknown_key_top", "mode_unknown", "not_a_number", "not_a_bool", "version_2", "secret_literal", "scalar_for_list", "list_for_scalar", "jwt_none", "operation_guard_mode", "duration_negative", "not_a_size", "api_without_name", "tls_min_version"} {
		data, err := os.ReadFile("testdata/broken/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), ruler)
		if validate(input) == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
}

// TestShow: what is shown can be read again and means the same; secrets and webhooks' paths are not in it.
func TestShow(t *testing.T) {
	c := parse(t, minimal+"    sign: {key: \"${LONG_SECRET}\"}\nalarms:\n  webhook: https://hooks.example/services/T0/secret-path\n", Options{})
	var asYAML, asJSON bytes.Buffer
	if err := c.WriteYAML(&asYAML); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteJSON(&asJSON); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(asJSON.Bytes()) {
		t.Errorf("not JSON: %s", asJSON.String())
	}
	for _, out := range []string{asYAML.String(), asJSON.String()} {
		for _, secret := range []string{"geheim", "secret-path"} {
			if strings.Contains(out, secret) {
				t.Errorf("%q is shown:\n%s", secret, out)
			}
		}
	}
	again := strings.NewReplacer("'[redacted]'", "${LONG_SECRET}", `"[redacted]"`, "${LONG_SECRET}", "[redacted]", "${LONG_SECRET}").Replace(asYAML.String())
	d := parse(t, again, Options{})
	var second bytes.Buffer
	if err := d.WriteYAML(&second); err != nil {
		t.Fatal(err)
	}
	if a, b := dropWebhook(asYAML.String()), dropWebhook(second.String()); a != b {
		t.Errorf("shown, read and shown again:\n%s\n---\n%s", a, b)
	}
}

func dropWebhook(s string) string {
	var kept []string
	for _, l := range strings.Split(s, "\n") {
		if !strings.Contains(l, "webhook") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "\n")
}
