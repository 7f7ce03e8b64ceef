package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const canalSpec = `openapi: 3.0.3
info: {title: Canal, version: "1"}
paths:
  /boats:
    get:
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: string}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"201": {description: it}, "400": {description: what was sent is no boat}}
`

// canal answers a request whose body has been read; "" is no JSON.
func canal(method, path string, body []byte) (status int, text string) {
	switch {
	case path == "/boats" && method == "GET":
		return 200, `["Ann"]`
	case path == "/boats" && method == "POST" && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		return 400, `{"error":"no boat"}`
	case path == "/boats" && method == "POST":
		return 201, `{"name":"Bea"}`
	}
	return 404, `{"error":"none"}`
}

func canalHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the body is broken", http.StatusBadRequest)
			return
		}
		status, text := canal(r.Method, r.URL.Path, body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
}

// framing is how a server reads where a request ends: what it makes of a head.
// chunked: as chunks say; else so many bytes. ok false: it refuses the message.
type framing func(method, path string, head []string) (chunked bool, length int, ok bool)

// fields reads the values of a field; odd: in any spelling, else only as RFC 9112 has it.
func fields(head []string, name string, odd bool) (values []string, odder bool) {
	for i, l := range head {
		n, v, is := strings.Cut(l, ":")
		if !is {
			continue
		}
		if strings.EqualFold(n, name) {
			if v = strings.Trim(v, " \t"); v == "" && odd && i+1 < len(head) && strings.HasPrefix(head[i+1], " ") {
				v = strings.TrimSpace(head[i+1])
			}
			values = append(values, v)
		} else if strings.EqualFold(strings.TrimSpace(n), name) {
			odder = true
			if odd {
				values = append(values, strings.Trim(v, " \t\v"))
			}
		}
	}
	return values, odder
}

// reads makes a framing: which of the two counts first, and whether odd spellings do.
func reads(first string, odd bool) framing {
	return func(method, path string, head []string) (bool, int, bool) {
		te, _ := fields(head, "Transfer-Encoding", odd)
		cl, _ := fields(head, "Content-Length", odd)
		chunked := len(te) > 0 && strings.EqualFold(te[0], "chunked")
		length, err := 0, error(nil) //nolint:wastedassign // where there is no field
		if len(cl) > 0 {
			if length, err = strconv.Atoi(cl[len(cl)-1]); err != nil || length < 0 || length > 1<<20 {
				return false, 0, false
			}
		}
		switch first {
		case "te":
			return chunked, length, true
		case "cl":
			return chunked && len(cl) == 0, length, true
		case "no body in GET":
			if method == "GET" {
				return false, 0, true
			}
			return chunked, length, true
		case "strict":
			_, odd1 := fields(head, "Transfer-Encoding", true)
			_, odd2 := fields(head, "Content-Length", true)
			folded := slices.ContainsFunc(head, func(l string) bool { return strings.HasPrefix(l, " ") })
			return chunked, length, !odd1 && !odd2 && !folded && len(cl) < 2 && (len(te) == 0 || len(te) == 1 && len(cl) == 0 && chunked)
		case "no body in chunks":
			if chunked {
				return false, 0, true
			}
			return false, length, true
		case "no body where none is expected":
			if path != "/boats" {
				return false, 0, true
			}
			return chunked, length, true
		}
		panic(first)
	}
}

// message is one request as a server read it.
type message struct {
	method, path string
	head         []string
	raw, body    []byte
}

var errRefused = errors.New("refused")

