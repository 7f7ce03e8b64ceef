package world

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// vanished reports whether an object is gone, by somebody who has read such a thing before:
// they are answered as for an identifier of nothing. Many a service says for both that it may
// not be done, or does not exist.
func (w *World) vanished(ctx context.Context, o *Object, as *actor.Actor) bool {
	for _, op := range o.Resource.Of(graph.Read) {
		if op.Method != http.MethodGet || w.skip(op) != "" {
			continue
		}
		w.mu.Lock()
		_, could := w.calls[callKey{op, nameOf(as)}]
		c := w.reading(op, o)
		w.mu.Unlock()
		if !could || c == nil || c.subject() != o {
			continue
		}
		where, nothing := "", Absent(o.ID)
		for at, u := range c.Uses {
			if u == o && scalarText(c.Values[at]) == o.ID {
				where = at
			}
		}
		if where == "" {
			continue
		}
		c = c.By(as)
		x, err := w.send(ctx, c)
		if err != nil || x.Status != http.StatusForbidden && x.Status != http.StatusNotFound && x.Status != http.StatusGone {
			continue
		}
		y, err := w.send(ctx, c.With(where, strings.Replace(c.Values[where], o.ID, nothing, 1)))
		if err == nil && x.Status == y.Status && bytes.Equal(bytes.ReplaceAll(x.Body, []byte(o.ID), nil), bytes.ReplaceAll(y.Body, []byte(nothing), nil)) {
			return true
		}
	}
	return false
}

// readBySomebody reports whether any account of the run is shown an object: what was given
// away is hidden from who made it, and is there still.
func (w *World) readBySomebody(ctx context.Context, o *Object) bool {
	for _, op := range o.Resource.Of(graph.Read) {
		if op.Method != http.MethodGet || w.skip(op) != "" {
			continue
		}
		w.mu.Lock()
		c := w.reading(op, o)
		w.mu.Unlock()
		if c == nil || c.subject() != o {
			continue
		}
		for _, a := range w.actors() {
			if a.Session == nil {
				continue
			}
			if x, err := w.send(ctx, c.By(a)); err == nil && success(x) {
				return true
			}
		}
	}
	return false
}

// Absent is an identifier of the same form as one that exists, of no object.
func Absent(id string) string {
	switch {
	case id == "":
		return "999999937"
	case strings.Trim(id, "0123456789") == "":
		if len(id) <= 10 {
			return "1999999937"[10-max(min(len(id)+3, 10), 1):]
		}
		return "9" + strings.Repeat("8", len(id)-1)
	}
	b := []byte(id)
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			b[i] = '0' + (c-'0'+7)%10
		case c >= 'a' && c <= 'f':
			b[i] = 'a' + (c-'a'+3)%6
		case c >= 'g' && c <= 'z':
			b[i] = 'g' + (c-'g'+5)%20
		case c >= 'A' && c <= 'F':
			b[i] = 'A' + (c-'A'+3)%6
		case c >= 'G' && c <= 'Z':
			b[i] = 'G' + (c-'G'+5)%20
		}
	}
	// A UUID keeps its version and variant.
	if len(b) == 36 && b[8] == '-' && b[13] == '-' {
		b[14], b[19] = id[14], id[19]
	}
	return string(b)
}
