package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// expand replaces ${NAME} and ${NAME:-default} by the environment's values, and
// $$ by $. A $ before anything else stays, so that patterns need no escaping.
func (d *decoder) expand(path, s string) (string, bool) {
	if !strings.Contains(s, "$") {
		return s, true
	}
	var b strings.Builder
	ok := true
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), ok
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			body, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				d.add(path, "${ is not closed", "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign")
				return "", false
			}
			value, fine := d.variable(path, body)
			b.WriteString(value)
			ok = ok && fine
			s = after
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}

// variable is the value of one ${…}.
func (d *decoder) variable(path, body string) (string, bool) {
	name, def, hasDefault := strings.Cut(body, ":-")
	if !isEnvName(name) {
		d.add(path, fmt.Sprintf("%q is not the name of an environment variable", name), "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign")
		return "", false
	}
	value, set := d.env(name)
	switch {
	case set && (value != "" || !hasDefault):
		return value, true
	case hasDefault:
		return def, true
	}
	d.add(path, "the environment variable "+name+" is not set", "set it, or give a default: ${"+name+":-default}")
	return "", false
}

func isEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

const maxSecretFile = 64 << 10

// secret reads a Secret: the one value of a config that must come from elsewhere.
func (d *decoder) secret(path, written string) (Secret, bool) {
	const fix = "write ${ENV_NAME} or file:PATH"
	if name, ok := strings.CutPrefix(written, "file:"); ok {
		if d.unopened != nil {
			return d.leave(path), true
		}
		name, ok := d.expand(path, name)
		if !ok {
			return Secret{}, false
		}
		return d.secretFile(path, name)
	}
	if !strings.HasPrefix(written, "${") || strings.Index(written, "}") != len(written)-1 {
		d.add(path, "a secret must not stand in the config itself", fix)
		return Secret{}, false
	}
	name := written[2 : len(written)-1]
	if strings.Contains(name, ":-") {
		d.add(path, "a secret has no default", fix)
		return Secret{}, false
	}
	if d.unopened != nil && isEnvName(name) {
		return d.leave(path), true
	}
	value, set := d.env(name)
	if !isEnvName(name) || !set {
		d.add(path, fmt.Sprintf("the environment variable %q is not set", name), fix)
		return Secret{}, false
	}
	// The variable may itself name a file, as container platforms like to have it.
	if file, isFile := strings.CutPrefix(value, "file:"); isFile {
		return d.secretFile(path, file)
	}
	if value == "" {
		d.add(path, "the environment variable "+name+" is empty", "give it the secret")
		return Secret{}, false
	}
	return NewSecret(value), true
}

// leave leaves a secret unread. What stands for it is of no other secret.
func (d *decoder) leave(path string) Secret {
	d.unopened[path] = true
	return NewSecret("not read: " + path)
}

func (d *decoder) secretFile(path, name string) (Secret, bool) {
	full := d.resolve(name)
	d.secretFiles = append(d.secretFiles, full)
	info, err := os.Stat(full)
	if err != nil {
		d.add(path, "the secret's file cannot be read: "+reason(err), "check the path; it is relative to the config file")
		return Secret{}, false
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		d.add(path, "the secret's file is not a plain file of at most 64KiB", "")
		return Secret{}, false
	}
	data, err := os.ReadFile(full)
	if err != nil {
		d.add(path, "the secret's file cannot be read: "+reason(err), "check its permissions")
		return Secret{}, false
	}
	// An editor's last line end is not part of the secret.
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		d.add(path, "the secret's file is empty", "")
		return Secret{}, false
	}
	if info.Mode().Perm()&0o077 != 0 {
		d.warn(path, fmt.Sprintf("the secret's file can be read by others (mode %04o)", info.Mode().Perm()), "chmod 600 "+name)
	}
	return NewSecret(value), true
}

// resolve makes a path of the config absolute to the config's own folder.
func (d *decoder) resolve(name string) string { return under(d.dir, name) }

func under(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// reason is an error of the file system without the path, which the message names already.
func reason(err error) string {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Path + ": " + pe.Err.Error()
	}
	return err.Error()
}
