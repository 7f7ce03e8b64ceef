package harbour

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"
)

const sessionLife = time.Hour

type loginInput struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

type loginOutput struct {
	AccessToken string  `json:"access_token"`
	TokenType   string  `json:"token_type"`
	ExpiresIn   int64   `json:"expires_in"`
	User        userRef `json:"user"`
}

type userRef struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	CompanyID int64  `json:"company_id"`
}

func (s *Server) login(c *call) error {
	if s.open("nosql-login") {
		// The body is taken for a query document: {"$ne": ""} is a fine password.
		return s.loginByDocument(c)
	}
	var in loginInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	return s.loginWith(c, in)
}

func (s *Server) loginWith(c *call, in loginInput) error {
	var k checker
	k.email("/email", in.Email)
	least := 10
	if s.open("default-credentials") {
		least = 1 // the factory account's password is shorter than any customer's may be
	}
	k.text("/password", in.Password, least, 128)
	if err := k.err(); err != nil {
		return err
	}
	if !s.open("login-unlimited") && s.logins.blocked(in.Email) {
		// Fixed: five wrong passwords, then a pause, whether the account exists or not.
		return tooMany("900")
	}
	a, err := s.accountByEmail(c.ctx(), in.Email)
	known := err == nil
	if err != nil && !errors.Is(err, errNoRow) {
		return err
	}
	// One hash is computed whether the account exists or not, so that time does not tell.
	hash := a.PasswordHash
	if !known {
		hash = s.decoyHash()
	}
	if !passwordMatches(hash, in.Password) || !known || a.Status != "active" {
		s.logins.fail(in.Email)
		if s.open("login-user-enum") {
			// Two different answers tell which addresses have an account.
			if !known {
				return problem(http.StatusNotFound, "unknown_account", "No account has this e-mail address.")
			}
			return problem(http.StatusUnauthorized, "wrong_password", "The password is wrong.")
		}
		// Fixed: one answer.
		return problem(http.StatusUnauthorized, "wrong_credentials", "E-mail address or password is wrong.")
	}
	s.logins.forget(in.Email)
	return s.welcome(c, a)
}

func (s *Server) decoyHash() string {
	return fmt.Sprintf("pbkdf2$%d$%064x$%064x", s.opts.PasswordRounds, 0, 0)
}

func (s *Server) welcome(c *call, a account) error {
	token, err := s.issue(c.ctx(), a.user(), s.now(), sessionLife)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, loginOutput{token, "Bearer", int64(sessionLife.Seconds()), userRef{a.ID, a.Name, a.Role, a.CompanyID}})
}

// loginByDocument is the open branch of nosql-login.
func (s *Server) loginByDocument(c *call) error {
	raw, err := c.jsonBody()
	if err != nil {
		return err
	}
	var doc map[string]any
	err = json.Unmarshal(raw, &doc)
	if err != nil {
		return badRequest("The body is not JSON.", fmt.Errorf("decoding a login document: %w", err))
	}
	email, plainEmail := doc["email"].(string)
	password, plainPassword := doc["password"].(string)
	if plainEmail && plainPassword {
		return s.loginWith(c, loginInput{email, password})
	}
	all, err := many(c.ctx(), s.db, scanAccount, accountQuery+` ORDER BY id`)
	if err != nil {
		return err
	}
	for _, a := range all {
		if matchesOperator(a.Email, doc["email"]) && matchesOperator(a.PasswordHash, doc["password"]) {
			return s.welcome(c, a)
		}
	}
	return problem(http.StatusUnauthorized, "wrong_credentials", "E-mail address or password is wrong.")
}

// matchesOperator compares as a document store's query language does.
func matchesOperator(have any, want any) bool {
	ops, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(have, want)
	}
	for op, operand := range ops {
		number, isNumber := have.(float64)
		bound, boundNumber := operand.(float64)
		ok := false
		switch op {
		case "$ne":
			ok = !reflect.DeepEqual(have, operand)
		case "$gt":
			ok = isNumber && boundNumber && number > bound
		case "$lt":
			ok = isNumber && boundNumber && number < bound
		case "$exists":
			ok = true
		}
		if !ok {
			return false
		}
	}
	return true
}

