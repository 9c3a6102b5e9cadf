/** Commands that start without the schemas declare their flags themselves: they must say the same. */
import { describe, expect, it } from 'vitest';
import type { CommandSpec } from '../../../helper-daemon/cli/commandSpec.ts';
import { execSpec } from '../../../helper-daemon/cli/commands/exec.ts';
import { readSpec } from '../../../helper-daemon/cli/commands/read.ts';
import { runSpec } from '../../../helper-daemon/cli/commands/run.ts';
import { shellSpec } from '../../../helper-daemon/cli/commands/shell.ts';
import { writeSpec } from '../../../helper-daemon/cli/commands/write.ts';
import { fieldsOf } from '../../../helper-daemon/cli/projection/fields.ts';
import { operations } from '../../../protocol/operations.ts';
import type { Operation } from '../../../protocol/operation.ts';

const undescribed = (): string => '';
/** Flags that are the command's own and no field of an operation. */
const own = new Set(['interactive', 'tty', 'in', 'out', 'force']);
const cases: readonly (readonly [CommandSpec, readonly Operation[]])[] = [
  [execSpec(undescribed), [operations.process_open]],
  [shellSpec(undescribed), [operations.process_open]],
  [runSpec(undescribed), [operations.workspace_create, operations.process_open]],
  [readSpec(undescribed), [operations.file_download]],
  [writeSpec(undescribed), [operations.file_upload]],
];

/** `terminal` has no form on the command line, so it is taken away before. */
function fields(operation: Operation): ReturnType<typeof fieldsOf> {
  const shape = { ...operation.input.shape } as Record<string, never>;
  delete shape['terminal'];
  return fieldsOf({ ...operation, input: operations.daemon_status.input.extend(shape) });
}

describe.each(cases.map(([spec, from]) => [spec.words, spec, from] as const))(
  'coppice %s',
  (_, spec, from) => {
    const known = new Map(from.flatMap(fields).map((field) => [field.name, field]));
    it.each(
      spec.flags.filter(({ key }) => !own.has(key)).map((flag) => [flag.spelling, flag] as const),
    )('has %s as the schema has it', (_spelling, flag) => {
      expect(known.get(flag.key)?.kind).toBe(flag.kind);
      expect(known.get(flag.key)?.required).toBe(flag.required ?? false);
    });
    it('has positionals that are fields', () => {
      for (const { key } of spec.positionals) expect([...known.keys()]).toContain(key);
    });
  },
);
