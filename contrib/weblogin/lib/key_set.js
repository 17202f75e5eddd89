// key_set: signet's public keys, kept for as long as signet promised and asked for again in time, as "Verifying locally"
// of signet-protocol(7) says. No timer: who asks for a key has the set refreshed.
'use strict';
const jose = require('jose');

const REFETCH_MS = 1000; // strangers choose what kid stands in a token, and must not choose how often signet is asked

class KeySet {
  // `now`: milliseconds of the wall's clock.
  constructor(signet, profileName, now) {
    Object.assign(this, { signet, profileName, now, askedAt: -Infinity, fetching: null, set: null });
  }

  // The public key of that kid, or undefined. Throws where signet was needed and could not say.
  async find(kid) {
    await this.bringUpToDate();
    if (!this.set.keys.has(kid) && (this.fetching || this.mayAsk())) await this.fetch(); // under way: for this kid too
    return this.set.keys.get(kid);
  }

  // Of all keys, in the order in which they sign.
  async kids() {
    await this.bringUpToDate();
    return [...this.set.keys.keys()];
  }

  // Of the profile, as signet has it: {leewayS, ...}.
  async profile() {
    await this.bringUpToDate();
    return this.set.profile;
  }

  async bringUpToDate() {
    const age = this.set ? this.now() - this.set.askedAt : Infinity;
    if (!this.set || age < 0 || age >= this.set.maxAgeMs) await this.fetch(); // < 0: the clock was set back
    // What there is may still be used, also where this fails.
    else if (age >= this.set.refreshAfterMs && this.mayAsk()) this.fetch().catch(() => {});
  }

  mayAsk() {
    return Math.abs(this.now() - this.askedAt) >= REFETCH_MS;
  }

  // One at a time, for all who wait.
  fetch() {
    this.fetching ??= this.take().finally(() => { this.fetching = null; });
    return this.fetching;
  }

  async take() {
    const askedAt = this.askedAt = this.now();
    const { keys, profiles, maxAgeS, changesInS } = await this.signet.keys();
    const profile = profiles.find((p) => p.name === this.profileName);
    if (!profile) throw new Error(`signetd has no profile '${this.profileName}'`);
    // A profile's tokens are signed by its own ring: another's keys prove nothing here.
    const own = keys.filter(({ ring }) => ring === profile.ring);
    const byKid = new Map(await Promise.all(own.map(async ({ jwk }) => [jwk.kid, await jose.importJWK(jwk)])));
    const refreshAfterS = Math.min(maxAgeS / 2, changesInS ? changesInS + 1 : Infinity);
    this.set = { askedAt, profile, keys: byKid, maxAgeMs: maxAgeS * 1000, refreshAfterMs: refreshAfterS * 1000 };
  }
}

module.exports = { KeySet };
