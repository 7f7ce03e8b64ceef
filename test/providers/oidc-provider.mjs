// Runs the npm package oidc-provider for tests. Its only argument is a JSON object:
//   port       to listen on at 127.0.0.1; 0 takes a free one
//   tls        {key, cert, ca} as PEM: https, and client certificates of ca
//   clients    as the provider's configuration takes them
//   resources  {uri: {scope, audience, accessTokenFormat, accessTokenTTL}}
//   ttl        {AccessToken, RefreshToken, …} in seconds
//   roles      {client: [role]} in the tokens that clients get for themselves
//   rotate     refresh tokens are rotated at every use (default true)
//   pkce       required of every client (default true)
//   features   further features of the provider, over those below
//   keys       private JWKs to sign with (default fresh ones), as it printed them last
// It prints {"ready": issuer, "keys": […]} and then takes commands on standard input, one JSON
// object a line, each answered by {"done": cmd, "keys": […]}:
//   {"cmd": "rotate"}   new signing keys, published beside the last ones
//   {"cmd": "replace"}  new signing keys alone
import http from 'node:http';
import https from 'node:https';
import crypto from 'node:crypto';
import readline from 'node:readline';
import { Provider, errors } from 'oidc-provider';
import * as jose from 'jose';

const o = JSON.parse(process.argv[2]);
const log = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function signingKey(alg) {
  const { privateKey } = alg === 'ES256'
    ? crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: crypto.randomUUID() };
}
const freshKeys = () => [signingKey('RS256'), signingKey('ES256')];

const accounts = {
  roles: (id) => (id === 'admin' ? ['admin', 'customer'] : ['customer']),
  claims: (id) => ({ sub: id, name: `${id} Example`, email: `${id}@example.com`, email_verified: true, roles: accounts.roles(id) }),
};

const certificate = (ctx) => ctx.socket.getPeerCertificate?.(true)?.raw && new crypto.X509Certificate(ctx.socket.getPeerCertificate().raw);

function configuration(keys) {
  return {
    clients: o.clients,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none', ...(o.tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : [])],
    jwks: { keys },
    cookies: { keys: ['only-for-tests'] },
    claims: { openid: ['sub', 'roles'], profile: ['name'], email: ['email', 'email_verified'], acr: null, amr: null, auth_time: null, sid: null, iss: null },
    acrValues: ['urn:example:gold', 'urn:example:silver'],
    scopes: ['openid', 'offline_access', 'profile', 'email', ...new Set(Object.values(o.resources ?? {}).flatMap((r) => r.scope.split(' ')))],
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => accounts.claims(id) }),
    extraTokenClaims: (_ctx, token) => {
      const roles = token.accountId ? accounts.roles(token.accountId) : o.roles?.[token.clientId];
      return roles && { roles };
    },
    pkce: { required: () => o.pkce !== false },
    rotateRefreshToken: o.rotate !== false,
    conformIdTokenClaims: false,
    clientBasedCORS: () => false,
    fetch: (url, options) => globalThis.fetch(url, { ...options, signal: AbortSignal.timeout(5000), dispatcher: undefined }),
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] },
    ttl: { AccessToken: 3600, AuthorizationCode: 60, ClientCredentials: 600, Grant: 86400, IdToken: 3600, Interaction: 3600, RefreshToken: 86400, Session: 86400, ...o.ttl },
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: crypto.randomBytes(32), requireNonce: () => false },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      pushedAuthorizationRequests: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      mTLS: {
        enabled: Boolean(o.tls),
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: certificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && certificate(ctx)?.subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, uri) => {
          const found = o.resources?.[uri];
          if (!found) throw new errors.InvalidTarget();
          return { audience: uri, accessTokenFormat: 'jwt', ...found };
        },
      },
      ...o.features,
    },
  };
}

let keys = o.keys ?? freshKeys();
let handler;
let issuer;

// The provider has no RFC 8693 of its own; it lets one add grants.
async function tokenExchange(ctx) {
  const { params, client } = ctx.oidc;
  const { provider } = ctx.oidc;
  if (params.subject_token_type !== 'urn:ietf:params:oauth:token-type:access_token') {
    throw new errors.InvalidRequest('subject_token_type must be an access token');
  }
  const set = jose.createLocalJWKSet({ keys: keys.map(({ d, p, q, dp, dq, qi, ...rest }) => rest) });
  let subject;
  try {
    ({ payload: subject } = await jose.jwtVerify(params.subject_token, set, { issuer }));
  } catch {
    throw new errors.InvalidGrant('subject_token is not valid');
  }
  const uri = params.audience ?? params.resource;
  const resource = o.resources?.[uri];
  if (!resource) throw new errors.InvalidTarget();
  const token = new provider.AccessToken({
    accountId: subject.sub,
    client,
    scope: params.scope ?? resource.scope,
    expiresWithSession: false,
    extra: { act: params.actor_token ? { sub: jose.decodeJwt(params.actor_token).sub } : { sub: client.clientId } },
  });
  token.resourceServer = new provider.ResourceServer(uri, { audience: uri, accessTokenFormat: 'jwt', ...resource });
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    expires_in: token.expiration,
    token_type: 'Bearer',
    scope: token.scope,
  };
}

function build() {
  const provider = new Provider(issuer, configuration(keys));
  provider.proxy = false;
  provider.registerGrantType('urn:ietf:params:oauth:grant-type:token-exchange', tokenExchange,
    ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'resource', 'scope'], ['audience', 'resource']);
  provider.on('server_error', (_ctx, err) => log({ error: String(err?.stack ?? err) }));
  provider.on('grant.error', (_ctx, err) => log({ grant_error: err.error_description ?? err.message, detail: err.error_detail }));
  provider.on('backchannel.error', (_ctx, err, client, sub, sid) => log({ backchannel_error: String(err?.cause ?? err), client: client.clientId, sub, sid }));
  provider.on('backchannel.success', (_ctx, client, sub, sid) => log({ backchannel: client.clientId, sub, sid }));
  handler = provider.callback();
}

const serve = (req, res) => handler(req, res);
const server = o.tls
  ? https.createServer({ key: o.tls.key, cert: o.tls.cert, ca: o.tls.ca, requestCert: true, rejectUnauthorized: false }, serve)
  : http.createServer(serve);
server.listen(o.port ?? 0, '127.0.0.1', () => {
  issuer = `${o.tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  build();
  log({ ready: issuer, keys });
});

const commands = {
  rotate: () => { keys = [...freshKeys(), ...keys.slice(0, 2)]; build(); },
  replace: () => { keys = freshKeys(); build(); },
};
const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { cmd } = JSON.parse(line);
  commands[cmd]();
  log({ done: cmd, keys });
});
// Whoever started it has gone.
input.on('close', () => process.exit(0));
