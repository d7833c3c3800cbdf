// `oauth2-mock-server`: says whatever it is told to, and gets new keys while it runs.
//
//   node oauth2-mock-server.mjs CERTIFICATE KEY
import { OAuth2Server } from 'oauth2-mock-server';
import { talk } from './talk.mjs';

const [, , certificate, key] = process.argv;
const server = new OAuth2Server(key, certificate);
await server.issuer.keys.generate('RS256', { kid: 'first' });
await server.start(0, '127.0.0.1');
server.issuer.url = `https://localhost:${server.address().port}`;

await talk({ issuer: server.issuer.url }, async (asked) => {
  if (asked.do === 'add') {
    await server.issuer.keys.generate(asked.alg, { kid: asked.kid });
    return {};
  }
  const token = await server.issuer.buildToken({
    kid: asked.kid,
    expiresIn: 300,
    scopesOrTransform: (_, payload) => Object.assign(payload, asked.claims),
  });
  return { token };
});
