package config

import "time"

// OAuthClient is the gateway as a client of an authorization server.
type OAuthClient struct {
	// Issuer is the authorization server, found by OIDC discovery or RFC 8414.
	Issuer string `yaml:"issuer" required:"true" example:"https://id.example.com"`
	// ClientID that the issuer knows the gateway by.
	ClientID string `yaml:"client_id" required:"true" example:"petshop"`
	// ClientSecret authenticates the gateway at the issuer.
	ClientSecret Secret `yaml:"client_secret" example:"${OIDC_SECRET}"`
	// ClientKey is a private key, a PEM or JWK file: the gateway signs its requests
	// (private_key_jwt) instead of sending a secret. With ClientCert it is that one's, PEM.
	ClientKey string `yaml:"client_key" kind:"file" example:"client.pem"`
	// ClientKeyID is the kid of ClientKey at the issuer.
	ClientKeyID string `yaml:"client_key_id" unset:"the JWK's, else its thumbprint (RFC 7638)"`
	// ClientCert is a PEM file: the gateway shows its certificate in the handshake
	// (tls_client_auth and self_signed_tls_client_auth, RFC 8705).
	ClientCert string `yaml:"client_cert" kind:"file" example:"client.crt"`
	// ClientAuth is how the gateway authenticates.
	ClientAuth string `yaml:"client_auth" enum:"basic,post,private_key_jwt,tls,none" unset:"tls with client_cert, private_key_jwt with client_key, basic with client_secret, else none"`
	// CA is a PEM file of the authorities that the issuer's server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// AssertionAudience is whom a request signed with ClientKey is for. Issuers that
	// refuse their own name there want token_endpoint.
	AssertionAudience string `yaml:"assertion_audience" default:"issuer" enum:"issuer,token_endpoint"`
	// Timeout of one request to the issuer.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"100ms" max:"1m"`
}

// Login logs the users of web front ends in at the gateway (OpenID Connect), so
// that a page's calls need no token in the browser.
type Login struct {
	OAuthClient `yaml:",inline"`
	// Origin is where browsers reach the gateway. The redirect URI to register at the
	// issuer is ORIGIN PATH/callback.
	Origin string `yaml:"origin" required:"true" kind:"origin" example:"https://app.example.com"`
	// Path under which login, callback, logout, logged-out, userinfo, backchannel-logout
	// and frontchannel-logout are served. It belongs to the gateway, not to the API.
	Path string `yaml:"path" default:"/auth" kind:"path"`
	// Scopes asked for; offline_access has most issuers give a refresh token.
	Scopes []string `yaml:"scopes" default:"openid,profile" example:"[openid, profile, offline_access]"`
	// Resource are the APIs that the access token is for (RFC 8707).
	Resource []string `yaml:"resource" example:"[https://api.example.com]"`
	// Params are further parameters of the authorization request.
	Params map[string]string `yaml:"params" example:"{audience: https://api.example.com}"`
	// PAR sends the authorization request over the back channel (RFC 9126): where
	// the issuer offers it, always, or never.
	PAR string `yaml:"par" default:"auto" enum:"auto,require,off"`
	// ACRValues that are asked for at every login; one of them must be given.
	ACRValues []string `yaml:"acr_values"`
	// MaxAge is how long ago the user may have authenticated when logging in.
	MaxAge time.Duration `yaml:"max_age" min:"0s" max:"8760h" unset:"any time"`
	// Algorithms that ID tokens and logout tokens may be signed with.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" noun:"algorithm" unset:"RS256, PS256, ES256, EdDSA"`
	// Identity is where the caller's claims are from: the ID token, joined by the
	// userinfo endpoint's answer, or the access token, which must then be a JWT.
	Identity string `yaml:"identity" default:"id_token" enum:"id_token,userinfo,access_token"`
	// AccessTokenAudience must be in the access token's aud when it is the identity.
	AccessTokenAudience []string `yaml:"access_token_audience"`
	// Claims names the claims that the identity is read from.
	Claims Claims `yaml:"claims"`
	// Show are the claims that the userinfo page tells the browser.
	Show []string `yaml:"show" default:"sub,name,given_name,family_name,preferred_username,email,email_verified,picture,locale,roles"`
	// Session is what the browser keeps.
	Session LoginSession `yaml:"session"`
	// CSRF is what a write must bring beside the session and an allowed origin: the
	// session's token in X-CSRF-Token, any X-CSRF-Token at all, or nothing.
	CSRF string `yaml:"csrf" default:"token" enum:"token,header,origin"`
	// Redirect sends a browser that navigates without a session to the login.
	Redirect *bool `yaml:"redirect" default:"true"`
	// AfterLogin is where a login ends that began nowhere else.
	AfterLogin string `yaml:"after_login" default:"/" kind:"path"`
	// AfterLogout is where a logout ends; register ORIGIN PATH at the issuer. An API
	// without a page of its own for that names the login's: PATH/logged-out.
	AfterLogout string `yaml:"after_logout" default:"/" kind:"path"`
	// BackChannel takes logout tokens of the issuer at PATH/backchannel-logout.
	BackChannel *bool `yaml:"back_channel_logout" default:"true"`
	// FrontChannel ends a session when the issuer's page loads
	// PATH/frontchannel-logout with its iss and sid.
	FrontChannel bool `yaml:"front_channel_logout"`
}

