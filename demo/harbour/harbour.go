package harbour

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

//go:embed openapi.yaml
var openapi []byte

// Spec is Harbour's published OpenAPI 3.1 document: the contract of the fixed
// API. What only exists while a hole is open is, of course, not in it.
func Spec() []byte { return append([]byte(nil), openapi...) }

// Options say how a Harbour runs. The zero value is a fixed, in-memory Harbour
// with a random secret, the seed accounts, and a closed partner area.
type Options struct {
	Holes []string         // ids of the open holes; see ParseHoles
	Clock func() time.Time // time.Now when nil

	DB        string // path of the SQLite file; in memory when empty
	Seed      uint64 // not 0: ids and tokens repeat from run to run (tests, recorded days)
	Residents int    // customers seeded beside the six named accounts, for the honest day

	JWTSecret []byte // HS256 key of session tokens, 32 bytes or more; random when empty

	// The partner area takes OAuth2 access tokens of this issuer. Without JWKS no
	// such token is accepted.
	Issuer   string
	Audience string // "harbour" when empty
	JWKS     func(context.Context) (jwk.Set, error)

	HTTPClient   *http.Client // for webhooks and the rate partner; guarded against private addresses when nil
	WebhookAllow []string     // hosts (or host:port) webhooks may reach although they are private or plain http
	PartnerURL   string       // customs-rate partner; a built-in stand-in answers when empty

	PasswordRounds int // PBKDF2-SHA256 rounds, 10 000 when 0: enough for sample passwords that are printed in the manual
	Logger         *slog.Logger
}

// Server is one Harbour. It is an http.Handler; Close frees its database and
// its temporary directory.
type Server struct {
	opts    Options
	holes   map[string]bool
	log     *slog.Logger
	db      *sql.DB
	mux     *http.ServeMux
	routes  []route
	sandbox string // holds label templates, and the files that the file holes can reach

	secret      []byte // signs session tokens
	shareSecret []byte // signs share tokens
	logins      *limiter
	codes       *limiter // password reset attempts

	ending  chan struct{} // closed when streams are to end
	endOnce sync.Once

	randMu sync.Mutex
	rand   *rand.ChaCha8
}

var _ http.Handler = (*Server)(nil)

// New makes a Harbour and seeds it.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts, holes: map[string]bool{}, log: opts.Logger, ending: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Clock == nil {
		s.opts.Clock = time.Now
	}
	if s.opts.Audience == "" {
		s.opts.Audience = "harbour"
	}
	if s.opts.PasswordRounds == 0 {
		s.opts.PasswordRounds = 10_000
	}
	for _, id := range opts.Holes {
		if _, ok := HoleByID(id); !ok {
			return nil, fmt.Errorf("opening holes: no hole is called %q", id)
		}
		s.holes[id] = true
	}
	if opts.JWKS != nil && opts.Issuer == "" {
		return nil, errors.New("making Harbour: keys of access tokens (JWKS) need the name of their Issuer")
	}
	err := s.seedRandom()
	if err != nil {
		return nil, err
	}
	err = s.makeSecrets()
	if err != nil {
		return nil, err
	}
	s.logins = newLimiter(5, 15*time.Minute, s.now)
	s.codes = newLimiter(5, 15*time.Minute, s.now)
	s.sandbox, err = makeSandbox()
	if err != nil {
		return nil, fmt.Errorf("making the label directory: %w", err)
	}
	s.db, err = openStore(opts.DB)
	if err == nil {
		err = s.seed()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.routes = s.table()
	s.mux = s.newMux()
	return s, nil
}

// Close frees what New took. The Server answers nothing sensible afterwards.
func (s *Server) Close() error {
	s.EndStreams()
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, os.RemoveAll(s.sandbox))
}

// open says whether a hole is open. Every vulnerable branch asks it by the
// hole's id, so that searching for an id finds the hole and its fix.
func (s *Server) open(hole string) bool { return s.holes[hole] }

func (s *Server) now() time.Time { return s.opts.Clock().UTC() }

func (s *Server) seedRandom() error {
	var key [32]byte
	if s.opts.Seed != 0 {
		binary.LittleEndian.PutUint64(key[:], s.opts.Seed)
	} else if _, err := crand.Read(key[:]); err != nil {
		return fmt.Errorf("seeding random ids: %w", err)
	}
	s.rand = rand.NewChaCha8(key)
	return nil
}

// random returns n bytes of the server's stream (CSPRNG, seeded from the
// operating system unless Options.Seed asks for repeatable ids).
func (s *Server) random(n int) []byte {
	b := make([]byte, n)
	s.randMu.Lock()
	defer s.randMu.Unlock()
	_, _ = io.ReadFull(s.rand, b) // ChaCha8.Read returns no error
	return b
}

func (s *Server) newUUID() string {
	id, _ := uuid.FromBytes(s.random(16)) // 16 bytes always make one
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

func (s *Server) newToken() string { return hex.EncodeToString(s.random(16)) }

// newTrackingCode returns "HB" and ten characters of an alphabet without
// look-alikes: 50 bits, so codes cannot be walked.
func (s *Server) newTrackingCode() string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	b := s.random(10)
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return "HB" + string(b)
}
