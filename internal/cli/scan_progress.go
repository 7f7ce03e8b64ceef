package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// progress tells how a run goes: a bar on a terminal, plain lines elsewhere.
type progress struct {
	p   *printer
	tty bool
	all bool // also what is well

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	phase string
	done  int
	found int
	sent  atomic.Int64
	began time.Time
}

// phases are what a phase of a run is called for people.
var phases = map[string]string{
	"understand": "reading the description", "doctor": "looking at the target, logging in", "world": "finding the way in", "attack": "attacking", "clean up": "cleaning up", "tidy": "taking away what was left",
}

func newProgress(w io.Writer) *progress {
	p := &progress{p: newPrinter(w), began: time.Now()}
	if f, ok := w.(*os.File); ok {
		p.tty = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	}
	return p
}

func (p *progress) events() scan.Events {
	return scan.Events{Phase: p.begin, Progress: p.step, Found: p.tell, Point: p.point, Exchange: func(*target.Exchange) { p.sent.Add(1) }}
}

// point tells what the doctor found wrong, and what to do.
func (p *progress) point(pt actor.Point) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var mark string
	switch pt.State {
	case actor.Failed:
		mark = p.p.red("FAILED ")
	case actor.Doubt:
		mark = p.p.yellow("warning")
	default:
		if !p.all && pt.Name != "resumed" {
			return
		}
		mark = p.p.green("ok     ")
	}
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.p.linef("  %s %s: %s", mark, plain(pt.Name), plain(pt.Text))
	if pt.Advice != "" {
		p.p.linef("          → %s", plain(pt.Advice))
	}
}

func (p *progress) begin(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.done = name, 0
	text := orElse(phases[name], name)
	if !p.tty {
		p.p.linef("%s …", text)
		return
	}
	p.clear()
	// Not of unknown length: such a bar draws itself from a goroutine of its own, also when it is over.
	p.bar = progressbar.NewOptions(100,
		progressbar.OptionSetWriter(p.p.w), progressbar.OptionSetDescription(text), progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "━", SaucerHead: "╸", SaucerPadding: " ", BarStart: "", BarEnd: ""}), progressbar.OptionUseANSICodes(p.p.colour),
	)
}

func (p *progress) step(done, of int, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || of <= 0 {
		return
	}
	if p.bar.GetMax() != of {
		p.bar.ChangeMax(of)
	}
	p.done = max(p.done, min(done, of-1)) // a bar that is full is taken away
	p.bar.Describe(fmt.Sprintf("%s · %d requests · %d found · %s", orElse(phases[p.phase], p.phase), p.sent.Load(), p.found, plain(what)))
	_ = p.bar.Set(p.done)
}

func (p *progress) tell(f *finding.Finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found++
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.p.linef("  %s %s", p.severity(f.Severity), plain(f.Title))
}

func (p *progress) severity(s finding.Severity) string {
	text := fmt.Sprintf("%-8s", s)
	switch s {
	case finding.Critical, finding.High:
		return p.p.red(text)
	case finding.Medium:
		return p.p.yellow(text)
	}
	return p.p.dim(text)
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
		p.bar = nil
	}
}

// width is how many columns a terminal has; 0 where there is none.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return min(n, 120)
		}
	}
	return 0
}
