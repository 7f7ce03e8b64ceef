package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/state"
)

// openState opens what gateways share, or, for a gateway that is alone, what it
// must not forget when it is started again.
func openState(cfg *config.Config, log *slog.Logger) (state.Store, error) {
	c := &cfg.State
	if !c.Shared() {
		return state.OpenMemory(filepath.Join(cfg.DataDir, "state"), log, nil)
	}
	o := state.RedisOptions{
		URL: c.Redis, Username: c.Username, Password: c.Password.Reveal(), Prefix: c.Prefix, Timeout: c.Timeout, Log: log,
	}
	if s := c.Sentinel; s != nil {
		o.Sentinel = &state.Sentinel{Master: s.Master, Addresses: s.Addresses, Username: s.Username, Password: s.Password.Reveal(), Database: s.Database}
	}
	if c.Cluster != nil {
		o.Cluster = c.Cluster.Addresses
	}
	if c.TLS != (config.StateTLS{}) {
		t, err := stateTLS(&c.TLS)
		if err != nil {
			return nil, fmt.Errorf("state.tls: %w", err)
		}
		o.TLS = t
	}
	return state.OpenRedis(o)
}

func stateTLS(c *config.StateTLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Name}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca holds no certificate in PEM form")
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
