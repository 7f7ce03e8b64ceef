package world

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Spares says why a request must not be sent, whoever would: it deletes what was
// there before the run, or an account that the run was given.
func (w *World) Spares(r *target.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions || r.Root || r.Origin != "" {
		return nil
	}
	if r.Method != http.MethodDelete && !w.deletesOtherwise {
		return nil
	}
	op, params := w.routed(r)
	if op == nil || op.About == nil || op.Kind != graph.Delete {
		return nil
	}
	named := map[string]bool{}
	if n := len(op.PathParams); n > 0 && len(params) >= n {
		named[params[n-1]] = true
	} else if body := decodeBytes(r.Body); body != nil {
		texts := map[string]string{}
		allTexts(body, "", texts, 0)
		for pointer, text := range texts {
			at := "body." + pattern(pointer)
			for _, where := range []string{at, strings.TrimSuffix(at, "/*")} {
				if in := inputOf(op, where); in != nil && (in.Meaning == graph.MeansID || in.Object != nil) {
					named[text] = true
				}
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range named {
		if w.anothers(op, id) {
			return fmt.Errorf("%s %s is not sent: the %s %s was there before the run", op.Method, op.Path, op.About.Name, id)
		}
	}
	return nil
}

// anothers reports whether an identifier is known, and of nothing that the run made. w.mu is held.
func (w *World) anothers(op *graph.Op, id string) bool {
	found := false
	for _, o := range w.objects {
		if o.Resource != op.About && !(o.Resource.IsPerson && op.About.IsPerson) && len(op.PathParams) > 0 || !o.called(id) {
			continue
		}
		if o.Made || o.Resource.IsPerson && o.owner != nil && o.owner.Made {
			return false
		}
		found = true
	}
	return found
}

// called reports whether an object goes by an identifier.
func (o *Object) called(id string) bool {
	if o.ID == id {
		return true
	}
	for _, v := range o.ids {
		if v == id {
			return true
		}
	}
	return false
}
