import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { lockState } from '../../../helper-daemon/system/lock.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-lock-'));
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('lockState', () => {
  it('keeps another process out until it is released', () => {
    const file = path.join(directory, 'lock.db');
    const module = path.resolve(import.meta.dirname, '../../../helper-daemon/system/lock.ts');
    const script = `import(${JSON.stringify(module)}).then(({ lockState }) => {
      try { lockState(${JSON.stringify(file)}); console.log('got it'); }
      catch (error) { console.log(error.code); }
    });`;
    const other = (): string =>
      execFileSync(process.execPath, ['--no-warnings', '-e', script], { encoding: 'utf8' }).trim();
    const lock = lockState(file);
    expect(other()).toBe('daemon_conflict');
    lock.release();
    expect(other()).toBe('got it');
  });
});
