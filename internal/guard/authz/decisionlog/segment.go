package decisionlog

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A segment is a header line and chunks. Each chunk is its length (4 bytes, big
// endian), its kind, a nonce and the ciphertext. What is sealed is compressed.
const (
	chunkBegin  byte = 'b' // empty: makes the header one that is vouched for
	chunkEvents byte = 'e' // lines of events
	chunkLost   byte = 'l' // how many events were lost, and why
	chunkEnd    byte = 'z' // nothing comes after
)

const (
	segmentFormat = "crenel-decisions/1"
	maxHeader     = 4 << 10
	maxChunk      = 64 << 20 // sealed
	maxPlain      = 256 << 20
)

// header is a segment's first line. Every chunk's key is derived from it.
type header struct {
	Format  string    `json:"format"`
	Key     string    `json:"key"`
	Segment string    `json:"segment"` // random: the salt
	Seq     uint64    `json:"seq"`     // counts up by one
	Prev    string    `json:"prev"`    // digest of the previous segment's last chunk; "" for the first
	Created time.Time `json:"created"`
}

// ending is what the last chunk of a segment says.
type ending struct {
	Events uint64 `json:"events"`
	Why    string `json:"why"`           // "rotated", "stopped", "recovered"
	Cut    int64  `json:"cut,omitempty"` // bytes of a torn chunk that a crash left
}

// Lost says that events are missing here: the queue was full while the disk
// failed or was slow.
type Lost struct {
	Count uint64    `json:"count"`
	Until time.Time `json:"until"`
}

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
)

// sealer makes the bytes of one segment.
type sealer struct {
	head   header
	line   []byte // the header as written
	aead   cipher.AEAD
	index  uint64 // of the next chunk
	events uint64
	last   [sha256.Size]byte // digest of the last chunk
}

func newSealer(k *Keys, seq uint64, prev string, now time.Time) (*sealer, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	s := &sealer{head: header{Format: segmentFormat, Key: k.first, Segment: hex.EncodeToString(salt), Seq: seq, Prev: prev, Created: now.UTC()}}
	line, err := json.Marshal(&s.head)
	if err != nil {
		return nil, err
	}
	s.line = append(line, '\n')
	s.aead, err = k.aead(k.first, salt, s.line)
	return s, err
}

// chunk seals plain as the chunk after the last. It changes nothing until
// written is called: what could not be written is sealed anew.
func (s *sealer) chunk(kind byte, plain []byte) ([]byte, error) {
	packed := packer.EncodeAll(plain, nil)
	out := append(make([]byte, 4, 5+len(packed)+64), kind)
	out, err := sealTo(out, s.aead, packed, bound(kind, s.index))
	if err != nil {
		return nil, err
	}
	if len(out)-4 > maxChunk {
		return nil, fmt.Errorf("a chunk of %d bytes is too large", len(out))
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}

func (s *sealer) written(chunk []byte, events int) {
	s.index++
	s.events += uint64(events)
	s.last = sha256.Sum256(chunk)
}

func (s *sealer) digest() string { return hex.EncodeToString(s.last[:]) }

// chunk is one as read.
type chunk struct {
	kind  byte
	index uint64
	plain []byte
	size  int64 // in the file
}

// errTorn says that a file ends within a chunk.
var errTorn = errors.New("it ends within a chunk")

// scanner reads a segment.
type scanner struct {
	r      *bufio.Reader
	head   header
	aead   cipher.AEAD
	index  uint64
	events uint64
	last   [sha256.Size]byte
	read   int64 // bytes of whole chunks, and the header
	ended  *ending
}

// newScanner reads the header; nothing in it can be believed before the first
// chunk was opened.
func newScanner(r io.Reader, k *Keys) (*scanner, error) {
	s := &scanner{r: bufio.NewReaderSize(r, 64<<10)}
	line, err := readLine(s.r)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(&s.head) != nil || s.head.Format != segmentFormat {
		return nil, errors.New("it is not a segment of a decision log")
	}
	salt, err := hex.DecodeString(s.head.Segment)
	if err != nil || len(salt) != 16 {
		return nil, errors.New("it is not a segment of a decision log")
	}
	s.aead, err = k.aead(s.head.Key, salt, line)
	s.read = int64(len(line))
	return s, err
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for len(line) < maxHeader {
		b, err := r.ReadByte()
		if err != nil {
			return nil, errTorn
		}
		line = append(line, b)
		if b == '\n' {
			return line, nil
		}
	}
	return nil, errors.New("it is not a segment of a decision log")
}

// next returns the next chunk, io.EOF where the file ends between chunks, and
// errTorn where it ends within one.
func (s *scanner) next() (*chunk, error) {
	var size [4]byte
	if n, err := io.ReadFull(s.r, size[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, errTorn
	}
	if s.ended != nil {
		return nil, errors.New("there is more after its end")
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 2 || n > maxChunk {
		return nil, fmt.Errorf("chunk %d has an impossible length", s.index)
	}
	sealed, err := readSome(s.r, int(n))
	if err != nil {
		return nil, err
	}
	kind := sealed[0]
	packed, err := open(s.aead, sealed[1:], bound(kind, s.index))
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", s.index, err)
	}
	if s.index == 0 && kind != chunkBegin {
		return nil, errors.New("chunk 0 is not a beginning")
	}
	plain, err := unpacker.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("chunk %d cannot be unpacked: %w", s.index, err)
	}
	c := &chunk{kind: kind, index: s.index, plain: plain, size: int64(n) + 4}
	h := sha256.New()
	h.Write(size[:])
	h.Write(sealed)
	h.Sum(s.last[:0])
	s.index++
	s.read += c.size
	switch kind {
	case chunkEvents:
		s.events += uint64(bytes.Count(plain, []byte{'\n'}))
	case chunkEnd:
		s.ended = &ending{}
		if err := json.Unmarshal(plain, s.ended); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", c.index, err)
		}
		if s.ended.Events != s.events {
			return nil, fmt.Errorf("it ends after %d events and says %d", s.events, s.ended.Events)
		}
	}
	return c, nil
}

// readSome reads n bytes, and grows with what comes rather than with what a
// length claims.
func readSome(r io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	got, err := io.CopyN(&b, r, int64(n))
	if got < int64(n) {
		return nil, errTorn
	}
	return b.Bytes(), err
}

func (s *scanner) digest() string { return hex.EncodeToString(s.last[:]) }
