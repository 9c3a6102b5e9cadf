/** A daemon for tests of teams, and the tools as an agent calls them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { runTool } from '../../../protocol/tool.ts';
import { execTool } from '../../../protocol/tools/exec.ts';
import { teamTool } from '../../../protocol/tools/team.ts';
import { vaultTool } from '../../../protocol/tools/vault.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const tools = { exec: execTool, team: teamTool, vault: vaultTool } as const;

export interface TeamBed {
  readonly daemon: TestDaemon;
  dispose(): Promise<void>;
}

/** Agents may create as fast as the tests like. */
export async function startTeamBed(): Promise<TeamBed> {
  const settings = mkdtempSync(path.join(os.tmpdir(), 'coppice-settings-'));
  const file = path.join(settings, 'config.toml');
  writeFileSync(file, '[rate_limit]\nenabled = false\n');
  const daemon = await startTestDaemon('user', { env: { COPPICE_CONFIG: file } });
  return {
    daemon,
    async dispose() {
      await daemon.dispose();
      rmSync(settings, { recursive: true, force: true });
    },
  };
}

export type CallTool = (name: keyof typeof tools, input: object) => Promise<Facts>;
type Facts = Record<string, unknown>;

/** Calls a tool; its structured result. @throws ToolError */
export function toolsOf(client: CoppiceClient): CallTool {
  return async (name, input) => {
    const reply = await runTool(tools[name], input as Facts, (operation, given) =>
      client.call(operation, given),
    );
    // What agents read as text is the same.
    if (name === 'team') return JSON.parse(reply.text) as Facts;
    return reply.structured;
  };
}

/** A small machine with the snapshot `golden`, whose copies go on from memory. */
export async function makeGolden(client: CoppiceClient, name = 'golden-base'): Promise<string> {
  const { workspace_id } = await client.call('workspace_create', {
    name,
    vcpus: 1,
    memory_mb: 256,
  });
  await client.call('exec', {
    workspace_id,
    command: 'mkdir -p /workspace/repo && echo "fn main() {}" > /workspace/repo/main.rs',
  });
  await client.call('snapshot_create', { workspace_id, name: 'golden', include_memory: true });
  return workspace_id;
}

interface Result {
  readonly task_id: string;
  readonly success: boolean;
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timed_out: boolean;
  readonly source_message_id: string;
}

/** Receives as an agent does, until no task of the member is left; results by task. */
export async function collectResults(
  tool: CallTool,
  team: string,
  agent: string,
): Promise<Map<string, Result>> {
  const found = new Map<string, Result>();
  for (;;) {
    const reply = (await tool('team', { action: 'receive', name: team, agent })) as {
      readonly messages: unknown[];
      readonly daemon_results: Result[];
      readonly daemon_pending_tasks: number;
    };
    if (reply.messages.length > 0) throw new Error('an assignment came as a message');
    for (const result of reply.daemon_results) {
      if (found.has(result.task_id)) throw new Error(`${result.task_id} came twice`);
      found.set(result.task_id, result);
    }
    if (reply.daemon_pending_tasks === 0 && reply.daemon_results.length === 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
