package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// Options change how a config is read. The zero Options read the process's
// environment and change nothing.
type Options struct {
	// Env looks up a variable. Default: os.LookupEnv.
	Env func(name string) (string, bool)
	// Override changes the config after the file was read and before anything is
	// derived from it or checked: flags of the command line go here, so that a
	// reload keeps them.
	Override func(*Config)
	// WithoutSecrets reads no secret, and asks for no key file: for commands that
	// need none, such as those that judge policies where a gateway's secrets are not
	// at hand. What stands in a secret's place opens nothing.
	WithoutSecrets bool
}

// Load reads, completes and validates a config file. The error is an Errors
// with every mistake, or why the file cannot be read.
func Load(path string) (*Config, error) { return LoadWith(path, Options{}) }

// LoadWith is Load with Options.
func LoadWith(path string, opts Options) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading the config: %s is not a file", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(err)
	}
	return Parse(data, path, opts)
}

func unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the config: %w; crenel init writes one, -c names another", err)
	}
	return fmt.Errorf("reading the config: %w", err)
}

// Parse reads, completes and validates a config. name is its file's path: it
// stands in messages, and relative paths are relative to its folder. With an
// empty name they are relative to the working directory.
func Parse(data []byte, name string, opts Options) (*Config, error) {
	d := newDecoder(name)
	if opts.Env != nil {
		d.env = opts.Env
	}
	if opts.WithoutSecrets {
		d.unopened = map[string]bool{}
	}
	c := &Config{path: name}
	prefill(reflect.ValueOf(c).Elem())
	d.parse(data, c)
	if d.unread {
		return nil, Errors(sorted(d.mistakes))
	}
	if opts.Override != nil {
		opts.Override(c)
	}
	return d.finish(c)
}

// DataDirOf reads only where a config's gateway keeps its data, so that a running
// gateway is found even while its config file is broken.
func DataDirOf(path string) (string, error) {
	d, c, err := glance(path)
	if err != nil {
		return "", err
	}
	if d.bad["data_dir"] {
		return "", Errors(sorted(d.mistakes))
	}
	return d.resolve(c.DataDir), nil
}

// TrailFileOf reads only where a config's gateway keeps its events, so that one
// can be explained where the gateway's secrets are not at hand. dataDir is in the
// place of the config's, unless it is empty.
func TrailFileOf(path, dataDir string) (string, error) {
	d, c, err := glance(path)
	if err != nil {
		return "", err
	}
	if d.bad["data_dir"] || d.bad["trail.file"] {
		return "", Errors(sorted(d.mistakes))
	}
	if dataDir == "" {
		dataDir = d.resolve(c.DataDir)
	}
	return under(dataDir, c.Trail.File), nil
}

// KeyFile is the key file of one api_key method.
type KeyFile struct{ API, File string }

// KeyFiles reads only which key files a config names: one that is still to be
// made is a mistake in a config, and what makes it must not fail for that.
func KeyFiles(path string) ([]KeyFile, error) {
	d, c, err := glance(path)
	if err != nil {
		return nil, err
	}
	var files []KeyFile
	for _, a := range c.APIs {
		for _, m := range a.Guards.Authn.Methods {
			if m.APIKey != nil && m.APIKey.File != "" {
				files = append(files, KeyFile{a.Name, d.resolve(m.APIKey.File)})
			}
		}
	}
	return files, nil
}

// glance reads a config without judging it.
func glance(path string) (*decoder, *Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, unreadable(err)
	}
	d, c := newDecoder(path), &Config{}
	prefill(reflect.ValueOf(c).Elem())
	d.parse(data, c)
	if d.unread {
		return nil, nil, Errors(sorted(d.mistakes))
	}
	return d, c, nil
}

// Complete fills in, resolves and validates a config that was built in code: a
// zero field means its default. The error is an Errors.
func (c *Config) Complete() error {
	fill(reflect.ValueOf(c).Elem())
	_, err := newDecoder(c.path).finish(c)
	return err
}

func newDecoder(name string) *decoder {
	d := &decoder{
		places: places{file: name, at: map[string]place{}},
		env:    os.LookupEnv,
		bad:    map[string]bool{},
		values: maxValues,
	}
	d.anchors = map[string]ast.Node{}
	if name != "" {
		d.dir = filepath.Dir(name)
		// Absolute, so that nobody who resolves a path again makes another of it.
		if abs, err := filepath.Abs(d.dir); err == nil {
			d.dir = abs
		}
	}
	return d
}

// finish derives what the file leaves unsaid and checks the whole.
func (d *decoder) finish(c *Config) (*Config, error) {
	d.resolvePaths(c)
	v := &validator{decoder: d, c: c, reported: map[string]bool{}}
	v.fields() // before anything is derived from a wrong value
	d.derive(c)
	v.config()
	if len(d.mistakes) > 0 {
		return nil, Errors(sorted(d.mistakes))
	}
	c.places, c.secretFiles = d.places, d.secretFiles
	v.harden()
	c.warnings = sorted(d.warnings)
	return c, nil
}

// Warnings are what is allowed and still weakens the defence, graded by nothing
// but their being there: config check prints them.
func (c *Config) Warnings() []Mistake { return c.warnings }
