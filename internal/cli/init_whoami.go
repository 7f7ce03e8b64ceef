package cli

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// The last word of a path or operation that answers who the caller is, the
// surest first.
var selfWords = []*regexp.Regexp{
	regexp.MustCompile(`(?i:(^|[/_.-])who[-_]?am[-_]?i)$|WhoAmI$`),
	regexp.MustCompile(`(?i:(^|[/_.-])user[-_]?info)$|UserInfo$`),
	regexp.MustCompile(`(?i:(^|[/_.-])(me|self|myself))$|(Me|Self|Myself)$`),
	regexp.MustCompile(`(?i:(^|[/_.-])(current|logged[-_]?in)[-_]?(user|account|member|customer))$|(Current|LoggedIn)(User|Account|Member|Customer)$`),
	regexp.MustCompile(`(?i:(^|[/_.-])(my[-_]?)?(profile|account))$`),
}

var (
	subjectFields = []string{"sub", "user_id", "userid", "uid", "id", "uuid", "_id", "account_id", "accountid", "customer_id", "customerid", "member_id", "memberid", "username", "user_name", "login", "email"}
	roleFields    = []string{"roles", "role", "authorities", "groups"}
	scopeFields   = []string{"scopes", "scope", "permissions"}
	tenantFields  = []string{"tenant_id", "tenantid", "org_id", "orgid", "organization_id", "organizationid", "organisation_id", "company_id", "companyid", "workspace_id", "workspaceid", "tenant"}
)

// whoAmI finds the operation of the document that tells a caller with one of the
// schemes who he is, and writes the setting; "" when there is none.
func whoAmI(doc *spec.API, schemes []*spec.SecurityScheme) string {
	for _, word := range selfWords {
		for _, op := range doc.Operations {
			if !word.MatchString(op.Path) && !word.MatchString(op.ID) || !asksNothing(op) || !takes(op, schemes) {
				continue
			}
			fields := answerFields(op)
			subject := pick(fields, subjectFields)
			if subject == "" {
				continue
			}
			out := "who_am_i: {path: " + quote(op.Path) + ", subject: " + quote(subject)
			for _, more := range []struct {
				key   string
				names []string
			}{{"roles", roleFields}, {"scopes", scopeFields}, {"tenant", tenantFields}} {
				if at := pick(fields, more.names); at != "" && at != subject {
					out += ", " + more.key + ": " + quote(at)
				}
			}
			return out + "}"
		}
	}
	return ""
}

// asksNothing reports whether the operation can be called with a credential alone.
func asksNothing(op *spec.Operation) bool {
	if op.Method != http.MethodGet || op.Unroutable != "" || strings.Contains(op.Path, "{") {
		return false
	}
	return !slices.ContainsFunc(op.Parameters, func(p *spec.Parameter) bool { return p.Required })
}

// takes reports whether one of the schemes alone opens the operation, and it is
// not open to everybody.
func takes(op *spec.Operation, schemes []*spec.SecurityScheme) bool {
	if op.Public {
		return false
	}
	for _, alternative := range op.Security {
		if len(alternative) == 1 && slices.Contains(schemes, alternative[0].Scheme) {
			return true
		}
	}
	return false
}

// answerFields are the pointers of the members of the operation's 200 answer in
// JSON, and of those one below.
func answerFields(op *spec.Operation) []string {
	var out []string
	for _, res := range op.Responses {
		if res.Status != "200" && res.Status != "2XX" {
			continue
		}
		for _, content := range res.Content {
			if !strings.HasSuffix(content.Type, "json") {
				continue
			}
			for _, p := range properties(content.Schema) {
				at := "/" + value.EscapeToken(p.Name)
				out = append(out, at)
				for _, below := range properties(p.Schema) {
					out = append(out, at+"/"+value.EscapeToken(below.Name))
				}
			}
		}
	}
	return out
}

func properties(s *schema.Schema) []schema.Property {
	if s == nil {
		return nil
	}
	return s.Properties()
}

// pick returns the pointer of the best name that stands highest in the answer:
// at its top, or in an object one below (a "user", "data").
func pick(pointers, names []string) string {
	for depth := 1; depth <= 2; depth++ {
		for _, n := range names {
			for _, p := range pointers {
				if strings.Count(p, "/") == depth && strings.EqualFold(p[strings.LastIndexByte(p, '/')+1:], n) {
					return p
				}
			}
		}
	}
	return ""
}
