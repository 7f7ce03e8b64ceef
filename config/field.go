package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// fieldInfo is what a field's tags say. They are the one source of a key's
// default, alternatives and bounds: decoder, validation, JSON Schema and the
// reference all read them.
//
//	yaml      the key
//	default   as it would be written; a list is separated by commas
//	enum      the values allowed, separated by commas
//	min, max  bounds, inclusive, as they would be written
//	unit      "bytes": an int that is read as a size
//	kind      what a string means: addr, file, url, path, host, header, …
//	required  "true": must be set
//	noun      what an enum's value is called
//	inherit   the key that an unset field takes its value from
//	unset     what an unset field means, when that is no literal default
//	show      "origin": config show prints only scheme and host
//	example   for the reference
type fieldInfo struct {
	key, goName string
	index       []int
	typ         reflect.Type
	def         string
	hasDef      bool
	enum        []string
	min, max    string
	unit, kind  string
	noun        string
	inherit     string
	show        string
	unset       string
	example     string
	required    bool
}

type structInfo struct {
	list  []fieldInfo
	byKey map[string]int
	keys  []string
}

var structs sync.Map // reflect.Type → *structInfo

// fieldsOf lists a struct's keys; inlined structs' keys are its own.
func fieldsOf(t reflect.Type) *structInfo {
	if s, ok := structs.Load(t); ok {
		return s.(*structInfo)
	}
	s := &structInfo{byKey: map[string]int{}}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		key, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if opts == "inline" {
			for _, f := range fieldsOf(sf.Type).list {
				f.index = append([]int{i}, f.index...)
				s.list = append(s.list, f)
			}
			continue
		}
		def, hasDef := sf.Tag.Lookup("default")
		f := fieldInfo{
			key: key, goName: sf.Name, index: []int{i}, typ: sf.Type,
			def: def, hasDef: hasDef,
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			unit: sf.Tag.Get("unit"), kind: sf.Tag.Get("kind"),
			noun: sf.Tag.Get("noun"), inherit: sf.Tag.Get("inherit"),
			show: sf.Tag.Get("show"), unset: sf.Tag.Get("unset"), example: sf.Tag.Get("example"),
			required: sf.Tag.Get("required") == "true",
		}
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		s.list = append(s.list, f)
	}
	for i, f := range s.list {
		s.byKey[f.key] = i
		s.keys = append(s.keys, f.key)
	}
	structs.Store(t, s)
	return s
}

// homes are the sections in which each key stands.
var homes = sync.OnceValue(func() map[string][]string {
	out, seen := map[string][]string{}, map[reflect.Type]bool{}
	var section func(t reflect.Type, path string)
	section = func(t reflect.Type, path string) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			if t.Kind() == reflect.Slice {
				path += "[]"
			}
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == typeSecret || t == typePrefix || seen[t] {
			return
		}
		seen[t] = true
		for _, f := range fieldsOf(t).list {
			out[f.key] = append(out[f.key], path)
			section(f.typ, join(path, f.key))
		}
	}
	section(reflect.TypeFor[Config](), "")
	return out
})

// homesOf are the sections that know the key, for a key that stands elsewhere.
func homesOf(key string) []string {
	var out []string
	for _, h := range homes()[key] {
		if h == "" {
			h = "the top level"
		}
		out = append(out, h)
	}
	return out
}

// check tests a scalar against the field's alternatives and bounds.
func (f *fieldInfo) check(v reflect.Value) (what, fix string) {
	if len(f.enum) > 0 && v.Kind() == reflect.String {
		s := v.String()
		if slices.Contains(f.enum, s) {
			return "", ""
		}
		noun := f.noun
		if noun == "" {
			return "is not known", "use " + either(f.enum)
		}
		article := "a "
		if strings.ContainsAny(noun[:1], "aeiou") {
			article = "an "
		}
		return "is not " + article + noun, "use " + either(f.enum)
	}
	if f.min != "" && f.min == f.max && compare(v, f.min, *f) != 0 {
		return "is not known", "the only one is " + f.min
	}
	if f.min != "" && compare(v, f.min, *f) < 0 {
		return "is too small", f.bounds()
	}
	if f.max != "" && compare(v, f.max, *f) > 0 {
		return "is too large", f.bounds()
	}
	return "", ""
}

func (f *fieldInfo) bounds() string {
	switch {
	case f.min == "":
		return "at most " + f.max
	case f.max == "":
		return "at least " + f.min
	}
	return fmt.Sprintf("from %s to %s", f.min, f.max)
}

// compare orders a value and a bound.
func compare(v reflect.Value, bound string, f fieldInfo) int {
	b := reflect.New(v.Type()).Elem()
	if what, _ := setScalar(b, bound, f); what != "" {
		panic(fmt.Sprintf("config: tag of %s: %q %s", f.goName, bound, what))
	}
	switch {
	case v.CanInt():
		return cmp.Compare(v.Int(), b.Int())
	case v.CanFloat():
		return cmp.Compare(v.Float(), b.Float())
	}
	return 0
}

// prefill gives a struct's fields their defaults, before the file is read, so
// that a zero which the file states stays a zero.
func prefill(v reflect.Value) {
	if v.Kind() != reflect.Struct || v.Type() == typeSecret || v.Type() == typePrefix {
		return
	}
	fields := fieldsOf(v.Type())
	for i := range fields.list {
		f := &fields.list[i]
		field := v.FieldByIndex(f.index)
		switch {
		case f.hasDef:
			setDefault(field, f)
		default:
			prefill(field)
		}
	}
}

// fill gives defaults to the zero fields of a config that was built in code.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == typeSecret || v.Type() == typePrefix {
			return
		}
		fields := fieldsOf(v.Type())
		for i := range fields.list {
			f := &fields.list[i]
			field := v.FieldByIndex(f.index)
			switch {
			case f.inherit != "":
			case f.hasDef && (field.IsZero() || field.Kind() == reflect.Slice && field.IsNil()):
				setDefault(field, f)
			default:
				fill(field)
			}
		}
	}
}

func setDefault(v reflect.Value, f *fieldInfo) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setDefault(v.Elem(), f)
	case reflect.Slice:
		words := strings.Split(f.def, ",")
		v.Set(reflect.MakeSlice(v.Type(), len(words), len(words)))
		for i, w := range words {
			v.Index(i).SetString(w)
		}
	default:
		if what, _ := setScalar(v, f.def, *f); what != "" {
			panic(fmt.Sprintf("config: default of %s: %q %s", f.goName, f.def, what))
		}
	}
}

// written is a scalar as it would stand in the file.
func written(v reflect.Value, f *fieldInfo) string {
	switch {
	case v.Type() == typeDuration:
		return formatDuration(time.Duration(v.Int()))
	case v.Type() == typeBytes || f.unit == "bytes":
		return Bytes(v.Int()).String()
	}
	return fmt.Sprint(v.Interface())
}
