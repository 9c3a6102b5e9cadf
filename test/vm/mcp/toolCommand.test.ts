/** `coppice tool`: what agents call, on the command line. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tools } from '../../../protocol/tools.ts';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;

beforeAll(async () => {
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home, { COPPICE_SESSION: '' });
  await cli.ok(
    'tool',
    'workspace_create',
    '--json',
    '{"name": "box", "vcpus": 1, "memory_mb": 256}',
  );
});

afterAll(async () => {
  await daemon?.dispose();
});

const info = '{"workspace_id": "box"}';

describe('coppice tool', () => {
  it('lists every tool, one for each line', async () => {
    const lines = (await cli.ok('tool', '--list')).trimEnd().split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(tools.map(({ name }) => name));
  });

  it('shows the schemas of a tool', async () => {
    const schema = JSON.parse(await cli.ok('tool', 'exec', '--schema')) as {
      input: { required: string[] };
    };
    expect(schema.input.required).toEqual(['workspace_id', 'command']);
  });

  it('prints what an agent would read', async () => {
    const reply = await cli.ok(
      'tool',
      'file_write',
      '--json',
      '{"workspace_id": "box", "path": "/tmp/x", "content": "one\\n"}',
    );
    expect(reply).toBe('File written: /tmp/x\n');
    expect(await cli.ok('tool', 'file_read', '{"workspace_id": "box", "path": "/tmp/x"}')).toBe(
      'one\n',
    );
  });

  it('takes parameters from a file and from standard input', async () => {
    const file = path.join(daemon.home, 'input.json');
    writeFileSync(file, info);
    expect(await cli.ok('tool', 'workspace_info', '--json', `@${file}`)).toContain('"box"');
    const piped = await cli.run(['tool', 'workspace_info', '--json', '-'], { input: info });
    expect(piped.stdout).toContain('"box"');
  });

  it('prints the structured result when asked', async () => {
    const result = JSON.parse(
      await cli.ok('tool', 'workspace_info', info, '--structured'),
    ) as object;
    expect(result).toMatchObject({ name: 'box', state: 'running' });
  });

  it('ends with 1 when the tool fails, and says why on standard error', async () => {
    const { code, stdout, stderr } = await cli.run([
      'tool',
      'workspace_info',
      '{"workspace_id":"no"}',
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/There is no workspace no[^]*next:[^]*\(invalid_request: not_found\)/);
    const structured = await cli.run(['tool', 'workspace_info', '{}', '--structured']);
    expect(structured.code).toBe(1);
    expect(JSON.parse(structured.stdout)).toMatchObject({
      error: { kind: 'invalid_params', code: 'invalid_input' },
    });
  });

  it('refuses what is no tool or no object', async () => {
    expect(await cli.run(['tool', 'nothing'])).toMatchObject({ code: 2 });
    expect(await cli.run(['tool'])).toMatchObject({ code: 2 });
    for (const input of ['[]', '7', '{', '@/no/such/file']) {
      const { code, stderr, stdout } = await cli.run(['tool', 'workspace_info', input]);
      expect(code, input).not.toBe(0);
      expect(stdout + stderr).toMatch(/JSON object|cannot be read/);
    }
  });

  it('acts for an agent when it is told so', async () => {
    const refused = await cli.run([
      'tool',
      'exec',
      '--session',
      'mallory',
      '{"workspace_id":"box","command":"true"}',
    ]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('not_owned') });
  });
});