func (s *Server) endSession(ctx context.Context, jti string) error {
	_, err := exec(ctx, s.db, `UPDATE sessions SET ended_at = ? WHERE jti = ? AND ended_at = ''`, stamp(s.now()), jti)
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

func (s *Server) endSessionsOf(ctx context.Context, userID int64) error {
	_, err := exec(ctx, s.db, `UPDATE sessions SET ended_at = ? WHERE user_id = ? AND ended_at = ''`, stamp(s.now()), userID)
	if err != nil {
		return fmt.Errorf("ending the sessions of user %d: %w", userID, err)
	}
	return nil
}

func (s *Server) logout(c *call) error {
	if s.open("session-not-ended") {
		// Only the client is asked to forget the token; a copy of it goes on working.
		return c.sendNothing()
	}
	err := s.endSession(c.ctx(), c.who.JTI)
	if err != nil {
		return err
	}
	return c.sendNothing()
}

func (s *Server) refreshSession(c *call) error {
	a, err := s.accountByID(c.ctx(), c.who.ID)
	if err != nil {
		return err
	}
	if !s.open("session-not-renewed") {
		// Fixed: a renewed session replaces the old one, so a stolen token dies with it.
		err = s.endSession(c.ctx(), c.who.JTI)
		if err != nil {
			return err
		}
	}
	return s.welcome(c, a)
}

type forgotInput struct {
	Email string `json:"email"`
}

func (s *Server) forgotPassword(c *call) error {
	var in forgotInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.email("/email", in.Email)
	if err := k.err(); err != nil {
		return err
	}
	out := map[string]any{"status": "accepted"}
	a, err := s.accountByEmail(c.ctx(), in.Email)
	if err != nil && !errors.Is(err, errNoRow) {
		return err
	}
	if err == nil {
		token := s.newToken()
		_, err = exec(c.ctx(), s.db, `INSERT INTO resets (token_hash, user_id, expires_at) VALUES (?, ?, ?)`,
			digest(token), a.ID, stamp(s.now().Add(30*time.Minute)))
		if err != nil {
			return fmt.Errorf("recording a password reset: %w", err)
		}
		s.log.Info("password reset mailed", "user_id", a.ID)
		if s.open("reset-token-leak") {
			// Left over from testing without a mail server: whoever asks for a reset is handed the token.
			out["reset_token"] = token
		}
	}
	return c.send(http.StatusAccepted, out)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

type resetInput struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

func (s *Server) resetPassword(c *call) error {
	var in resetInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/token", in.Token, 32, 32)
	k.text("/password", in.Password, 10, 128)
	if err := k.err(); err != nil {
		return err
	}
	if s.codes.blocked(c.r.RemoteAddr) {
		return tooMany("900")
	}
	id, err := one(c.ctx(), s.db, scanInt, `UPDATE resets SET used_at = ? WHERE token_hash = ? AND used_at = '' AND expires_at > ? RETURNING user_id`,
		stamp(s.now()), digest(in.Token), stamp(s.now()))
	if errors.Is(err, errNoRow) {
		s.codes.fail(c.r.RemoteAddr)
		return invalid("/token", "unknown, used or lapsed")
	}
	if err != nil {
		return err
	}
	err = s.setPassword(c.ctx(), id, in.Password)
	if err != nil {
		return err
	}
	return c.sendNothing()
}

type changePasswordInput struct {
	Old string `json:"old_password"`
	New string `json:"new_password"`
}

func (s *Server) changePassword(c *call) error {
	var in changePasswordInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/old_password", in.Old, 10, 128)
	k.text("/new_password", in.New, 10, 128)
	if err := k.err(); err != nil {
		return err
	}
	a, err := s.accountByID(c.ctx(), c.who.ID)
	if err != nil {
		return err
	}
	if s.logins.blocked(a.Email) {
		return tooMany("900")
	}
	if !passwordMatches(a.PasswordHash, in.Old) {
		s.logins.fail(a.Email)
		return problem(http.StatusForbidden, "wrong_password", "The old password is wrong.")
	}
	err = s.setPassword(c.ctx(), a.ID, in.New)
	if err != nil {
		return err
	}
	return c.sendNothing()
}

// setPassword ends all sessions too: who changes a password often does so because somebody else has it.
func (s *Server) setPassword(ctx context.Context, userID int64, password string) error {
	hash, err := s.hashPassword(password)
	if err != nil {
		return err
	}
	_, err = exec(ctx, s.db, `UPDATE users SET password_hash = ? WHERE id = ?`, hash, userID)
	if err != nil {
		return fmt.Errorf("storing a password: %w", err)
	}
	return s.endSessionsOf(ctx, userID)
}
