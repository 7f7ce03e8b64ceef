package waf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/corazawaf/coraza/v3"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// ruleSet is a compiled rule set. Compiling takes a second and some tens of megabytes,
// so all guards whose rules are the same share one: APIs, and the generations before
// and after a reload. It is closed when nobody has used it for a while.
type ruleSet struct {
	engine  coraza.WAF
	triage  *triage.Triage
	loaded  []loaded
	scoring map[int]bool
	lengths bool // the user's directives may look at how long a body is

	once sync.Once
	err  error

	key    ruleKey
	shared bool
	users  int // guarded by ruleSets, as all below
	idle   *time.Timer
}

// ruleKey is all that a rule set is made from.
type ruleKey struct {
	exact                       bool
	paranoia, threshold, values int
	own                         [sha256.Size]byte // the user's directives
}

var ruleSets struct {
	sync.Mutex
	known map[ruleKey]*ruleSet
}

// An unused rule set is kept for the next generation, which may come right after the
// end of the last one; only one, so that reloads with ever other rules do not pile up.
const keepIdle = 10 * time.Second

// useRules returns the rule set of a config; release it in the end.
func useRules(c config.WAF, own []custom) (*ruleSet, error) {
	s := ruleSetOf(c, own)
	s.once.Do(func() { s.err = s.compile(c, own) })
	if s.err != nil {
		return nil, errors.Join(s.err, s.release())
	}
	return s, nil
}

// ruleSetOf finds the rule set of a config, or begins one.
func ruleSetOf(c config.WAF, own []custom) *ruleSet {
	h := sha256.New()
	for i := range own {
		if readsFiles(own[i].text) {
			return &ruleSet{users: 1} // who knows what they hold by now
		}
		_, _ = fmt.Fprintf(h, "%q %q\n", own[i].name, own[i].text) // it cannot fail
	}
	key := ruleKey{exact: c.Exact(), paranoia: c.Paranoia, threshold: c.Threshold, values: c.Values, own: [sha256.Size]byte(h.Sum(nil))}
	ruleSets.Lock()
	defer ruleSets.Unlock()
	s := ruleSets.known[key]
	if s == nil {
		s = &ruleSet{key: key, shared: true}
		if ruleSets.known == nil {
			ruleSets.known = map[ruleKey]*ruleSet{}
		}
		ruleSets.known[key] = s
	}
	s.users++
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	return s
}

// readsFiles reports whether directives may have operators that read files.
func readsFiles(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "file") || strings.Contains(text, "@pmf") || strings.Contains(text, "matchf")
}

// compile makes the engine and the triage.
func (s *ruleSet) compile(c config.WAF, own []custom) error {
	engine, rules, all, err := newEngine(c, c.Values, own)
	if err != nil {
		return err
	}
	chains, err := chainsOf(own)
	if err != nil {
		return errors.Join(err, closeEngine(engine))
	}
	s.triage, err = newTriage(c, engine, rules, chains)
	if err != nil {
		return errors.Join(err, closeEngine(engine))
	}
	s.engine, s.loaded = engine, all
	for i := range own {
		for _, d := range own[i].directives() {
			s.lengths = s.lengths || strings.Contains(strings.ToLower(d.text), "content-length")
		}
	}
	if !c.Exact() {
		s.scoring = scoring(rules, chains)
	}
	return nil
}

// release ends one use. Inspections under way end well.
func (s *ruleSet) release() error {
	ruleSets.Lock()
	defer ruleSets.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	if !s.shared || s.err != nil {
		return s.close()
	}
	var errs []error
	for _, o := range ruleSets.known {
		if o != s && o.idle != nil {
			errs = append(errs, o.close())
		}
	}
	s.idle = time.AfterFunc(keepIdle, s.expire)
	return errors.Join(errs...)
}

// expire closes a rule set that nobody has come to use.
func (s *ruleSet) expire() {
	ruleSets.Lock()
	defer ruleSets.Unlock()
	if s.idle == nil {
		return // somebody has come, or another rule set has taken the place
	}
	if err := s.close(); err != nil {
		slog.Warn("closing an unused WAF rule set", "error", err)
	}
}

// close forgets the rule set and frees the engine's compiled patterns.
func (s *ruleSet) close() error {
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	if s.shared && ruleSets.known[s.key] == s {
		delete(ruleSets.known, s.key)
	}
	if s.engine == nil {
		return nil // it could not be compiled
	}
	return closeEngine(s.engine)
}
