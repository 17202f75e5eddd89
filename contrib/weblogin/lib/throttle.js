// throttle: so many tries in a while for each key, the oldest keys forgotten where there are too many: bounded, whoever asks.
'use strict';

class Throttle {
  constructor({ tries, whileMs, maxKeys, now }) {
    Object.assign(this, { tries, whileMs, maxKeys, now, counts: new Map() });
  }

  // Takes one try of the key's: 0, or how many milliseconds to wait for the next. It counts before it is known how the try
  // ends: many at once are as many tries.
  take(key) {
    const now = this.now(), known = this.counts.get(key);
    const count = known && Math.abs(now - known.since) < this.whileMs ? known : { since: now, n: 0 };
    if (count.n >= this.tries) return count.since + this.whileMs - now;
    count.n++;
    this.counts.delete(key); // and to the end: what stands first was tried longest ago
    this.counts.set(key, count);
    if (this.counts.size > this.maxKeys) this.counts.delete(this.counts.keys().next().value);
    return 0;
  }

  // A try that was none after all.
  giveBack(key) {
    const count = this.counts.get(key);
    if (count) count.n--;
  }

  forget(key) {
    this.counts.delete(key);
  }
}

module.exports = { Throttle };
