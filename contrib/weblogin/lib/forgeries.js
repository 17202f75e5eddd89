// forgeries: what someone who wants to be someone else makes of their own token. None of them gets through.
'use strict';
const { createHmac, generateKeyPairSync, sign } = require('node:crypto');

const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const LATER_S = 60; // more than any profile's leeway of this app

const encode = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));

function flipped(part) {
  const bytes = Buffer.from(part, 'base64url');
  bytes[bytes.length >> 1] ^= 1;
  return bytes.toString('base64url');
}

const richer = (payload) => encode({ ...decode(payload), role: decode(payload).role === 'staff' ? 'owner' : 'staff' });

function signedByUs(header, payload) {
  const text = `${header}.${payload}`;
  const signature = sign('sha256', Buffer.from(text), { key: own.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

// name: [label, (header, payload, signature, public key in PEM) => token].
const FORGERIES = {
  byte: ['One byte of the payload changed', (h, p, s) => `${h}.${flipped(p)}.${s}`],
  signature: ['One byte of the signature changed', (h, p, s) => `${h}.${p}.${flipped(s)}`],
  role: ['Another role', (h, p, s) => `${h}.${richer(p)}.${s}`],
  none: ['Algorithm “none”', (h, p) => `${encode({ ...decode(h), alg: 'none' })}.${richer(p)}.`],
  hmac: ['The public key taken for a secret', (h, p, s, pem) => {
    const text = `${encode({ ...decode(h), alg: 'HS256' })}.${richer(p)}`;
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  }],
  own: ['Signed by the shop’s own key', (h, p) => signedByUs(h, richer(p))],
  kid: ['The same, and it says so', (h, p) => signedByUs(encode({ ...decode(h), kid: 'shop-1' }), richer(p))],
  late: ['Your token, when its time is over', (h, p, s) => `${h}.${p}.${s}`],
};

const forge = (name, token, pem) => FORGERIES[name][1](...token.split('.'), pem);
const label = (name) => FORGERIES[name]?.[0];
const list = Object.entries(FORGERIES).map(([name, [text]]) => [name, text]);
// In milliseconds: as of when it is judged; undefined: now.
const judgedAt = (name, { exp }) => (name === 'late' ? (exp + LATER_S) * 1000 : undefined);

module.exports = { forge, judgedAt, label, list };
