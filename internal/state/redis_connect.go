package state

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Sentinel is who says which of several servers is the primary.
type Sentinel struct {
	Master    string   // the primary's name there
	Addresses []string // redis://HOST:PORT, or rediss:// where they and the servers have TLS
	Username  string   // at the sentinels
	Password  string
	Database  int // at the servers
}

// retries is how often a command is tried again: the connection may be one that
// the server has closed meanwhile.
const retries = 1

// connect makes the library's client; address names the other side in messages.
func connect(o *RedisOptions) (client redis.UniversalClient, address string, err error) {
	ways := 0
	for _, named := range []bool{o.URL != "", o.Sentinel != nil, len(o.Cluster) > 0} {
		if named {
			ways++
		}
	}
	switch {
	case ways != 1:
		return nil, "", errors.New("state: name Redis by one of a URL, sentinels and a cluster")
	case o.Sentinel != nil:
		return connectSentinel(o)
	case len(o.Cluster) > 0:
		return connectCluster(o)
	}
	opt, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, "", fmt.Errorf("state: the URL of Redis: %w", err)
	}
	if o.Username != "" || o.Password != "" {
		opt.Username, opt.Password = o.Username, o.Password
	}
	if o.TLS != nil {
		if opt.TLSConfig == nil {
			return nil, "", errTLS
		}
		name := opt.TLSConfig.ServerName
		opt.TLSConfig = o.TLS.Clone()
		if opt.TLSConfig.ServerName == "" {
			opt.TLSConfig.ServerName = name
		}
	}
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	opt.ContextTimeoutEnabled = true
	opt.MaxRetries = retries
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(opt), opt.Addr, nil
}

var errTLS = errors.New("state: settings of TLS need rediss:// in the URL of Redis")

// nodes reads the addresses of several servers. With TLS the config is that of
// the options, or one that trusts the system's authorities; whose name is to be
// verified is then each address's own, unless the options name one.
func nodes(o *RedisOptions, urls []string) (addresses []string, config *tls.Config, err error) {
	encrypted := 0
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.User != nil || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.RawQuery != "" {
			return nil, nil, errors.New("state: the address of a server of Redis must be redis://HOST:PORT or rediss://HOST:PORT")
		}
		if u.Scheme == "rediss" {
			encrypted++
		}
		addresses = append(addresses, u.Host)
	}
	switch {
	case encrypted != 0 && encrypted != len(urls):
		return nil, nil, errors.New("state: some servers of Redis have TLS and some have not")
	case encrypted == 0 && o.TLS != nil:
		return nil, nil, errTLS
	case encrypted == 0:
		return addresses, nil, nil
	case o.TLS != nil:
		return addresses, o.TLS.Clone(), nil
	}
	return addresses, &tls.Config{MinVersion: tls.VersionTLS12}, nil
}

// connectSentinel makes a client that follows the primary: the library asks the
// sentinels where it is, and leaves the old one when they say that there is another.
func connectSentinel(o *RedisOptions) (redis.UniversalClient, string, error) {
	s := o.Sentinel
	if s.Master == "" {
		return nil, "", errors.New("state: sentinels need the name of the primary")
	}
	addresses, config, err := nodes(o, s.Addresses)
	if err != nil {
		return nil, "", err
	}
	if len(addresses) == 0 {
		return nil, "", errors.New("state: no sentinel is named")
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.Master, SentinelAddrs: addresses, SentinelUsername: s.Username, SentinelPassword: s.Password,
		Username: o.Username, Password: o.Password, DB: s.Database, TLSConfig: config,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true, MaxRetries: retries, DisableIdentity: true,
	}), s.Master + " by " + strings.Join(addresses, ", "), nil
}

// connectCluster makes a client that asks primaries alone: a replica may lag.
func connectCluster(o *RedisOptions) (redis.UniversalClient, string, error) {
	addresses, config, err := nodes(o, o.Cluster)
	if err != nil {
		return nil, "", err
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addresses, Username: o.Username, Password: o.Password, TLSConfig: config,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true, DisableIdentity: true, // it tries again by itself, where the slot is then
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}), strings.Join(addresses, ", "), nil
}
