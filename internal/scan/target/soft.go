package target

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// Names of the members of an answer that says how it went, and of nothing else.
// Whatever has others (an order whose status is "failed") is an object, not a refusal.
var (
	softWords = []string{"error", "fail", "failed", "failure", "ko", "nok", "denied", "unauthorized", "forbidden", "invalid"}
	softNames = []string{
		"status", "statuscode", "statustext", "success", "successful", "ok", "result", "state", "outcome", "error", "errors", "errorcode", "errcode", "errno", "errormessage", "errmsg", "errordescription",
		"message", "messages", "msg", "code", "detail", "details", "reason", "description", "data", "payload", "content", "response", "timestamp", "time", "path", "requestid", "traceid", "correlationid", "title", "type", "hint", "meta",
	}
	softEmpty = []string{"data", "payload", "content", "response", "result"}
)

// soften gives an answer that calls itself a success, and says in its envelope that
// nothing was done ({"status": "error", "message": "…"}), the status of the refusal
// that it is: the one that the envelope names, by a number or a code ("not_found"), or
// 400. Wire keeps what was sent.
func soften(x *Exchange) {
	x.Wire = x.Status
	if x.Status/100 != 2 || len(x.Body) == 0 || len(x.Body) > 16<<10 || x.Truncated || !strings.Contains(x.Header.Get("Content-Type"), "json") {
		return
	}
	if b := bytes.TrimSpace(x.Body); len(b) == 0 || b[0] != '{' {
		return
	}
	if code, refused := refusal(x.Body); refused {
		x.Status = code
	}
}

// refusal reads an envelope.
func refusal(body []byte) (int, bool) {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return 0, false
	}
	if len(v) == 1 {
		for _, only := range v {
			if _, is := only.(bool); is {
				return 0, false // {"ok": false} may be what was asked for: whether a feed answers
			}
		}
	}
	if exception(v) {
		return http.StatusBadRequest, true
	}
	code, says, told := 0, false, false
	plain := refusedPlainly(v)
	for _, name := range slices.Sorted(maps.Keys(v)) { // of two statuses the last counts, the same one each time
		at := v[name]
		n := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
		n = strings.TrimPrefix(n, "is")
		if !slices.Contains(softNames, n) {
			if plain && scalar(at) {
				continue // {"ok": false, "error": "missing_argument", "argument": "day"}
			}
			return 0, false
		}
		if slices.Contains(softEmpty, n) && !empty(at) {
			if text, ok := at.(string); !ok || n != "result" || !slices.Contains(softWords, strings.ToLower(text)) {
				return 0, false
			}
		}
		switch t := at.(type) {
		case bool:
			says = says || !t && (n == "success" || n == "successful" || n == "ok" || n == "status" || n == "result") || t && n == "error"
		case string:
			switch n {
			case "status", "result", "state", "outcome":
				says = says || slices.Contains(softWords, strings.ToLower(t))
			case "error", "errormessage", "errmsg":
				says = says || t != ""
			}
			told = told || t != "" && strings.Contains(n, "mess") || n == "msg" || n == "code" || n == "reason"
			code = cmpCode(code, t, n)
		case json.Number:
			code = cmpCode(code, t.String(), n)
		case []any:
			if n == "errors" && len(t) > 0 {
				if graph, ok := t[0].(map[string]any); ok && (graph["locations"] != nil || graph["extensions"] != nil || graph["path"] != nil) {
					return 0, false // GraphQL: its own checks read it
				}
				says = true
			}
		case map[string]any:
			if n == "error" || n == "errors" {
				says = says || len(t) > 0
				for _, inside := range slices.Sorted(maps.Keys(t)) {
					if num, ok := t[inside].(json.Number); ok {
						code = cmpCode(code, num.String(), strings.ToLower(inside))
					}
				}
			}
		}
	}
	switch {
	case code >= 400:
		return code, says || told
	case says:
		return statusOf(v), true
	}
	return 0, false
}

// refusedPlainly reports whether a flag says that nothing was done, and a text what was wrong.
func refusedPlainly(v map[string]any) bool {
	flag, text := false, false
	for name, at := range v {
		switch strings.ToLower(name) {
		case "ok", "success", "successful":
			if at != false {
				return false
			}
			flag = true
		case "error", "error_code", "errorcode":
			t, is := at.(string)
			text = text || is && t != ""
		}
	}
	return flag && text
}

func scalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// softStatuses are the statuses that the codes of refusals stand for, the surer first.
var softStatuses = []struct {
	status int
	code   *regexp.Regexp // of the code's words, joined by "_"
}{
	{http.StatusUnauthorized, regexp.MustCompile(`^(not_auth(ed|enticated|orized)?|un_?authenticated|un_?authori[sz]ed|(invalid|no|missing|bad|expired)_(auth|token|session|access_token)|(token|session)_(expired|invalid|missing|revoked|not_found)|(login|auth|authentication)_required|not_logged_in|account_inactive)$`)},
	{http.StatusTooManyRequests, regexp.MustCompile(`^(rate_?limit(ed|_exceeded)?|too_many_(requests|attempts|tries)|throttled|slow_down|quota_exceeded)$`)},
	{http.StatusNotFound, regexp.MustCompile(`^(not_found|[a-z0-9_]+_not_found|no_such_[a-z0-9_]+|unknown_(method|command|action))$`)},
	{http.StatusForbidden, regexp.MustCompile(`^(forbidden|not_allowed|access_denied|permission_denied|no_permission|missing_scope|insufficient_(permissions|scope|rights)|not_permitted|restricted_action|admins?_only|not_(an?_)?(admin|owner))$`)},
	{http.StatusConflict, regexp.MustCompile(`^(conflict|duplicate|already_[a-z_]+|[a-z0-9_]+_(taken|in_use|exists|already_exists|already_taken))$`)},
}

// statusOf is the status that a refusal's code stands for ({"ok": false, "error":
// "not_authed"}), or 400.
func statusOf(v map[string]any) int {
	for _, name := range []string{"error", "error_code", "errorCode", "code", "status", "reason"} {
		text, _ := v[name].(string)
		if text == "" || len(text) > 60 || strings.ContainsAny(text, " .,:") {
			continue // a sentence
		}
		code := strings.Join(spec.Words(text), "_")
		for _, s := range softStatuses {
			if s.code.MatchString(code) {
				return s.status
			}
		}
	}
	return http.StatusBadRequest
}

// reException is the name of a class of errors.
var reException = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*(Error|Exception)$`)

// exception reports whether an object is an error of the program's that was sent as it
// is: its name is that of a class of errors, and it has what errors have and no identifier.
func exception(v map[string]any) bool {
	name, _ := v["name"].(string)
	if !reException.MatchString(name) || v["id"] != nil || v["_id"] != nil {
		return false
	}
	text, _ := v["message"].(string)
	_, errors := v["errors"].(map[string]any)
	return text != "" || errors || v["code"] != nil || v["parent"] != nil || v["stack"] != nil
}

// cmpCode is the status of a refusal that a member names, or the one that is known already.
func cmpCode(known int, text, name string) int {
	if name != "code" && name != "status" && name != "statuscode" && name != "errorcode" && name != "errcode" {
		return known
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 400 && n < 600 {
		return n
	}
	return known
}

func empty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return t == ""
	case bool:
		return !t
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	}
	return false
}
