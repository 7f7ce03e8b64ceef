package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/control"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/trail"
)

// allowOptions are the flags of waf allow.
type allowOptions struct {
	file, events, dataDir, reason string
	rules                         []int
	at                            []string
	indexes, dryRun, asJSON       bool
}

// allowed is what waf allow prints with --json.
type allowed struct {
	Event      string                `json:"event"`
	File       string                `json:"file"`
	API        string                `json:"api"`
	Exclusions []config.WAFExclusion `json:"exclusions"`
	Score      int                   `json:"score"`      // of the event
	Left       int                   `json:"score_left"` // of the same request from now on
	Threshold  int                   `json:"threshold"`
	Written    bool                  `json:"written"`
	Reloaded   bool                  `json:"reloaded"`
}

func newWAFAllow() *cobra.Command {
	var o allowOptions
	c := &cobra.Command{
		Use:   "allow EVENT",
		Short: "Silence a false alarm: the event's rules, at its fields, of its operation",
		Long: `Write the narrowest exclusions that silence a false alarm into the config: the
rules that matched, at the fields where they matched, for the operation that was
called. The same rules go on to judge every other field, and all other rules these.
The config's comments and style stay as they are. A running gateway takes the new
config at once. Numbers in a field's place stand for any element of a list,
unless --indexes keeps them.`,
		Args:    one("the ID of an event: the request_id of a denial, or a line of crenel waf report"),
		Example: examples("crenel waf allow 01JD8XZ4T2KQ9M3V5W7Y0B1C2D --dry-run", "crenel waf allow 01JD8XZ4T2KQ9M3V5W7Y0B1C2D", "crenel waf allow 01JD8XZ4T2KQ9M3V5W7Y0B1C2D --rule 942350 --at /text --reason 'customers write prose'"),
		RunE: func(c *cobra.Command, args []string) error {
			a, data, err := o.find(args[0])
			if err != nil {
				return err
			}
			if !o.dryRun {
				if err := a.write(c.Context(), &o, data); err != nil {
					return err
				}
			}
			if o.asJSON {
				return printJSON(c, a)
			}
			a.print(newPrinter(c.OutOrStdout()), o.dryRun)
			return nil
		},
	}
	configFlag(c, &o.file)
	c.Flags().StringVar(&o.events, "file", "", "the event `file`, instead of the config's")
	c.Flags().StringVar(&o.dataDir, "data-dir", "", "the gateway's data `directory`, where it was started with one")
	c.Flags().StringVar(&o.reason, "reason", "", "`why` it is no attack, for whoever reads the config")
	c.Flags().IntSliceVar(&o.rules, "rule", nil, "only this rule's `id`; may be repeated")
	c.Flags().StringArrayVar(&o.at, "at", nil, "only at this `place`; may be repeated")
	c.Flags().BoolVar(&o.indexes, "indexes", false, "keep the numbers in places")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be written")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return c
}

// instead says what helps against the WAF's other refusals.
var instead = map[string]string{
	"waf.ssrf":        "name the host in guards.waf.allow_urls",
	"waf.too_long":    "raise guards.waf.value, or set guards.waf.over: sample",
	"waf.too_many":    "raise guards.waf.budget or values, or set guards.waf.over: sample",
	"waf.unavailable": "see whether the machine has processors enough, and guards.waf.timeout",
}

