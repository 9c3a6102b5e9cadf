/** `coppice audit --follow`: what was recorded last, and then what is added. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { InputOf, OutputOf } from '../../../protocol/operations.ts';
import { given, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { renderAuditLine } from '../render/audit.ts';

const filters = ['workspace_id', 'agent', 'operation', 'outcome'] as const;
const shownBefore = 10;
const page = 500;

/** Adds -f to the projected command; with --json each row is a line of its own. */
export function withAuditFollow(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    flags: [
      ...projected.flags,
      {
        key: 'follow',
        spelling: '-f, --follow',
        kind: 'switch',
        description: 'Go on as more is recorded; with --json one row on each line',
      },
    ],
    run(invocation, context) {
      const { follow, ...flags } = invocation.flags;
      const plain = { ...invocation, flags };
      return follow === true ? followAudit(plain, context) : projected.run(plain, context);
    },
  };
}

async function followAudit(invocation: Invocation, context: CliContext): Promise<number> {
  const client = await context.connect();
  const filter = given(invocation, filters) as InputOf<'audit_list'>;
  const { limit } = invocation.flags;
  const ended = Promise.withResolvers<undefined>();
  client.onClose(() => ended.reject(daemonGone()));
  context.signal.addEventListener('abort', () => ended.resolve(undefined), { once: true });
  ended.promise.catch(() => undefined);

  function show({ rows }: OutputOf<'audit_list'>): void {
    for (const row of rows.toSorted((a, b) => a.seq - b.seq)) {
      if (context.json) context.printJson(row);
      else context.print(renderAuditLine(row, context.rendering()));
    }
  }

  async function showNew(after: number): Promise<number> {
    const found = await client.call('audit_list', { ...filter, after_seq: after, limit: page });
    show(found);
    const [last] = found.rows.slice(-1);
    return found.more && last !== undefined ? await showNew(last.seq) : found.last_seq;
  }

  try {
    const first = Promise.withResolvers<number>();
    // One after the other, each from where the last one ended.
    let reading = first.promise;
    await client.subscribe(({ event }) => {
      if (event.type !== 'audit_appended') return;
      reading = reading.then(showNew);
      reading.catch(ended.reject);
    });
    const before = typeof limit === 'number' ? limit : shownBefore;
    const newest = await client.call('audit_list', { ...filter, limit: before });
    show(newest);
    first.resolve(newest.last_seq);
    await ended.promise;
    return exitCodes.ok;
  } finally {
    client.close();
  }
}

function daemonGone(): CoppiceError {
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: 'The daemon has ended.',
    next: 'Follow again; the next command starts it.',
  });
}