func readMessage(br *bufio.Reader, how framing) (*message, error) {
	m := &message{}
	line := func() (string, error) {
		l, err := br.ReadString('\n')
		m.raw = append(m.raw, l...)
		return strings.TrimRight(l, "\r\n"), err
	}
	first, err := line()
	for blank := 0; err == nil && first == "" && blank < 2; blank++ {
		m.raw = nil
		first, err = line()
	}
	if err != nil {
		return nil, err
	}
	parts := strings.Split(first, " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/1.") {
		return nil, errRefused
	}
	m.method, m.path = parts[0], parts[1]
	for {
		l, err := line()
		if err != nil {
			return nil, err
		}
		if l == "" {
			break
		}
		m.head = append(m.head, l)
	}
	chunked, length, ok := how(m.method, m.path, m.head)
	if !ok {
		return nil, errRefused
	}
	take := func(n int) error {
		b := make([]byte, n)
		_, err := io.ReadFull(br, b)
		m.raw, m.body = append(m.raw, b...), append(m.body, b...)
		return err
	}
	if !chunked {
		return m, take(length)
	}
	for {
		l, err := line()
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(l, 16, 16)
		if err != nil {
			return nil, errRefused
		}
		if n > 0 {
			if err := take(int(n)); err != nil {
				return nil, err
			}
		}
		if l, err = line(); err != nil {
			return nil, err
		} else if l != "" {
			return nil, errRefused
		}
		if n == 0 {
			return m, nil
		}
	}
}

// serve answers connections one message after the other.
func serve(t *testing.T, how framing, answer func(ctx context.Context, m *message) (string, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				br := bufio.NewReader(c)
				for {
					m, err := readMessage(br, how)
					if errors.Is(err, errRefused) {
						_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
						return
					}
					if err != nil {
						return
					}
					text, err := answer(ctx, m)
					if err != nil {
						return
					}
					if _, err := io.WriteString(c, text); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func canalServer(t *testing.T, how framing) string {
	return serve(t, how, func(_ context.Context, m *message) (string, error) {
		status, text := canal(m.method, m.path, m.body)
		return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text), nil
	})
}

// pair is a front that passes on what it takes for a message, on connections
// that it keeps, to a back that reads it in its own way.
func pair(t *testing.T, front, back framing) string {
	t.Helper()
	behind := canalServer(t, back)
	free := make(chan net.Conn, 16)
	t.Cleanup(func() {
		for len(free) > 0 {
			_ = (<-free).Close()
		}
	})
	return serve(t, front, func(ctx context.Context, m *message) (string, error) {
		var c net.Conn
		select {
		case c = <-free:
		default:
			var err error
			if c, err = net.Dial("tcp", behind); err != nil {
				return "", err
			}
		}
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		_ = c.SetDeadline(time.Now().Add(4 * time.Second))
		if _, err := c.Write(m.raw); err != nil {
			_ = c.Close()
			return "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", nil
		}
		res, err := http.ReadResponse(bufio.NewReaderSize(oneByte{c}, 16), nil)
		if err != nil {
			_ = c.Close()
			return "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n", nil
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.Close {
			_ = c.Close()
		} else {
			free <- c
		}
		return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", res.StatusCode, len(body), body), nil
	})
}

// oneByte reads no further than it is asked to, so that what a back says twice stays on its connection.
type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

// trial is a target, and what is to be found there.
type trial struct {
	name, target string
	want         []string

	res *Result
	err error
}

// tryAll scans all targets at once: they wait most of the time.
func tryAll(t *testing.T, list []*trial) {
	t.Helper()
	var wg sync.WaitGroup
	// Where the machine is so busy that a time proves nothing, once more.
	for range 2 {
		for _, c := range list {
			if c.res != nil && len(c.res.Report.Findings) >= len(c.want) {
				continue
			}
			o := optionsFor(t, canalSpec, c.target, nil, "request-smuggling")
			o.Mode = "default"
			wg.Go(func() { c.res, c.err = Run(t.Context(), o, Events{}) })
		}
		wg.Wait()
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			if c.err != nil || c.res.Report.Ended != "" {
				t.Fatalf("%v %s", c.err, c.res.Report.Ended)
			}
			if got := wheres(c.res.Report.Findings); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			t.Logf("%d requests, %.1f s", c.res.Report.Stats.Requests, c.res.Report.Stats.Seconds)
		})
	}
}

func TestSmuggling(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a proof waits for time-outs: run without -short")
	}
	var list []*trial
	for _, c := range []struct {
		name        string
		front, back framing
		want        []string
	}{
		{"CL.TE", reads("cl", false), reads("te", false), []string{"request-smuggling CL.TE high"}},
		{"TE.CL", reads("te", false), reads("cl", false), []string{"request-smuggling TE.CL high"}},
		{"CL.TE and 0.CL by odd spellings", reads("te", false), reads("te", true), []string{"request-smuggling 0.CL high", "request-smuggling CL.TE high"}},
		{"TE.CL by an odd spelling", reads("te", true), reads("te", false), []string{"request-smuggling TE.CL high"}},
		{"0.CL", reads("no body in GET", false), reads("te", false), []string{"request-smuggling 0.CL high"}},
		{"TE.0", reads("te", false), reads("no body in chunks", false), []string{"request-smuggling TE.0 high"}},
		{"CL.0", reads("te", false), reads("no body where none is expected", false), []string{"request-smuggling CL.0 high", "request-smuggling TE.0 high"}},
		{"the same in front and behind", reads("te", false), reads("te", false), nil},
		{"odd spellings on both sides", reads("te", true), reads("te", true), nil},
		{"a strict front", reads("strict", false), reads("te", true), nil},
	} {
		list = append(list, &trial{name: c.name, target: "http://" + pair(t, c.front, c.back), want: c.want})
	}
	for _, c := range []struct {
		name string
		how  framing
		want []string
	}{
		{"one server that believes chunks", reads("te", false), nil},
		{"one server that believes lengths", reads("cl", false), []string{"request-smuggling CL over TE low"}},
		{"one server that reads no chunks", reads("no body in chunks", false), []string{"request-smuggling TE.0 high"}},
		{"one strict server", reads("strict", false), nil},
	} {
		list = append(list, &trial{name: c.name, target: "http://" + canalServer(t, c.how), want: c.want})
	}
	list = append(list, &trial{name: "H2.CL", target: downgrade(t, true), want: []string{"request-smuggling H2.CL high"}})
	list = append(list, &trial{name: "HTTP/2 in front, with lengths of its own", target: downgrade(t, false)})
	list = append(list, &trial{name: "H2.TE", target: downgradeAsItCame(t, "passed on"), want: []string{"request-smuggling H2.TE high"}})
	list = append(list, &trial{name: "HTTP/2 in front, without codings", target: downgradeAsItCame(t, "left out")})
	list = append(list, &trial{name: "HTTP/2 in front, which refuses codings", target: downgradeAsItCame(t, "refused")})
	tryAll(t, list)
}

