#!/usr/bin/env node
// put-user NAME 'FULL NAME' ROLE: adds or changes a user of the file $USERS_FILE. The password is read from stdin.
'use strict';
const { readFileSync } = require('node:fs');
const passwords = require('./lib/passwords.js');
const settings = require('./lib/settings.js');
const { Users } = require('./lib/users.js');

async function main([name, fullName, role, ...more]) {
  if (!role || more.length) throw new Error("usage: put-user NAME 'FULL NAME' ROLE <PASSWORD-FILE");
  const password = readFileSync(0, 'utf8').replace(/\n$/, '');
  const users = Users.create(settings.usersFile);
  users.put({ name, fullName, role, password: await passwords.hash(password) });
  users.close();
}

main(process.argv.slice(2)).catch((e) => {
  console.error(e.message);
  process.exitCode = 2;
});
