#!/usr/bin/env node
// shop: an app server that has never seen its users. It has no secret, no store of sessions and no way to the daemon but
// one question: which public keys are there. Who comes is who the token says.
'use strict';
const { Client } = require('../examples/node/signet_client.js');
const forgeries = require('./lib/forgeries.js');
const { KeySet } = require('./lib/key_set.js');
const session = require('./lib/session.js');
const { origins, profile } = require('./lib/settings.js');
const pages = require('./lib/shop_pages.js');
const { Refused, Verifier } = require('./lib/verifier.js');
const { makeApp, serve } = require('./lib/web.js');

function routes(app, { keySet, verifier, now }) {
  // Lets through who has a good token, as req.session and req.token.
  const known = (here) => async (req, res, next) => {
    try {
      req.token = session.tokenOf(req);
      if (!req.token) return res.status(401).send(String(pages.stranger(here)));
      req.session = await verifier.judge(req.token);
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      return res.status(401).send(String(pages.stranger(here, e)));
    }
    // Only `login` gets tokens from signet, so the browser goes there and back. That it could not be renewed ends nothing.
    if (req.method === 'GET' && !req.query.renewal && session.isHalfOver(req.session.payload, now()))
      return res.redirect(303, `${origins.login}/renew?to=${here}`);
    next();
  };

  app.get('/', known('shop'), (req, res) => {
    res.send(String(pages.shop(req.session, now(), req.query.renewal === 'later')));
  });

  app.get('/token', known('token'), async (req, res) => {
    const keys = await keySet.kids();
    res.send(String(pages.takenApart(req.session, req.token, { now: now(), keys, tries: forgeries.list })));
  });

  app.post('/try', known('token'), async (req, res) => {
    const { what, edited: typed } = req.body ?? {}, label = typeof what === 'string' && forgeries.label(what);
    const key = await keySet.find(req.session.header.kid);
    if (!key) return res.redirect(303, '/token'); // it has left the key set since the token was judged
    const pem = key.export({ type: 'spki', format: 'pem' });
    const edited = label ? forgeries.forge(what, req.token, pem) : String(typed ?? '').trim();
    const late = forgeries.judgedAt(what, req.session.payload);
    let refused;
    try {
      await verifier.judge(edited, late);
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      refused = e;
    }
    res.send(String(pages.tried(req.session, {
      token: req.token, edited, label: label || 'Changed by you', refused, late, tries: forgeries.list })));
  });
}

// `now`: the wall's clock, in milliseconds.
function main(now) {
  const keySet = new KeySet(new Client(), profile, now);
  serve('shop', makeApp('shop', (app) => routes(app, { keySet, now, verifier: new Verifier(keySet, 'shop', now) })));
}

module.exports = { main };
if (require.main === module) main(Date.now);
