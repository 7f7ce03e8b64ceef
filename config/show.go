package config

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// WriteYAML writes the config as it takes effect: defaults filled in, paths
// absolute, secrets left out. Empty settings are not written.
func (c *Config) WriteYAML(w io.Writer) error {
	data, err := yaml.Marshal(shown(reflect.ValueOf(c).Elem(), &fieldInfo{}))
	if err != nil {
		return fmt.Errorf("writing the config: %w", err)
	}
	_, err = w.Write(data)
	return err
}

// WriteJSON is WriteYAML in JSON.
func (c *Config) WriteJSON(w io.Writer) error {
	data, err := yaml.MarshalWithOptions(shown(reflect.ValueOf(c).Elem(), &fieldInfo{}), yaml.JSON())
	if err != nil {
		return fmt.Errorf("writing the config: %w", err)
	}
	_, err = w.Write(data)
	return err
}

// shown is a value as it may be printed; nil when it is empty.
func shown(v reflect.Value, f *fieldInfo) any {
	switch v.Type() {
	case typeSecret:
		if s := v.Interface().(Secret); !s.IsZero() {
			return s.String()
		}
		return nil
	case typePrefix:
		return v.Interface().(netip.Prefix).String()
	case typeDuration, typeBytes:
		return written(v, f)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if s := shown(v.Elem(), f); s != nil || v.Elem().Kind() == reflect.Struct {
			return s
		}
		return "" // a base path that was set to none
	case reflect.Struct:
		return shownStruct(v)
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = shown(v.Index(i), f)
		}
		return out
	case reflect.Map:
		return shownMap(v, f)
	case reflect.String:
		switch {
		case v.Len() == 0:
			return nil
		case f.show == "origin":
			return origin(v.String())
		}
		return v.String()
	case reflect.Int:
		if f.unit == "bytes" {
			return written(v, f)
		}
	}
	return v.Interface()
}

func shownStruct(v reflect.Value) any {
	fields, out := fieldsOf(v.Type()), yaml.MapSlice{}
	for i := range fields.list {
		f := &fields.list[i]
		if s := shown(v.FieldByIndex(f.index), f); s != nil {
			out = append(out, yaml.MapItem{Key: f.key, Value: s})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func shownMap(v reflect.Value, f *fieldInfo) any {
	keys := v.MapKeys()
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	out := yaml.MapSlice{}
	for _, k := range keys {
		out = append(out, yaml.MapItem{Key: k.String(), Value: shown(v.MapIndex(k), f)})
	}
	return out
}

// origin keeps a URL's path and query back: those of a webhook are its secret.
func origin(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "[redacted]"
	}
	if u.Path == "" && u.RawQuery == "" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/[redacted]"
}
