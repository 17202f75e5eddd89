// browser: drives a chromium: a line in is a call, {"do": NAME, "args": […]}, a line out its answer, {"value"} or {"error"}.
'use strict';
const { createInterface } = require('node:readline');
const { chromium } = require('playwright-core');

let browser, context, page, complaints = [];

// Where it is after a navigation.
async function where(response) {
  return { status: response?.status(), url: page.url(), text: await page.locator('body').innerText() };
}

async function click(role, name) {
  const it = page.getByRole(role, { name, exact: true }).first();
  const [response] = await Promise.all([page.waitForNavigation(), it.click()]);
  return where(response);
}

const calls = {
  // Another person's browser: no cookie of the one before.
  async open({ width = 1280, height = 900, dark = false, scripts = true } = {}) {
    await context?.close();
    complaints = [];
    context = await browser.newContext({
      viewport: { width, height }, hasTouch: width < 600, isMobile: width < 600, colorScheme: dark ? 'dark' : 'light',
      javaScriptEnabled: scripts });
    page = await context.newPage();
    page.on('dialog', (d) => { complaints.push(`dialog: ${d.message()}`); d.dismiss(); });
    page.on('pageerror', (e) => complaints.push(`error: ${e}`));
    // A page that is refused is no complaint.
    page.on('console', (m) => {
      if (m.type() === 'error' && !/status of 4\d\d/.test(m.text())) complaints.push(`console: ${m.text()}`);
    });
  },
  go: async (url) => where(await page.goto(url)),
  fill: (label, text) => page.getByLabel(label).fill(text),
  press: (name) => click('button', name),
  follow: (name) => click('link', name),
  cookies: () => context.cookies(),
  setCookie: (cookie) => context.addCookies([cookie]),
  text: (selector) => page.locator(selector).allInnerTexts(),
  html: () => page.content(),
  evaluate: (expression) => page.evaluate(expression),
  shot: (path) => page.screenshot({ path, fullPage: true }).then(() => path),
  complaints: () => complaints,
};

async function main() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
                                    args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, args } = JSON.parse(line);
    const answer = await (async () => calls[name](...args))().then((value) => ({ value }), (e) => ({ error: String(e.stack) }));
    console.log(JSON.stringify(answer));
  }
  await browser.close();
}

main();
