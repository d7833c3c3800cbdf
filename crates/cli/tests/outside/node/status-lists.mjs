// An issuer whose tokens name status lists, which `@sd-jwt/jwt-status-list` makes and reads.
//
//   node status-lists.mjs CERTIFICATE KEY
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import {
  StatusList,
  createHeaderAndPayload,
  getListFromStatusListJWT,
  getStatusListFromJWT,
} from '@sd-jwt/jwt-status-list';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { talk } from './talk.mjs';

const [, , certificate, key] = process.argv;
const ENTRIES = 1000;
const { privateKey, publicKey } = await generateKeyPair('ES256');
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }] };
const pages = new Map();

const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  (request, response) => {
    const page = pages.get(request.url);
    const head = { 'content-type': 'application/statuslist+jwt' };
    response.writeHead(page ? 200 : 404, head);
    response.end(page);
  },
);
await new Promise((started) => server.listen(0, '127.0.0.1', started));
const issuer = `https://localhost:${server.address().port}`;
const now = () => Math.floor(Date.now() / 1000);

// One list for each number of bits, with every status that fits.
const lists = {};
for (const bits of [1, 2, 4, 8]) {
  const statuses = Array.from({ length: ENTRIES }, (_, index) => (index * 7919) % 2 ** bits);
  const list = new StatusList(statuses, bits);
  const claims = { iss: issuer, sub: `${issuer}/status/${bits}`, iat: now(), exp: now() + 600, ttl: 300 };
  const { header, payload } = createHeaderAndPayload(list, claims, { alg: 'ES256', typ: 'statuslist+jwt' });
  const token = await new SignJWT(payload)
    .setProtectedHeader({ ...header, kid: 'k' })
    .sign(privateKey);
  pages.set(`/status/${bits}`, token);
  lists[bits] = { token, statuses };
}

async function token({ aud, bits, idx }) {
  const claims = { sub: 'alice', aud, jti: randomUUID() };
  const status = { status_list: { idx, uri: `${issuer}/status/${bits}` } };
  const token = await new SignJWT({ ...claims, status })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer(issuer)
    .setIssuedAt()
    .setExpirationTime('5 minutes')
    .sign(privateKey);
  return { token };
}

// What a token of someone else names, and what the list of someone else says of it.
function read({ token, list }) {
  const { idx, uri } = getStatusListFromJWT(token);
  return { idx, uri, status: getListFromStatusListJWT(list).getStatus(idx) };
}

await talk({ issuer, jwks, lists, clients: [] }, (asked) => ({ token, read })[asked.do](asked));
