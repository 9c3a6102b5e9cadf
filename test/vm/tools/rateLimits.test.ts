import { afterAll, beforeAll, expect, it } from 'vitest';
import { openToolBed, type ToolBed } from './toolBed.ts';

let bed: ToolBed;

beforeAll(async () => {
  bed = await openToolBed('[rate_limit]\ncreate_per_minute = 1\nexec_per_minute = 1\n');
});
afterAll(async () => {
  await bed.dispose();
});

const absent = { workspace_id: 'no-such' };

async function codes(calls: number, call: () => Promise<{ readonly code: string }>) {
  const seen: string[] = [];
  for (let number = 0; number < calls; number += 1) seen.push((await call()).code);
  return seen;
}

it('commands are charged before anything else, and what is over the limit says so', async () => {
  const { agent } = bed;
  const exec = () => agent.failure('exec', { ...absent, command: 'true' });
  expect(await codes(10, exec)).toEqual(Array(10).fill('not_found'));
  expect(await exec()).toMatchObject({
    kind: 'invalid_request',
    jsonrpc_code: -32_600,
    code: 'rate_limited',
    message:
      'Rate limit exceeded for exec operations. Maximum 1 calls per minute. Please wait and retry.',
  });
  const start = { ...absent, action: 'start', command: 'true' };
  expect(await agent.failure('exec_background', start)).toMatchObject({ code: 'rate_limited' });
  // Looking costs nothing, and every caller has its own.
  const poll = { ...absent, action: 'poll', job_id: 1 };
  expect(await agent.failure('exec_background', poll)).toMatchObject({ code: 'not_found' });
  const parallel = { workspace_ids: Array(20).fill('no-such'), commands: 'true' };
  expect(await bed.other.failure('exec_parallel', parallel)).toMatchObject({ code: 'not_found' });
  expect(await bed.other.failure('exec', { ...absent, command: 'true' })).toMatchObject({
    code: 'rate_limited',
  });
});

it('a tool whose work fails with an internal error refuses as a wrong request', async () => {
  const create = () => bed.agent.failure('workspace_create', { base_image: 'no-such' });
  expect(await codes(3, create)).toEqual(Array(3).fill('image_missing'));
  expect(await create()).toMatchObject({ kind: 'invalid_request', code: 'rate_limited' });
  const fork = { ...absent, snapshot_name: 's' };
  expect(await bed.agent.failure('workspace_fork', fork)).toMatchObject({
    kind: 'invalid_request',
    code: 'rate_limited',
    message:
      'Rate limit exceeded for create operations. Maximum 1 calls per minute. Please wait and retry.',
  });
});
