// web: what both servers do with every request before they look at it, and with every answer.
'use strict';
const http = require('node:http');
const path = require('node:path');
const express = require('express');
const { SignetError } = require('../../examples/node/signet_client.js');
const pages = require('./pages.js');
const { Busy } = require('./passwords.js');
const { origins, isHttps, portOf } = require('./settings.js');

const MAX_COOKIES = 8 * 1024, MAX_FORM = 8 * 1024; // bytes; browsers send 4 KiB for a cookie
const READ_WITHIN_MS = 10000, MAX_CONNECTIONS = 512; // slow clients hold a connection for so long, and so many
const LOOKS_LIKE_A_TOKEN = /eyJ[\w-]*\.[\w-]+\.[\w-]*/; // anywhere: after 'Bearer ', in a path
const NAMED_LIKE_A_TOKEN = /^(session|token|access_token|id_token|jwt)$/i;

// What a person is told with a status.
class Rejected extends Error {
  constructor(status, title, text, headers = {}) {
    super(title);
    Object.assign(this, { status, title, text, headers });
  }
}

// Nothing from elsewhere, no script in the page itself, in no frame. form-action: where a form may lead, redirects included.
const POLICY = ["default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "base-uri 'none'",
                "frame-ancestors 'none'", `form-action ${Object.values(origins).join(' ')}`].join('; ');

function protect(req, res, next) {
  res.set({
    'Content-Security-Policy': POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'strict-origin', // a page's address is nobody's business; its origin tells forms apart
    'Cache-Control': 'no-store', // what is shown is one person's
  });
  if ((req.headers.cookie ?? '').length > MAX_COOKIES)
    throw new Rejected(431, 'Too many cookies',
      `Your browser sent more than ${MAX_COOKIES} bytes of them. Delete this site's cookies.`);
  next();
}

function decoded(address) {
  try { return decodeURIComponent(address); } catch { return address; } // not every % is an escape
}

// Addresses end up in logs, histories and other sites' hands.
function refuseTokensInAddress(req, res, next) {
  if (Object.keys(req.query).some((name) => NAMED_LIKE_A_TOKEN.test(name)) || LOOKS_LIKE_A_TOKEN.test(decoded(req.originalUrl)))
    throw new Rejected(400, 'A token in the address',
      'Addresses are logged and passed on, so a token in one is refused, good or not. If it was yours, log out.');
  next();
}

// A form of another site, even one that the browser takes for the same (another port): login and logout are changed by
// this app's own pages alone. Every browser says with a POST which page it comes from.
function refuseForeignForms(req, res, next) {
  if (!['GET', 'HEAD'].includes(req.method) && !Object.values(origins).includes(req.headers.origin))
    throw new Rejected(403, 'From another page',
      "This was not sent from one of this app's own pages, so nothing was done.");
  next();
}

function notThere() {
  throw new Rejected(404, 'Nothing here', 'There is no such page.');
}

function toldOf(e) {
  const soon = { 'Retry-After': 2 };
  if (e instanceof Rejected) return e;
  if (e instanceof Busy) return new Rejected(503, 'Busy', 'Too many people are logging in. Try again in a moment.', soon);
  if (e instanceof SignetError) return new Rejected(503, 'Not now', `signet could not be asked: ${e.reason}.`, soon);
  if (e.status >= 400 && e.status < 500) return new Rejected(e.status, 'Not understood', 'The request could not be read.');
  return new Rejected(500, 'A mistake', "It is not yours; it is in this server's log.");
}

// Express knows an error handler by its four parameters.
const explain = (name) => (e, req, res, next) => {
  const told = toldOf(e);
  if (told.status >= 500) console.error(e);
  res.status(told.status).set(told.headers).send(String(pages.message(name, told)));
};

// `routes(app)` adds what this server has.
function makeApp(name, routes) {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.set('etag', false);
  if (isHttps) app.set('trust proxy', 'loopback');
  app.use(protect, refuseTokensInAddress, refuseForeignForms);
  app.use('/public', express.static(path.join(__dirname, '../public'), {
    index: false, redirect: false, setHeaders: (res) => res.set('Cache-Control', 'max-age=300') }));
  app.use(express.urlencoded({ extended: false, limit: MAX_FORM, parameterLimit: 16 }));
  routes(app);
  app.use(notThere, explain(name));
  return app;
}

// On loopback: what faces a network is a proxy that speaks https.
function serve(name, app) {
  const server = http.createServer({
    headersTimeout: READ_WITHIN_MS, requestTimeout: READ_WITHIN_MS, connectionsCheckingInterval: READ_WITHIN_MS / 10 }, app);
  server.maxConnections = MAX_CONNECTIONS;
  server.on('error', (e) => {
    console.error(`${name}: port ${portOf(name)} of 127.0.0.1 cannot be had: ${e.code}`);
    process.exit(1);
  });
  server.listen(portOf(name), '127.0.0.1', () => console.log(`${name}: ${origins[name]}/`));
}

module.exports = { makeApp, serve, Rejected };
