// session: the token in its cookie. Nothing of a session is kept here: the token is all there is of it.
'use strict';
const { isHttps } = require('./settings.js');
const { Refused } = require('./verifier.js');

// With https the name itself keeps other hosts of the domain from setting it.
const NAME = isHttps ? '__Host-session' : 'session';
// HttpOnly: no script reads it. Lax: no other site's form or picture sends it. No Max-Age: when it ends stands in the
// token, where it can be trusted; one that has ended is still shown, and refused by its reason.
const ATTRIBUTES = { httpOnly: true, sameSite: 'lax', secure: isHttps, path: '/', encode: String };

// The token that the browser brought; undefined: none.
function tokenOf(req) {
  const all = (req.headers.cookie ?? '').split(';').map((c) => c.trim()).filter((c) => c.startsWith(`${NAME}=`));
  // Which of them the browser sends first, another server on the host could choose.
  if (all.length > 1) throw new Refused('MALFORMED', 'the browser sent two sessions at once');
  return all[0]?.slice(NAME.length + 1) || undefined;
}

const begin = (res, token) => res.cookie(NAME, token, ATTRIBUTES);
const end = (res) => res.clearCookie(NAME, ATTRIBUTES);

// Past half of its life it is time for a new one: a person who stays is never asked again, one who leaves soon is.
const isHalfOver = ({ iat, exp }, now) => exp - now / 1000 < (exp - iat) / 2;

module.exports = { tokenOf, begin, end, isHalfOver };
