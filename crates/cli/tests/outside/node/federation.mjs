// A federation of OpenID whose statements `@openid-federation/core` makes: an anchor, an
// intermediate, and a provider that signs tokens. It also resolves chains, to compare.
//
//   node federation.mjs CERTIFICATE KEY
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import {
  createEntityConfiguration,
  createEntityStatement,
  resolveTrustChains,
} from '@openid-federation/core';
import { exportJWK, generateKeyPair, importJWK, compactVerify, SignJWT } from 'jose';
import { talk } from './talk.mjs';

const [, , certificate, key] = process.argv;
const pages = new Map();
const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'https://localhost');
    const page = pages.get(`${pathname} ${searchParams.get('sub') ?? ''}`);
    response.writeHead(page ? 200 : 404, { 'content-type': 'application/entity-statement+jwt' });
    response.end(page);
  },
);
await new Promise((started) => server.listen(0, '127.0.0.1', started));
const host = `https://localhost:${server.address().port}`;
const now = () => Math.floor(Date.now() / 1000);

async function entity(name, above) {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: name, alg: 'ES256', use: 'sig' };
  const sign = async ({ toBeSigned }) => {
    const bytes = new Uint8Array(toBeSigned);
    const pkcs8 = privateKey;
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pkcs8, bytes);
    return new Uint8Array(signature);
  };
  return { name, id: `${host}/${name}`, above, jwk, sign, privateKey };
}

const anchor = await entity('anchor');
const edu = await entity('edu', anchor);
const op = await entity('op', edu);
const tokens = await entity('tokens');
const times = () => ({ iat: now() - 10, exp: now() + 3600 });
const header = (of) => ({ kid: of.jwk.kid, typ: 'entity-statement+jwt', alg: 'ES256' });

async function configure(of, more = {}) {
  const page = await createEntityConfiguration({
    claims: {
      iss: of.id,
      sub: of.id,
      ...times(),
      jwks: { keys: [of.jwk] },
      ...(of.above ? { authority_hints: [of.above.id] } : {}),
      metadata: { federation_entity: { federation_fetch_endpoint: `${of.id}/fetch` }, ...more },
    },
    header: header(of),
    signJwtCallback: of.sign,
  });
  pages.set(`/${of.name}/.well-known/openid-federation `, page);
}

async function vouch(of, more = {}) {
  const page = await createEntityStatement({
    claims: { iss: of.above.id, sub: of.id, ...times(), jwks: { keys: [of.jwk] }, ...more },
    header: header(of.above),
    jwk: of.above.jwk,
    signJwtCallback: of.above.sign,
  });
  pages.set(`/${of.above.name}/fetch ${of.id}`, page);
}

await configure(anchor);
await configure(edu);
await configure(op, {
  openid_provider: {
    issuer: op.id,
    authorization_endpoint: `${op.id}/authorize`,
    token_endpoint: `${op.id}/token`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    client_registration_types_supported: ['automatic'],
    jwks: { keys: [tokens.jwk] },
  },
});
await vouch(edu);
await vouch(op);

async function token({ aud, signer }) {
  const key = signer === 'edu' ? edu.privateKey : tokens.privateKey;
  const token = await new SignJWT({ aud })
    .setProtectedHeader({ alg: 'ES256', kid: 'tokens' })
    .setIssuer(op.id)
    .setSubject('alice')
    .setIssuedAt()
    .setExpirationTime('5 minutes')
    .sign(key);
  return { token };
}

// How many chains the library finds, by what it asks itself.
async function resolve() {
  const chains = await resolveTrustChains({
    entityId: op.id,
    trustAnchorEntityIds: [anchor.id],
    verifyJwtCallback: async ({ jwt, jwk }) => {
      await compactVerify(jwt, await importJWK(jwk, 'ES256'));
      return true;
    },
  });
  return { chains: chains.length };
}

const verbs = { token, resolve };
const ready = { issuer: op.id, host, anchor: anchor.id, jwks: { keys: [anchor.jwk] }, clients: [] };
await talk(ready, (asked) => verbs[asked.do](asked));
