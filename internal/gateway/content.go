package gateway

import (
	"io"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// checkedBody shows a body to a check as the client sent it. What comes last is
// given on only when the check has nothing against the whole, so that a body which
// is not what was signed never ends for the upstream.
type checkedBody struct {
	io.ReadCloser
	check *exchange.ContentCheck
	left  int64 // of the declared length; -1 when there is none
	// strict fails the reading at a fault. Unset while the gateway itself reads: then
	// the guard that asked for the check rules on what it found.
	strict bool
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.check.Write(p[:n])
	if b.left >= 0 {
		b.left -= int64(n)
	}
	if err != io.EOF && b.left != 0 {
		return n, err
	}
	if fault := b.check.End(); fault != nil && b.strict {
		return 0, &bodyFault{"authn.digest", fault.Error()}
	}
	return n, err
}

// watchContent has the body seen by the check that a guard asked for.
func (s *session) watchContent() {
	c := s.x.Request.Content
	if c == nil || s.r.Body == nil {
		return
	}
	s.checked = &checkedBody{ReadCloser: s.r.Body, check: c, left: s.r.ContentLength}
	s.r.Body = s.checked
}

// noteContent records that a body which was passed on was not what was signed,
// where the guard is only watched.
func (s *session) noteContent() {
	if s.checked == nil || s.checked.strict || !s.completion.Called {
		return
	}
	for i := range s.x.Rulings {
		if s.x.Rulings[i].Verdict.Code == "authn.digest" {
			return
		}
	}
	if done, fault := s.checked.check.Ended(); done && fault != nil {
		s.x.Rulings = append(s.x.Rulings, exchange.Ruling{Guard: authn.Name, Phase: exchange.RequestBody, Mode: guard.Monitor.String(),
			Verdict: exchange.Refuse("authn.digest", "body", fault.Error())})
	}
}
