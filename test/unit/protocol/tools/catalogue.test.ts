import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { toolInput, type Tool } from '../../../../protocol/tool.ts';
import { tools } from '../../../../protocol/tools.ts';

/** The tools of the agent contract, in its order. */
const contract = `workspace_create workspace_destroy workspace_list workspace_info workspace_stop
  workspace_start exec file_write file_read file_transfer snapshot workspace_fork port_forward
  network_policy file_list file_edit exec_background set_env workspace_logs workspace_adopt git_clone
  workspace_prepare git_status git_commit git_push git_diff workspace_merge vault team exec_parallel
  swarm_run`.split(/\s+/);

const byName = new Map(tools.map((tool) => [tool.name, tool]));

interface ObjectSchema {
  readonly type: string;
  readonly required?: readonly string[];
  readonly properties: Readonly<Record<string, object>>;
}

function inputSchema(tool: Tool | undefined): ObjectSchema {
  if (tool === undefined) throw new Error('no such tool');
  return z.toJSONSchema(toolInput(tool), { io: 'input', unrepresentable: 'any' }) as never;
}

it('has every tool of the contract, each once', () => {
  expect(tools).toHaveLength(byName.size);
  expect([...byName.keys()]).toEqual(expect.arrayContaining(contract));
});

it('offers the everyday ones alone', () => {
  const core = tools.filter(({ toolset }) => toolset === 'core').map(({ name }) => name);
  expect(core.sort()).toEqual(
    'exec file_list file_read file_write snapshot workspace_create workspace_destroy workspace_fork'.split(
      ' ',
    ),
  );
});

describe.each([...tools].map((tool) => [tool.name, tool] as const))('%s', (_name, tool) => {
  it('takes and gives objects, and only what changes something takes a key', () => {
    const schema = inputSchema(tool);
    expect(schema.type).toBe('object');
    expect(Object.hasOwn(schema.properties, 'idempotency_key')).toBe(tool.risk !== 'read');
    expect(z.toJSONSchema(tool.output, { unrepresentable: 'any' })).toMatchObject({
      type: 'object',
    });
  });

  it('says what it is for in a first sentence that stands alone', () => {
    expect(tool.description).toMatch(/^[A-Z][^.]+[.:]/);
    expect(tool.description.length).toBeLessThan(1200);
  });
});

/** What must be given, and what may be. */
const parameters: Readonly<Record<string, readonly [string, string]>> = {
  workspace_create: ['', 'name base_image vcpus memory_mb disk_gb allow_internet'],
  workspace_destroy: ['workspace_id', ''],
  workspace_list: ['', 'state_filter'],
  workspace_info: ['workspace_id', ''],
  workspace_stop: ['workspace_id', ''],
  workspace_start: ['workspace_id', ''],
  workspace_logs: ['workspace_id', 'log_type max_lines'],
  workspace_adopt: ['', 'workspace_id force'],
  exec: ['workspace_id command', 'timeout_secs workdir env max_output_bytes'],
  exec_background: ['action workspace_id', 'command job_id workdir env signal'],
  exec_parallel: ['workspace_ids commands', 'timeout_secs workdir env max_output_bytes'],
  set_env: ['workspace_id vars', ''],
  file_write: ['workspace_id path content', 'mode'],
  file_read: ['workspace_id path', 'offset limit'],
  file_edit: ['workspace_id path old_string new_string', ''],
  file_list: ['workspace_id path', ''],
  file_transfer: ['workspace_id direction host_path guest_path', ''],
  snapshot: ['action workspace_id', 'name include_memory'],
  workspace_fork: ['workspace_id', 'snapshot_name new_name count name_prefix setup_commands'],
  port_forward: ['action workspace_id guest_port', 'host_port'],
  network_policy: ['workspace_id', 'allow_internet allow_inter_vm allowed_ports'],
};

it.each(Object.entries(parameters))(
  '%s takes the parameters of the contract',
  (name, [must, may]) => {
    const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
    const { required = [], properties } = inputSchema(byName.get(name));
    expect([...required].sort()).toEqual(words(must).sort());
    expect(Object.keys(properties)).toEqual(
      expect.arrayContaining([...words(must), ...words(may)]),
    );
  },
);
