package wire

import "time"

// Bounds of what an HTTP/2 client may do besides making requests. net/http bounds
// what it holds and how many handlers run; these bound what it costs to be asked.
const (
	frameWindow = 10 * time.Second
	// mostResets streams may be reset in a window, or half of those that were opened,
	// whichever is more (rapid reset, CVE-2023-44487). A client that closes a page
	// resets what it had asked for, once.
	mostResets = 100
	// mostContinuations a header block may have (CVE-2023-45288).
	mostContinuations = 32
	// mostEmpty frames without payload may come in a window (CVE-2019-9518), and
	// mostControl PING, SETTINGS and PRIORITY (CVE-2019-9512, 9513, 9515).
	mostEmpty, mostControl = 1000, 1000
)

const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameContinuation = 0x9
	flagEnd           = 0x1 // END_STREAM of DATA and HEADERS
	flagEndHeaders    = 0x4
)

// preface is how many bytes a client sends before its first frame (RFC 9113 section 3.4).
const preface = 24

// frames2 follows the frames that an HTTP/2 client sends, by their heads alone.
type frames2 struct {
	skip  uint64 // bytes of the preface or of a payload that are still to come
	head  [9]byte
	have  int // bytes of head
	begun bool

	since                          time.Time
	opened, resets, empty, control int
	block, pieces                  int // bytes and CONTINUATION frames of the header block under way
	most                           int // bytes of a header block
}

// feed follows the next bytes and says what is too much, "" when nothing is.
func (f *frames2) feed(p []byte, now time.Time) string {
	if !f.begun {
		f.begun, f.skip, f.since = true, preface, now
	}
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(p)))
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have < len(f.head) {
			return ""
		}
		f.have = 0
		if fault := f.frame(now); fault != "" {
			return fault
		}
	}
	return ""
}

// frame takes the head of one frame.
func (f *frames2) frame(now time.Time) string {
	if now.Sub(f.since) >= frameWindow {
		f.since, f.opened, f.resets, f.empty, f.control = now, 0, 0, 0, 0
	}
	size := uint64(f.head[0])<<16 | uint64(f.head[1])<<8 | uint64(f.head[2])
	kind, flags := f.head[3], f.head[4]
	f.skip = size
	if size == 0 && flags&flagEnd == 0 && (kind == frameData || kind == frameHeaders || kind == frameContinuation) {
		if f.empty++; f.empty > mostEmpty {
			return "a flood of empty HTTP/2 frames"
		}
	}
	switch kind {
	case frameHeaders:
		f.opened++
		f.block, f.pieces = int(size), 0
	case frameContinuation:
		f.block += int(size)
		if f.pieces++; f.pieces > mostContinuations {
			return "a flood of HTTP/2 CONTINUATION frames"
		}
	case frameReset:
		if f.resets++; f.resets > mostResets && f.resets > f.opened/2 {
			return "HTTP/2 streams are opened and reset (rapid reset)"
		}
	case frameSettings, framePing, framePriority:
		if f.control++; f.control > mostControl {
			return "a flood of HTTP/2 control frames"
		}
	}
	if f.most > 0 && f.block > f.most && (kind == frameHeaders || kind == frameContinuation) {
		return "an HTTP/2 header block is larger than limits.header_bytes"
	}
	return ""
}
