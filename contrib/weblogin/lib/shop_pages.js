// shop_pages: what `shop` shows.
'use strict';
const { html } = require('./html.js');
const { life, page, refusal, span } = require('./pages.js');
const { targets } = require('./settings.js');

const GOODS = [['Loose-leaf tea, 100 g', '9.50', 41], ['Teapot, stoneware', '38.00', 6], ['Cup, hand-thrown', '14.00', 17]];

// For whom no good token speaks. `refused`: why the one that was there does not.
function stranger(here, refused) {
  return page({ here, title: 'Shop' }, html`<section class="card narrow">
<h1>${refused ? 'Please log in again' : 'Please log in'}</h1>
${refused ? refusal(refused) : html`<p>The shop knows you by the token that you get when you log in.</p>`}
<p><a class="button" href="${targets.login}">Log in</a></p>
</section>`);
}

// `trouble`: the session could not be renewed just now.
function shop(session, now, trouble) {
  const { name, role } = session.payload, isStaff = role === 'staff';
  const rows = GOODS.map(([what, price, stock]) => html`<tr><td>${what}</td><td class="n">${price}</td>${
    isStaff && html`<td class="n">${stock}</td>`}</tr>`);
  return page({ here: 'shop', title: 'Shop', session, again: 15 }, html`<section class="card">
<h1>Hello, ${name}</h1>
<p class="lead">This server has never seen your password, keeps no sessions and holds no secret. It knows you by a token that
it checked by itself, with signet’s public key <code>${session.header.kid.slice(0, 8)}…</code>
<a href="${targets.token}">Take it apart</a></p>
${trouble && html`<p class="verdict bad" role="status"><b>Not renewed just now.</b>
<span>Your session goes on until it ends.</span></p>`}
${life(session.payload, now, 'shop')}
</section>
<section class="card">
<h2>Today’s goods</h2>
<p>You are here as <span class="chip">${role}</span> ${isStaff && 'and see what is in stock.'}</p>
<table><thead><tr><th>Article</th><th class="n">Price</th>${isStaff && html`<th class="n">In stock</th>`}</tr></thead>
<tbody>${rows}</tbody></table>
</section>`);
}

const PARTS = ['header', 'payload', 'signature'];

// The text with what differs from another's text marked.
function marked(text, other) {
  if (text === other || other === undefined) return text;
  let from = 0, end = 0;
  while (from < text.length && text[from] === other[from]) from++;
  while (end < Math.min(text.length, other.length) - from && text.at(-1 - end) === other.at(-1 - end)) end++;
  return html`${text.slice(0, from)}<mark>${text.slice(from, text.length - end)}</mark>${text.slice(text.length - end)}`;
}

// A token with its parts in colours; what differs from `original`, where there is one, is marked.
function coloured(token, original) {
  const parts = token.split('.'), others = original?.split('.') ?? [];
  return html`<p class="token">${parts.map((part, i) => html`${i ? '.' : ''}<span class="${PARTS[i] ?? ''}">${
    marked(part, others[i])}</span>`)}</p>`;
}

const when = (s) => new Date(s * 1000).toISOString().replace('T', ' ').replace('.000Z', ' UTC');

function decoded(json) {
  return html`<pre>${JSON.stringify(json, null, 2)}</pre>`;
}

function decodedIfItCanBe(part) {
  try {
    return decoded(JSON.parse(Buffer.from(part, 'base64url')));
  } catch {
    return html`<p class="hint">Not to be read as JSON.</p>`;
  }
}

// What may be tried with one's own token: `tries` are [name, label].
function workbench(token, tries) {
  return html`<section class="card">
<h2>Try to cheat</h2>
<p>Each of these makes another token of yours and has it judged here, as if it had come in the cookie.</p>
<form method="post" action="/try" class="tries">
${tries.map(([name, label]) => html`<button name="what" value="${name}" class="quiet">${label}</button>`)}
</form>
<form method="post" action="/try">
<label>Or change any byte yourself
<textarea name="edited" rows="6" spellcheck="false" autocapitalize="none" autocomplete="off">${token}</textarea></label>
<button>Judge it</button>
</form>
</section>`;
}

// `keys`: the kids that signet publishes now.
function takenApart(session, token, { now, keys, tries }) {
  const { header, payload } = session, bytes = Buffer.from(token.split('.')[2], 'base64url');
  return page({ here: 'token', title: 'Your token', session, again: 15 }, html`<section class="card">
<h1>Your token</h1>
<p class="lead">No script can read it in your browser, so this server, which gets it with each request, shows it.
A real app has no such page.</p>
${coloured(token)}
<div class="parts">
<div class="part header"><h2>Header</h2>${decoded(header)}
<p class="hint"><code>kid</code> says which of signet’s keys signed it. The algorithm is the key’s, whatever stands here.</p></div>
<div class="part payload"><h2>Payload</h2>${decoded(payload)}
<p class="hint">Readable by anyone, so no password gets in. Issued ${when(payload.iat)}, ends ${when(payload.exp)}.</p></div>
<div class="part signature"><h2>Signature</h2><pre>${bytes.toString('hex').replace(/(.{32})/g, '$1\n').trim()}</pre>
<p class="hint">${bytes.length} bytes over the two parts above. Made in a PKCS#11 token, whose key never leaves it.</p></div>
</div>
${life(payload, now, 'token')}
</section>
<section class="card">
<h2>The keys</h2>
<p>What this server has of signet: public keys, in the order in which they sign.</p>
<ol class="keys">${keys.map((kid) => html`<li><code>${kid}</code>${
    kid === header.kid && html` <span class="chip">signed your token</span>`}</li>`)}</ol>
<p class="hint">Turn the ring (<code>signet ring rotate web</code>): the next key appears here first, signs when every
verifier may know it, and your session goes on. A retired key leaves when its last token has ended.</p>
</section>
${workbench(token, tries)}`);
}

// `refused`: why; undefined: it is good after all. `edited`: the token judged; `token`: the one in the cookie.
function tried(session, { token, edited, label, refused, late, tries }) {
  const parts = edited.split('.').slice(0, 2).map((part, i) => html`<div class="part ${PARTS[i]}">
<h2>${['Header', 'Payload'][i]}</h2>${decodedIfItCanBe(part)}</div>`);
  const title = refused ? `Refused: ${refused.reason}` : 'Accepted';
  return page({ here: 'token', title, session }, html`<section class="card">
<h1>${label}</h1>
${refused ? refusal(refused) : html`<p class="verdict good" role="status"><b>Accepted.</b>
<span>It is a token that signet signed, and nothing of it was changed.</span></p>`}
${late && html`<p>Judged as of ${when(late / 1000)}, ${span(late / 1000 - session.payload.exp)} after its end.</p>`}
${coloured(edited, token)}
<div class="parts">${parts}</div>
<p><a class="button" href="${targets.token}">Back to your token</a></p>
</section>
${workbench(edited, tries)}`);
}

module.exports = { shop, stranger, takenApart, tried };
