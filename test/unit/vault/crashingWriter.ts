/** Writes one note again and again until it is killed. */
import { DatabaseSync } from 'node:sqlite';
import { migrations } from '../../../helper-daemon/store/migrations.ts';
import { vaultStore } from '../../../helper-daemon/store/vaultStore.ts';
import { openVault } from '../../../helper-daemon/vault/vault.ts';

const db = new DatabaseSync(':memory:');
for (const sql of migrations) db.exec(sql);

const vault = await openVault({
  root: process.argv[2] ?? '',
  create: false,
  extensions: ['md'],
  excludeDirs: [],
  store: (root) => vaultStore(db, root),
  now: () => new Date(),
});
for (;;) {
  await vault.write('n.md', 'new '.repeat(100_000));
  await vault.write('n.md', 'NEW '.repeat(100_000));
}
