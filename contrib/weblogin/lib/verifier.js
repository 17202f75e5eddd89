// verifier: whether a session's token is to be trusted, judged here, in this process, by nothing but public keys.
'use strict';
const jose = require('jose');
const { expected } = require('./settings.js');

// `reason`: a word of signet-protocol(7); `text`: a sentence for a person.
class Refused extends Error {
  constructor(reason, text) {
    super(`${reason}: ${text}`);
    Object.assign(this, { reason, text });
  }
}

const BY_CLAIM = {
  iss: ['WRONG_ISSUER', 'it was issued by someone else'],
  aud: ['WRONG_AUDIENCE', 'it is not meant for this server'],
  typ: ['WRONG_TYPE', 'it is a token of another kind'],
  nbf: ['NOT_YET_VALID', 'it is not valid yet'],
  iat: ['ISSUED_IN_FUTURE', 'it says that it was issued in the future'],
};
const BY_CODE = {
  ERR_JWT_EXPIRED: ['EXPIRED', 'its time is over'],
  ERR_JOSE_ALG_NOT_ALLOWED: ['ALG_NOT_ALLOWED', `its header names an algorithm other than ${expected.algorithms}`],
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: ['BAD_SIGNATURE',
    'its signature does not fit what it says, so someone changed it or made it'],
  ERR_JWT_INVALID: ['BAD_PAYLOAD', 'its payload is not what a session has'],
  ERR_JWS_INVALID: ['MALFORMED', 'it is no token that could be read'],
  ERR_JOSE_NOT_SUPPORTED: ['CRIT_UNSUPPORTED', 'it demands something that this server does not know'],
};

function refusalOf(e) {
  const words = e.code === 'ERR_JWT_CLAIM_VALIDATION_FAILED'
    ? BY_CLAIM[e.claim] ?? BY_CODE.ERR_JWT_INVALID : BY_CODE[e.code];
  return words && new Refused(...words);
}

// The last letter of a part may have bits that count for nothing: a token has one spelling here, not sixteen.
const isCanonical = (part) => Buffer.from(part, 'base64url').toString('base64url') === part;

class Verifier {
  constructor(keySet, audience, now) {
    Object.assign(this, { keySet, audience, now });
  }

  // {header, payload} of a token that is good at that moment. Throws Refused: it is not to be trusted; any other error
  // says that it could not be judged, and nothing about the token.
  async judge(token, at = this.now()) {
    const { leewayS } = await this.keySet.profile();
    if (!token.split('.').every(isCanonical)) throw new Refused(...BY_CODE.ERR_JWS_INVALID);
    try {
      const { protectedHeader: header, payload } = await jose.jwtVerify(token, (h) => this.keyOf(h), {
        ...expected, audience: this.audience, clockTolerance: leewayS, currentDate: new Date(at),
        requiredClaims: ['sub', 'name', 'role', 'iat', 'exp'],
      });
      if (payload.iat > at / 1000 + leewayS) throw new Refused(...BY_CLAIM.iat); // jose asks only for a maxTokenAge
      return { header, payload };
    } catch (e) {
      throw e instanceof Refused ? e : refusalOf(e) ?? e;
    }
  }

  async keyOf({ kid }) {
    const key = typeof kid === 'string' && await this.keySet.find(kid);
    if (!key) throw new Refused('KEY_UNKNOWN', 'it names a key that signet does not have');
    return key;
  }
}

module.exports = { Verifier, Refused };
