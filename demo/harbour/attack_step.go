package harbour

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

func (r *run) do(step Step) error {
	if step.Crack != nil {
		return r.crack(step)
	}
	if step.Forge != nil {
		return r.forge(step)
	}
	token, err := r.bearer(step)
	if err != nil {
		return err
	}
	for n := range max(step.Repeat, 1) {
		r.vars["n"] = strconv.Itoa(n + 1)
		got, err := r.sendAll(step, token)
		if err != nil {
			return err
		}
		for _, x := range got {
			err = r.note(step, x)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sendAll sends a step once, or in as many copies at once as it says.
func (r *run) sendAll(step Step, token string) ([]Exchange, error) {
	if step.Parallel < 2 {
		x, err := r.send(step, token)
		return []Exchange{x}, err
	}
	out, errs := make([]Exchange, step.Parallel), make([]error, step.Parallel)
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range step.Parallel {
		wg.Go(func() {
			req, body, err := r.request(step, token)
			<-gate
			if err == nil {
				out[i], err = r.exchange(step, req, body)
			}
			errs[i] = err
		})
	}
	close(gate)
	wg.Wait()
	r.exchanges = append(r.exchanges, out...)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// note judges an answer and saves what later steps need of it.
func (r *run) note(step Step, x Exchange) error {
	worked := x.Status >= 200 && x.Status < 300
	if len(step.Want) > 0 {
		worked = slices.Contains(step.Want, x.Status)
	}
	if !worked && !step.Hostile && r.refusedAt == "" {
		return fmt.Errorf("%w: %s %s was answered %d: %.200s", ErrSetup, x.Method, x.URL, x.Status, x.Body)
	}
	if !worked && r.refusedAt == "" {
		r.refusedAt = step.Name
	}
	for name, pointer := range step.Save {
		v, ok := x.at(pointer)
		if ok {
			r.vars[name] = plain(v)
			continue
		}
		if !step.Hostile && r.refusedAt == "" {
			return fmt.Errorf("%w: the answer of %s %s has no %s", ErrSetup, x.Method, x.URL, pointer)
		}
		if r.refusedAt == "" {
			r.refusedAt = step.Name
		}
		r.stopped = fmt.Sprintf("%s: status %d, and no %s in the answer", step.Name, x.Status, pointer)
		return errStopped
	}
	return nil
}

func (r *run) send(step Step, token string) (Exchange, error) {
	req, body, err := r.request(step, token)
	if err != nil {
		return Exchange{}, err
	}
	x, err := r.exchange(step, req, body)
	if err == nil {
		r.exchanges = append(r.exchanges, x)
	}
	return x, err
}

// maxAnswer bounds what is kept of an answer.
const maxAnswer = 4 << 20

func (r *run) exchange(step Step, req *http.Request, body string) (Exchange, error) {
	x := Exchange{Step: step.Name, Hostile: step.Hostile, Method: req.Method, URL: req.URL.RequestURI(), RequestHeader: req.Header.Clone(), RequestBody: body}
	resp, err := r.client.Do(req)
	if err != nil {
		return x, fmt.Errorf("sending %s %s: %w", x.Method, x.URL, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return x, fmt.Errorf("reading the answer to %s %s: %w", x.Method, x.URL, err)
	}
	x.Status, x.Header, x.Body = resp.StatusCode, resp.Header, string(raw)
	return x, nil
}

func (r *run) request(step Step, token string) (*http.Request, string, error) {
	method, target, ok := strings.Cut(step.Send, " ")
	if !ok {
		return nil, "", fmt.Errorf("a step sends METHOD /path, not %q", step.Send)
	}
	target, err := r.text(target)
	if err != nil {
		return nil, "", err
	}
	if len(step.Query) > 0 {
		values := url.Values{}
		for name, value := range step.Query {
			text, err := r.text(value)
			if err != nil {
				return nil, "", err
			}
			values.Set(name, text)
		}
		target += "?" + values.Encode()
	}
	body, contentType, err := r.body(step)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(r.ctx, method, r.base+target, strings.NewReader(body))
	if err != nil {
		return nil, "", fmt.Errorf("making a request: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range step.Headers {
		text, err := r.text(value)
		if err != nil {
			return nil, "", err
		}
		req.Header.Set(name, text)
	}
	return req, body, nil
}

func (r *run) body(step Step) (body, contentType string, err error) {
	switch {
	case step.JSON != "":
		body, err = r.text(step.JSON)
		return body, "application/json", err
	case step.XML != "":
		body, err = r.text(step.XML)
		return body, "application/xml", err
	case step.Form != nil:
		return r.form(step.Form)
	}
	return "", "", nil
}

func (r *run) form(f *FormFile) (string, string, error) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for name, value := range f.Fields {
		text, err := r.text(value)
		if err != nil {
			return "", "", err
		}
		err = w.WriteField(name, text)
		if err != nil {
			return "", "", fmt.Errorf("writing a form field: %w", err)
		}
	}
	head := textproto.MIMEHeader{}
	head.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file"; filename=%q`, f.FileName))
	head.Set("Content-Type", f.ContentType)
	part, err := w.CreatePart(head)
	if err == nil {
		_, err = io.WriteString(part, f.Content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", "", fmt.Errorf("writing a form: %w", err)
	}
	return buf.String(), w.FormDataContentType(), nil
}

var reVar = regexp.MustCompile(`\$\{([A-Za-z0-9_.:-]+)\}`)

// text replaces the variables of a text.
func (r *run) text(in string) (string, error) {
	var missing error
	out := reVar.ReplaceAllStringFunc(in, func(m string) string {
		name := m[2 : len(m)-1]
		if rest, ok := strings.CutPrefix(name, "range:"); ok {
			return numbers(rest)
		}
		if before, _, ok := strings.Cut(name, "."); ok && r.vars[name] == "" && strings.HasPrefix(before, "new") {
			_, missing = r.bearer(Step{As: before}) // an account made for this run is made when first spoken of
		}
		value, ok := r.vars[name]
		if !ok && missing == nil {
			missing = fmt.Errorf("%w: nothing was saved as %s", ErrSetup, name)
		}
		return value
	})
	if missing != nil && r.refusedAt != "" {
		r.stopped = "stopped after " + r.refusedAt + " was refused"
		return "", errStopped
	}
	return out, missing
}

// numbers writes "1:4" as 1,2,3,4.
func numbers(span string) string {
	var from, to int
	_, _ = fmt.Sscanf(span, "%d:%d", &from, &to) // malformed spans are empty
	var b strings.Builder
	for n := from; n <= to; n++ {
		if n > from {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// at finds the value that a JSON pointer (RFC 6901) names in the answer.
func (x Exchange) at(pointer string) (any, bool) {
	var doc any
	if json.Unmarshal([]byte(x.Body), &doc) != nil {
		return nil, false
	}
	if pointer == "" || pointer == "/" {
		return doc, true
	}
	for _, key := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[key]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// plain writes a JSON value as text: numbers without a fraction, strings without quotes.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	raw, _ := json.Marshal(v) // what came out of JSON goes into it
	return string(raw)
}
