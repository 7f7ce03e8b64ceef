package harbour

import (
	"fmt"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type shareInput struct {
	Email   string `json:"email"`
	Subject string `json:"subject"`
}

var reSubject = regexp.MustCompile(`^[^\x00-\x1f\x7f]{1,120}$`)

const shareLife = 7 * 24 * time.Hour

// shareParcel mails a link to a parcel to somebody without an account. The mail
// program takes the recipients from the message itself, as sendmail -t does.
func (s *Server) shareParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in shareInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.email("/email", in.Email)
	if !s.open("header-injection-mail") {
		// Fixed: a header value has no line break, so it cannot begin another header.
		k.match("/subject", in.Subject, reSubject)
	}
	if err := k.err(); err != nil {
		return err
	}
	token, err := s.shareToken(p)
	if err != nil {
		return err
	}
	// With header-injection-mail the subject is pasted in as it came, line breaks and all.
	message := "From: parcels@harbour.example\r\nTo: " + in.Email + "\r\nSubject: " + in.Subject + "\r\n\r\nFollow your parcel: https://app.harbour.example/shared?token=" + token + "\r\n"
	recipients, err := recipientsOf(message)
	if err != nil {
		return badRequest("The message cannot be sent.", err)
	}
	return c.send(http.StatusCreated, map[string]any{"parcel_id": p.ID, "token": token, "sent_to": recipients})
}

func recipientsOf(message string) ([]string, error) {
	m, err := mail.ReadMessage(strings.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("reading back a message: %w", err)
	}
	var all []string
	for _, name := range []string{"To", "Cc", "Bcc"} {
		if m.Header.Get(name) == "" {
			continue
		}
		list, err := m.Header.AddressList(name)
		if err != nil {
			return nil, fmt.Errorf("reading the recipients: %w", err)
		}
		for _, a := range list {
			all = append(all, a.Address)
		}
	}
	return all, nil
}

func (s *Server) shareToken(p parcel) (string, error) {
	token, err := jwt.NewBuilder().Issuer(issuerName).Audience([]string{"share"}).Subject("share").
		Claim("parcel", p.ID).IssuedAt(s.now()).Expiration(s.now().Add(shareLife)).Build()
	if err != nil {
		return "", fmt.Errorf("building a share token: %w", err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256(), s.shareSecret))
	if err != nil {
		return "", fmt.Errorf("signing a share token: %w", err)
	}
	return string(signed), nil
}

// getShared shows the tracking of a shared parcel to whoever has the link.
func (s *Server) getShared(c *call) error {
	parsed, err := jwt.Parse([]byte(c.param("token")), jwt.WithKey(jwa.HS256(), s.shareSecret), jwt.WithAudience("share"), jwt.WithClock(jwt.ClockFunc(s.now)))
	if err != nil {
		p := unauthenticated()
		p.cause = err
		return p
	}
	var number float64
	err = parsed.Get("parcel", &number)
	if err != nil {
		return unauthenticated()
	}
	p, err := s.parcelByID(c.ctx(), int64(number))
	if err != nil {
		return err
	}
	c.r.SetPathValue("tracking_code", p.TrackingCode)
	return s.track(c)
}
