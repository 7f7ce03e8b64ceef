package cli

import (
	"fmt"
	"strings"
)

// schemaURL is where editors find the schema of the file.
const schemaURL = "https://raw.githubusercontent.com/crenel-project/crenel/main/config/schema.json"

// yaml writes the plan as a commented config.
func (p *plan) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# yaml-language-server: $schema=%s
#
# Written by crenel init. Every key is described in docs/configuration.md.
# crenel config check says what is wrong with this file, crenel config show what
# takes effect. A running gateway reads it anew when it changes.
version: 1

server:
  listen: [":8443"]
  tls:
    # A local certificate authority, for a first try; its root certificate is in
    # the data directory. For a public name: mode: auto (ACME), or files.
    mode: local
  # Proxies in front that may name the client's address:
  # trusted_proxies: [10.0.0.0/8]

# Decisions go to crenel-data/events.jsonl; crenel event ID explains one.
trail:
  audit: default   # strict: no answer before its decision is on disk

apis:
- name: %s
  # The names that it is served under. Without them it answers to every name.
  # hosts: [api.example.com]
  spec: %s
  upstream:
    urls: [%s]
    # The API sees the credentials as the client sent them; strip keeps them here.
    credentials: pass
    # Active check of the servers:
    # health: {path: /healthz}
  # Sites whose pages call this API from a browser, with cookies or over WebSocket.
  # Others get no leave to use the caller's credentials, whatever the API answers.
  # allowed_origins: [https://app.example.com]
  # monitor rules, records and lets pass: for a first look at live traffic.
  mode: enforce
  guards:
    contract:
      # Requests that the document does not describe are refused. Answers that it
      # does not describe are recorded; strip removes what is not in the document.
      responses: record
      # Clients that send more than the document says? Better complete the document, or:
      # unknown_parameters: allow   # in the query
      # unknown_properties: allow   # in bodies: lets mass assignment through as well
      # undocumented: allow         # whole paths, such as pages beside the API
    authn:
`, schemaURL, quote(p.name), quote(p.spec), quote(p.upstream))
	p.writeMethods(&b)
	b.WriteString(`    authz:
      # The document's security and scopes decide. Rules of your own, in Rego:
      # policies: [policies/]
    limit:
      rates:
      - {by: address, rate: 50/s, burst: 200}
      - {by: identity, rate: 50/s, burst: 200}
    waf:
      # OWASP Core Rule Set: 1 is for everybody, 4 for the brave.
      paranoia: 1
`)
	p.writeOperations(&b)
	return b.String()
}

func (p *plan) writeMethods(b *strings.Builder) {
	if len(p.methods) == 0 {
		b.WriteString("      # The document demands no credentials, so nobody is asked for any. For example:\n" +
			"      # methods:\n      # - own: {header: X-API-Key}\n")
		return
	}
	b.WriteString("      methods:\n")
	for _, m := range p.methods {
		for _, l := range m.about {
			b.WriteString("      # " + l + "\n")
		}
		item(b, "      ", m.active)
		if m.better != nil {
			b.WriteString("      # Better, verified here as well:\n")
			item(b, "      # ", m.better)
		}
	}
}

// item writes lines as one item of a list.
func item(b *strings.Builder, indent string, lines []string) {
	for i, l := range lines {
		mark := "  "
		if i == 0 {
			mark = "- "
		}
		b.WriteString(indent + mark + l + "\n")
	}
}

func (p *plan) writeOperations(b *strings.Builder) {
	b.WriteString("  # Settings for single operations, by operationId or \"METHOD /path\", * for any run of characters.\n")
	if len(p.logins) == 0 {
		b.WriteString("  # operations:\n  # - operation: \"POST /admin/*\"\n  #   roles: [admin]\n")
	} else {
		b.WriteString("  operations:\n  # Where passwords are sent, guessing is slow.\n")
	}
	for _, l := range p.logins {
		fmt.Fprintf(b, "  - operation: %s\n    rates: [{by: address, rate: %s}]\n", quote(l.operation), loginRate)
		if l.open {
			b.WriteString("    public: true   # the document does not say; who logs in has no credentials yet\n")
		}
	}
	if len(p.silent) == 0 {
		return
	}
	b.WriteString("  # The document does not say whether these need credentials, so they do. Those that are public:\n")
	if len(p.logins) == 0 {
		b.WriteString("  # operations:\n")
	}
	for _, op := range p.silent {
		fmt.Fprintf(b, "  # - {operation: %s, public: true}\n", quote(op))
	}
}
