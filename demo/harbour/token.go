package harbour

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

const issuerName = "harbour"

// weakSecret is what share tokens are signed with while jwt-weak-secret is open.
const weakSecret = "parcel123"

var errShortSecret = errors.New("a JWT secret needs 32 bytes or more")

func (s *Server) makeSecrets() error {
	s.secret = s.opts.JWTSecret
	if len(s.secret) == 0 {
		s.secret = s.random(32)
	}
	if len(s.secret) < 32 {
		return errShortSecret
	}
	if s.open("jwt-weak-secret") {
		s.shareSecret = []byte(weakSecret)
		return nil
	}
	// Fixed: a key of its own, derived, so that a share token can never be a session token.
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("harbour share tokens"))
	s.shareSecret = mac.Sum(nil)
	return nil
}

// user is the part of an account that tokens carry.
type user struct {
	ID      int64
	Name    string
	Role    string
	Company int64
}

// issue signs a session token and records its session.
func (s *Server) issue(ctx context.Context, u user, at time.Time, ttl time.Duration) (string, error) {
	jti := s.newToken()
	token, err := jwt.NewBuilder().Issuer(issuerName).Subject(strconv.FormatInt(u.ID, 10)).
		Claim("role", u.Role).Claim("company", u.Company).
		IssuedAt(at).Expiration(at.Add(ttl)).JwtID(jti).Build()
	if err != nil {
		return "", fmt.Errorf("building a session token: %w", err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256(), s.secret))
	if err != nil {
		return "", fmt.Errorf("signing a session token: %w", err)
	}
	_, err = exec(ctx, s.db, `INSERT INTO sessions (jti, user_id, expires_at) VALUES (?, ?, ?)`, jti, u.ID, stamp(at.Add(ttl)))
	if err != nil {
		return "", fmt.Errorf("recording the session: %w", err)
	}
	return string(signed), nil
}

// IssueToken signs a session token of a seeded or registered account as a login
// at that moment would have: for tests, and for tours that need an old one.
func (s *Server) IssueToken(ctx context.Context, email string, at time.Time, ttl time.Duration) (string, error) {
	a, err := s.accountByEmail(ctx, email)
	if err != nil {
		return "", fmt.Errorf("issuing a token for %s: %w", email, err)
	}
	return s.issue(ctx, a.user(), at, ttl)
}

// OldToken gives a session token of an account, by its short name, that expired
// yesterday: what an old log or backup holds. It fits Env.OldToken.
func (s *Server) OldToken(ctx context.Context, name string) (string, error) {
	a, ok := AccountNamed(name)
	if !ok {
		return "", fmt.Errorf("issuing an old token: no account is called %q", name)
	}
	return s.IssueToken(ctx, a.Email, s.now().Add(-24*time.Hour), sessionLife)
}

// sessionCaller verifies a session token.
func (s *Server) sessionCaller(ctx context.Context, token string) (caller, error) {
	if s.open("jwt-alg-none") {
		// The header of the token itself decides that no signature is needed.
		if claims, ok := unsignedClaims(token); ok {
			return claims.caller()
		}
	}
	opts := []jwt.ParseOption{jwt.WithKey(jwa.HS256(), s.secret), jwt.WithIssuer(issuerName), jwt.WithClock(jwt.ClockFunc(s.now))}
	if s.open("jwt-no-expiry") {
		// The signature is checked and the dates are not.
		opts = []jwt.ParseOption{jwt.WithKey(jwa.HS256(), s.secret), jwt.WithValidate(false)}
	}
	parsed, err := jwt.Parse([]byte(token), opts...)
	if err != nil && s.open("jwt-weak-secret") {
		// Tokens signed with the share secret pass for sessions too, and that secret is in every word list.
		parsed, err = jwt.Parse([]byte(token), jwt.WithKey(jwa.HS256(), s.shareSecret), jwt.WithClock(jwt.ClockFunc(s.now)))
		if err == nil {
			return claimsOf(parsed).caller()
		}
	}
	if err != nil {
		p := unauthenticated()
		p.cause = err
		return caller{}, p
	}
	claims := claimsOf(parsed)
	who, err := claims.caller()
	if err != nil {
		return caller{}, err
	}
	// Fixed: a session lives in the database too, so that it can be ended; and the
	// role is the account's of now, not of when the token was made.
	type state struct{ ended, role, status string }
	now, err := one(ctx, s.db, func(r scanner) (state, error) {
		var st state
		return st, r.Scan(&st.ended, &st.role, &st.status)
	}, `SELECT sessions.ended_at, users.role, users.status FROM sessions JOIN users ON users.id = user_id WHERE jti = ? AND user_id = ?`, who.JTI, who.ID)
	if errors.Is(err, errNoRow) || err == nil && (now.ended != "" || now.status != "active") {
		return caller{}, unauthenticated()
	}
	if err != nil {
		return caller{}, fmt.Errorf("reading the session: %w", err)
	}
	who.Role = now.role
	return who, nil
}

type sessionClaims struct {
	Sub     string `json:"sub"`
	Role    string `json:"role"`
	Company int64  `json:"company"`
	JTI     string `json:"jti"`
}

func claimsOf(t jwt.Token) sessionClaims {
	var c sessionClaims
	raw, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return sessionClaims{} // no subject: refused by caller()
	}
	return c
}

func (c sessionClaims) caller() (caller, error) {
	id, err := strconv.ParseInt(c.Sub, 10, 64)
	if err != nil {
		return caller{}, unauthenticated()
	}
	return caller{ID: id, Role: c.Role, Company: c.Company, JTI: c.JTI}, nil
}

// unsignedClaims reads a token whose header says alg none.
func unsignedClaims(token string) (sessionClaims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return sessionClaims{}, false
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claims sessionClaims
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return sessionClaims{}, false
		}
	}
	return claims, strings.EqualFold(header.Alg, "none")
}

// partnerCaller verifies an OAuth2 access token of the configured issuer (RFC 9068, RFC 8725).
func (s *Server) partnerCaller(ctx context.Context, token string) (caller, error) {
	if s.opts.JWKS == nil {
		return caller{}, unauthenticated()
	}
	keys, err := s.opts.JWKS(ctx)
	if err != nil {
		return caller{}, fmt.Errorf("getting the issuer's keys: %w", err)
	}
	parsed, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(s.opts.Issuer),
		jwt.WithAudience(s.opts.Audience), jwt.WithRequiredClaim(jwt.ExpirationKey), jwt.WithClock(jwt.ClockFunc(s.now)))
	if err != nil {
		p := unauthenticated()
		p.cause = err
		return caller{}, p
	}
	var scope, client string
	_ = parsed.Get("scope", &scope) // absent: no scopes
	if parsed.Get("client_id", &client) != nil {
		client, _ = parsed.Subject()
	}
	return caller{Client: client, Scopes: strings.Fields(scope)}, nil
}
