package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Options are what a run is told: a scan.yaml, and the flags that override it.
type Options struct {
	leeway time.Duration // check.Lab.Leeway: tests cannot wait for minutes
	// Spec is a file or an address: OpenAPI, a Postman collection, a HAR file.
	// "" looks for a description at the target.
	Spec string `yaml:"spec"`
	// SpecAs is the account, of those whose credentials are given as they are sent
	// (headers, cookies, query, basic, bearer, api_key), that a description at the
	// target's own origin is fetched as. "": as nobody and, where nobody may have
	// it, as the first of admin, user, peer and the others that may.
	SpecAs string `yaml:"spec_as"`
	// Target is where the API is: scheme, host, port and base path.
	Target string `yaml:"target"`
	// Also are further origins that requests may go to, such as a token endpoint's.
	Also []string `yaml:"also"`
	// Mode is "safe", "default" or "aggressive"; "" is "default".
	Mode string `yaml:"mode"`
	// Actors are the accounts; none: the run registers its own.
	Actors actor.Config `yaml:"actors"`
	// Checks, when given, are the only ones that run; Skip are left out.
	Checks []string `yaml:"checks"`
	Skip   []string `yaml:"skip"`
	// ChecksDir holds the user's own checks, in YAML.
	ChecksDir string `yaml:"checks_dir"`
	// Paths, when given, are the only operations that are attacked: templates,
	// in which * stands for anything. Leave are operations never called:
	// "DELETE /users/{id}", "/admin/*".
	Paths []string `yaml:"paths"`
	Leave []string `yaml:"leave"`
	// ChangedSince is an older description: only what differs is attacked.
	ChangedSince string `yaml:"changed_since"`

	Limits   Limits   `yaml:"limits"`
	TLS      TLS      `yaml:"tls"`
	Listener Listener `yaml:"listener"`

	Baseline string                `yaml:"baseline"`
	Suppress []finding.Suppression `yaml:"suppress"`

	Seed uint64 `yaml:"seed"`

	// Resume is a file, or a directory for it, in which the run notes what it has
	// done. Where it holds a run that was broken off, this one goes on after it.
	Resume string `yaml:"resume"`

	// Record, when set, is written everything that is sent and answered, as an
	// HTTP Archive (HAR 1.2) without credentials. Run does not close it.
	Record io.Writer `yaml:"-"`
	// Dir is where relative files of the options are; LoadOptions sets it.
	Dir     string       `yaml:"-"`
	Version string       `yaml:"-"` // of the tool, for reports
	Log     *slog.Logger `yaml:"-"` // nil: none
}

// Limits bound what a run does to its target.
type Limits struct {
	Rate        float64       `yaml:"rate"`         // requests a second; 0: no bound
	MaxRequests int64         `yaml:"max_requests"` // over the whole run; 0: no bound
	MaxTime     time.Duration `yaml:"max_time"`     // of the whole run; 0: no bound
	Timeout     time.Duration `yaml:"timeout"`      // of one request; 0: 20 s
	Workers     int           `yaml:"workers"`      // requests in flight; 0: 16
	DownFor     time.Duration `yaml:"down_for"`     // how long a target that went away is waited for; 0: 60 s
}

// TLS is how the target's certificate is judged.
type TLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	Insecure bool   `yaml:"insecure"`
	// ServerName is for SNI and the certificate, in place of the target's host.
	ServerName string `yaml:"server_name"`
	// Proxy is one that requests go through: "http://127.0.0.1:8080".
	Proxy string `yaml:"proxy"`
}

// Listener is where the target's own calls are heard.
type Listener struct {
	Off     bool   `yaml:"off"`
	Address string `yaml:"address"` // "" is 127.0.0.1 and a free port
	Public  string `yaml:"public"`  // the URL at which the target reaches it; "" the address itself
	// DNS, when it has an address, hears lookups as well.
	DNS DNS `yaml:"dns"`
}

// DNS is a resolver that the target can be given: in its /etc/resolv.conf, or by
// delegating a zone to it.
type DNS struct {
	Address string `yaml:"address"` // "10.0.0.5:53", UDP and TCP; "": none
	Zone    string `yaml:"zone"`    // what its names end in; "": oob.crenel.test
	Forward string `yaml:"forward"` // a resolver for all other names, "10.0.0.2:53"; "": they are refused
}

// LoadOptions reads a scan.yaml. What cannot be read, or is unknown, is told with its
// line; what its values are wrong about, Check tells.
func LoadOptions(file string) (*Options, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the scan's options: %w", err)
	}
	o := &Options{Dir: filepath.Dir(file)}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(o); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the scan's options in %s: %s", file, yaml.FormatError(err, false, true))
	}
	return o, nil
}

// Check says what is wrong with the options, all of it together.
func (o *Options) Check() error {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if o.Target == "" {
		say("target: no address given; want something like http://127.0.0.1:9000")
	} else if err := target.CheckAddress(o.Target); err != nil {
		say("target: %v", err)
	}
	for _, also := range o.Also {
		if err := target.CheckAddress(also); err != nil {
			say("also: %v", err)
		}
	}
	if _, err := o.mode(); err != nil {
		say("%v", err)
	}
	who := o.Actors
	who.Dir = o.Dir
	if err := who.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			say("actors.%s", line)
		}
	}
	if o.SpecAs != "" {
		switch acc, ok := o.Actors.Accounts[o.SpecAs]; {
		case !ok:
			say("spec_as: there is no account %q under actors.accounts", o.SpecAs)
		case !acc.IsFixed():
			say("spec_as: %s logs in by what the description says; want an account with headers, cookies, query, basic, digest, bearer or api_key", o.SpecAs)
		}
	}
	for _, list := range []struct {
		name string
		ids  []string
	}{{"checks", o.Checks}, {"skip", o.Skip}} {
		for _, id := range list.ids {
			if o.ChecksDir == "" && check.Find(id) == nil {
				say("%s: there is no check %q; crenel scan --list-checks names them", list.name, id)
			}
		}
	}
	for _, s := range o.Suppress {
		if err := s.Check(); err != nil {
			say("suppress: %v", err)
		}
	}
	for name, v := range map[string]float64{"rate": o.Limits.Rate, "max_requests": float64(o.Limits.MaxRequests), "max_time": float64(o.Limits.MaxTime), "timeout": float64(o.Limits.Timeout), "down_for": float64(o.Limits.DownFor), "workers": float64(o.Limits.Workers)} {
		if v < 0 {
			say("limits.%s: less than nothing; want more, or 0 for what holds when it is not given", name)
		}
	}
	if wrong != nil {
		slices.Sort(wrong)
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

func (o *Options) mode() (check.Mode, error) {
	switch o.Mode {
	case "safe":
		return check.Safe, nil
	case "", "default":
		return check.Default, nil
	case "aggressive":
		return check.Aggressive, nil
	}
	return 0, fmt.Errorf("mode: %q: want safe, default or aggressive", o.Mode)
}

// file is a file that the options name, found beside them.
func (o *Options) file(name string) string {
	if name == "" || filepath.IsAbs(name) || strings.Contains(name, "://") || o.Dir == "" {
		return name
	}
	return filepath.Join(o.Dir, name)
}
