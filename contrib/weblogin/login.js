#!/usr/bin/env node
// login: the app server that knows passwords. It asks signet for a token for who has typed the right one, and for the next
// token of who has a good one; it keeps no session and holds no key.
'use strict';
const { Client } = require('../examples/node/signet_client.js');
const { addressRange } = require('./lib/address.js');
const { KeySet } = require('./lib/key_set.js');
const pages = require('./lib/login_pages.js');
const passwords = require('./lib/passwords.js');
const { Remembered } = require('./lib/remembered.js');
const session = require('./lib/session.js');
const { profile, targets, usersFile } = require('./lib/settings.js');
const { Throttle } = require('./lib/throttle.js');
const { Users } = require('./lib/users.js');
const { Refused, Verifier } = require('./lib/verifier.js');
const { makeApp, serve, Rejected } = require('./lib/web.js');

const MAX_NAME = 64, MAX_PASSWORD = 256; // characters
const LONGEST_S = 12 * 3600; // however often it is renewed: then the password is asked for again
const MINUTE_MS = 60000;

function routes(app, { signet, users, verifier, now }) {
  // Guessing one name's password from one address; the name's owner, who is elsewhere, goes on logging in.
  const ofName = new Throttle({ tries: 5, whileMs: 5 * MINUTE_MS, maxKeys: 10000, now });
  // Guessing many names' from one address, which would also push others' counts out of the table above.
  const ofAddress = new Throttle({ tries: 100, whileMs: 5 * MINUTE_MS, maxKeys: 10000, now });
  // Guessing one name's from many addresses. Where its owner has logged in before they go on: nobody can lock them out there.
  const ofNameAnywhere = new Throttle({ tries: 20, whileMs: 5 * MINUTE_MS, maxKeys: 10000, now });
  const knownAt = new Remembered(10000);

  // One try of that name's password from there: 0, or how many milliseconds to wait for it.
  function take(from, name, pair) {
    const wait = ofAddress.take(from) || ofName.take(pair);
    if (wait || knownAt.has(pair)) return wait;
    const waitForName = ofNameAnywhere.take(name);
    if (waitForName) ofName.giveBack(pair); // it was none
    return waitForName;
  }

  // {session}, or {refused}: why the token is not trusted, or neither: there is none.
  async function look(req) {
    try {
      const token = session.tokenOf(req);
      return token ? { session: await verifier.judge(token) } : {};
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      return { refused: e };
    }
  }

  async function begin(res, user, authTime) {
    const claims = { name: user.fullName, role: user.role, auth_time: authTime };
    // For both servers: this one must know the session again to renew it.
    const { token } = await signet.sign(profile, user.name, claims, { audiences: ['shop', 'login'] });
    session.begin(res, token);
  }

  function askToLogIn(res, status, what) {
    res.status(status).send(String(pages.form(what)));
  }

  app.get('/', async (req, res) => {
    const { session: known, refused } = await look(req);
    if (known) res.send(String(pages.welcome(known, now())));
    else askToLogIn(res, 200, { refused });
  });

  app.post('/login', async (req, res) => {
    const { name, password } = req.body ?? {};
    const isText = (value, most) => typeof value === 'string' && value.length <= most;
    // A NUL would end the name for the database and not for the count of tries.
    if (!isText(name, MAX_NAME) || /\p{Cc}/u.test(name) || !isText(password, MAX_PASSWORD))
      throw new Rejected(400, 'Not understood', 'A name and a password are needed.');
    const from = addressRange(req.ip), pair = `${from} ${name}`;
    const wait = take(from, name, pair);
    if (wait) {
      res.set('Retry-After', Math.ceil(wait / 1000));
      const wrong = `Too many tries from your address, or of this name. Try again in ${Math.ceil(wait / MINUTE_MS)} min.`;
      return askToLogIn(res, 429, { name, wrong });
    }
    const user = users.find(name);
    // One answer and the same work, whether there is no such user or the password is another.
    if (!await passwords.matches(password, user?.password))
      return askToLogIn(res, 401, { name, wrong: 'Name or password is wrong.' });
    ofName.forget(pair);
    ofAddress.giveBack(from); // a house full of people behind one address is no attack
    if (!knownAt.has(pair)) ofNameAnywhere.giveBack(name);
    knownAt.add(pair);
    await begin(res, user, Math.floor(now() / 1000));
    res.redirect(303, targets.shop);
  });

  app.get('/renew', async (req, res) => {
    const to = Object.hasOwn(targets, req.query.to) ? targets[req.query.to] : targets.login;
    try {
      const { session: known } = await look(req);
      const user = known && users.find(known.payload.sub); // who has been deleted since, or has another role
      if (user && now() / 1000 - known.payload.auth_time < LONGEST_S) {
        await begin(res, user, known.payload.auth_time);
        return res.redirect(303, to);
      }
      if (known) session.end(res);
      res.redirect(303, targets.login);
    } catch (e) {
      console.error(e); // the session goes on as it is: nobody is thrown out because signet restarts
      res.redirect(303, `${to}?renewal=later`);
    }
  });

  app.post('/logout', (req, res) => {
    session.end(res);
    res.redirect(303, targets.login);
  });
}

// `now`: the wall's clock, in milliseconds.
function main(now) {
  const signet = new Client(), users = Users.open(usersFile);
  const verifier = new Verifier(new KeySet(signet, profile, now), 'login', now);
  serve('login', makeApp('login', (app) => routes(app, { signet, users, verifier, now })));
}

module.exports = { main };
if (require.main === module) main(Date.now);
