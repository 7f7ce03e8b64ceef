package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// content is a bundle that was read: verified, parsed, whole.
type content struct {
	name     string
	manifest bundle.Manifest
	modules  []bundle.ModuleFile
	data     ast.Object
	signed   int64 // when, in seconds since 1970; 0: the signature does not say
}

// terms are what a bundle must meet.
type terms struct {
	name     string
	unpacked int64
	keys     *bundle.VerificationConfig // nil: it need not be signed
	rollback bool                       // one that was signed earlier is refused
}

func newTerms(c *config.Bundle, keys map[string]*bundle.KeyConfig) terms {
	t := terms{name: c.Name, unpacked: int64(c.Unpacked)}
	if s := c.Signing; s != nil {
		// What opa build signs without a claims file names no key: of one there is no choice.
		only := ""
		if len(s.Keys) == 1 {
			only = s.Keys[0].ID
		}
		t.keys = bundle.NewVerificationConfig(keys, only, s.Scope, s.Exclude)
		t.rollback = s.Rollback == "refuse"
	}
	return t
}

var errDelta = errors.New("it is a delta, and there is nothing that it could change")

// read makes content of an archive. A delta is applied to base, which may be nil.
func (t *terms) read(data []byte, base *content) (*content, error) {
	a, err := unpack(data, t.unpacked)
	if err != nil {
		return nil, err
	}
	return t.load(a, base)
}

func (t *terms) load(from bundle.DirectoryLoader, base *content) (*content, error) {
	b, err := bundle.NewCustomReader(from).WithBundleName(t.name).WithBundleVerificationConfig(t.keys).
		WithRegoVersion(ast.RegoV1).WithSizeLimitBytes(t.unpacked + 1).Read()
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if len(b.WasmModules) > 0 {
		return nil, errors.New("it holds WebAssembly: build it as Rego (opa build -t rego)")
	}
	c := &content{name: t.name, manifest: b.Manifest}
	if b.Type() == bundle.DeltaBundleType {
		return c.patch(&b, base)
	}
	c.modules = b.Modules
	if c.data, err = authz.Object(b.Data); err != nil {
		return nil, fmt.Errorf("reading its data: %w", err)
	}
	if t.keys != nil {
		if c.signed, err = signedAt(b.Signatures); err != nil {
			return nil, err
		}
		if t.rollback {
			switch {
			case c.signed == 0:
				return nil, errors.New("its signature does not say when it was made (iat), and rollback is refuse")
			case base != nil && c.signed < base.signed:
				return nil, errors.New("it was signed before the one that decides, and rollback is refuse")
			}
		}
	}
	return c, nil
}

// signedAt reads the time out of a signature that was verified.
func signedAt(s bundle.SignaturesConfig) (int64, error) {
	if len(s.Signatures) != 1 {
		return 0, errors.New("it has no signature")
	}
	parts := strings.Split(s.Signatures[0], ".")
	if len(parts) != 3 {
		return 0, errors.New("its signature is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0, errors.New("its signature is not a JWT")
	}
	var claims struct {
		IssuedAt float64 `json:"iat"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return 0, errors.New("the time in its signature (iat) is not a number")
	}
	return int64(claims.IssuedAt), nil
}

// patch applies a delta bundle to the content that it was made for.
func (c *content) patch(b *bundle.Bundle, base *content) (*content, error) {
	if base == nil {
		return nil, errDelta
	}
	if !slices.Equal(sorted(b.Manifest.Roots), sorted(base.manifest.Roots)) {
		return nil, errors.New("the delta has other roots than the bundle that it changes")
	}
	c.modules, c.data, c.signed = base.modules, base.data, base.signed
	for i := range b.Patch.Data {
		op := &b.Patch.Data[i]
		data, err := apply(c.data, op)
		if err != nil {
			return nil, fmt.Errorf("delta, operation %d: %s %s: %w", i+1, op.Op, op.Path, err)
		}
		c.data = data
	}
	return c, nil
}

func sorted(list *[]string) []string {
	if list == nil {
		return []string{""}
	}
	return slices.Sorted(slices.Values(*list))
}

// part is the content as an engine takes it.
func (c *content) part(archive []byte) *authz.Part {
	p := &authz.Part{Revision: c.manifest.Revision, Modules: map[string]*ast.Module{}, Data: c.data, Roots: *c.manifest.Roots}
	if p.Revision == "" {
		sum := sha256.Sum256(archive)
		p.Revision = "sha256:" + hex.EncodeToString(sum[:8])
	}
	for i := range c.modules {
		m := &c.modules[i]
		p.Modules[c.name+"/"+strings.TrimPrefix(m.Path, "/")] = m.Parsed
	}
	return p
}

// pack writes the content as a bundle: what a delta has made has no archive of its own.
func (c *content) pack() ([]byte, error) {
	data, err := ast.JSON(c.data)
	if err != nil {
		return nil, fmt.Errorf("writing the bundle's data: %w", err)
	}
	m, _ := data.(map[string]any)
	var b bytes.Buffer
	if err := bundle.NewWriter(&b).DisableFormat(true).Write(bundle.Bundle{Manifest: c.manifest, Modules: c.modules, Data: m}); err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	return b.Bytes(), nil
}
