// `openid-client` and `oauth4webapi` at a token endpoint: what they are told, as they understand it.
import { createPrivateKey } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { talk } from './talk.mjs';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

async function keyPair() {
  return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
}

// The key of a client, in PEM.
async function privateKey(pem, kid) {
  const der = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  return { kid, key: await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']) };
}

function told(error) {
  // A challenge in the header is looked at before the body is.
  const challenge = Array.isArray(error.cause) ? error.cause[0]?.parameters : undefined;
  return { error: error.error ?? challenge?.error, message: `${error.code} ${error.message}` };
}

// Discovers the endpoint, and asks with a proof of a new key.
async function openidClient({ issuer, id, key, grant, form, bearer }) {
  const auth = key ? client.PrivateKeyJwt(await privateKey(key, 'own')) : client.None();
  const config = await client.discovery(new URL(issuer), id, undefined, auth, {
    execute: [client.allowInsecureRequests],
  });
  const DPoP = bearer ? undefined : client.getDPoPHandle(config, await keyPair());
  try {
    if (grant === 'client_credentials') {
      return await client.clientCredentialsGrant(config, form, { DPoP });
    }
    return await client.genericGrantRequest(config, EXCHANGE, form, { DPoP });
  } catch (error) {
    return told(error);
  }
}

async function oauth4webapi({ issuer, id, form }) {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const found = await oauth.discoveryRequest(new URL(issuer), insecure);
  const server = await oauth.processDiscoveryResponse(new URL(issuer), found);
  const own = { client_id: id };
  const DPoP = oauth.DPoP(own, await keyPair());
  const recognizedTokenTypes = { n_a: () => {} };
  const ask = async () => {
    const answer = await oauth.genericTokenEndpointRequest(
      server, own, oauth.None(), EXCHANGE, new URLSearchParams(form), { ...insecure, DPoP },
    );
    return oauth.processGenericTokenEndpointResponse(server, own, answer, { recognizedTokenTypes });
  };
  try {
    return await ask();
  } catch (error) {
    if (oauth.isDPoPNonceError(error)) return ask();
    return told(error);
  }
}

await talk({}, (asked) => (asked.with === 'oauth4webapi' ? oauth4webapi : openidClient)(asked));
