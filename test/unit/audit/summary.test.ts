import { expect, test } from 'vitest';
import { summarizeInput } from '../../../helper-daemon/audit/summary.ts';

const secret = 'hunter2hunter2';

test('variables, contents, standard input and messages are told by size only', () => {
  const summary = summarizeInput({
    workspace_id: 'demo',
    path: '/etc/app.conf',
    content: secret,
    env: { TOKEN: secret },
    vars: { A: secret, B: secret },
    input: secret,
    old_string: secret,
    new_string: secret,
    message: secret,
    prompt: secret,
    value: { deep: secret },
  });
  expect(summary).not.toContain(secret);
  expect(JSON.parse(summary)).toMatchObject({
    workspace_id: 'demo',
    path: '/etc/app.conf',
    content: '(14 bytes)',
    env: '(1 entries)',
    vars: '(2 entries)',
  });
});

test.each([
  ['env_vars', { A: secret }],
  ['shared_context', secret],
  ['vault_context', [{ query: secret }]],
  ['commit_message', secret],
  ['api_key', secret],
  ['github_token', secret],
])('%s is one of them', (field, value) => {
  expect(summarizeInput({ [field]: value })).not.toContain(secret);
});

test('what kind of thing it was is kept', () => {
  expect(summarizeInput({ message_type: 'request', branch: 'main' })).toBe(
    '{"message_type":"request","branch":"main"}',
  );
});

test('they are found inside lists and objects, too', () => {
  const summary = summarizeInput({
    tasks: [{ name: 'one', command: 'make', env: { A: secret }, prompt: secret }],
  });
  expect(summary).not.toContain(secret);
  expect(summary).toContain('"command":"make"');
});

test.each([
  `TOKEN=${secret} make`,
  `export API_KEY='${secret}' && make`,
  `MY_DB_PASSWORD="${secret} x" make`,
  `tool --password ${secret} --verbose`,
  `tool --api-key=${secret}`,
  `curl https://user:${secret}@example.com/`,
])('a command is kept without the credential in it: %s', (command) => {
  const summary = summarizeInput({ command });
  expect(summary).not.toContain(secret);
  expect(summary).toMatch(/make|tool|curl/);
});

test('a program given as words hides the word after an option for a secret', () => {
  expect(summarizeInput({ argv: ['tool', '--token', secret] })).not.toContain(secret);
});

test('a command is cut to 1 KiB between characters', () => {
  const { command } = JSON.parse(summarizeInput({ command: 'é'.repeat(5000) })) as {
    command: string;
  };
  expect(Buffer.byteLength(command)).toBeLessThanOrEqual(1024 + 3);
  expect(command).toMatch(/^é+…$/);
});

test('a credential at the place where a command is cut does not stay in part', () => {
  const token = `ghp_${'a1'.repeat(18)}`;
  const summary = summarizeInput({ command: `${'x'.repeat(1010)} ${token}` });
  expect(summary).not.toContain('ghp_a1');
});

test('the summary of a huge input is bounded', () => {
  const input = Object.fromEntries(
    Array.from({ length: 2000 }, (_, i) => [`field${String(i)}`, 'x'.repeat(100)]),
  );
  expect(Buffer.byteLength(summarizeInput(input))).toBeLessThan(5000);
});
