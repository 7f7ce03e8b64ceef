package graph

import (
	"net/http"
	"slices"
	"strings"
)

// accountPurposes: login, registration, refresh, logout, who-am-I, second factor, verification.
func (b *builder) accountPurposes(t *traits) {
	b.login(t)
	b.registration(t)
	b.refresh(t)
	b.logout(t)
	b.whoAmI(t)
	b.secondFactor(t)
}

// login: who one is, and a secret; a token or a cookie comes back.
func (b *builder) login(t *traits) {
	op := t.op
	identifier := t.takes(MeansEmail, MeansUsername, MeansPhone) || b.takesPersonID(t)
	reset := t.saysAny(resetWords...)
	register := t.saysAny(registerWords...)
	passwords := t.in[MeansPassword]
	twoPasswords := oldAndNew(passwords)
	person := op.About != nil && (strongPeople[op.About.Name] || softPeople[op.About.Name])
	var e evidence
	if len(passwords) > 0 && identifier && !op.OnObject {
		e.add(0.4, "takes an identifier and a password")
	} else if len(passwords) > 0 && t.body > 0 && !op.OnObject {
		e.add(0.15, "takes a password")
	}
	strong := t.saysAny(strongLogin...)
	if strong != "" {
		e.add(0.3, "is called %q", strong)
	} else if w := t.saysAny(loginWords...); w != "" {
		e.add(0.2, "is called %q", w)
	} else if w := t.tellsAny(loginWords...); w != "" {
		e.add(0.12, "its words say %q", w)
	}
	if t.givesSession() {
		e.add(0.3, "answers a token or sets a cookie")
	} else if len(op.Outputs) == 0 && len(passwords) > 0 {
		e.add(0.1, "does not say what it answers")
	}
	if grant := grantInput(op); grant != nil && (t.saysAny("token", "oauth", "connect token") != "" || t.givesSession()) {
		e.add(0.5, "takes grant_type, as OAuth 2.0 token endpoints do")
	}
	if len(passwords) > 0 && !op.Secured {
		e.add(0.05, "asks for no credentials")
	}
	if op.logsIn != nil {
		e.add(-0.4, "")
	}
	if len(passwords) == 0 && grantInput(op) == nil {
		if basic := b.takesBasic(op); basic && strong != "" && !op.OnObject && op.Parent == nil {
			e.add(0.3, "takes HTTP basic credentials")
		} else if !t.takes(MeansOTP) || strong == "" {
			e.add(-0.5, "")
		}
	}
	if !t.post && op.Method != http.MethodGet {
		e.add(-0.5, "")
	}
	if op.Method != http.MethodPost {
		e.add(-0.1, "")
	}
	if reset != "" || twoPasswords {
		e.add(-0.6, "")
	}
	if len(passwords) > 0 && t.takes(MeansOTP) && strong == "" {
		e.add(-0.4, "") // a proof and a new password
	}
	if slices.ContainsFunc(passwords, func(in *Input) bool { return strings.HasPrefix(in.Pointer, "/*") }) {
		e.add(-0.6, "") // several people at once
	}
	if register != "" && strong == "" {
		e.add(-0.5, "")
	}
	if person && op.Kind == Create && strong == "" {
		e.add(-0.4, "")
	}
	if op.Kind == Create && !person && b.hasObjects(op.About) && strong == "" && t.saysAny(loginWords...) == "" {
		e.add(-0.3, "") // something that is kept with a password: a data source, a mailbox
	}
	if n := required(op); n > 3 || t.body > 8 && strong == "" {
		e.add(-0.2, "")
	}
	if t.saysAny("change", "update", "confirm password") != "" && strong == "" {
		e.add(-0.4, "")
	}
	if slices.ContainsFunc(passwords, func(in *Input) bool { return confirms(in) }) && strong == "" {
		e.add(-0.2, "")
	}
	op.guess(Login, &e)
}

