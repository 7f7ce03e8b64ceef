package actor

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// What a field of an account is, as a fact's name. Those that the graph knows
// come from its meanings; the others are told by words.
const (
	factEmail    = "email"
	factUsername = "username"
	factPassword = "password"
	factConfirm  = "confirm" // the password once more
	factPhone    = "phone"
	factTenant   = "tenant"
	factName     = "name"
	factID       = "id"
	factTerms    = "terms"
	factRole     = "role"
	factCSRF     = "csrf"
	factOTP      = "otp"
	factGrant    = "grant_type"
	factDate     = "date"
	factCaptcha  = "captcha"
	factInvite   = "invite"
)

func words(name string) []string { return spec.Words(name) }

func anyWord(w []string, list ...string) bool {
	return slices.ContainsFunc(w, func(x string) bool { return slices.Contains(list, x) })
}

// factOf says which fact of an account an input wants, "" for none.
func factOf(in *graph.Input) string {
	w := words(in.Name)
	if f := factByName(w, in.Format, in.Type); f != "" {
		return f
	}
	switch in.Meaning {
	case graph.MeansEmail:
		return factEmail
	case graph.MeansUsername:
		return factUsername
	case graph.MeansPassword:
		return factPassword
	case graph.MeansPhone:
		return factPhone
	case graph.MeansTenant:
		return factTenant
	case graph.MeansName:
		return factName
	case graph.MeansRole:
		return factRole
	case graph.MeansCSRF:
		return factCSRF
	case graph.MeansOTP:
		return factOTP
	case graph.MeansDate:
		return factDate
	}
	return ""
}

// factByName tells by the words of a name what a field of an account is.
func factByName(w []string, format, typ string) string {
	joined := strings.Join(w, "")
	password := anyWord(w, "password", "passwd", "pwd", "pass", "passphrase", "passcode", "pw", "passwort", "senha", "contrasena") ||
		strings.Contains(joined, "password") || format == "password"
	switch {
	case password && (anyWord(w, "confirm", "confirmation", "confirmed", "repeat", "repeated", "again", "retype", "verify", "verification", "check", "second", "2") ||
		strings.HasSuffix(joined, "password2") || strings.Contains(joined, "confirm")):
		return factConfirm
	case password && typ != "boolean":
		return factPassword
	case typ == "boolean" && (anyWord(w, "terms", "tos", "accept", "accepted", "agree", "agreed", "agreement", "consent", "gdpr", "privacy", "policy", "eula", "conditions") || strings.Contains(joined, "terms")):
		return factTerms
	case joined == "granttype":
		return factGrant
	case anyWord(w, "captcha", "recaptcha", "hcaptcha", "turnstile") || strings.Contains(joined, "captcha"):
		return factCaptcha
	case anyWord(w, "invite", "invitation", "referral", "referrer") && !anyWord(w, "by"):
		return factInvite
	case anyWord(w, "csrf", "xsrf") || strings.Contains(joined, "csrf") || strings.Contains(joined, "authenticitytoken"):
		return factCSRF
	case typ == "boolean":
		return ""
	case format == "email" || anyWord(w, "email", "mail") || strings.HasSuffix(joined, "email"):
		return factEmail
	case anyWord(w, "phone", "telephone", "mobile", "msisdn", "tel", "cell", "cellphone", "phonenumber"):
		return factPhone
	case joined == "username" || joined == "user" || joined == "login" || joined == "loginname" || joined == "userid" && typ == "string" || joined == "identifier" ||
		joined == "handle" || joined == "nick" || joined == "nickname" || joined == "userlogin" || joined == "uname" || joined == "accountname" || joined == "screenname":
		return factUsername
	case anyWord(w, "company", "organisation", "organization", "org", "tenant", "workspace", "companyname", "orgname") && !anyWord(w, "role", "type", "size"):
		return factTenant
	case joined == "id" || joined == "uuid" || joined == "userid" || joined == "accountid" || joined == "uid":
		return factID
	case anyWord(w, "role", "roles", "usertype", "authority", "authorities") || joined == "isadmin" || joined == "accounttype" || joined == "usertype":
		return factRole
	case anyWord(w, "otp", "totp", "mfa", "2fa", "tfa"):
		return factOTP
	case anyWord(w, "firstname", "lastname", "fullname", "surname", "displayname", "forename") || (len(w) > 0 && w[len(w)-1] == "name" && !anyWord(w, "host", "file", "domain")):
		return factName
	case format == "date" || format == "date-time" || anyWord(w, "birthdate", "birthday", "dob", "birth"):
		return factDate
	}
	return ""
}

var privileged = []string{"admin", "administrator", "root", "super", "superuser", "superadmin", "staff", "owner", "manager", "moderator", "operator", "system", "sysadmin", "internal", "support", "employee"}
var plainRoles = []string{"user", "customer", "client", "member", "buyer", "guest", "reader", "basic", "standard", "normal", "regular", "student", "patient", "passenger", "viewer", "free"}

// leastRole chooses of several roles the one that looks least powerful.
func leastRole(options []string) string {
	for _, want := range plainRoles {
		for _, o := range options {
			if slices.Contains(words(o), want) {
				return o
			}
		}
	}
	for _, o := range options {
		if !anyWord(words(o), privileged...) {
			return o
		}
	}
	if len(options) > 0 {
		return options[len(options)-1]
	}
	return ""
}
