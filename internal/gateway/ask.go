package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/crenel-project/crenel/internal/guard/authn/whoami"
)

// ask sends a question of the gateway's own to the API, by the way that calls take.
func (a *api) ask(ctx context.Context, r *http.Request) (*whoami.Answer, error) {
	up := a.upstreams.Load()
	if up == nil {
		return nil, errors.New("the API's upstream is not there yet")
	}
	path := r.URL.Path
	if !a.cfg.Upstream.StripBasePath && len(a.bases) > 0 {
		base, err := url.PathUnescape(a.bases[0])
		if err != nil {
			return nil, fmt.Errorf("base path %q: %w", a.bases[0], err)
		}
		path = base + path
	}
	// Nothing of the call that gave rise to it, but its end, goes along.
	own, cancel := context.WithCancel(WithCall(context.Background(), &Call{ID: newID(a.now()), Scheme: "https", Host: r.Host}))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	r = r.WithContext(own)
	r.URL.Path = path
	r.RequestURI = r.URL.RequestURI()
	w := &asked{header: http.Header{}}
	err := callOnce((*up)(a.cfg.Name), w, r)
	switch {
	case w.tooLarge:
		return nil, fmt.Errorf("the answer is larger than %d bytes", whoami.MaxAnswer)
	case ctx.Err() != nil:
		return nil, errors.New("no answer in time")
	case err != nil:
		return nil, cause(err)
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &whoami.Answer{Status: w.status, Body: w.body.Bytes()}, nil
}

// cause is why an upstream could not be called, without the names of the layers
// that it came through.
func cause(err error) error {
	for {
		below := errors.Unwrap(err)
		if below == nil {
			return err
		}
		var op *net.OpError
		if errors.As(err, &op) {
			return op
		}
		err = below
	}
}

// callOnce calls an upstream. A handler that ends an answer by aborting it (httputil.ReverseProxy does) comes
// back as an error.
func callOnce(up Upstream, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = errBrokeOff
		default:
			panic(p)
		}
	}()
	return up(w, r)
}

// asked keeps an answer, up to a bound.
type asked struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	tooLarge bool
}

var errTooLarge = errors.New("the answer is too large")

func (w *asked) Header() http.Header { return w.header }

func (w *asked) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

func (w *asked) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(p) > whoami.MaxAnswer {
		w.tooLarge = true
		return 0, errTooLarge
	}
	return w.body.Write(p)
}