// registration: a new identifier with a password, nothing known before.
func (b *builder) registration(t *traits) {
	op := t.op
	reset := t.saysAny(resetWords...)
	register := t.saysAny(registerWords...)
	strong := t.saysAny(strongLogin...)
	passwords := t.in[MeansPassword]
	twoPasswords := oldAndNew(passwords)
	person := op.About != nil && (strongPeople[op.About.Name] || softPeople[op.About.Name])
	admin := t.saysAny("admin", "administrator", "backoffice") != ""
	var e evidence
	plain := op.Method == http.MethodGet && register != "" && strong == "" // bad manners, and met all the same
	if len(passwords) > 0 && t.takes(MeansEmail, MeansUsername, MeansPhone) && (op.Method != http.MethodGet || plain) && !op.OnObject {
		e.add(0.35, "takes an identifier and a password")
	} else if len(passwords) > 0 && op.Method == http.MethodPost && !op.OnObject {
		e.add(0.1, "takes a password")
	}
	switch w := t.tellsAny(registerWords...); {
	case register != "":
		e.add(0.4, "is called %q", register)
	case w != "":
		e.add(0.2, "its words say %q", w)
	}
	if person && op.Kind == Create && !op.OnObject {
		e.add(0.3, "creates a %s", op.About.Name)
	} else if op.About != nil && op.Kind == Create && !op.OnObject && !op.Secured && firmTenants[op.About.Name] && len(passwords) > 0 {
		e.add(0.3, "creates a %s with its first account", op.About.Name)
	}
	if op.logsIn != nil {
		e.add(0.3, "takes what %s %s takes, and answers no token", op.logsIn.Method, op.logsIn.Path)
	}
	if t.takes(MeansEmail) && t.takes(MeansUsername, MeansName, MeansPhone) {
		e.add(0.1, "takes more of a person than a login needs")
	}
	if slices.ContainsFunc(passwords, confirms) {
		e.add(0.1, "takes the password twice")
	}
	if strong != "" {
		e.add(-0.6, "")
	}
	if slices.ContainsFunc(passwords, func(in *Input) bool { return strings.HasPrefix(in.Pointer, "/*") }) {
		e.add(-0.4, "")
	}
	if reset != "" || twoPasswords {
		e.add(-0.6, "")
	}
	if admin {
		e.add(-0.4, "")
	}
	if op.Secured && op.SecurityDeclared {
		e.add(-0.15, "")
	}
	if !t.takes(MeansEmail, MeansUsername, MeansPhone) {
		e.add(-0.25, "")
	}
	if op.Method != http.MethodPost && op.Method != http.MethodPut && !plain || op.Parent != nil && !person {
		e.add(-0.3, "")
	}
	if t.takes(MeansOTP) && len(passwords) == 0 || t.takes(MeansToken) && len(passwords) == 0 {
		e.add(-0.3, "")
	}
	if len(op.Objects) > 0 && op.OnObject {
		e.add(-0.3, "")
	}
	op.guess(Register, &e)
}

// refresh: an old token for a new one.
func (b *builder) refresh(t *traits) {
	op, passwords := t.op, t.in[MeansPassword]
	var e evidence
	if slices.ContainsFunc(t.in[MeansToken], func(in *Input) bool { return strings.Contains(strings.ToLower(in.Name), "refresh") }) {
		e.add(0.4, "takes a refresh token")
	}
	if w := t.saysAny("refresh", "renew", "refresh token", "refreshtoken", "token refresh"); w != "" {
		e.add(0.35, "is called %q", w)
	}
	if t.givesSession() {
		e.add(0.25, "answers a token")
	} else if len(op.Outputs) == 0 {
		e.add(0.1, "does not say what it answers")
	}
	if len(passwords) > 0 && grantInput(op) == nil {
		e.add(-0.6, "")
	}
	if t.saysAny("refresh", "renew", "refreshtoken") == "" && !slices.ContainsFunc(t.in[MeansToken], func(in *Input) bool { return in.Required && strings.Contains(strings.ToLower(in.Name), "refresh") }) {
		e.add(-0.4, "")
	}
	if t.saysAny("token", "tokens", "session", "auth", "jwt", "login", "oauth", "oauth 2") == "" && !t.givesSession() {
		e.add(-0.3, "")
	}
	if op.OnObject {
		e.add(-0.3, "")
	}
	op.guess(Refresh, &e)
}

// logout: the session ends.
func (b *builder) logout(t *traits) {
	op := t.op
	var e evidence
	if w := t.saysAny("logout", "log out", "signout", "sign out", "logoff", "log off", "signoff", "end session", "abmelden", "deconnexion"); w != "" {
		e.add(0.9, "is called %q", w)
	} else if op.Method == http.MethodDelete && !op.OnObject && t.last("session", "sessions", "token", "login", "auth", "current", "me") && t.saysAny("session", "sessions", "token", "login", "auth") != "" {
		e.add(0.7, "deletes the session")
	} else if t.post && t.last("revoke", "revoke token", "invalidate") && t.saysAny("token", "oauth", "session", "auth") != "" {
		e.add(0.6, "revokes a token")
	}
	op.guess(Logout, &e)
}