// A proof is told again from its file: proven while the servers disagree, refuted
// when they no longer do; and its record shows the bytes.
func TestVerifySmuggling(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a proof waits for time-outs: run without -short")
	}
	o := optionsFor(t, canalSpec, "http://"+pair(t, reads("te", false), reads("cl", false)), nil, "request-smuggling")
	var record strings.Builder
	o.Record = &record
	res := scanned(t, o)
	dir := t.TempDir()
	if n, err := WriteRegressions(dir, res); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if !strings.Contains(record.String(), "Bytes as they were sent") || !strings.Contains(record.String(), `Transfer-Encoding: chunked\r\n`) {
		t.Error("the record of what was sent has no bytes")
	}
	if f := res.Report.Findings[0]; !strings.Contains(f.Reproduce, "telnet://") || !strings.Contains(f.Reproduce, "Content-Length: 7") {
		t.Errorf("the script does not show it:\n%s", f.Reproduce)
	}
	list, err := ReadRegressions([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = nil
	for want, address := range map[string]string{"proven": o.Target, "refuted": "http://" + pair(t, reads("te", false), reads("te", false))} {
		o.Target = address
		out, _, err := Verify(t.Context(), o, list, nil)
		if err != nil || len(out) != 1 || string(out[0].Verdict) != want {
			t.Errorf("%+v %v, want %s", out, err, want)
		}
	}
	o.Mode = "safe"
	if res, err = Run(t.Context(), o, Events{}); err != nil || len(res.Report.Findings) > 0 {
		t.Errorf("with --safe nothing of it is sent: %v", err)
	}
}
