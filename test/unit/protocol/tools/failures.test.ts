import { describe, expect, it } from 'vitest';
import { execTool, setEnvTool } from '../../../../protocol/tools/exec.ts';
import { fileTransferTool } from '../../../../protocol/tools/files.ts';
import { workspaceForkTool } from '../../../../protocol/tools/fork.ts';
import { portForwardTool } from '../../../../protocol/tools/network.ts';
import { snapshotTool } from '../../../../protocol/tools/snapshots.ts';
import { workspaceCreateTool } from '../../../../protocol/tools/workspaces.ts';
import { failing, fails } from './fakeDaemon.ts';

const on = { workspace_id: 'w' };

describe('a tool whose work fails with an internal error', () => {
  it('still calls a refusal, or a workspace that is not there, a wrong request', async () => {
    const wrong = [
      fails('not_owned'),
      fails('rate_limited'),
      fails('quota_exceeded'),
      fails('idempotency_conflict'),
      fails('not_found', { workspace_id: 'w' }),
    ];
    for (const refuse of wrong) {
      const created = await failing(workspaceCreateTool, {}, { workspace_create: refuse });
      const taken = { ...on, action: 'create', name: 's' };
      const snapshot = await failing(snapshotTool, taken, { snapshot_create: refuse });
      const added = { ...on, action: 'add', guest_port: 80 };
      const forward = await failing(portForwardTool, added, { port_forward_add: refuse });
      const forked = await failing(workspaceForkTool, on, { workspace_fork: refuse });
      for (const error of [created, snapshot, forward, forked]) {
        expect([error.kind, error.code]).toEqual(['invalid_request', created.code]);
      }
    }
  });

  it('says that the work failed where it did', async () => {
    const create = await failing(
      workspaceCreateTool,
      {},
      { workspace_create: fails('boot_failed') },
    );
    expect(create.kind).toBe('internal_error');
    const missing = fails('not_found', { workspace_id: 'w', name: 's' });
    const fork = { ...on, snapshot_name: 's' };
    expect((await failing(workspaceForkTool, fork, { workspace_fork: missing })).kind).toBe(
      'internal_error',
    );
    const batch = { ...fork, count: 2 };
    expect((await failing(workspaceForkTool, batch, { workspace_fork: missing })).kind).toBe(
      'invalid_request',
    );
  });

  it('blames a file of the host on the request only where it was to be read, or lies elsewhere', async () => {
    const transfer = async (direction: string, details: Record<string, unknown>) => {
      const input = { ...on, direction, host_path: 'x', guest_path: '/x' };
      const error = await failing(fileTransferTool, input, {
        file_transfer: fails('file_error', details),
      });
      return error.kind;
    };
    expect(await transfer('upload', { side: 'host' })).toBe('invalid_request');
    expect(await transfer('download', { side: 'host' })).toBe('internal_error');
    expect(await transfer('upload', {})).toBe('internal_error');
    const outside = { side: 'host', transfer_dir: '/t' };
    expect(await transfer('download', outside)).toBe('invalid_request');
  });
});

describe('variables', () => {
  it('that decide which code runs are refused by name wherever they can be given', async () => {
    for (const name of ['PATH', 'IFS', 'ENV', 'BASH_ENV', 'LD_PRELOAD', 'LD_', '9', 'A-B', '']) {
      const vars = { OK: '1', [name]: 'x' };
      const set = await failing(setEnvTool, { ...on, vars });
      const ran = await failing(execTool, { ...on, command: 'true', env: vars });
      for (const error of [set, ran]) {
        expect([error.kind, error.code], name).toEqual(['invalid_params', 'invalid_input']);
        expect(error.message).toContain(name);
      }
    }
  });

  it('of names that only look like those are fine', async () => {
    for (const name of ['path', 'XPATH', 'PATHS', 'LDX', 'MY_LD_PATH', '_', 'A9']) {
      const error = await failing(
        setEnvTool,
        { ...on, vars: { [name]: 'x' } },
        { set_env: fails('wrong_state') },
      );
      expect([error.kind, error.code], name).toEqual(['invalid_request', 'wrong_state']);
    }
  });
});
