package scan

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// journalName is what a journal is called in a directory.
const journalName = "crenel-scan.journal"

// maxJournalLine bounds one entry: a finding with its evidence.
const maxJournalLine = 16 << 20

// ErrJournal marks a journal that this run cannot go on from.
var ErrJournal = errors.New("the run cannot be resumed")

// Earlier is what a resumed run takes over from those that were broken off.
type Earlier struct {
	Runs     []string `json:"runs"` // their ids: what they made carries them
	Requests int64    `json:"requests"`
	Seconds  float64  `json:"seconds"`
}

// entry is one line of a journal: one of its fields.
type entry struct {
	Begin  *beginning  `json:"begin,omitempty"`
	Cell   *check.Cell `json:"cell,omitempty"`
	Proof  *proofEntry `json:"proof,omitempty"`
	Did    *didEntry   `json:"did,omitempty"`
	Whole  *bool       `json:"whole,omitempty"` // the run came to its end
	Figure *figure     `json:"figure,omitempty"`
	// What is made at the target is written as it is made: whatever ends the run,
	// the next one knows what to take away.
	Account *accountEntry `json:"account,omitempty"`
	Made    *madeEntry    `json:"made,omitempty"`
	Gone    *goneEntry    `json:"gone,omitempty"`
}

// beginning says what a run is of; only the same can go on.
type beginning struct {
	Format int    `json:"format"` // 1
	Run    string `json:"run"`
	Target string `json:"target"`
	Spec   string `json:"spec"` // digest of what is described
	Mode   string `json:"mode"`
	Seed   uint64 `json:"seed"`
}

type proofEntry struct {
	Finding  *finding.Finding   `json:"finding"`
	Scenario *scenario.Scenario `json:"scenario"`
}

type didEntry struct {
	Check string `json:"check"`
	Part  string `json:"part"`
}

type figure struct {
	Run      string  `json:"run"`
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

// journal keeps what a run has done in a file, line by line, so that whatever
// ends the run leaves all but the last line whole. It holds no credential.
type journal struct {
	earlier *Earlier // nil: nothing was begun before
	seed    uint64   // of what was begun before
	proofs  []*check.Proof
	cells   []check.Cell
	left    []madeEntry // by earlier runs
	people  map[string]accountEntry
	begins  map[string]beginning // the earlier runs'

	mu    sync.Mutex
	file  *os.File
	done  map[didEntry]bool
	known map[string]bool // accounts that are written
	count func() figure   // what was sent so far
	err   error           // the first that writing met
}

var _ check.Diary = (*journal)(nil)

// digest is of what a description describes: a run goes on only with the same.
func digest(g *graph.Graph) string {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, g.API.Digest)
	for _, op := range g.Ops {
		_, _ = fmt.Fprintln(h, op.Method, op.Path)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// openJournal reads the journal of a run that was broken off, if there is one,
// and opens it for what follows. One that came to its end is begun anew.
func openJournal(name string, b beginning) (*journal, error) { return openedJournal(name, b, true) }

// openedJournal is openJournal; begins false: nothing goes on, but what earlier
// runs left is taken away.
func openedJournal(name string, b beginning, begins bool) (*journal, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, journalName)
	}
	j := newJournal()
	data, err := os.ReadFile(name)
	if err != nil && (!begins || !errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	keep, err := j.read(data, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrJournal, name, err)
	}
	if j.file, err = OpenPrivate(name, os.O_CREATE|os.O_RDWR); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	if err := j.file.Truncate(keep); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, errors.Join(err, j.file.Close()))
	}
	if _, err := j.file.Seek(keep, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, errors.Join(err, j.file.Close()))
	}
	if j.earlier != nil {
		b.Seed = j.seed
	}
	if begins {
		j.write(entry{Begin: &b})
	}
	return j, nil
}

func newJournal() *journal {
	return &journal{done: map[didEntry]bool{}, known: map[string]bool{}, people: map[string]accountEntry{}, begins: map[string]beginning{}}
}

