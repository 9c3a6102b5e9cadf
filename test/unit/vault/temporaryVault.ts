/** A vault of a test's own, on a real directory and a real database. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { ErrorCode } from '../../../protocol/errors.ts';
import { openDatabase, type Database } from '../../../helper-daemon/store/database.ts';
import { vaultStore } from '../../../helper-daemon/store/vaultStore.ts';
import {
  openVault,
  type OpenVault,
  type VaultOptions,
} from '../../../helper-daemon/vault/vault.ts';

export interface TemporaryVault {
  /** Holds `root`; what lies beside it is outside of the vault. */
  readonly directory: string;
  readonly root: string;
  readonly db: Database;
  vault: OpenVault;
  /** Writes a file as any other program would. */
  put(file: string, text: string | Uint8Array): void;
  /** What is on disk. */
  get(file: string): string;
  /** As the next daemon does, perhaps with other settings. */
  reopen(options?: Partial<VaultOptions>): Promise<void>;
}

/** Call it once in a test file: every test gets a vault of its own. */
export function temporaryVault(): TemporaryVault {
  const made = {
    put(file: string, text: string | Uint8Array) {
      const place = path.join(made.root, file);
      mkdirSync(path.dirname(place), { recursive: true });
      writeFileSync(place, text);
    },
    get: (file: string) => readFileSync(path.join(made.root, file), 'utf8'),
    async reopen(options: Partial<VaultOptions> = {}) {
      await made.vault.close();
      made.vault = await open(options);
    },
  } as { -readonly [K in keyof TemporaryVault]: TemporaryVault[K] };

  const open = (options: Partial<VaultOptions> = {}): Promise<OpenVault> =>
    openVault({
      root: made.root,
      create: true,
      extensions: ['md'],
      excludeDirs: ['.obsidian', '.trash', '.git'],
      store: (root) => vaultStore(made.db, root),
      now: () => new Date(),
      ...options,
    });

  beforeEach(async () => {
    made.directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-vault-'));
    made.root = path.join(made.directory, 'vault');
    made.db = openDatabase(path.join(made.directory, 'test.db'));
    made.vault = await open();
  });
  afterEach(async () => {
    await made.vault.close();
    made.db.close();
    rmSync(made.directory, { recursive: true, force: true });
  });
  return made;
}

/** What a rejected call of the vault looks like. */
export function failure(code: ErrorCode, message?: string | RegExp): object {
  return message === undefined ? { code } : { code, message: expectText(message) };
}

function expectText(message: string | RegExp): unknown {
  return {
    asymmetricMatch: (text: unknown) =>
      typeof text === 'string' &&
      (typeof message === 'string' ? text.includes(message) : message.test(text)),
    toString: () => `text matching ${String(message)}`,
  };
}
