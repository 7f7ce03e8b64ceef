package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// reloadWithin bounds waiting for a changed file to be noticed.
const reloadWithin = 20 * time.Second

// mistake is one that somebody makes in a file of the running gateway's config.
type mistake struct {
	about, file string
	from, to    string
	says        string // a part of what the gateway answers
}

var mistakes = []mistake{
	{"a slip of the finger in crenel.yaml", "crenel.yaml", "mode: enforce", "mode: enforced", "crenel.yaml:"},
	{"a policy that makes everybody an admin", "policies/authz.rego", "not lib.has_any_role(roles)", "not lib.authenticated", "test_roles_come_from_the_document"},
}

// brokenConfig makes mistakes in the running gateway's config.
func (t *tour) brokenConfig(ctx context.Context) error {
	t.section("A broken config is kept out", "  The gateway watches its files. It loads a changed one whole, or not at all.")
	grace, _ := harbour.AccountNamed("grace")
	token, err := t.logIn(ctx, grace)
	if err != nil {
		return err
	}
	for _, m := range mistakes {
		path := filepath.Join(t.dir, filepath.FromSlash(m.file))
		good := embedded(m.file)
		bad := bytes.Replace(good, []byte(m.from), []byte(m.to), 1)
		mark := t.gateway.log.mark()
		err = os.WriteFile(path, bad, 0o600)
		if err != nil {
			return fmt.Errorf("breaking %s: %w", m.file, err)
		}
		line, err := t.gateway.log.wait(ctx, mark, "reload refused", reloadWithin)
		if err != nil {
			t.unexpected("%s was not refused: %v", m.about, err)
			line = ""
		}
		why := field(line, "error")
		t.expect(strings.Contains(why, m.says), "%s: reload refused", m.about)
		for l := range strings.Lines(why) {
			t.linef("      %s", t.dim(printable(strings.ReplaceAll(strings.TrimSpace(l), t.dir+string(os.PathSeparator), ""), 160)))
		}
		status, _, _, err := get(ctx, t.gateway.client, t.gateway.url()+"/v2/admin/stats", token)
		if err != nil {
			return err
		}
		t.expect(status == http.StatusOK, "meanwhile calls are served under the config that was running: %d", status)
		mark = t.gateway.log.mark()
		err = os.WriteFile(path, good, 0o600)
		if err != nil {
			return fmt.Errorf("mending %s: %w", m.file, err)
		}
		_, err = t.gateway.log.wait(ctx, mark, "msg=reloaded", reloadWithin)
		t.expect(err == nil, "mended: reloaded")
	}
	return nil
}

// issuerDown stops the token issuer.
func (t *tour) issuerDown(ctx context.Context) error {
	t.section("The token issuer stops", "  Partners' tokens are verified with its keys. No keys, nobody in.")
	token, err := t.tokens.Token("finance", "invoices:export")
	if err != nil {
		return err
	}
	partner := func() (int, string, http.Header, error) {
		return get(ctx, t.gateway.client, t.gateway.url()+"/v2/export/invoices", token)
	}
	status, _, _, err := partner()
	if err != nil {
		return err
	}
	t.expect(status == http.StatusOK, "the issuer runs: a partner's program exports invoices: %d", status)
	err = t.issuer.stop()
	if err != nil {
		return err
	}
	status, _, _, err = partner()
	if err != nil {
		return err
	}
	t.expect(status == http.StatusOK, "it stops: the keys that the gateway has are good for an hour more: %d", status)
	err = t.gateway.stop()
	if err == nil {
		err = t.gateway.start(ctx)
	}
	if err != nil {
		return err
	}
	status, body, header, err := partner()
	if err != nil {
		return err
	}
	code := denial(harbour.Exchange{Status: status, Body: body})
	t.expect(status == http.StatusServiceUnavailable && code == "authn.unavailable", "the gateway restarts without it: the same call is refused: %d %s", status, code)
	id := header.Get("X-Crenel-Request-Id")
	rec, err := record(t.gateway.events(), id)
	if err != nil {
		return err
	}
	t.linef("      %s", t.dim("crenel event "+id))
	t.linef("      %s", t.dim("why: "+printable(rec.Decision.Reason, 240)))
	t.expect(rec.Decision.Reason != "", "the event says why")
	alice, _ := harbour.AccountNamed("alice")
	session, err := t.logIn(ctx, alice)
	if err != nil {
		return err
	}
	status, _, _, err = get(ctx, t.gateway.client, t.gateway.url()+"/v2/wallet", session)
	if err != nil {
		return err
	}
	t.expect(status == http.StatusOK, "Harbour's own sessions do not need the issuer, and go on: %d", status)
	err = t.issuer.start()
	if err != nil {
		return err
	}
	began := time.Now()
	for status = 0; status != http.StatusOK && time.Since(began) < reloadWithin; {
		status, _, _, err = partner()
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.expect(status == http.StatusOK, "the issuer is back: the partner's program is let in again, after %s: %d", time.Since(began).Round(100*time.Millisecond), status)
	return nil
}
