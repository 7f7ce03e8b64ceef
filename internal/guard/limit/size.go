package limit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Names by which APIs call the size of a page.
var pageWords = []string{"limit", "pagesize", "perpage", "size", "count", "maxresults", "maxitems", "top", "first", "last", "take", "rows", "pagelimit", "resultsperpage", "itemsperpage", "max"}

// sizes bounds what a document leaves unbounded: how much one call may ask for
// (OWASP API4:2023).
type sizes struct {
	page, batch int64
	parameters  [][]int // by operation: places in Operation.Parameters
	bodies      []bool  // by operation: the body, or a member of it, is an array without maxItems
}

// newSizes finds the parameters and bodies; nil when nothing is to be bounded.
func newSizes(o *Options) *sizes {
	s := &sizes{page: int64(o.Config.PageSize), batch: int64(o.Config.Batch)}
	if o.API == nil || s.page == 0 && s.batch == 0 {
		return nil
	}
	s.parameters, s.bodies = make([][]int, len(o.API.Operations)), make([]bool, len(o.API.Operations))
	found := false
	for i, op := range o.API.Operations {
		for n, p := range op.Parameters {
			if s.page > 0 && p.In == "query" && slices.Contains(pageWords, strings.TrimPrefix(plain(p.Name), "$")) && unbounded(p.Schema) {
				s.parameters[i] = append(s.parameters[i], n)
				found = true
			}
		}
		if s.batch > 0 && op.Body != nil {
			s.bodies[i] = slices.ContainsFunc(op.Body.Content, func(m *spec.MediaType) bool { return openArray(m.Schema) })
			found = found || s.bodies[i]
		}
	}
	if !found {
		return nil
	}
	return s
}

// unbounded reports whether a schema is of numbers without a greatest.
func unbounded(s *schema.Schema) bool {
	if s == nil {
		return true
	}
	b := s.Bounds()
	return b.Maximum == "" && b.ExclusiveMaximum == "" && len(s.Rules().Enum) == 0 && (s.Type() == "integer" || s.Type() == "number" || s.Type() == "")
}

// openArray reports whether a body is an array without a greatest length, or has
// one at its top.
func openArray(s *schema.Schema) bool {
	if s == nil {
		return true
	}
	open := func(s *schema.Schema) bool {
		return s != nil && slices.Contains(s.Types(), "array") && s.Bounds().MaxItems < 0
	}
	return open(s) || slices.ContainsFunc(s.Properties(), func(p schema.Property) bool { return open(p.Schema) })
}

func (s *sizes) rule(x *exchange.Exchange) exchange.Verdict {
	op := x.Operation
	for _, n := range s.parameters[op.Index] {
		p := x.Param(op.Parameters[n].In, op.Parameters[n].Name)
		if p == nil || p.Value.Kind != value.Number && p.Value.Kind != value.String {
			continue
		}
		if f := p.Value.Float64(); f > float64(s.page) {
			return exchange.Refuse("limit.page_size", "query:"+p.Spec.Name, fmt.Sprintf("at most %d may be asked for at once", s.page))
		}
	}
	if s.bodies[op.Index] && x.Request.Body != nil && x.Request.Body.Root != nil {
		root := x.Request.Body.Root
		if long(root, s.batch) {
			return exchange.Refuse("limit.batch", "", fmt.Sprintf("%d elements, at most %d may be sent at once", len(root.Kids), s.batch))
		}
		if root.Kind == value.Object {
			for i := range root.Kids {
				if k := &root.Kids[i]; long(k, s.batch) {
					return exchange.Refuse("limit.batch", "/"+k.Name, fmt.Sprintf("%d elements, at most %d may be sent at once", len(k.Kids), s.batch))
				}
			}
		}
	}
	return exchange.Verdict{}
}

func long(v *value.Value, most int64) bool { return v.Kind == value.Array && int64(len(v.Kids)) > most }
