// login_pages: what `login` shows.
'use strict';
const { html } = require('./html.js');
const { life, page, refusal } = require('./pages.js');
const { targets } = require('./settings.js');

// `name`: what was typed; `wrong`: what to say of it; `refused`: why the session that was there is none.
function form({ name = '', wrong, refused }) {
  return page({ here: 'login', title: 'Log in' }, html`<section class="card narrow">
<h1>Log in</h1>
${refused && refusal(refused)}
${wrong && html`<p class="verdict bad" role="alert"><b>${wrong}</b></p>`}
<form method="post" action="/login">
<label>Name
<input name="name" value="${name}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64" required autofocus>
</label>
<label>Password
<input name="password" type="password" autocomplete="current-password" maxlength="256" required>
</label>
<button>Log in</button>
</form>
<p class="hint">The password stays here. Your browser gets a token, which signet signs with a key that this server does not
have, and which goes to the other servers of the app by itself.</p>
</section>`);
}

function welcome(session, now) {
  const { name, role } = session.payload;
  return page({ here: 'login', title: 'Logged in', session, again: 15 }, html`<section class="card narrow">
<h1>You are logged in</h1>
<p>As <b>${name}</b> <span class="chip">${role}</span></p>
${life(session.payload, now, 'login')}
<p><a class="button" href="${targets.shop}">To the shop</a></p>
</section>`);
}

module.exports = { form, welcome };
