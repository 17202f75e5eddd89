// html: a template's text, in which every value is escaped unless it is html itself.
'use strict';

class Html {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

const ESCAPED = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function write(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(write).join('');
  if (value === undefined || value === false) return ''; // `condition && html`
  return String(value).replace(/[&<>"']/g, (c) => ESCAPED[c]);
}

const html = (strings, ...values) => new Html(String.raw({ raw: strings }, ...values.map(write)));

module.exports = { html };
