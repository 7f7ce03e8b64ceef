// Runs the npm package oauth2-mock-server for tests: an OpenID provider that asks
// nobody anything. Its only argument is a JSON object:
//   port    to listen on at 127.0.0.1; 0 takes a free one
//   claims  added to every token it signs
// It prints {"ready": issuer} and ends when its standard input does.
import { OAuth2Server, Events } from 'oauth2-mock-server';

const o = JSON.parse(process.argv[2]);
const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
server.service.on(Events.BeforeTokenSigning, (token) => Object.assign(token.payload, o.claims));
await server.start(o.port || undefined, '127.0.0.1');
process.stdout.write(`${JSON.stringify({ ready: server.issuer.url })}\n`);
process.stdin.on('close', () => process.exit(0)).resume();
