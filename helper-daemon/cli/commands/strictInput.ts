/** What the words of a command line mean beyond the fields they stand for. */
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import { UsageError } from '../failure.ts';

/** For commands whose fields are all optional although one of them must be there. */
export function needsOneOf(...keys: readonly string[]): (projected: CommandSpec) => CommandSpec {
  return (projected) => ({
    ...projected,
    run(invocation, context) {
      const { flags, positionals } = invocation;
      if (keys.every((key) => flags[key] === undefined && positionals[key] === undefined)) {
        throw new UsageError('Say what to change.', `See coppice ${projected.words} --help.`);
      }
      return projected.run(invocation, context);
    },
  });
}

/** `snapshot diff demo s1 /etc`: no snapshot is named like a path, so it is one. */
export function withPathAlone(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    run: (invocation, context) => projected.run(pathFromTo(invocation), context),
  };
}

function pathFromTo(invocation: Invocation): Invocation {
  const { to, path, ...others } = invocation.positionals;
  if (typeof to !== 'string' || !to.startsWith('/') || path !== undefined) return invocation;
  return { ...invocation, positionals: { ...others, path: to } };
}
