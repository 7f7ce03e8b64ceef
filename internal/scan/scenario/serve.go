package scenario

import (
	"cmp"
	"errors"
	"io"
	"net/http"
)

// Answerer is a Listener that can be told what its callers get. *listener.Listener is one.
type Answerer interface {
	Answer(address string, h http.Handler)
}

// serve tells the listener what the callers of one of its addresses get.
func (r *run) serve(s *Serve) error {
	l, ok := r.stage.Listener.(Answerer)
	if !ok {
		return errors.New("there is no listener in this run that answers")
	}
	if _, err := r.listener(s.Listener); err != nil {
		return err
	}
	text := func(t string) (string, error) { return render(t, inPlain, r.get) }
	body, err := text(s.Body)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {cmp.Or(s.Type, "application/json")}}
	for _, p := range s.Header {
		v, err := text(p.Value)
		if err != nil {
			return err
		}
		header.Add(p.Name, v)
	}
	status := cmp.Or(s.Status, http.StatusOK)
	l.Answer(r.calls[s.Listener], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // who does not read it does not want it
	}))
	return nil
}