// LoginSession is how a session is kept, and for how long.
type LoginSession struct {
	// Store keeps the session in the cookie itself, encrypted, or in the gateways'
	// shared state, encrypted with a key that only the cookie has.
	Store string `yaml:"store" default:"cookie" enum:"cookie,state"`
	// Keys are secrets of at least 32 bytes: the first encrypts, all decrypt. Several
	// gateways need the same.
	Keys []Secret `yaml:"keys" example:"[\"${SESSION_KEY}\", \"${LAST_SESSION_KEY}\"]" unset:"one that is made in data_dir"`
	// Idle is how long a session lives without being used.
	Idle time.Duration `yaml:"idle" default:"30m" min:"1m" max:"720h"`
	// Absolute is how long it lives at most.
	Absolute time.Duration `yaml:"absolute" default:"12h" min:"1m" max:"8760h"`
	// SameSite of the session cookie. "none" is for front ends of another site.
	SameSite string `yaml:"same_site" default:"lax" enum:"lax,strict,none"`
}

// SessionMethod takes the session of a login.
type SessionMethod struct {
	// API whose login it is.
	API string `yaml:"api" unset:"this one"`
	// PassCookie leaves the session's cookies in what the upstream gets.
	PassCookie bool `yaml:"pass_cookie"`
}

// UpstreamToken puts an access token into the requests to the upstream: exactly
// one of Exchange, Client and Session.
type UpstreamToken struct {
	// Exchange trades the caller's verified token for one of the upstream's own
	// audience (RFC 8693).
	Exchange *TokenExchange `yaml:"exchange"`
	// Client is a token of the gateway's own (client credentials).
	Client *OAuthClient `yaml:"client_credentials"`
	// Session hands over the access token of the browser's session.
	Session bool `yaml:"session"`
	// Audience that the token is to be for.
	Audience []string `yaml:"audience" example:"[petshop-backend]"`
	// Resource that the token is to be for, as a URI (RFC 8707).
	Resource []string `yaml:"resource" example:"[https://pets.internal]"`
	// Scope asked for.
	Scope []string `yaml:"scope"`
	// Header that carries the token: after Bearer in Authorization, else alone.
	Header string `yaml:"header" default:"Authorization" kind:"header"`
	// Cache is how many tokens are kept.
	Cache int `yaml:"cache" default:"10000" min:"1" max:"1000000"`
	// Margin is how long before its end a token is no longer used.
	Margin time.Duration `yaml:"margin" default:"30s" min:"0s" max:"1h"`
}

// TokenExchange is the gateway as a client that exchanges tokens.
type TokenExchange struct {
	OAuthClient `yaml:",inline"`
	// Actor has the exchange name the gateway as who acts: with a token of its own.
	Actor bool `yaml:"actor"`
	// SubjectTokenType is what the caller's token is called.
	SubjectTokenType string `yaml:"subject_token_type" default:"urn:ietf:params:oauth:token-type:access_token" enum:"urn:ietf:params:oauth:token-type:access_token,urn:ietf:params:oauth:token-type:jwt,urn:ietf:params:oauth:token-type:id_token"`
	// RequestedTokenType is what is asked for.
	RequestedTokenType string `yaml:"requested_token_type" default:"urn:ietf:params:oauth:token-type:access_token" enum:"urn:ietf:params:oauth:token-type:access_token,urn:ietf:params:oauth:token-type:jwt"`
}

// ClientFiles are the files of keys and certificates that the gateway calls
// authorization servers with, "" among them.
func (a *API) ClientFiles() []string {
	var out []string
	add := func(c *OAuthClient) { out = append(out, c.ClientKey, c.ClientCert, c.CA) }
	if a.Login != nil {
		add(&a.Login.OAuthClient)
	}
	if t := a.Upstream.Token; t != nil && t.Exchange != nil {
		add(&t.Exchange.OAuthClient)
	}
	if t := a.Upstream.Token; t != nil && t.Client != nil {
		add(t.Client)
	}
	return out
}
