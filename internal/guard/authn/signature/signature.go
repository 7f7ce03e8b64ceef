package signature

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/crenel-project/crenel/internal/guard/authn/structured"
)

// Bounds of what is read.
const (
	maxField      = 16 << 10 // bytes of Signature-Input and of Signature
	maxLabels     = 8
	maxComponents = 64
	maxText       = 512 // bytes of a keyid, a nonce, a tag
	// maxDate is the end of the year 9999.
	maxDate = 253402300799
)

// Signature is one signature on a message, not verified yet.
type Signature struct {
	Label      string
	Components []*Component
	Created    time.Time // zero when it is not said
	Expires    time.Time // zero when it is not said
	Nonce      string
	Algorithm  string // "" when the key alone says it
	KeyID      string
	Tag        string

	value  []byte
	params string // the signature's parameters as they are signed
}

// Parse reads the signatures of a message (RFC 9421 sections 4.1 and 4.2), in the
// order of Signature-Input. None is no error. Both fields must name the same
// labels, each once: of two under one label, readers differ on which counts.
func Parse(h http.Header) ([]*Signature, error) {
	inputs, values := h["Signature-Input"], h["Signature"]
	if len(inputs) == 0 && len(values) == 0 {
		return nil, nil
	}
	described, err := structured.Dictionary("Signature-Input", inputs, maxField)
	if err != nil {
		return nil, err
	}
	made, err := structured.Dictionary("Signature", values, maxField)
	if err != nil {
		return nil, err
	}
	labels := described.Names()
	switch {
	case len(labels) == 0 || len(labels) != len(made.Names()):
		return nil, errors.New("Signature-Input and Signature do not name the same labels")
	case len(labels) > maxLabels:
		return nil, fmt.Errorf("more than %d signatures", maxLabels)
	}
	out := make([]*Signature, 0, len(labels))
	for _, label := range labels {
		in, _ := described.Get(label)
		list, ok := in.(httpsfv.InnerList)
		if !ok {
			return nil, fmt.Errorf("signature %.40q: Signature-Input holds no list of components", label)
		}
		sig, ok := made.Get(label)
		if !ok {
			return nil, fmt.Errorf("signature %.40q has no value in Signature", label)
		}
		item, ok := sig.(httpsfv.Item)
		value, isBytes := item.Value.([]byte)
		if !ok || !isBytes || len(item.Params.Names()) > 0 {
			return nil, fmt.Errorf("signature %.40q: its value is not a byte sequence", label)
		}
		s, err := read(label, list)
		if err != nil {
			return nil, fmt.Errorf("signature %.40q: %w", label, err)
		}
		s.value = value
		out = append(out, s)
	}
	return out, nil
}

// read takes a signature's components and parameters.
func read(label string, list httpsfv.InnerList) (*Signature, error) {
	if len(list.Items) > maxComponents {
		return nil, fmt.Errorf("more than %d components", maxComponents)
	}
	s := &Signature{Label: label}
	seen := make(map[string]bool, len(list.Items))
	for _, item := range list.Items {
		c, err := component(item)
		if err != nil {
			return nil, err
		}
		// The order of an identifier's parameters makes it no other component.
		key := fmt.Sprint(c.Name, "\x00", c.Param, "\x00", c.Key, c.Member, c.Strict, c.Binary, c.Behind, c.Asked)
		if seen[key] {
			return nil, fmt.Errorf("component %s stands twice", c)
		}
		seen[key] = true
		s.Components = append(s.Components, c)
	}
	var err error
	if s.params, err = httpsfv.Marshal(list); err != nil {
		return nil, err
	}
	for _, p := range list.Params.Names() {
		v, _ := list.Params.Get(p)
		switch p {
		case "created":
			s.Created, err = date(v)
		case "expires":
			s.Expires, err = date(v)
		case "nonce":
			s.Nonce, err = text(v)
		case "alg":
			s.Algorithm, err = text(v)
		case "keyid":
			s.KeyID, err = text(v)
		case "tag":
			s.Tag, err = text(v)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter %s %w", p, err)
		}
	}
	return s, nil
}

func date(v any) (time.Time, error) {
	n, ok := v.(int64)
	if !ok || n <= 0 || n > maxDate {
		return time.Time{}, errors.New("is not a time in whole seconds")
	}
	return time.Unix(n, 0), nil
}

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok || s == "" || len(s) > maxText {
		return "", fmt.Errorf("is not a text of 1 to %d bytes", maxText)
	}
	return s, nil
}

// Base is the text that was signed (RFC 9421 section 2.5).
func (s *Signature) Base(m *Message) ([]byte, error) {
	b := make([]byte, 0, 512)
	for _, c := range s.Components {
		v, err := m.value(c)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", c, err)
		}
		for i := 0; i < len(v); i++ {
			// A line break could make one component look like two; bytes beyond ASCII
			// are for bs.
			if v[i] < ' ' && v[i] != '\t' || v[i] >= 0x7f {
				return nil, fmt.Errorf("component %s holds bytes that cannot be signed", c)
			}
		}
		b = append(b, c.id...)
		b = append(b, ": "...)
		b = append(b, v...)
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, s.params...), nil
}
