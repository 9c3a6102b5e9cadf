import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { frameType } from '../../../protocol/stream.ts';
import { targetOf } from '../../../helper-daemon/cli/commands/exportArchive.ts';
import { startFakeDaemon, ticketNamed, type FakeDaemon } from '../client/fakeDaemon.ts';
import { idOf } from './sampleOutputs.ts';
import { startCli } from './runCli.ts';

const archive = randomBytes(700_000);
let daemon: FakeDaemon | undefined;
let directory = '';
let inputs: unknown[] = [];

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
  inputs = [];
});
afterEach(async () => {
  await daemon?.close();
  daemon = undefined;
  rmSync(directory, { recursive: true, force: true });
});

/** A daemon with one archive to give. */
async function withExport(breaks = false): Promise<string> {
  daemon = await startFakeDaemon({
    handlers: {
      workspace_export({ input }) {
        inputs.push(input);
        return { ticket: ticketNamed('x'), file_name: 'demo-s1.coppice' };
      },
    },
    streams: {
      x({ send }) {
        for (let offset = 0; offset < archive.length; offset += 300_000) {
          send(frameType.data, archive.subarray(offset, offset + 300_000));
        }
        if (breaks) send(frameType.error, { code: 'layer_corrupt', message: 'A layer is broken.' });
        else send(frameType.result, { bytes: archive.length });
      },
    },
  });
  return daemon.socketPath;
}

describe('coppice export', () => {
  it('takes the name the daemon proposes, in the directory that was given', () => {
    expect(targetOf('', 'demo-s1.coppice')).toBe('demo-s1.coppice');
    expect(targetOf('', '../../demo.coppice')).toBe('demo.coppice');
    expect(targetOf(directory, 'demo.coppice')).toBe(path.join(directory, 'demo.coppice'));
    expect(targetOf(path.join(directory, 'my.file'), 'demo.coppice')).toBe(
      path.join(directory, 'my.file'),
    );
  });

  it('writes the whole archive for its owner only, and passes the flags on', async () => {
    const socket = await withExport();
    const { code, stdout } = await startCli(
      socket,
      ...['export', 'demo', 's1', '-m', '--no-image', '-o', directory, '--json'],
    ).done;
    const file = path.join(directory, 'demo-s1.coppice');
    expect(code).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({ file, bytes: archive.length });
    expect(readFileSync(file).equals(archive)).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(inputs).toEqual([
      {
        workspace_id: 'demo',
        snapshot_name: 's1',
        include_memory: true,
        include_image: false,
      },
    ]);
  });

  it('replaces a file only with --force, and asks the daemon for nothing before it knows', async () => {
    const socket = await withExport();
    const file = path.join(directory, 'mine');
    writeFileSync(file, 'precious');
    const refused = await startCli(socket, 'export', 'demo', '-o', file).done;
    expect(refused.code).toBe(125);
    expect(refused.stderr).toBe(
      `error: ${file} exists already.\nnext:  Choose another name, or replace it with --force.\n`,
    );
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect(inputs).toEqual([]);
    expect((await startCli(socket, 'export', 'demo', '-o', file, '-f').done).code).toBe(0);
    expect(readFileSync(file).equals(archive)).toBe(true);
    expect(inputs).toEqual([{ workspace_id: 'demo' }]);
  });

  it('does not replace what has the default name in a directory', async () => {
    const socket = await withExport();
    mkdirSync(path.join(directory, 'demo-s1.coppice'));
    const { code, stderr } = await startCli(socket, 'export', 'demo', '-o', directory).done;
    expect([code, stderr]).toEqual([125, expect.stringContaining('exists already')]);
  });

  it('leaves nothing behind when the archive breaks off', async () => {
    const socket = await withExport(true);
    const file = path.join(directory, 'x');
    const { code, stderr } = await startCli(socket, 'export', 'demo', '-o', file).done;
    expect([code, stderr]).toEqual([125, 'error: A layer is broken.\n']);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('sends the archive to standard output with -o -', async () => {
    const socket = await withExport();
    const { code, stdout } = await startCli(socket, 'export', 'demo', '-o', '-').done;
    expect(code).toBe(0);
    expect(stdout.equals(archive)).toBe(true);
    const both = await startCli(socket, 'export', 'demo', '-o', '-', '--json').done;
    expect(both.code).toBe(2);
  });
});

describe('coppice import', () => {
  /** A daemon that takes an archive, or refuses it at its end. */
  async function withImport(
    refusal?: CoppiceError,
  ): Promise<{ socket: string; got: () => Buffer }> {
    const chunks: Uint8Array[] = [];
    daemon = await startFakeDaemon({
      handlers: {
        workspace_import({ input }) {
          inputs.push(input);
          return { ticket: ticketNamed('i') };
        },
      },
      streams: {
        async i({ frames, send }) {
          for await (const { type, payload } of frames()) {
            if (type === frameType.data) chunks.push(Uint8Array.from(payload));
            if (type !== frameType.end) continue;
            if (refusal === undefined) {
              const bytes = Buffer.concat(chunks).length;
              send(frameType.result, {
                bytes,
                workspace_id: idOf('demo'),
                name: 'demo',
                snapshots: 2,
              });
            } else send(frameType.error, refusal.toBody());
          }
        },
      },
    });
    return { socket: daemon.socketPath, got: () => Buffer.concat(chunks) };
  }

  it('sends a file whole and says what there is now', async () => {
    const { socket, got } = await withImport();
    const file = path.join(directory, 'a.coppice');
    writeFileSync(file, archive);
    const { code, stdout } = await startCli(socket, 'import', file, 'other').done;
    expect(code).toBe(0);
    expect(stdout.toString()).toMatch(
      /^demo is there, stopped, with 2 snapshots: 684 KiB in .*\.\ncoppice start demo\n$/,
    );
    expect(got().equals(archive)).toBe(true);
    expect(inputs).toEqual([{ name: 'other' }]);
  });

  it('reads standard input', async () => {
    const { socket, got } = await withImport();
    const { child, done } = startCli(socket, 'import', '-', '--json');
    child.stdin.end(archive);
    const { code, stdout } = await done;
    expect(code).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({ name: 'demo', snapshots: 2 });
    expect(got().equals(archive)).toBe(true);
  });

  it('says why an archive is refused, and asks for nothing when there is no file', async () => {
    const { socket } = await withImport(
      new CoppiceError({ code: 'archive_invalid', message: 'A digest does not match.' }),
    );
    const missing = await startCli(socket, 'import', path.join(directory, 'none')).done;
    expect([missing.code, missing.stderr]).toEqual([
      125,
      `error: ${path.join(directory, 'none')} does not exist on this host.\n`,
    ]);
    expect((await startCli(socket, 'import', directory).done).code).toBe(2);
    expect(inputs).toEqual([]);
    const file = path.join(directory, 'a.coppice');
    writeFileSync(file, 'x');
    const refused = await startCli(socket, 'import', file).done;
    expect([refused.code, refused.stderr]).toEqual([125, 'error: A digest does not match.\n']);
  });
});
