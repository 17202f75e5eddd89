// settings: where the app's servers stand, from the environment, and what both of them expect of a token.
'use strict';

// As a browser calls them: scheme, host, port. One host, several ports: cookies do not tell ports apart.
const origins = {
  login: process.env.LOGIN_ORIGIN || 'http://localhost:8301',
  shop: process.env.SHOP_ORIGIN || 'http://localhost:8302',
  cshop: process.env.CSHOP_ORIGIN || 'http://localhost:8303',
};

module.exports = {
  origins,
  // Where a request may send the browser on: these and nowhere else, whatever it asks for.
  targets: {
    login: `${origins.login}/`, shop: `${origins.shop}/`, token: `${origins.shop}/token`, cshop: `${origins.cshop}/`,
  },
  // Behind a proxy that speaks https: the cookie is Secure then, and the client's address is the one the proxy names.
  isHttps: origins.login.startsWith('https:'),
  usersFile: process.env.USERS_FILE || 'users.db',
  portOf: (app) => Number(process.env.PORT || new URL(origins[app]).port),
  profile: 'web-session',
  // Fixed here and not learnt from a token: RFC 8725, sections 3.1, 3.8, 3.9 and 3.11.
  expected: { algorithms: ['ES256'], issuer: 'https://login.example', typ: 'session+jwt' },
};
