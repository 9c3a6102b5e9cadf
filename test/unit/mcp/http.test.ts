import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../../helper-daemon/mcp/http/guards.ts';
import { keepSessions } from '../../../helper-daemon/mcp/http/sessions.ts';
import { newToken, tokenChecker, tokenFrom } from '../../../helper-daemon/mcp/http/token.ts';

describe('a token', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'cop-token-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is 256 bits and never the same', () => {
    expect(Buffer.from(newToken(), 'base64url')).toHaveLength(32);
    expect(newToken()).not.toBe(newToken());
  });

  it('is accepted whole and as a bearer token only', () => {
    const isToken = tokenChecker('secret-token');
    expect(isToken('Bearer secret-token')).toBe(true);
    expect(isToken('bearer  secret-token ')).toBe(true);
    for (const bad of [
      undefined,
      '',
      'secret-token',
      'Bearer',
      'Bearer ',
      'Bearer secret-toke',
      'Bearer secret-tokenx',
      'Basic secret-token',
      'Bearer secret-token x',
    ]) {
      expect(isToken(bad), bad).toBe(false);
    }
  });

  it('is put into a file that only its owner can read', async () => {
    const file = path.join(directory, 'token');
    const token = await tokenFrom(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8').trim()).toBe(token);
    expect(await tokenFrom(file)).toBe(token);
  });

  it('comes from no directory, no device and no file that others can read', async () => {
    const open = path.join(directory, 'open');
    writeFileSync(open, newToken(), { mode: 0o640 });
    await expect(tokenFrom(open)).rejects.toMatchObject({ code: 'permission_denied' });
    await expect(tokenFrom(directory)).rejects.toMatchObject({ code: 'invalid_input' });
    const device = path.join(directory, 'device');
    symlinkSync('/dev/zero', device);
    await expect(tokenFrom(device)).rejects.toMatchObject({ code: 'invalid_input' });
    const huge = path.join(directory, 'huge');
    writeFileSync(huge, 'x'.repeat(10_000), { mode: 0o600 });
    await expect(tokenFrom(huge)).rejects.toMatchObject({ code: 'invalid_input' });
    const nowhere = path.join(directory, 'no', 'such');
    await expect(tokenFrom(nowhere)).rejects.toMatchObject({ code: 'invalid_input' });
  });
});

describe('a request', () => {
  const anyToken = (): boolean => true;
  const ask = (headers: Record<string, string>, url = '/mcp') =>
    refusalOf({ url, headers }, 7717, anyToken)?.status;

  it('must be for this host and this port, under the names of the loopback interface', () => {
    for (const host of ['127.0.0.1:7717', 'localhost:7717', '[::1]:7717']) {
      expect(ask({ host }), host).toBeUndefined();
    }
    for (const host of ['', 'localhost', '127.0.0.1:80', 'example.org:7717', '[::2]:7717', '::1']) {
      expect(ask({ host }), host).toBe(403);
    }
    expect(ask({})).toBe(403);
  });

  it('may come from no page but local ones', () => {
    const host = 'localhost:7717';
    expect(ask({ host, origin: 'http://localhost:3000' })).toBeUndefined();
    for (const origin of ['https://example.org', 'null', 'http://localhost.example.org', '']) {
      expect(ask({ host, origin }), origin).toBe(403);
    }
  });

  it('learns what there is only with the token', () => {
    const headers = { host: 'localhost:7717' };
    expect(refusalOf({ url: '/nothing', headers }, 7717, () => false)?.status).toBe(401);
    expect(ask(headers, '/nothing')).toBe(404);
    expect(ask(headers, '/mcp?x=1')).toBeUndefined();
  });
});

describe('sessions', () => {
  it('are closed when nobody has used them for a while, never while they are in use', async () => {
    const closed: string[] = [];
    const sessions = keepSessions<string>({ most: 2, idle: 40 }, (value) => closed.push(value));
    const busy = sessions.add('busy', 'busy');
    sessions.add('idle', 'idle')?.release();
    expect(sessions.add('third', 'third')).toBeUndefined();
    while (closed.length === 0) await delay(5);
    expect(closed).toEqual(['idle']);
    expect(sessions.use('idle')).toBeUndefined();
    expect(sessions.add('third', 'third')).toBeDefined();
    busy?.release();
    while (closed.length === 1) await delay(5);
    expect(closed).toEqual(['idle', 'busy']);
    sessions.closeAll();
    expect(closed).toEqual(['idle', 'busy', 'third']);
  });
});
