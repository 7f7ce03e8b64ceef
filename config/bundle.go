package config

import (
	"strings"
	"time"
)

// Bundle is an OPA bundle: policies and data in one archive, from a server, a
// registry or a file.
type Bundle struct {
	// Name of the bundle in records, alarms and messages.
	Name string `yaml:"name" required:"true" example:"authz"`
	// URL of the archive: https://… (http:// from this machine, or signed), oci://REGISTRY/REPOSITORY:TAG
	// (oci+http:// likewise), or a file or folder, relative to the config.
	URL string `yaml:"url" required:"true" kind:"bundle" show:"origin" example:"https://policies.example/authz.tar.gz"`
	// Interval between two looks for a new one; each is shifted by up to a tenth.
	Interval time.Duration `yaml:"interval" default:"1m" min:"1s" max:"24h"`
	// LongPoll is how long a server that can hold a request until there is news may do so.
	LongPoll time.Duration `yaml:"long_poll" min:"0s" max:"1h" unset:"the server is asked each interval"`
	// Timeout of one download.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"100ms" max:"10m"`
	// MaxAge is for how long the last good bundle decides after the server was last
	// heard to have nothing newer; then every call is refused with 503. 0 is for ever.
	MaxAge time.Duration `yaml:"max_age" default:"24h" min:"0s" max:"8760h"`
	// Size is the largest archive.
	Size Bytes `yaml:"size" default:"64MiB" min:"1KiB" max:"4GiB"`
	// Unpacked is the most that all its files may be together.
	Unpacked Bytes `yaml:"unpacked" default:"256MiB" min:"1KiB" max:"16GiB"`
	// Persist keeps the last good bundle in data_dir, for a start while the server is down.
	Persist *bool `yaml:"persist" default:"true"`
	// Signing, when set, keeps out every bundle that is not signed by one of its keys.
	Signing *BundleSigning `yaml:"signing"`
	// Token is sent as Authorization: Bearer.
	Token Secret `yaml:"token" example:"${BUNDLE_TOKEN}"`
	// Basic is the name and password of HTTP Basic authentication, or of the registry.
	Basic *BasicAuth `yaml:"basic"`
	// TLS is TLS towards the server.
	TLS *ClientTLS `yaml:"tls"`
}

// BundleSigning says whose bundles are taken.
type BundleSigning struct {
	// Keys of which one must have signed.
	Keys []BundleKey `yaml:"keys" required:"true"`
	// Scope that the signature must have been made for.
	Scope string `yaml:"scope" unset:"none: a signature for a scope is refused"`
	// Exclude are files that need not be covered by the signature, as patterns.
	Exclude []string `yaml:"exclude"`
	// Rollback says whether a bundle that was signed before the one that decides is taken;
	// refuse looks at the time of signing (iat), which every signature must then have.
	Rollback string `yaml:"rollback" default:"allow" enum:"allow,refuse"`
}

// BundleKey is a key that bundles are verified with.
type BundleKey struct {
	// ID is the signature's key id (kid).
	ID string `yaml:"id" required:"true" example:"2026"`
	// Algorithm of the signature; the one in its header counts for nothing.
	Algorithm string `yaml:"algorithm" default:"RS256" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,HS256,HS384,HS512" noun:"algorithm"`
	// File is a PEM file: a public key or certificate.
	File string `yaml:"file" kind:"file" example:"bundle-key.pem"`
	// Secret is the shared secret of an HMAC algorithm; at least 32 bytes.
	Secret Secret `yaml:"secret" example:"${BUNDLE_HMAC}"`
}

// BasicAuth is a name and a password.
type BasicAuth struct {
	// User is the name.
	User string `yaml:"user" required:"true"`
	// Password is the password or access token.
	Password Secret `yaml:"password" required:"true" example:"${REGISTRY_PASSWORD}"`
}

// ClientTLS is TLS towards a server that something is fetched from.
type ClientTLS struct {
	// CA is a PEM file of authorities that the server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Cert is the client certificate, a PEM file.
	Cert string `yaml:"cert" kind:"file"`
	// Key is the client certificate's key, a PEM file.
	Key string `yaml:"key" kind:"file"`
	// Name is the server name to verify.
	Name string `yaml:"name" unset:"the URL's host"`
}

// Remote reports whether the bundle is fetched from a server, and with what kind
// of address: "https", "http", "oci" or "oci+http".
func (b *Bundle) Remote() (scheme string, remote bool) {
	scheme, _, found := strings.Cut(b.URL, "://")
	return scheme, found && scheme != "file"
}

// isBundleFile reports whether a bundle's URL is a path.
func isBundleFile(s string) bool { return !strings.Contains(s, "://") }
