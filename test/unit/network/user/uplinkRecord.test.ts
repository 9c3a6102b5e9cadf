import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  endStrayUplink,
  forgetUplink,
  recordUplink,
} from '../../../../helper-daemon/network/user/uplinkRecord.ts';

let directory: string;
let runDir: string;
let child: ChildProcess;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'coppice-uplink-'));
  runDir = join(directory, 'run');
  child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  await once(child, 'spawn');
});
afterEach(() => {
  child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

const lives = (): boolean => child.exitCode === null && child.signalCode === null;

it('ends the process an earlier daemon recorded, once', async () => {
  recordUplink(runDir, child.pid ?? 0);
  const exit = once(child, 'exit');
  endStrayUplink(runDir, 'sleep');
  expect((await exit)[1]).toBe('SIGKILL');
  expect(existsSync(`${runDir}.uplink`)).toBe(false);
  endStrayUplink(runDir, 'sleep');
});

it('leaves a process alone that only has the number, or is another program', async () => {
  recordUplink(runDir, child.pid ?? 0);
  const record = readFileSync(`${runDir}.uplink`, 'utf8');
  endStrayUplink(runDir, 'passt');
  writeFileSync(`${runDir}.uplink`, record.replace(/ .*/, ' 1'));
  endStrayUplink(runDir, 'sleep');
  writeFileSync(`${runDir}.uplink`, 'nonsense');
  endStrayUplink(runDir, 'sleep');
  recordUplink(runDir, child.pid ?? 0);
  forgetUplink(runDir);
  endStrayUplink(runDir, 'sleep');
  await new Promise((resolve) => setImmediate(resolve));
  expect(lives()).toBe(true);
});
