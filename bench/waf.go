package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

//go:embed waf.yaml
var wafSettings string

// The targets of this section.
const (
	modSecurity = "nginx + ModSecurity"
	corazaCaddy = "Caddy + Coraza"
	crenelAll   = "Crenel, all guards"
)

// note is the i-th POST's body, about 240 bytes. Its words are made up: ModSecurity
// with the rule set of this version refuses some plain English ones.
func note(i int) ([]byte, error) {
	rng := rand.New(rand.NewPCG(2, uint64(i))) //nolint:gosec // the same every time
	words := func(n int) string {
		var b strings.Builder
		for range n {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			for range 4 + rng.IntN(5) {
				b.WriteByte("bdfgklmnprtvz"[rng.IntN(13)])
				b.WriteByte("aeiou"[rng.IntN(5)])
			}
		}
		return b.String()
	}
	return json.Marshal(map[string]any{
		"reference": fmt.Sprintf("ref-%06d", i), "title": words(1), "text": words(3), "owner": words(1) + "@example.com",
		"due": fmt.Sprintf("2026-%02d-%02d", 1+rng.IntN(12), 1+rng.IntN(28)), "parcel": fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), i),
		"priority": 1 + rng.IntN(9), "state": "open", "tags": []string{words(1)[:6]},
	})
}

// measureWAF measures the section on web application firewalls.
func measureWAF(ctx context.Context, o *options) (err error) {
	nginx, module := findModSecurity(ctx)
	if nginx == "" {
		fmt.Println("SKIPPED: nginx with ModSecurity is missing and could not be installed: the section on web application firewalls is not measured")
		return nil
	}
	busy := loadAverage()
	wrk, err := findWrk(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "crenel-bench-waf-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := load{post: "/v1/notes", host: "api.bench.example", body: note}
	if err := l.write(dir); err != nil {
		return err
	}
	up, peer, handler, full := freeAddr(), freeAddr(), freeAddr(), freeAddr()
	targets := []target{{modSecurity, "http://" + peer}, {corazaCaddy, "http://" + handler}, {crenelAll, "http://" + full}}
	conf, err := writeNginx(dir, module, peer, up)
	if err != nil {
		return err
	}
	if _, err := write(dir, "openapi.yaml", document); err != nil {
		return err
	}
	settings, err := write(dir, "crenel.yaml", wafSettings)
	if err != nil {
		return err
	}
	p, stop := newProcesses(ctx)
	defer stop()
	env := []string{"BENCH_LISTEN=" + full, "BENCH_UPSTREAM=http://" + up, "BENCH_SECRET=" + secret}
	if err := errors.Join(p.start(nil, self, "-role", "upstream", "-listen", up), p.start(nil, nginx, "-c", conf, "-p", dir),
		p.start(nil, self, "-role", "coraza", "-listen", handler, "-upstream", up), p.start(env, o.crenel, "gateway", "-c", settings)); err != nil {
		return err
	}
	for _, t := range targets {
		if err := await(ctx, t, l.host); err != nil {
			return err
		}
		if err := refusesAttack(ctx, t, l.host); err != nil {
			return err
		}
	}
	results, err := rounds(ctx, o, wrk, &l, targets)
	if err != nil {
		return err
	}
	text := renderWAF(o, busy, targets, results)
	fmt.Print("\n" + text)
	if o.out != "" {
		if err := writeSection(o.out, "bench-waf", text); err != nil {
			return err
		}
	}
	for _, m := range methods {
		if n := results.ratio(m, crenelAll, modSecurity); n < o.leastWAF {
			err = errors.Join(err, fmt.Errorf("%s: Crenel has %.1f times the throughput of %s, at least %.1f times is wanted", m, n, modSecurity, o.leastWAF))
		}
	}
	return err
}

func renderWAF(o *options, busy string, targets []target, rs results) string {
	var b strings.Builder
	b.WriteString("## Web application firewalls\n\nMade by `make bench`: the same requests through nginx with ModSecurity, through Caddy with Coraza as its users run it, and\n" +
		"through Crenel with contract, authn, authz, limit, upload and waf enforced. All three load the same files of the Core Rule Set 4.25\n" +
		"at paranoia level 1 and judge requests only. 1,000 different JSON bodies of about 240 bytes (three texts, the rest typed), the tokens of\n" +
		"100 callers; only Crenel verifies them, validates the bodies and writes a record of each call. Before it is measured, each must refuse an attack.\n\n")
	fmt.Fprintf(&b, "Machine: %s. %d connections, median of %d rounds of %s, ratios of the same round; load generator and upstream share the cores. Load average before: %s.\n\n",
		machine(), o.connections, o.rounds, o.duration, busy)
	b.WriteString("| request | what | requests/s | of nginx + ModSecurity | p50 ms | p99 ms |\n|---|---|---:|---:|---:|---:|\n")
	for _, m := range methods {
		name := m
		if m == "POST" {
			name = "POST 240 bytes"
		}
		for _, t := range targets {
			r := rs.median(m, t.name)
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.1f × | %.2f | %.2f |\n", name, t.name, r.perSecond(), rs.ratio(m, t.name, modSecurity), float64(r.P50)/1e3, float64(r.P99)/1e3)
		}
	}
	return b.String()
}

// writeSection puts a section into the page, in the place of what it was before.
func writeSection(file, name, text string) error {
	begin, end := "<!-- "+name+": made by make bench -->", "<!-- end of "+name+" -->"
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	page := string(b)
	section := begin + "\n\n" + text + "\n" + end + "\n"
	before, rest, found := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end+"\n")
	if found && closed {
		page = before + section + after
	} else {
		page = strings.TrimRight(page, "\n") + "\n\n" + section
	}
	return os.WriteFile(file, []byte(page), 0o644) //nolint:gosec // it is documentation
}

