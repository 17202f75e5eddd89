// parts: rules of contrib/weblogin that no browser gets to see, each by itself, in a time that stands still.
'use strict';
const assert = require('node:assert/strict');
const { generateKeyPairSync } = require('node:crypto');
const path = require('node:path');
const test = require('node:test');
const jose = require('jose');

const part = (name) => require(path.join(__dirname, '../../../contrib/weblogin/lib', name));
const { addressRange } = part('address.js');
const { KeySet } = part('key_set.js');
const { Remembered } = part('remembered.js');
const { Throttle } = part('throttle.js');
const { Verifier } = part('verifier.js');

const jwk = (kid) => ({ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' });

// A signetd with these keys, that counts how often it is asked; `away`: it does not answer.
function stage(kids, times = {}) {
  const signet = {
    asked: 0, away: false, kids,
    async keys() {
      this.asked++;
      if (this.away) throw new Error('away');
      return { keys: this.kids.map((kid) => ({ jwk: jwk(kid), ring: kid.startsWith('other') ? 'other' : 'web' })),
               profiles: [{ name: 'p', ring: 'web' }], maxAgeS: 30, changesInS: 0, ...times };
    },
  };
  const clock = { ms: 1e12 };
  return { signet, clock, set: new KeySet(signet, 'p', () => clock.ms) };
}

test('a key set is kept, and asked for again when half of its time is over', async () => {
  const { signet, clock, set } = stage(['a']);
  for (const [ms, asked] of [[0, 1], [14999, 1], [15000, 2]]) {
    clock.ms = 1e12 + ms;
    assert.ok(await set.find('a'));
    assert.equal(signet.asked, asked, `${ms}`);
  }
});

test('or a second after signet said that it changes', async () => {
  const { signet, clock, set } = stage(['a'], { changesInS: 5 });
  for (const [ms, asked] of [[0, 1], [5999, 1], [6000, 2]]) {
    clock.ms = 1e12 + ms;
    await set.find('a');
    assert.equal(signet.asked, asked, `${ms}`);
  }
});

test('a kid that is unknown is asked for once, by all together, and no more than once in a second', async () => {
  const { signet, clock, set } = stage(['a']);
  await set.find('a');
  clock.ms += 1000;
  signet.kids = ['a', 'b'];
  assert.ok((await Promise.all(Array.from({ length: 50 }, () => set.find('b')))).every(Boolean));
  assert.equal(signet.asked, 2);
  for (let i = 0; i < 50; i++) assert.equal(await set.find(`stranger ${i}`), undefined);
  assert.equal(signet.asked, 2);
  clock.ms += 1000;
  for (let i = 0; i < 50; i++) await set.find(`stranger ${i}`);
  assert.equal(signet.asked, 3);
});

test('while signet is away the set goes on to its end, and no further', async () => {
  const { signet, clock, set } = stage(['a']);
  await set.find('a');
  signet.away = true;
  clock.ms += 29999;
  assert.ok(await set.find('a'));
  clock.ms += 1;
  await assert.rejects(set.find('a'), /away/);
  signet.away = false;
  assert.ok(await set.find('a'));
});

test('a clock that was set back gives a set no longer life', async () => {
  const { signet, clock, set } = stage(['a']);
  await set.find('a');
  clock.ms -= 1;
  await set.find('a');
  assert.equal(signet.asked, 2);
});

test('keys of another ring are none of the profile', async () => {
  const { set } = stage(['a', 'other']);
  assert.equal(await set.find('other'), undefined);
});

test('tries are counted for each key, forgotten with time, and take no more room than they may', () => {
  let ms = 0;
  const t = new Throttle({ tries: 2, whileMs: 1000, maxKeys: 3, now: () => ms });
  assert.deepEqual(['a', 'a', 'a', 'b'].map((key) => t.take(key)), [0, 0, 1000, 0]);
  ms = 999;
  assert.equal(t.take('a'), 1);
  ms = 1000;
  assert.equal(t.take('a'), 0);
  for (let i = 0; i < 1000; i++) t.take(`stranger ${i}`);
  assert.equal(t.counts.size, 3);
  t.take('b'), t.take('b'), t.giveBack('b');
  assert.deepEqual([t.take('b'), t.take('b')], [0, 1000]);
  t.forget('b'), t.giveBack('b');
  assert.equal(t.take('b'), 0);
});

test('what was added last is remembered, and no more of it than there is room for', () => {
  const r = new Remembered(2);
  for (const key of ['a', 'b', 'a', 'c']) r.add(key);
  assert.deepEqual(['a', 'b', 'c'].map((key) => r.has(key)), [true, false, true]);
});

test('a token that was issued in the future is refused', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const at = 1e12, keySet = { profile: async () => ({ leewayS: 5 }), find: async () => publicKey };
  const verifier = new Verifier(keySet, 'shop', () => at);
  const issued = (later) => new jose.SignJWT({ name: 'n', role: 'r' })
    .setProtectedHeader({ alg: 'ES256', typ: 'session+jwt', kid: 'k' }).setIssuer('https://login.example').setAudience('shop')
    .setSubject('s').setIssuedAt(at / 1000 + later).setExpirationTime(at / 1000 + 240).sign(privateKey);
  assert.equal((await verifier.judge(await issued(5))).payload.sub, 's');
  await assert.rejects(verifier.judge(await issued(6)), { reason: 'ISSUED_IN_FUTURE' });
});

test('who has many addresses of one network counts as one', () => {
  const ranges = { '1.2.3.4': '1.2.3.4', '::ffff:1.2.3.4': '1.2.3.4', '2001:db8::5': '2001:db8:0:0', '::1': '0:0:0:0',
                   '2001:0db8:0:0:1:2:3:4': '2001:db8:0:0', '2001:db8:0:1::': '2001:db8:0:1' };
  for (const [address, range] of Object.entries(ranges)) assert.equal(addressRange(address), range, address);
});
