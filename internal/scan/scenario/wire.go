package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Handshake is a TLS handshake with the target, in place of a request. The
// answer's body is what it showed, as JSON (target.Handshake): "/accepted",
// "/version", "/cipher", "/certificate/expired". Without Version the handshake is
// gone through with, and shows the certificate; with one it only looks what the
// server agrees to. It has no status.
type Handshake struct {
	Version string   `yaml:"version,omitempty"` // the highest offered: "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"
	Ciphers []string `yaml:"ciphers,omitempty"` // groups, those liked best first: modern, dhe, cbc, rsa, 3des, rc4, des, export, anon, null, none; none given: all but none
}

// Raw is bytes for a connection of their own, in place of a request: what no
// honest client sends. The connection is closed after them.
type Raw struct {
	// Lines are joined by CRLF: what ends in one ends in an empty line. In them \n, \r,
	// \t, \\ and \xHH stand for bytes, and placeholders for their text as it is;
	// ${target.host} and ${target.base} are of the target, and a line that is
	// ${credentials} stands for the header lines of the step's actor.
	Lines []string `yaml:"lines"`
	// Wait is how long to wait for an answer, and for more after it; 0: 5 s.
	Wait time.Duration `yaml:"wait,omitempty"`
	// Answers is after how many answers nothing more is waited for; 0: Wait alone decides.
	Answers int `yaml:"answers,omitempty"`
	// Plain leaves TLS out, on the port where the target speaks it.
	Plain bool `yaml:"plain,omitempty"`
	// H2, when given, are the fields of a request over HTTP/2, sent as they are
	// (:method and the like with them); Lines are its data.
	H2 []Pair `yaml:"h2,omitempty"`
}

// Wire is a Sender that can do what is no ordinary request. *target.Client is one.
type Wire interface {
	Handshake(ctx context.Context, hello *target.Hello) (*target.Exchange, error)
	Raw(ctx context.Context, as string, r *target.RawRequest) (*target.Exchange, error)
	Origin() string
	Base() string
}

var _ Wire = (*target.Client)(nil)

// check says what is wrong with a handshake.
func (h *Handshake) check() error {
	if h.Version == "" && len(h.Ciphers) > 0 {
		return errors.New("a handshake that chooses cipher suites needs a version")
	}
	if h.Version == "" {
		return nil
	}
	return (&target.Hello{Version: h.Version, Ciphers: h.Ciphers}).Check()
}

func (r *Raw) check() error {
	if len(r.Lines) == 0 {
		return errors.New("raw needs lines")
	}
	for _, l := range r.Lines {
		if _, err := unescape(l); err != nil {
			return err
		}
	}
	return nil
}

// overWire does a step that is no ordinary request, once.
func (r *run) overWire(ctx context.Context, st *Step, who *actor.Actor) (*target.Exchange, error) {
	w, ok := r.stage.Sender.(Wire)
	if !ok {
		return nil, fmt.Errorf("%w: what sends here sends ordinary requests alone", errSetup)
	}
	if st.Handshake != nil {
		if !strings.HasPrefix(w.Origin(), "https://") {
			return nil, fmt.Errorf("%w: the target does not speak TLS", errSetup)
		}
		if st.Handshake.Version == "" {
			return w.Handshake(ctx, nil) //nolint:wrapcheck // the step's name is added by Run
		}
		return w.Handshake(ctx, &target.Hello{Version: st.Handshake.Version, Ciphers: st.Handshake.Ciphers}) //nolint:wrapcheck // the same
	}
	q, err := r.raw(st.Raw, who)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSetup, err)
	}
	return w.Raw(ctx, st.As, q) //nolint:wrapcheck // the same
}

// raw renders the bytes.
func (r *run) raw(s *Raw, who *actor.Actor) (*target.RawRequest, error) {
	text, err := r.lines(s.Lines, who)
	if err != nil {
		return nil, err
	}
	q := &target.RawRequest{Wait: s.Wait, Answers: s.Answers, Plain: s.Plain}
	if s.H2 == nil {
		q.Chunks = [][]byte{text}
		return q, nil
	}
	q.H2 = &target.RawH2{Data: text}
	for _, p := range s.H2 {
		v, err := render(p.Value, inPlain, r.get)
		if err != nil {
			return nil, err
		}
		q.H2.Fields = append(q.H2.Fields, target.Field{Name: p.Name, Value: v})
	}
	return q, nil
}

const credentialLine = "${credentials}"

func (r *run) lines(all []string, who *actor.Actor) ([]byte, error) {
	var out []string
	for _, l := range all {
		if l == credentialLine {
			if who != nil && who.Session != nil {
				q := &target.Request{}
				who.Session.Apply(q)
				for _, f := range q.Header {
					if strings.HasPrefix(f.Value, target.DigestPrefix) {
						continue // bytes that are sent as they are answer no challenge
					}
					out = append(out, f.Name+": "+f.Value)
				}
			}
			continue
		}
		// What a value holds is never an escape.
		var b strings.Builder
		last := 0
		for _, at := range append(placeholder.FindAllStringIndex(l, -1), []int{len(l), len(l)}) {
			plain, err := unescape(l[last:at[0]])
			if err != nil {
				return nil, err
			}
			v, err := render(l[at[0]:at[1]], inPlain, r.get)
			if err != nil {
				return nil, err
			}
			b.WriteString(plain)
			b.WriteString(v)
			last = at[1]
		}
		out = append(out, b.String())
	}
	return []byte(strings.Join(out, "\r\n")), nil
}

// unescape reads \n, \r, \t, \\ and \xHH.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf(`the line %q ends in half of \n, \r, \t, \\ or \xHH`, s)
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '\\':
			b.WriteByte('\\')
		case 'x':
			n, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8)
			if err != nil || i+3 > len(s) {
				return "", fmt.Errorf(`the line %q holds \x without two hexadecimal digits`, s)
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", fmt.Errorf(`the line %q holds \%c: want \n, \r, \t, \\ or \xHH`, s, s[i])
		}
	}
	return b.String(), nil
}

// ofTarget is what a placeholder says of the target.
func (r *run) ofTarget(name string) (any, error) {
	if w, ok := r.stage.Sender.(Wire); ok {
		switch name {
		case "host":
			_, host, _ := strings.Cut(w.Origin(), "://")
			return host, nil
		case "base":
			return w.Base(), nil
		}
	}
	return nil, fmt.Errorf("${target.%s}: want ${target.host} or ${target.base}", name)
}