// loadAverage is what else the machine had to do in the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// findModSecurity finds nginx and its module, and installs them where apt can. ""
// is that there are none.
func findModSecurity(ctx context.Context) (nginx, module string) {
	for range 2 {
		for _, bin := range []string{"nginx", "/usr/sbin/nginx"} {
			path, err := exec.LookPath(bin)
			if err != nil {
				continue
			}
			for _, module := range []string{"/usr/lib/nginx/modules/ngx_http_modsecurity_module.so", "/usr/lib64/nginx/modules/ngx_http_modsecurity_module.so"} {
				if _, err := os.Stat(module); err == nil {
					return path, module
				}
			}
		}
		c := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "nginx", "libnginx-mod-http-modsecurity")
		c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Printf("installing nginx with ModSecurity: %v: %s\n", err, out)
			break
		}
	}
	return "", ""
}

// ruleFolder holds the rule set in the module of Go packages.
const ruleFolder = "@owasp_crs"

// wafDirectives configure ModSecurity and Coraza alike: what their recommended
// files say of requests, without audit logs.
const wafDirectives = `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecRequestBodyLimit 13107200
SecRequestBodyLimitAction Reject
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"

SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:400,msg:'Failed to parse request body.'"

SecDefaultAction "phase:1,log,noauditlog,pass"
SecDefaultAction "phase:2,log,noauditlog,pass"
SecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
`

// writeNginx writes nginx's config and the rule set beside it: its rules as they
// are, each behind a blank line, which ModSecurity 3.0.9's parser wants.
func writeNginx(dir, module, listen, upstream string) (conf string, err error) {
	rules := filepath.Join(dir, "crs")
	if err := os.Mkdir(rules, 0o700); err != nil {
		return "", err
	}
	files, err := fs.ReadDir(coreruleset.FS, ruleFolder)
	if err != nil {
		return "", err
	}
	var includes strings.Builder
	for _, f := range files {
		b, err := fs.ReadFile(coreruleset.FS, ruleFolder+"/"+f.Name())
		if err != nil {
			return "", err
		}
		text := string(b)
		if strings.HasSuffix(f.Name(), ".conf") {
			var out strings.Builder
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "Sec") {
					out.WriteByte('\n')
				}
				out.WriteString(line)
			}
			text = out.String()
			if strings.HasPrefix(f.Name(), "REQUEST-") {
				fmt.Fprintf(&includes, "Include %s/%s\n", rules, f.Name())
			}
		}
		if _, err := write(rules, f.Name(), text); err != nil {
			return "", err
		}
	}
	directives, err := write(dir, "modsecurity.conf", wafDirectives+includes.String())
	if err != nil {
		return "", err
	}
	return write(dir, "nginx.conf", fmt.Sprintf(`load_module %s;
daemon off;
worker_processes auto;
user root;
pid %[2]s/nginx.pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path %[2]s/body;
  proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi;
  uwsgi_temp_path %[2]s/uwsgi;
  scgi_temp_path %[2]s/scgi;
  upstream api { server %[4]s; keepalive 256; keepalive_requests 1000000; }
  server {
    listen %[3]s;
    modsecurity on;
    modsecurity_rules_file %[5]s;
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_pass http://api;
    }
  }
}
`, module, dir, listen, upstream, directives))
}
