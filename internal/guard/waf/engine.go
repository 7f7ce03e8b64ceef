package waf

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// The files of the rule set that judge a request. Left out are 905 (exceptions
// for Apache's own dummy requests, which here would be holes), 922 (the headers
// of multipart parts, which the strict decoder holds to what it knows), 999
// (empty) and the rules on answers.
var ruleFiles = []string{
	"901-INITIALIZATION", "911-METHOD-ENFORCEMENT", "913-SCANNER-DETECTION",
	"920-PROTOCOL-ENFORCEMENT", "921-PROTOCOL-ATTACK",
	"930-APPLICATION-ATTACK-LFI", "931-APPLICATION-ATTACK-RFI", "932-APPLICATION-ATTACK-RCE",
	"933-APPLICATION-ATTACK-PHP", "934-APPLICATION-ATTACK-GENERIC", "941-APPLICATION-ATTACK-XSS",
	"942-APPLICATION-ATTACK-SQLI", "943-APPLICATION-ATTACK-SESSION-FIXATION", "944-APPLICATION-ATTACK-JAVA",
}

// newEngine compiles the rule set. Each engine keeps compiled patterns in a cache
// of the library that only closeEngine empties.
func newEngine(c config.WAF, values int, own []custom) (coraza.WAF, []triage.Rule, []loaded, error) {
	if err := checkCustom(own); err != nil {
		return nil, nil, nil, err
	}
	var rules []triage.Rule
	var all []loaded
	cfg := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig(), func(r types.RuleMetadata) {
		rules = append(rules, triage.Rule{ID: r.ID(), Raw: r.Raw()})
		all = append(all, loadedOf(r))
	})
	cfg = cfg.WithRootFS(rulesFS{}).WithDirectives(setup(c, values))
	for _, f := range ruleFiles {
		cfg = cfg.WithDirectives("Include @owasp_crs/REQUEST-" + f + ".conf")
	}
	for _, f := range c.Rules {
		cfg = cfg.WithDirectivesFromFile(f)
	}
	if c.Directives != "" {
		cfg = cfg.WithDirectives(c.Directives)
	}
	// Last, so that custom rules count towards the score too.
	cfg = cfg.WithDirectives("Include @owasp_crs/REQUEST-949-BLOCKING-EVALUATION.conf").WithDirectives(removed(c))
	e, err := coraza.NewWAF(cfg)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("loading the rule set: %w", err)
	}
	return e, rules, all, nil
}

// chainsOf reads the further members of chained rules, which the engine does not
// hand out.
func chainsOf(own []custom) (map[int][]string, error) {
	var files []string
	for _, f := range ruleFiles {
		b, err := fs.ReadFile(rulesFS{}, "@owasp_crs/REQUEST-"+f+".conf")
		if err != nil {
			return nil, fmt.Errorf("reading the rule set: %w", err)
		}
		files = append(files, string(b))
	}
	for i := range own {
		files = append(files, own[i].text)
	}
	return triage.Chains(files...)
}

func closeEngine(e coraza.WAF) error {
	c, ok := e.(experimental.WAFCloser)
	if !ok {
		return nil
	}
	return c.Close()
}

// removedRules are rules that are wrong for every API, each with its reason:
//
//   - 942200 (PL2) is broken in 4.25.0: it matches plain prose.
//   - 920180 (PL1) wants a Content-Length, which HTTP/2 and chunked requests need not
//     have; the exact inspection keeps it and tells it the protocol's true version.
func removedRules(c config.WAF) []int {
	if c.Exact() {
		return []int{942200}
	}
	return []int{942200, 920180}
}

func removed(c config.WAF) string {
	var b strings.Builder
	for _, id := range removedRules(c) {
		fmt.Fprintf(&b, "SecRuleRemoveById %d\n", id)
	}
	return b.String()
}

// setup is what crs-setup.conf is elsewhere. Methods and content types are
// replaced for each request by its own, which the contract has ruled on; what
// stands here is for calls that no contract covers.
func setup(c config.WAF, values int) string {
	version := ""
	if !c.Exact() {
		version = `SecAction "id:900200,phase:1,pass,t:none,nolog,setvar:'tx.allowed_http_versions=` + protocol + "'\"\n"
	}
	return fmt.Sprintf(`SecRuleEngine On
SecRequestBodyAccess Off
SecResponseBodyAccess Off
SecAuditEngine Off
SecArgumentsLimit %d
SecDefaultAction "phase:1,nolog,noauditlog,pass"
SecDefaultAction "phase:2,nolog,noauditlog,pass"
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d"
SecAction "id:900110,phase:1,pass,t:none,nolog,setvar:tx.inbound_anomaly_score_threshold=%d"
%sSecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
`, values+1, c.Paranoia, c.Threshold, version)
}

// protocol is what CRS is told of the transport, whatever it was: the data plane
// has brought every version into one form.
const protocol = "HTTP/1.1"

// rulesFS finds the embedded rule set by its name and custom rules on disk.
type rulesFS struct{}

var _ fs.ReadFileFS = rulesFS{}

func (rulesFS) Open(name string) (fs.File, error) {
	if i := strings.Index(name, "@owasp_crs"); i >= 0 {
		return coreruleset.FS.Open(name[i:])
	}
	return os.Open(name)
}

func (r rulesFS) ReadFile(name string) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return b, err
}
