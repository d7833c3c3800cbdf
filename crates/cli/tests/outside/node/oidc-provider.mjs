// The OpenID provider `oidc-provider`: people sign in with as many factors as they are told to, and
// clients get access tokens that are bound to a key. Its keys change as its operator would change
// them: by a new provider in the place of the old one.
//
//   node oidc-provider.mjs CERTIFICATE KEY
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { createHash, createPrivateKey, createPublicKey, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';
import { exportJWK, generateKeyPair, importPKCS8, SignJWT } from 'jose';
import { talk } from './talk.mjs';

const [, , certificate, key] = process.argv;
const REDIRECT = 'https://client.test/callback';

let provider;
let keys = [];
let signsIn = {};

const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  (request, response) => answer(request, response),
);
await new Promise((started) => server.listen(0, '127.0.0.1', started));
const issuer = `https://localhost:${server.address().port}`;

async function signingKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const kid = `${alg}-${randomUUID().slice(0, 8)}`;
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
}

function client(alg) {
  return {
    client_id: `avouch-${alg}`,
    client_secret: 'a secret of this test',
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'client_credentials'],
    response_types: ['code'],
    id_token_signed_response_alg: alg,
  };
}

function start() {
  provider = new Provider(issuer, {
    jwks: { keys },
    clients: [client('RS256'), client('ES256')],
    acrValues: ['phr', 'pwd'],
    claims: { openid: ['sub'], acr: null, amr: null, auth_time: null },
    cookies: { keys: ['a key of this test'] },
    features: {
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          audience: resource,
          scope: 'deploy',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => false },
  });
}

// Signs in whoever comes, in the way that was said, and consents to everything.
async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const { sub, acr, amr, age } = signsIn;
    const ts = Math.floor(Date.now() / 1000) - age;
    return provider.interactionFinished(request, response, {
      login: { accountId: sub, acr, amr, ts, remember: false },
    });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid');
  grant.addOIDCClaims(['acr', 'amr', 'auth_time']);
  return provider.interactionFinished(request, response, {
    consent: { grantId: await grant.save() },
  });
}

function answer(request, response) {
  if (request.url.startsWith('/interaction/')) return interact(request, response);
  return provider.callback()(request, response);
}

// A browser: follows redirects and keeps cookies, until it is sent to the client.
async function browse(start) {
  const cookies = new Map();
  let url = start;
  for (let hops = 0; hops < 10; hops += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name, ...value] = line.split(';')[0].split('=');
      cookies.set(name, value.join('='));
    }
    const location = response.headers.get('location');
    if (!location) throw new Error(`${response.status}: ${await response.text()}`);
    url = new URL(location, url);
    if (url.href.startsWith(REDIRECT)) return url;
  }
  throw new Error('it is redirected without an end');
}

async function tokens(alg, form, headers = {}) {
  const { client_id, client_secret } = client(alg);
  const basic = Buffer.from(`${client_id}:${encodeURIComponent(client_secret)}`);
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { ...headers, authorization: `Basic ${basic.toString('base64')}` },
    body: new URLSearchParams(form),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(body));
  return body;
}

async function login({ alg = 'RS256', sub = 'alice', acr, amr, age = 0 }) {
  signsIn = { sub, acr, amr, age };
  const asked = { id_token: { acr: null, amr: null, auth_time: { essential: true } } };
  const query = new URLSearchParams({
    client_id: client(alg).client_id,
    redirect_uri: REDIRECT,
    response_type: 'code',
    scope: 'openid',
    nonce: randomUUID(),
    claims: JSON.stringify(asked),
  });
  const back = await browse(`${issuer}/auth?${query}`);
  const code = back.searchParams.get('code');
  if (!code) throw new Error(back.href);
  if (back.searchParams.get('iss') !== issuer) throw new Error('RFC 9207: another issuer');
  const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT };
  const { id_token, access_token } = await tokens(alg, form);
  return { token: id_token, access: access_token };
}

// A token of a client itself, bound to the key of a file in PEM, if one is named.
async function access({ resource, key }) {
  const headers = {};
  if (key) {
    const pem = readFileSync(key, 'utf8');
    const jwk = createPublicKey(createPrivateKey(pem)).export({ format: 'jwk' });
    headers.dpop = await new SignJWT({ jti: randomUUID(), htm: 'POST', htu: `${issuer}/token` })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .setIssuedAt()
      .sign(await importPKCS8(pem, 'ES256'));
  }
  const form = { grant_type: 'client_credentials', scope: 'deploy', resource };
  return { token: (await tokens('ES256', form, headers)).access_token };
}

// Takes a token back (RFC 7009).
async function revoke({ alg = 'RS256', token }) {
  const { client_id, client_secret } = client(alg);
  const basic = Buffer.from(`${client_id}:${encodeURIComponent(client_secret)}`);
  const response = await fetch(`${issuer}/token/revocation`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic.toString('base64')}` },
    body: new URLSearchParams({ token }),
  });
  if (!response.ok) throw new Error(await response.text());
  return {};
}

async function rotate({ keep }) {
  const fresh = [await signingKey('RS256'), await signingKey('ES256')];
  keys = keep ? [...fresh, ...keys] : fresh;
  start();
  return { kids: keys.map((one) => one.kid) };
}

await rotate({ keep: false });
await talk({ issuer, clients: ['avouch-RS256', 'avouch-ES256'] }, (asked) => {
  const verbs = { login, access, revoke, rotate };
  return verbs[asked.do](asked);
});