// find makes of an event what to write, and the config's new text.
func (o *allowOptions) find(id string) (*allowed, []byte, error) {
	events, err := eventFile(o.events, o.file, o.dataDir)
	if err != nil {
		return nil, nil, err
	}
	rec, err := trail.Find(events, id)
	if errors.Is(err, trail.ErrNotFound) || err == nil && rec.Decision == nil {
		return nil, nil, fmt.Errorf("%s holds no decision of the event %s", events, plain(id))
	}
	if err != nil {
		return nil, nil, err
	}
	d := rec.Decision
	if d.Operation == "" && strings.Contains(wafOperation(d), "*") {
		return nil, nil, fmt.Errorf("the event %s is of a call that no operation covers, and the * in %s would stand for others too: write the exclusion by hand", plain(id), plain(wafOperation(d)))
	}
	ruling := wafRuling(d)
	if ruling == nil {
		return nil, nil, fmt.Errorf("the WAF had nothing to refuse in the event %s: crenel event %s shows what was ruled", plain(id), plain(id))
	}
	if help := instead[ruling.Code]; help != "" {
		return nil, nil, fmt.Errorf("the event %s is %s, of which no rule is the cause: %s", plain(id), plain(ruling.Code), help)
	}
	detail, err := wafDetailOf(ruling)
	if err != nil {
		return nil, nil, err
	}
	file := o.file
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target // what is written must not replace a link
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the config: %w", err)
	}
	a := &allowed{Event: d.ID, File: file, API: d.API, Score: detail.Score, Left: detail.Score, Threshold: detail.Threshold}
	a.Exclusions = o.exclusions(d, detail, &a.Left)
	if len(a.Exclusions) == 0 {
		return nil, nil, fmt.Errorf("the event %s names no rule with a place that fits: crenel event %s shows what matched", plain(id), plain(id))
	}
	for _, e := range a.Exclusions {
		if data, err = config.AddWAFExclusion(data, file, d.API, e); err != nil {
			return nil, nil, err
		}
	}
	// What is written must be a config that starts.
	if _, err := config.Parse(data, file, config.Options{WithoutSecrets: true}); err != nil {
		return nil, nil, fmt.Errorf("with the exclusion the config would be wrong:\n%w", err)
	}
	return a, data, nil
}

// exclusions are the event's rules by their places, one exclusion for each.
func (o *allowOptions) exclusions(d *exchange.Decision, detail *wafDetail, left *int) []config.WAFExclusion {
	reason := o.reason
	if reason == "" {
		reason = "event " + d.ID
	}
	var out []config.WAFExclusion
	silenced := map[wafMatch]bool{}
	for _, m := range detail.Matches {
		if len(o.rules) > 0 && !slices.Contains(o.rules, m.Rule) || len(o.at) > 0 && !slices.Contains(o.at, m.At) && !slices.Contains(o.at, anyIndex(m.At)) {
			continue
		}
		at := m.At
		if !o.indexes {
			at = anyIndex(at)
		}
		if at == "" || slices.Contains(strings.Split(m.At, "/"), "*") {
			continue // everywhere, or any member, would be more than what matched
		}
		silenced[m] = true
		i := slices.IndexFunc(out, func(e config.WAFExclusion) bool { return e.At == at })
		if i < 0 {
			i = len(out)
			out = append(out, config.WAFExclusion{Operation: wafOperation(d), At: at, Reason: reason})
		}
		if rule := strconv.Itoa(m.Rule); !slices.Contains(out[i].Rules, rule) {
			out[i].Rules = append(out[i].Rules, rule)
		}
	}
	for i := range out {
		slices.Sort(out[i].Rules)
	}
	*left = detail.left(func(m *wafMatch) bool { return silenced[*m] })
	return out
}

// write replaces the config, and has a running gateway take it.
func (a *allowed) write(ctx context.Context, o *allowOptions, data []byte) error {
	if err := replaceFile(a.File, data); err != nil {
		return fmt.Errorf("writing %s: %w", a.File, err)
	}
	a.Written = true
	gateway, err := client(o.file, o.dataDir)
	if err != nil {
		return fmt.Errorf("%s is written; the running gateway: %w", a.File, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = gateway.Reload(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s is written, but the running gateway did not take it: %w", a.File, err)
	}
	a.Reloaded = true
	return nil
}

// replaceFile puts other content into a file, all at once; owner, mode and links to it
// stay.
func replaceFile(name string, data []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing to remove
	_, err = tmp.Write(data)
	// Owner before mode: changing the owner may take away some of the mode.
	if err = errors.Join(err, keepOwner(tmp, info), tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

func (a *allowed) print(p *printer, dryRun bool) {
	for _, e := range a.Exclusions {
		p.linef("%s at %s of %s", p.bold("rules "+strings.Join(e.Rules, ", ")), plain(e.At), plain(e.Operation))
	}
	what := fmt.Sprintf("the same request will score %d instead of %d; from %d on it is refused", a.Left, a.Score, a.Threshold)
	if a.Left >= a.Threshold {
		what = p.yellow(what)
	}
	p.linef("%s", what)
	switch {
	case dryRun:
		p.linef("%s would be changed; nothing was written", plain(a.File))
	case a.Reloaded:
		p.linef("%s: %s; the running gateway has taken it", plain(a.File), p.green("written"))
	default:
		p.linef("%s: %s; no gateway is running with it", plain(a.File), p.green("written"))
	}
}
