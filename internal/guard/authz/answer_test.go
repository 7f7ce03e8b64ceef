package authz

import (
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

func TestCheckAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		status int
		rule   exchange.AnswerRule
		allow  bool
	}{
		"mine":                        {`{"owner_id":7}`, 200, exchange.AnswerRule{At: "/owner_id", In: []string{"7"}}, true},
		"another's":                   {`{"owner_id":8}`, 200, exchange.AnswerRule{At: "/owner_id", In: []string{"7"}}, false},
		"a string":                    {`{"owner":"7"}`, 200, exchange.AnswerRule{At: "/owner", In: []string{"7"}}, true},
		"nobody's":                    {`{"owner_id":null}`, 200, exchange.AnswerRule{At: "/owner_id", In: []string{"null"}}, false},
		"not there":                   {`{"id":1}`, 200, exchange.AnswerRule{At: "/owner_id", In: []string{"7"}}, false},
		"list, all mine":              {`[{"o":7},{"o":7}]`, 200, exchange.AnswerRule{At: "/*/o", In: []string{"7"}}, true},
		"list, one of another":        {`[{"o":7},{"o":8}]`, 200, exchange.AnswerRule{At: "/*/o", In: []string{"7"}}, false},
		"list, empty":                 {`[]`, 200, exchange.AnswerRule{At: "/*/o", In: []string{"7"}}, true},
		"list in place of an object":  {`[{"o":7}]`, 200, exchange.AnswerRule{At: "/o", In: []string{"7"}}, false},
		"object in place of a value":  {`{"o":{"id":7}}`, 200, exchange.AnswerRule{At: "/o", In: []string{"7"}}, false},
		"nothing allowed":             {`{"o":7}`, 200, exchange.AnswerRule{At: "/o"}, false},
		"an error is nobody's object": {`{"code":1}`, 404, exchange.AnswerRule{At: "/o", In: []string{"7"}}, true},
		"no body":                     {``, 200, exchange.AnswerRule{At: "/o", In: []string{"7"}}, true},
		"not JSON":                    {`oops`, 200, exchange.AnswerRule{At: "/o", In: []string{"7"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange.Exchange{Obligations: exchange.Obligations{Answer: []exchange.AnswerRule{c.rule}}}
			x.Response.Status = c.status
			x.Response.Body = &exchange.Body{Bytes: []byte(c.body)}
			if root, err := value.JSON([]byte(c.body), value.Limits{}); err == nil {
				x.Response.Body.Root = root
			}
			if v := checkAnswer(t.Context(), x); (v.Action == exchange.Allow) != c.allow {
				t.Errorf("%+v, want allowed: %v", v, c.allow)
			}
		})
	}
}
