package contract

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// AnswerHeadSteps check an answer's status and content type, and in "strip"
// mode set the filter that removes what the schema does not declare. There are
// two, since only stripping needs the answer plain and whole.
func (g *Guard) AnswerHeadSteps() []guard.Step {
	step := func(needs exchange.Need, strips bool) guard.Step {
		return guard.Step{
			Guard: AnswerGuard, Phase: exchange.ResponseHead, Needs: needs, Rule: g.checkAnswerHead,
			Applies: func(op *spec.Operation) bool { return op != nil && (g.responsesOf(op) == "strip") == strips },
		}
	}
	return []guard.Step{step(exchange.None, false), step(exchange.Streamed, true)}
}

// AnswerBodyStep checks a decoded answer, in the modes "record" and "refuse". In
// "strip" mode it checks XML, of which nothing can be stripped as it streams.
func (g *Guard) AnswerBodyStep() guard.Step {
	return guard.Step{
		Guard: AnswerGuard, Phase: exchange.ResponseBody, Needs: exchange.Buffered,
		Applies: func(op *spec.Operation) bool {
			if op == nil {
				return false
			}
			switch g.responsesOf(op) {
			case "strip":
				return describesXML(op)
			case "record", "refuse":
				return describesContent(op)
			}
			return false
		},
		Rule: g.checkAnswerBody,
	}
}

func known(op *spec.Operation) bool { return op != nil }

func describesXML(op *spec.Operation) bool {
	for _, r := range op.Responses {
		for _, c := range r.Content {
			if c.Schema != nil && isXML(c.Type) {
				return true
			}
		}
	}
	return false
}

// describesContent reports whether an answer can be checked. Of an event stream
// only the content type can: it has no end.
func describesContent(op *spec.Operation) bool {
	for _, r := range op.Responses {
		for _, c := range r.Content {
			if c.Schema != nil && c.Type != "text/event-stream" {
				return true
			}
		}
	}
	return false
}

// declared returns the response that the document declares for a status: the
// exact one, its range ("4XX"), then the default.
func (n *operation) declared(status int) *spec.Response {
	s := strconv.Itoa(status)
	if r := n.answers[s]; r != nil {
		return r
	}
	if r := n.answers[s[:1]+"XX"]; r != nil {
		return r
	}
	return n.answers["DEFAULT"]
}

func (g *Guard) checkAnswerHead(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	status := x.Response.Status
	if status == 101 || status == 304 {
		return exchange.Verdict{}
	}
	r := g.ops[x.Operation.Index].declared(status)
	if r == nil {
		switch {
		case status >= 400 && status < 500 && g.responsesOf(x.Operation) == "strip":
			// Few documents list every client error, and callers need them.
			return exchange.Verdict{}
		case status >= 500:
			return exchange.Refuse("contract.response", "status", "an undeclared server error: what it says is kept from the client (CWE-209)")
		}
		return exchange.Refuse("contract.response", "status", "the document declares no answer with status "+strconv.Itoa(status))
	}
	if x.Response.Length == 0 || status == 204 || x.Request.Method == http.MethodHead {
		return exchange.Verdict{}
	}
	mediaType := contentType(x.Response.Header.Get("Content-Type"))
	if len(r.Content) == 0 {
		// Of unknown length is also an answer without a body, but that says no type.
		if (x.Response.Length > 0 || x.Response.Length < 0 && mediaType != "") && status < 400 && g.responsesOf(x.Operation) == "refuse" {
			return exchange.Refuse("contract.response", "body", "the document declares no content for this answer")
		}
		return exchange.Verdict{}
	}
	if mediaType == "" && x.Response.Length < 0 {
		return exchange.Verdict{} // an answer without a body need not say what it is
	}
	m := mediaTypeFor(r.Content, mediaType)
	if m == nil {
		if mediaType == "application/problem+json" && status >= 400 {
			return exchange.Verdict{}
		}
		return exchange.Refuse("contract.response", "header:content-type", "the document declares "+typesOf(r.Content))
	}
	if g.responsesOf(x.Operation) == "strip" && m.Schema != nil && isJSON(mediaType) {
		if f := m.Schema.Filter(); f != nil {
			x.Response.Filters = append(x.Response.Filters, f)
		}
	}
	return exchange.Verdict{}
}

// AnswerIsFile reports whether an answer that has no tree is a file: media, or of a
// type that the document names as such, and not by a wildcard alone.
func (g *Guard) AnswerIsFile(op *spec.Operation, status int, mediaType string) bool {
	for _, media := range []string{"image/", "audio/", "video/", "font/"} {
		if strings.HasPrefix(mediaType, media) {
			return true
		}
	}
	if op == nil {
		return false
	}
	r := g.ops[op.Index].declared(status)
	if r == nil {
		return false
	}
	m := mediaTypeFor(r.Content, mediaType)
	if m == nil || strings.Contains(m.Type, "*") {
		return false
	}
	return m.Schema == nil || m.Schema.Anything() || m.Schema.Type() == "string"
}

func (g *Guard) checkAnswerBody(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	b := x.Response.Body
	if b == nil || len(b.Bytes) == 0 {
		return exchange.Verdict{}
	}
	r := g.ops[x.Operation.Index].declared(x.Response.Status)
	if r == nil {
		return exchange.Verdict{} // said at the head already
	}
	m := mediaTypeFor(r.Content, b.MediaType)
	if m == nil || m.Schema == nil || g.responsesOf(x.Operation) == "strip" && !isXML(b.MediaType) {
		return exchange.Verdict{}
	}
	b.Declared = m
	if b.Err != nil {
		return exchange.Refuse("contract.response", b.Err.Pointer, "the answer is not the document that it says: "+b.Err.Error())
	}
	if b.Root == nil {
		return exchange.Verdict{} // bytes without a tree
	}
	root, faults := g.typedBody(b)
	if len(faults) == 0 {
		faults = m.Schema.Validate(root, &schema.Options{Direction: schema.Response, Strict: g.strict, MaxFaults: maxFaults})
	}
	if len(faults) == 0 {
		return exchange.Verdict{}
	}
	v := exchange.Refuse("contract.response", faults[0].Pointer, faults[0].Keyword+": "+faults[0].Message)
	for _, f := range faults[1:] {
		v.More = append(v.More, exchange.Fault{Code: "contract.response", At: f.Pointer, Reason: f.Keyword + ": " + f.Message})
	}
	return v
}