// read takes over what a journal says, and returns how many of its bytes are
// worth keeping: a line that was being written when the run was killed is not.
func (j *journal) read(data []byte, b beginning) (keep int64, err error) {
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, maxJournalLine)
	var at int64
	figures := map[string]figure{}
	for n := 1; sc.Scan(); n++ {
		line := sc.Bytes()
		end := at + int64(len(line)) + 1
		var e entry
		if end > int64(len(data)) || json.Unmarshal(line, &e) != nil {
			if n == 1 {
				return 0, errors.New("it is no journal of crenel scan: give another file")
			}
			break
		}
		at = end
		if n == 1 && e.Begin == nil {
			return 0, errors.New("it is no journal of crenel scan: give another file")
		}
		if e.Whole != nil {
			j.earlier, j.seed, j.proofs, j.cells, j.left = nil, 0, nil, nil, nil
			j.done, j.people, j.begins = map[didEntry]bool{}, map[string]accountEntry{}, map[string]beginning{}
			return 0, nil
		}
		if err := j.take(e, b, figures); err != nil {
			return 0, err
		}
	}
	if err := sc.Err(); err != nil {
		return 0, fmt.Errorf("reading it: %w", err)
	}
	for _, f := range figures {
		j.earlier.Requests += f.Requests
		j.earlier.Seconds += f.Seconds
	}
	return at, nil
}

func (j *journal) take(e entry, b beginning, figures map[string]figure) error {
	switch {
	case e.Begin != nil:
		was := e.Begin
		for _, d := range []struct{ what, was, is string }{
			{"target", was.Target, b.Target}, {"mode", was.Mode, b.Mode}, {"description", was.Spec, b.Spec},
			{"format", strconv.Itoa(was.Format), strconv.Itoa(b.Format)},
		} {
			if d.was != d.is && d.is != "" {
				if d.what == "description" {
					return errors.New("it is of another run: the description has changed since; begin anew by taking the file away")
				}
				return fmt.Errorf("it is of another run: its %s was %q, this one's is %q; begin anew by taking the file away", d.what, d.was, d.is)
			}
		}
		if b.Seed != 0 && was.Seed != b.Seed {
			return fmt.Errorf("it was begun with --seed %d: leave the seed out, or take the file away", was.Seed)
		}
		if j.earlier == nil {
			j.earlier, j.seed = &Earlier{}, was.Seed
		}
		j.earlier.Runs = append(j.earlier.Runs, was.Run)
		j.begins[was.Run] = *was
	case e.Cell != nil:
		j.cells = append(j.cells, *e.Cell)
	case e.Proof != nil && e.Proof.Finding != nil && e.Proof.Scenario != nil:
		j.proofs = append(j.proofs, &check.Proof{Finding: e.Proof.Finding, Scenario: e.Proof.Scenario})
	case e.Did != nil:
		j.done[*e.Did] = true
	case e.Figure != nil:
		figures[e.Figure.Run] = *e.Figure
	default:
		j.takeMade(e)
	}
	return nil
}

// write writes lines at once: what is not whole does not count.
func (j *journal) write(list ...entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || j.file == nil {
		return
	}
	var text []byte
	for _, e := range list {
		line, err := json.Marshal(e)
		if err != nil {
			j.err = fmt.Errorf("writing the journal: %w", err)
			return
		}
		text = append(append(text, line...), '\n')
	}
	if _, err := j.file.Write(text); err != nil {
		j.err = fmt.Errorf("writing the journal: %w", err)
	}
}

// Tried is check.Diary's.
func (j *journal) Tried(id, part string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done[didEntry{id, part}]
}

// Did is check.Diary's.
func (j *journal) Did(id, part string) {
	d := didEntry{id, part}
	list := []entry{{Did: &d}}
	if j.count != nil {
		f := j.count()
		list = append(list, entry{Figure: &f})
	}
	j.write(list...)
}

// Noted is check.Diary's.
func (j *journal) Noted(c check.Cell) { j.write(entry{Cell: &c}) }

// Proved is check.Diary's.
func (j *journal) Proved(p *check.Proof) {
	j.write(entry{Proof: &proofEntry{p.Finding, p.Scenario}})
}

// wholes are the checks that were done altogether.
func (j *journal) wholes() int {
	n := 0
	for d := range j.done {
		if d.Part == check.Whole {
			n++
		}
	}
	return n
}

// close ends the journal; whole says that the run came to its end, so that the
// next one begins anew.
func (j *journal) close(whole bool) error {
	if j.count != nil {
		f := j.count()
		j.write(entry{Figure: &f})
	}
	if whole {
		j.write(entry{Whole: &whole})
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.file.Close()
	j.file = nil
	return errors.Join(j.err, err)
}

// before says what a resumed run takes over, for people.
func (j *journal) before() string {
	return fmt.Sprintf("goes on after %d requests of %s: %d checks were done, %d findings are kept", j.earlier.Requests, list(j.earlier.Runs), j.wholes(), len(j.proofs))
}

func list(runs []string) string {
	if len(runs) == 1 {
		return "run " + runs[0]
	}
	return fmt.Sprintf("runs %s", slices.Clone(runs))
}
