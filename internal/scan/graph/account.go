package graph

import (
	"net/http"
)

// nameAccounts finds what an API calls its accounts' names where it has a word of its
// own for them: two operations take the same text beside a password and nothing else
// that names anybody, and one of them, which takes nothing but the two, answers one text
// or a token. That one logs in; the other makes what is logged in to.
func (b *builder) nameAccounts() {
	for _, login := range b.g.Ops {
		name, session := soleName(login), soleText(login)
		if name == nil || session == nil || len(login.Inputs) != 2 || login.Secured {
			continue
		}
		for _, op := range b.g.Ops {
			other := soleName(op)
			if op == login || other == nil || other.Name != name.Name || op.Secured || soleText(op) != nil {
				continue
			}
			name.Meaning, other.Meaning, session.Meaning = MeansUsername, MeansUsername, MeansToken
			op.logsIn = login
		}
	}
}

// soleName is the one required text that an operation takes beside one password, where
// it takes nothing that is known to name anybody; nil where it takes something else.
func soleName(op *Op) *Input {
	if op.Method != http.MethodPost || op.OnObject {
		return nil
	}
	var name *Input
	passwords := 0
	for _, in := range op.Inputs {
		switch {
		case in.ReadOnly:
		case in.Meaning == MeansEmail || in.Meaning == MeansUsername || in.Meaning == MeansPhone:
			return nil
		case in.Meaning == MeansPassword:
			passwords++
		case in.Required && in.In == "body":
			text := in.Type == "string" && in.Format == "" && in.Object == nil && (in.Schema == nil || len(in.Schema.Rules().Enum) == 0)
			if name != nil || !text || in.Meaning != MeansText && in.Meaning != MeansName && in.Meaning != MeansUndefined {
				return nil
			}
			name = in
		}
	}
	if passwords != 1 {
		return nil
	}
	return name
}

// soleText is the one thing that an operation's answer holds, if that is a text that
// may open something; nil where there is more, or where it is something else.
func soleText(op *Op) *Output {
	if len(op.Outputs) != 1 {
		return nil
	}
	out := op.Outputs[0]
	if out.Type != "string" || out.Format != "" || len(out.Values) > 0 || out.Header != "" || out.Meaning != MeansToken && out.Meaning != MeansText && out.Meaning != MeansUndefined && out.Meaning != MeansID {
		return nil
	}
	return out
}
