package config

import "time"

// DPoP says how access tokens are taken that are bound to a key of the caller
// (RFC 9449). A bound token is never taken without its proof, with this section or without.
type DPoP struct {
	// Required refuses tokens that are bound to no key.
	Required bool `yaml:"required"`
	// Algorithms that a proof may be signed with.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519" noun:"algorithm" unset:"ES256, ES384, ES512, EdDSA, Ed25519, PS256, PS384, PS512, RS256"`
	// MaxAge is for how long after its making a proof is taken, once; clock_skew comes on top.
	MaxAge time.Duration `yaml:"max_age" default:"1m" min:"1s" max:"1h"`
	// Nonce makes every proof hold a nonce of the gateway's, so that none can be made ahead.
	Nonce string `yaml:"nonce" default:"off" enum:"off,required"`
	// NonceLife is for how long a nonce is good.
	NonceLife time.Duration `yaml:"nonce_life" default:"5m" min:"10s" max:"24h"`
	// NonceSecret makes the nonces of all gateways that have it; at least 32 bytes.
	NonceSecret Secret `yaml:"nonce_secret" example:"${DPOP_NONCE_SECRET}" unset:"keys that gateways share through their state"`
}

// SignatureMethod verifies signed requests of partners (RFC 9421): HTTP message
// signatures over method, address, fields and, by Content-Digest, content.
type SignatureMethod struct {
	// Keys of those who may sign.
	Keys []SignatureKey `yaml:"keys"`
	// Covered are the components that a signature must cover. @target-uri is also
	// covered by @authority, @path and @query together, content-digest is demanded with
	// a body, other fields when the request has them.
	Covered []string `yaml:"covered" default:"@method,@target-uri,content-digest,authorization" example:"[\"@method\", \"@target-uri\", content-digest, content-type]"`
	// Tag that signatures must have, so that none made for another application is taken.
	Tag string `yaml:"tag" example:"petshop"`
	// MaxAge is for how long after created a signature is taken; clock_skew comes on top.
	MaxAge time.Duration `yaml:"max_age" default:"5m" min:"1s" max:"24h"`
	// RequireExpires refuses signatures that do not say when they expire.
	RequireExpires bool `yaml:"require_expires"`
	// RequireNonce refuses signatures without a nonce.
	RequireNonce bool `yaml:"require_nonce"`
	// Replay says what becomes of a request that is sent again. By its nonce, or what it
	// signs where it has none, a request is known again on all gateways.
	Replay string `yaml:"replay" default:"refuse" enum:"refuse,allow"`
	// Streams says what becomes of a body that is passed on as it comes: cut off at its
	// end when it is not what was signed, or refused at once.
	Streams string `yaml:"streams" default:"abort" enum:"abort,refuse"`
	// StructuredFields are the types of the API's own fields, for components with sf.
	StructuredFields map[string]string `yaml:"structured_fields" enum:"item,list,dictionary" example:"{x-order: dictionary}"`
}

// SignatureKey is one partner's key, or set of keys: exactly one of PublicKey,
// Secret and JWKS.
type SignatureKey struct {
	// ID is the keyid in signatures. Not with JWKS, where each key has its kid.
	ID string `yaml:"id" example:"acme-2026"`
	// Subject is who signs by it.
	Subject string `yaml:"subject" required:"true" example:"acme"`
	// PublicKey is a PEM file: a public key or a certificate.
	PublicKey string `yaml:"public_key" kind:"file" example:"acme.pem"`
	// Secret of hmac-sha256, at least 32 bytes.
	Secret Secret `yaml:"secret" example:"${ACME_SECRET}"`
	// JWKS is a key set: a file, relative to the config, or a URL.
	JWKS string `yaml:"jwks" kind:"file-or-url" example:"https://acme.example/jwks.json"`
	// Algorithm that the key is for.
	Algorithm string `yaml:"algorithm" enum:"ed25519,ecdsa-p256-sha256,ecdsa-p384-sha384,rsa-pss-sha512,rsa-v1_5-sha256,hmac-sha256" noun:"algorithm" unset:"by the kind of key; rsa-pss-sha512 for RSA"`
	// Roles of the signer.
	Roles []string `yaml:"roles"`
	// Scopes of the signer.
	Scopes []string `yaml:"scopes"`
	// Tenant of the signer.
	Tenant string `yaml:"tenant"`
}

// ForwardedCertificate says how a trusted proxy in front, which ends TLS, passes
// the client's certificate on. From everyone else the field is removed.
type ForwardedCertificate struct {
	// Format is rfc9440 (Client-Cert and Client-Cert-Chain), xfcc (Envoy's
	// X-Forwarded-Client-Cert with Cert), pem (URL-encoded PEM: nginx, AWS) or der
	// (base64: Traefik, HAProxy, Caddy).
	Format string `yaml:"format" required:"true" enum:"rfc9440,xfcc,pem,der" noun:"format" example:"rfc9440"`
	// Header is the field that carries it. Not with rfc9440.
	Header string `yaml:"header" kind:"header" unset:"X-Forwarded-Client-Cert, Ssl-Client-Cert or X-Forwarded-Tls-Client-Cert, by format"`
	// CA is a PEM file of authorities: what the proxy passes on is verified here again.
	CA string `yaml:"ca" required:"true" kind:"file" example:"clients.pem"`
}

// MTLSMethod takes client certificates, of the connection (server.tls.client_ca)
// or passed on by a trusted proxy (server.client_certificate).
type MTLSMethod struct {
	// CA is a PEM file of the authorities that this API takes certificates of.
	CA string `yaml:"ca" kind:"file" unset:"all that the connection was verified by"`
	// Issuers are the distinguished names of issuers that are taken; * stands for any
	// run of characters.
	Issuers []string `yaml:"issuers" example:"[\"CN=Partners CA,O=Example\"]" unset:"any"`
	// Subject is the name that is the caller's: a URI (SPIFFE), a DNS name, an e-mail
	// address, the common name or the distinguished name.
	Subject string `yaml:"subject" enum:"uri,dns,email,cn,dn" unset:"the first of uri, dns, email and cn that is there"`
	// Roles maps a subject, in which * stands for any run of characters, to roles.
	Roles map[string][]string `yaml:"roles" example:"{\"spiffe://example.org/batch/*\": [batch]}"`
	// Tenant is the part of the distinguished name that is the caller's tenant.
	Tenant string `yaml:"tenant" enum:"o,ou"`
	// CRL are files of revoked certificates, PEM or DER. They are read again when they
	// change; when the one of a certificate's issuer is missing or out of date, it is refused.
	CRL []string `yaml:"crl" kind:"file" example:"[partners.crl]"`
}
