// `jose` decides on tokens, one a line: what is trusted comes first, and each answer is `accept` or
// why not.
import { createInterface } from 'node:readline';
import { createLocalJWKSet, jwtVerify } from 'jose';

let trusted;
const answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  if (!trusted) {
    trusted = { ...said, keys: createLocalJWKSet(said.jwks) };
    continue;
  }
  const wanted = {
    algorithms: trusted.algorithms,
    issuer: trusted.issuer,
    audience: trusted.audience,
    clockTolerance: trusted.leeway,
    currentDate: new Date(trusted.now * 1000),
    requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat'],
  };
  try {
    await jwtVerify(said, trusted.keys, wanted);
    answers.push('accept');
  } catch (error) {
    answers.push(`${error.code ?? error.name}: ${error.message}`);
  }
}
process.stdout.write(answers.map((one) => JSON.stringify(one) + '\n').join(''));
