package graph

import (
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// contentPurposes: upload, download, webhook, search, export, batch.
func (b *builder) contentPurposes(t *traits) {
	b.upload(t)
	b.download(t)
	b.webhook(t)
	b.search(t)
	b.export(t)
	b.batch(t)
}

// upload: takes a file.
func (b *builder) upload(t *traits) {
	op := t.op
	var e evidence
	for _, in := range t.in[MeansFile] {
		switch {
		case in.In != "body":
		case in.Format == "binary":
			e.add(0.7, "takes a file (%s)", in.Where())
		case in.Format == "byte":
			e.add(0.45, "takes base64 (%s)", in.Where())
		default:
			e.add(0.3, "takes %s", in.Where())
		}
	}
	if op.media != nil && strings.HasPrefix(op.media.Type, "multipart/") && len(t.in[MeansFile]) > 0 && e.score < 0.5 {
		e.add(0.3, "in a form of parts")
	}
	if op.Body != nil {
		for _, m := range op.Body.Content {
			if binaryType(m.Type) {
				e.add(0.7, "takes %s", m.Type)
				break
			}
			if m.Type == "multipart/form-data" && m != op.media && m.Schema != nil {
				for _, l := range b.cache.of(m.Schema).list {
					if l.format == "binary" {
						e.add(0.6, "takes a file in a form (%s)", l.pointer)
						break
					}
				}
			}
			if m.Type == "multipart/form-data" && len(op.Body.Content) == 1 && m.Schema == nil {
				e.add(0.5, "takes multipart/form-data")
			}
		}
	}
	if w := t.saysAny("upload", "uploads", "import", "attach", "attachment", "attachments", "avatar", "picture", "photo", "image"); w != "" {
		e.add(0.25, "is called %q", w)
		if w == "upload" {
			e.add(0.15, "uploads")
		}
	}
	if !t.changes() {
		e.add(-0.8, "")
	}
	op.guess(Upload, &e)
}

// download: answers a file.
func (b *builder) download(t *traits) {
	op := t.op
	var e evidence
	for _, r := range successes(op.Operation) {
		for _, m := range r.Content {
			if binaryType(m.Type) || m.Schema != nil && (m.Schema.Format() == "binary" || m.Schema.Format() == "byte") {
				e.add(0.6, "answers %s", m.Type)
				break
			}
		}
	}
	if w := t.saysAny("download", "file", "files", "attachment", "raw", "content", "pdf", "image", "media", "document", "blob"); w != "" && t.reads {
		e.add(0.25, "is called %q", w)
		if w == "download" {
			e.add(0.3, "downloads")
		}
	}
	if t.takes(MeansFileName) && t.reads {
		e.add(0.3, "takes a file's name")
	}
	op.guess(Download, &e)
}

// webhook: takes an address that is called.
func (b *builder) webhook(t *traits) {
	op := t.op
	var e evidence
	if len(op.Callbacks) > 0 {
		e.add(0.7, "promises to call back (%s)", op.Callbacks[0].Name)
	}
	for _, in := range t.in[MeansCallback] {
		if in.In == "body" || in.In == "query" {
			e.add(0.5, "takes %s", in.Where())
			break
		}
	}
	if w := t.saysAny("webhook", "webhooks", "hook", "hooks", "callback", "callbacks", "subscription", "subscriptions", "notification endpoint", "event subscriptions"); w != "" {
		about := op.About != nil && hookNouns[lastWord(op.About.Name)]
		if t.takes(MeansURL, MeansCallback) && (about || !strings.HasPrefix(w, "subscription")) {
			e.add(0.5, "is called %q and takes an address", w)
		} else {
			e.add(0.15, "is called %q", w)
		}
	}
	if !t.changes() {
		e.add(-0.6, "")
	}
	op.guess(Webhook, &e)
}

// search: answers what fits what was asked.
func (b *builder) search(t *traits) {
	op := t.op
	var e evidence
	if w := t.saysAny("search", "query", "find", "lookup", "autocomplete", "suggest", "suggestions", "typeahead", "filter", "suche", "buscar", "recherche"); w != "" {
		e.add(0.6, "is called %q", w)
	}
	for _, in := range op.Inputs {
		if n := strings.Join(spec.Words(in.Name), "_"); in.In != "path" && searchWords[n] {
			e.add(0.4, "takes %s", in.Where())
			if in.Required || op.Answered == "list" || op.Kind == List {
				e.add(0.2, "answers what fits")
			}
			break
		}
	}
	if op.Method == http.MethodDelete || op.Method == http.MethodPatch || op.Method == http.MethodPut {
		e.add(-0.6, "")
	}
	op.guess(Search, &e)
}

// export: answers much at once, in a form to keep.
func (b *builder) export(t *traits) {
	op := t.op
	var e evidence
	if w := t.saysAny("export", "exports", "report", "reports", "dump", "backup", "csv", "download all", "statement", "xlsx", "excel"); w != "" {
		e.add(0.35, "is called %q", w)
		if w == "export" || w == "dump" || w == "backup" || w == "csv" {
			e.add(0.3, "exports")
		}
	}
	if n := len(op.route.steps); n > 0 && !op.route.steps[n-1].isVar() && strings.HasSuffix(op.route.steps[n-1].text, ".csv") {
		e.add(0.3, "its path ends in .csv")
	}
	for _, r := range successes(op.Operation) {
		for _, m := range r.Content {
			if strings.Contains(m.Type, "csv") || strings.Contains(m.Type, "excel") || strings.Contains(m.Type, "spreadsheet") || strings.Contains(m.Type, "zip") || strings.Contains(m.Type, "ndjson") {
				e.add(0.3, "answers %s", m.Type)
				break
			}
		}
	}
	if op.Method == http.MethodDelete || op.Method == http.MethodPut || op.Method == http.MethodPatch || op.Kind == Create && t.saysAny("export", "dump", "backup") == "" {
		e.add(-0.4, "")
	}
	op.guess(Export, &e)
}

// batch: does to many what others do to one.
func (b *builder) batch(t *traits) {
	op := t.op
	var e evidence
	if w := t.saysAny("batch", "bulk", "multi", "mass", "batches", "multiple"); w != "" {
		e.add(0.55, "is called %q", w)
	}
	for _, in := range op.Inputs {
		if in.In == "body" && in.Listed && in.Meaning == MeansID && t.body <= 4 {
			e.add(0.5, "takes a list of ids (%s)", in.Where())
			break
		}
		if in.In == "body" && strings.HasPrefix(in.Pointer, "/*") {
			e.add(0.5, "takes a list")
			break
		}
	}
	op.guess(Batch, &e)
}
