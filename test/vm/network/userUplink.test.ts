import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** A network namespace takes root. */
const possible = process.getuid?.() === 0;
const program = path.join(import.meta.dirname, 'uplinkWorld/main.ts');

let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'coppice-uplink-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe.skipIf(!possible)('the way out of the user network', () => {
  it('carries what the policy allows, through passt, and nothing else', async () => {
    const { stdout } = await execa('unshare', ['-n', process.execPath, program, directory]);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    expect(facts).toMatchObject({
      problemWithoutRoute: expect.stringContaining('routable') as string,
      problem: null,
      closedByDefault: true,
      childrenBefore: 0,
      echo: true,
      children: 1,
      datagram: 'hello',
      ping: true,
      download: true,
      hostRefused: true,
      hostConnections: 0,
      hostWhenNamed: true,
      openBefore: 1,
      endOfRevoked: 'reset',
      endedOutside: true,
      worksAfterDeath: true,
      childrenAfterDeath: 1,
      childrenAfterDetach: 0,
    });
    expect(facts['denied']).toContain('203.0.113.2:8000');
  });

  it('leaves no passt behind when the daemon is killed', async () => {
    const child = spawn('unshare', ['-n', process.execPath, program, directory, 'hold'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await child.stdout.setEncoding('utf8').take(1).toArray()) as [string];
      const { passt } = JSON.parse(line) as { passt: number };
      expect(existsSync(`/proc/${passt}`)).toBe(true);
      child.kill('SIGKILL');
      await expect.poll(() => existsSync(`/proc/${passt}`), { timeout: 10_000 }).toBe(false);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
