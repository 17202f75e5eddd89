// interop: one request a line in, one answer a line out, by libraries that nobody here wrote.
//   {"lib":"jose"|"jsonwebtoken","op":"sign"|"verify","alg","key":JWK,"token"|"claims","aud","iss"}
import { createPrivateKey, createPublicKey, createSecretKey } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as jose from 'jose';
import jsonwebtoken from 'jsonwebtoken';

const keyObject = (jwk) => jwk.kty === 'oct' ? createSecretKey(Buffer.from(jwk.k, 'base64url'))
  : jwk.d ? createPrivateKey({ key: jwk, format: 'jwk' }) : createPublicKey({ key: jwk, format: 'jwk' });

const libraries = {
  jose: {
    sign: async ({ alg, key, claims }) =>
      new jose.SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT' }).sign(await jose.importJWK(key, alg)),
    verify: async ({ alg, key, token, iss, aud }) =>
      (await jose.jwtVerify(token, await jose.importJWK(key, alg), { algorithms: [alg], issuer: iss, audience: aud })).payload,
  },
  jsonwebtoken: {
    sign: async ({ alg, key, claims }) => jsonwebtoken.sign(claims, keyObject(key), { algorithm: alg }),
    verify: async ({ alg, key, token, iss, aud }) =>
      jsonwebtoken.verify(token, keyObject(key), { algorithms: [alg], issuer: iss, audience: aud }),
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, value: await libraries[request.lib][request.op](request) };
  } catch (e) {
    answer = { ok: false, value: String(e) };
  }
  console.log(JSON.stringify(answer));
}
