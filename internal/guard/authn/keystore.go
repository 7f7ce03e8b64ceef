package authn

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// KeyStore has the keys of remote issuers and the tokens that were verified. It
// outlives a reload, so that a new config does not forget good keys while an issuer
// is down, nor has every token verified anew, and it fetches each issuer's keys once
// however many APIs trust it.
type KeyStore struct {
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	folder string // where keys are kept; "" keeps none

	digest *digester // of credentials, so that their names stay the same

	mu      sync.Mutex
	sources map[sourceName]*shared
	caches  map[fingerprint]*sharedCache
}

// sharedCache is what guards that verify alike have verified.
type sharedCache struct {
	*cache
	users int
}

// sourceName says where keys come from and how often they are asked for: who says
// the same shares them.
type sourceName struct {
	issuer    string // whose discovery document is asked when jwks is ""
	discovery string // URL of that document; "" for the usual one
	jwks      string // URL of the key set
	ca        string // PEM of the authorities that the server is verified by; "" for the system's
	refresh   time.Duration
	keep      bool // on disk, so that they outlive this process
}

type shared struct {
	*source
	users int
}

// NewKeyStore returns an empty store. client may be nil: then one of its own is
// used, with proxies from the environment.
func NewKeyStore(client *http.Client, log *slog.Logger, now func() time.Time) *KeyStore {
	return &KeyStore{client: newClient(client), log: log, now: now, digest: newDigester(), sources: make(map[sourceName]*shared), caches: make(map[fingerprint]*sharedCache)}
}

// KeepIn has keys that are to outlive this process kept in a folder, which is made
// when there are any. It must be called before the store is used.
func (k *KeyStore) KeepIn(folder string) { k.folder = folder }

// acquire returns the source of an issuer's keys, which fetches until everyone
// who acquired it has released it.
func (k *KeyStore) acquire(n sourceName) *source {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sources[n]
	if s == nil {
		s = &shared{source: newRemote(n, clientFor(k.client, n.ca), k.log, k.now)}
		if n.keep && k.folder != "" {
			s.recall(newKeptKeys(k.folder, n, k.log))
		}
		k.sources[n] = s
		s.start()
	}
	s.users++
	return s.source
}

func (k *KeyStore) release(n sourceName) {
	k.mu.Lock()
	s := k.sources[n]
	if s == nil {
		k.mu.Unlock()
		return
	}
	s.users--
	last := s.users == 0
	if last {
		delete(k.sources, n)
	}
	k.mu.Unlock()
	if last {
		s.close()
		s.client.CloseIdleConnections()
	}
}

// recall returns what guards of the same fingerprint have verified, until each
// of them has called forget.
func (k *KeyStore) recall(f fingerprint, entries int) *cache {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.caches[f]
	if c == nil {
		c = &sharedCache{cache: newCache(entries)}
		k.caches[f] = c
	}
	c.users++
	return c.cache
}

func (k *KeyStore) forget(f fingerprint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.caches[f]; c != nil {
		if c.users--; c.users == 0 {
			delete(k.caches, f)
		}
	}
}
