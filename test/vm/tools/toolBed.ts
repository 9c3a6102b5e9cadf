/** A daemon of a test's own with two agents: one that works, and another that must not get in its way. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

/** Tests call faster than any agent; what limits say is tested where they are on. */
const unlimited = `
[rate_limit]
enabled = false
`;

export interface ToolBed {
  readonly daemon: TestDaemon;
  readonly agent: Agent;
  readonly other: Agent;
  /** Files below it may be transferred. */
  readonly transfers: string;
  dispose(): Promise<void>;
}

export async function openToolBed(config = unlimited): Promise<ToolBed> {
  const home = mkdtempSync(path.join(os.tmpdir(), 'cot-'));
  writeFileSync(path.join(home, 'config.toml'), config, { mode: 0o600 });
  const daemon = await startTestDaemon('user', { home });
  const agent = await connectAgent(daemon, 'worker');
  const other = await connectAgent(daemon, 'other');
  return {
    daemon,
    agent,
    other,
    transfers: path.join(daemon.paths.state, 'transfers'),
    async dispose() {
      await Promise.all([agent.close(), other.close()]);
      await daemon.dispose();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The smallest machine that the default image runs in. */
export const small = { vcpus: 1, memory_mb: 256 } as const;

export interface Made {
  readonly workspace_id: string;
  readonly name: string;
}

export async function make(agent: Agent, name: string, more: object = {}): Promise<Made> {
  return await agent.ok<Made & Record<string, unknown>>('workspace_create', {
    name,
    ...small,
    ...more,
  });
}

/** Standard output of a command that must succeed, without its last line break. */
export async function sh(agent: Agent, workspace: string, command: string): Promise<string> {
  const ran = await agent.ok<{ exit_code: number; stdout: string; stderr: string }>('exec', {
    workspace_id: workspace,
    command,
  });
  if (ran.exit_code !== 0) throw new Error(`${command} failed: ${ran.stderr}`);
  return ran.stdout.trimEnd();
}
