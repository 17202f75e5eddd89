// pages: what every page of both servers has.
'use strict';
const { html } = require('./html.js');
const { origins, targets } = require('./settings.js');

const LABELS = { login: 'Login', shop: 'Shop', token: 'Your token', cshop: 'Shop in C' };

// `here`: which of the places; `session`: as Verifier.judge has it, undefined for a stranger. `again`: without scripts the
// page is asked for anew so often, in seconds.
function page({ here, title, session, again }, ...content) {
  const nav = Object.entries(LABELS).map(([name, label]) =>
    html`<a href="${targets[name]}"${name === here && html` aria-current="page"`}>${label}</a>`);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="/public/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/public/style.css">
<script src="/public/countdown.js" defer></script>
${again && html`<noscript><meta http-equiv="refresh" content="${again}"></noscript>`}
</head>
<body>
<header>
<nav>${nav}</nav>
${session && html`<form method="post" action="${origins.login}/logout" class="who">
<span>${session.payload.name}</span> <button class="quiet">Log out</button></form>`}
</header>
<main>
${content}
</main>
</body>
</html>
`;
}

function message(here, { title, text }) {
  return page({ here, title }, html`<section class="card narrow">
<h1>${title}</h1>
<p>${text}</p>
<p><a class="button" href="${targets.login}">To the login page</a></p>
</section>`);
}

// What makes one want to log in again.
const refusal = ({ reason, text }) => html`<p class="verdict bad" role="status"><b>Refused: ${reason}</b>
<span>The token is not trusted: ${text}.</span></p>`;

function span(seconds) {
  const s = Math.max(Math.floor(seconds), 0), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return [h && `${h} h`, (h || m) && `${m} min`, !h && `${s % 60} s`].filter(Boolean).join(' ');
}

// How long the session lasts, of its whole life. A script counts it down; without one the page comes anew.
function life({ iat, exp }, now, here) {
  const left = Math.max(exp - now / 1000, 0), whole = exp - iat;
  return html`<div class="life" data-left="${left.toFixed(1)}" data-whole="${whole}">
<p>This session ends in <b class="left">${span(left)}</b> unless it is renewed.
<a href="${origins.login}/renew?to=${here}">Renew it now</a></p>
<progress max="${whole}" value="${left.toFixed(1)}">${span(left)}</progress>
<p class="hint">Half-way through, your next click renews it by itself.</p>
</div>`;
}

module.exports = { page, message, refusal, life, span };
