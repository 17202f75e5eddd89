// passwords: their hashes, as `scrypt$N$r$p$SALT$HASH`: old ones stay readable when the cost is raised.
'use strict';
const { randomBytes, scrypt, timingSafeEqual } = require('node:crypto');
const { promisify } = require('node:util');

const N = 2 ** 15, R = 8, P = 3; // OWASP's: 32 MiB and three rounds
const SALT_LEN = 16, HASH_LEN = 32; // bytes
const MAX_MEMORY = 64 << 20;
// Four are computed at a time, by node's threads: what waits longer than this many is better told so.
const MAX_WAITING = 32;
let waiting = 0;

class Busy extends Error {}

async function derive(password, salt, cost) {
  if (waiting >= MAX_WAITING) throw new Busy('too many passwords are being checked');
  waiting++;
  try {
    return await promisify(scrypt)(password.normalize('NFC'), salt, HASH_LEN, { ...cost, maxmem: MAX_MEMORY });
  } finally {
    waiting--;
  }
}

const write = (salt, hash) => ['scrypt', N, R, P, salt.toString('base64url'), hash.toString('base64url')].join('$');

async function hash(password) {
  const salt = randomBytes(SALT_LEN);
  return write(salt, await derive(password, salt, { N, r: R, p: P }));
}

// What an unknown user's password is compared with: the same work, and never equal.
const nobody = write(randomBytes(SALT_LEN), randomBytes(HASH_LEN));

// `stored` undefined: there is no such user.
async function matches(password, stored) {
  const [, n, r, p, salt, want] = (stored ?? nobody).split('$');
  const got = await derive(password, Buffer.from(salt, 'base64url'), { N: Number(n), r: Number(r), p: Number(p) });
  return timingSafeEqual(got, Buffer.from(want, 'base64url')) && stored !== undefined;
}

module.exports = { hash, matches, Busy };
