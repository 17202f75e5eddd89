// users: who may log in, in an SQLite file that `login` alone reads. {name, fullName, role, password}; password: a hash.
'use strict';
const { Database } = require('node-sqlite3-wasm');

const WAIT_MS = 2000; // for who writes to the file just now
const SCHEMA = `CREATE TABLE IF NOT EXISTS user (
  name TEXT PRIMARY KEY, full_name TEXT NOT NULL, role TEXT NOT NULL, password TEXT NOT NULL
) STRICT, WITHOUT ROWID`;

class Users {
  static open(file) {
    return new Users(new Database(file, { readOnly: true, fileMustExist: true }));
  }

  static create(file) {
    const db = new Database(file);
    const users = new Users(db);
    db.exec(SCHEMA);
    return users;
  }

  constructor(db) {
    this.db = db;
    db.exec(`PRAGMA busy_timeout = ${WAIT_MS}`);
  }

  // undefined: there is none.
  find(name) {
    return this.db.get('SELECT name, full_name AS fullName, role, password FROM user WHERE name = ?', [name]) ?? undefined;
  }

  put({ name, fullName, role, password }) {
    this.db.run('INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?)', [name, fullName, role, password]);
  }

  close() {
    this.db.close();
  }
}

module.exports = { Users };