// whoAmI: a read without inputs that answers the caller.
func (b *builder) whoAmI(t *traits) {
	op := t.op
	if !op.Reads() || op.Method == http.MethodPost && op.Body != nil || op.OnObject || op.Answered == "list" {
		return
	}
	var e evidence
	self := slices.ContainsFunc(op.route.steps, func(s step) bool { return s.self })
	lastSelf := len(op.route.steps) > 0 && op.route.steps[len(op.route.steps)-1].self
	switch {
	case lastSelf:
		e.add(0.55, "its path says %q", op.route.steps[len(op.route.steps)-1].text)
	case t.last("profile", "user profile", "account", "user info", "userinfo", "user dashboard", "dashboard") && len(op.route.nouns) > 0:
		e.add(0.35, "its path ends in %q", op.route.steps[len(op.route.steps)-1].text)
	case op.About != nil && strongPeople[op.About.Name] && len(op.route.nouns) > 0 && op.route.nouns[len(op.route.nouns)-1] == len(op.route.steps)-1 && !op.route.steps[len(op.route.steps)-1].many:
		e.add(0.4, "reads one %s without naming it", op.About.Name)
	}
	if w := t.tellsAny("who am i", "whoami", "current user", "get me", "logged in user", "my profile", "authenticated user", "own profile", "current account", "get current user", "my account", "my details", "user info", "userinfo"); w != "" {
		e.add(0.3, "its words say %q", w)
	}
	if t.gives(MeansEmail) || t.gives(MeansUsername) {
		e.add(0.3, "answers an e-mail address or user name")
	} else if len(op.Outputs) == 0 {
		e.add(0.1, "does not say what it answers")
	} else if t.gives(MeansRole, MeansPhone) {
		e.add(0.1, "answers what accounts have")
	}
	for _, in := range op.Inputs {
		if in.Required {
			e.add(-0.5, "")
			break
		}
	}
	if op.Secured {
		e.add(0.1, "asks for credentials")
	}
	if self && !lastSelf && len(op.route.steps) > 0 {
		e.add(-0.3, "")
	}
	if t.saysAny("admin", "all") != "" {
		e.add(-0.4, "")
	}
	if len(op.PathParams) > 0 {
		e.add(-0.5, "")
	}
	if t.saysAny("stats", "settings", "search", "export", "login", "logout", "setup", "config", "notifications", "preferences") != "" {
		e.add(-0.3, "")
	}
	op.guess(WhoAmI, &e)
}

// secondFactor: one-time codes, and codes that confirm an address.
func (b *builder) secondFactor(t *traits) {
	op := t.op
	var e evidence
	if t.takes(MeansOTP) {
		e.add(0.4, "takes a one-time code")
	} else if hasCode(op) && t.saysAny("2 fa", "mfa", "otp", "totp", "two factor", "second factor") != "" {
		e.add(0.3, "takes a code")
	}
	if w := t.saysAny("2 fa", "mfa", "otp", "totp", "two factor", "twofactor", "second factor", "2 factor", "authenticator", "tfa", "check otp", "verify otp", "one time", "multi factor", "webauthn"); w != "" {
		e.add(0.4, "is called %q", w)
	} else if w := t.tellsAny("2 fa", "mfa", "otp", "two factor", "second factor", "multi factor"); w != "" {
		e.add(0.15, "its words say %q", w)
	}
	if t.givesSession() && t.takes(MeansOTP) {
		e.add(0.15, "answers a token")
	}
	if t.takes(MeansPassword) {
		e.add(-0.25, "")
	}
	if op.Method == http.MethodGet && !t.takes(MeansOTP) || op.Method == http.MethodDelete {
		e.add(-0.2, "")
	}
	op.guess(SecondFactor, &e)

	e = evidence{}
	if w := t.saysAny("verify", "verification", "confirm", "confirmation", "activate", "activation", "validate email", "verify email", "confirm email"); w != "" {
		e.add(0.35, "is called %q", w)
		if t.takes(MeansToken, MeansOTP, MeansEmail) || hasCode(op) {
			e.add(0.25, "takes a token, a code or an address")
		}
		if w := t.saysAny("email", "e mail", "account", "user", "users", "phone", "registration", "signup", "auth", "mail"); w != "" {
			e.add(0.2, "of %q", w)
		}
	}
	if t.takes(MeansPassword) || t.takes(MeansMoney) {
		e.add(-0.4, "")
	}
	if t.saysAny("payment", "order", "delivery", "invoice", "password") != "" {
		e.add(-0.3, "")
	}
	op.guess(Verify, &e)
}

