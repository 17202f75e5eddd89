// remembered: the keys that were added last, so many.
'use strict';

class Remembered {
  constructor(maxKeys) {
    Object.assign(this, { maxKeys, keys: new Set() });
  }

  add(key) {
    this.keys.delete(key); // and to the end: what stands first was added longest ago
    this.keys.add(key);
    if (this.keys.size > this.maxKeys) this.keys.delete(this.keys.values().next().value);
  }

  has(key) {
    return this.keys.has(key);
  }
}

module.exports = { Remembered };