// passwordPurposes: forgotten, reset with a proof, changed by who is logged in.
func (b *builder) passwordPurposes(t *traits) {
	op := t.op
	passwords := t.in[MeansPassword]
	about := t.saysAny("password", "passwd", "pwd", "pass", "forgotpassword", "resetpassword", "passphrase", "passcode", "credentials", "passwords", "account", "recovery")
	reset := t.saysAny(resetWords...)
	proof := t.takes(MeansToken, MeansOTP) || hasCode(op) || slices.ContainsFunc(op.Inputs, func(in *Input) bool { return in.In == "path" && in.Object == nil })

	if about == "" && len(passwords) == 0 && t.body == 1 && !op.Secured && t.takes(MeansEmail, MeansUsername, MeansPhone) {
		about = "account" // what is lost or reset by an address alone, and by whoever is not logged in
	}
	var e evidence
	if reset != "" && (about != "" || t.saysAny("forgot", "forgotpassword", "lost", "forgotten", "forget") != "") {
		e.add(0.5, "is called %q", reset)
	}
	if w := t.saysAny("forgot", "forgotpassword", "lost password", "forget"); w != "" {
		e.add(0.15, "is called %q", w)
	}
	if len(passwords) == 0 && t.takes(MeansEmail, MeansUsername, MeansPhone) {
		e.add(0.25, "takes an identifier and no password")
	}
	if !t.takes(MeansEmail, MeansUsername, MeansPhone) && t.saysAny("password", "passwd", "pwd", "pass", "forgotpassword", "resetpassword", "forgot", "forget") == "" {
		e.add(-0.3, "")
	}
	if op.OnObject {
		e.add(-0.3, "") // of somebody whom the caller names by id: administration
	}
	if len(passwords) > 0 {
		e.add(-0.6, "")
	}
	if proof && reset != "" && !t.takes(MeansEmail, MeansUsername, MeansPhone) {
		e.add(-0.4, "")
	}
	if !t.post && !(t.reads && t.takes(MeansEmail, MeansUsername)) {
		e.add(-0.3, "")
	}
	op.guess(PasswordForgot, &e)

	e = evidence{}
	if len(passwords) > 0 && proof && !oldAndNew(passwords) {
		e.add(0.5, "takes a proof and a new password")
	}
	if reset != "" && len(passwords) > 0 {
		e.add(0.4, "is called %q", reset)
	}
	if len(passwords) > 0 && t.takes(MeansOTP) && t.saysAny(strongLogin...) == "" {
		e.add(0.15, "the proof is a one-time code")
	}
	if w := t.saysAny(strongLogin...); w != "" {
		e.add(-0.5, "")
	}
	if t.saysAny(registerWords...) != "" {
		e.add(-0.4, "")
	}
	if grantInput(op) != nil || len(passwords) == 0 {
		e.add(-0.8, "")
	}
	if reset == "" && !slices.ContainsFunc(passwords, func(in *Input) bool { return strings.Contains(strings.ToLower(in.Name), "new") }) && !t.takes(MeansOTP) {
		e.add(-0.2, "")
	}
	if t.givesSession() && reset == "" {
		e.add(-0.25, "")
	}
	op.guess(PasswordReset, &e)

	e = evidence{}
	if oldAndNew(passwords) {
		e.add(0.6, "takes the old password and a new one")
	}
	if w := t.saysAny(passwordWords...); w != "" && len(passwords) > 0 && reset == "" {
		e.add(0.4, "is called %q", w)
	}
	if op.Secured && len(passwords) > 0 {
		e.add(0.15, "asks for credentials")
	}
	if len(passwords) > 0 && op.Kind == Update && len(op.Inputs) <= 4 && op.About != nil && (strongPeople[op.About.Name] || op.About.Name == "password") {
		e.add(0.1, "changes little else")
	}
	if len(passwords) == 0 || !t.post || op.Kind == Create && about != "password" && !oldAndNew(passwords) { // nothing new has an old password
		e.add(-0.5, "")
	}
	if t.saysAny(strongLogin...) != "" || t.saysAny(registerWords...) != "" {
		e.add(-0.5, "")
	}
	op.guess(PasswordChange, &e)
}
