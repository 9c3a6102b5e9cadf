import path from 'node:path';
import { RuleTester } from 'eslint';
import { describe, it } from 'vitest';
import { layerRule } from '../../../scripts/lint/layerRule.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const at = (file: string): string => path.join(root, file);

RuleTester.describe = describe;
RuleTester.it = it;
const tester = new RuleTester({ languageOptions: { ecmaVersion: 2024, sourceType: 'module' } });

tester.run('layers', layerRule, {
  valid: [
    { filename: at('extension/a.ts'), code: "import * as v from 'vscode'" },
    { filename: at('protocol/a.ts'), code: "import { z } from 'zod'" },
    { filename: at('helper-daemon/system/run.ts'), code: "import 'node:child_process'" },
    { filename: at('helper-daemon/workspaces/a.ts'), code: "import '../engine/machine.ts'" },
    { filename: at('helper-daemon/server/handlers/a.ts'), code: "import '../../workspaces/b.ts'" },
    { filename: at('test/unit/a.test.ts'), code: "import 'execa'" },
  ],
  invalid: [
    { filename: at('helper-daemon/server/a.ts'), code: "import 'vscode'", errors: 1 },
    { filename: at('protocol/a.ts'), code: "import 'node:fs'", errors: 1 },
    { filename: at('protocol/a.ts'), code: "import '../helper-daemon/system/run.ts'", errors: 1 },
    { filename: at('helper-daemon/engine/qemu/a.ts'), code: "import 'execa'", errors: 1 },
    {
      filename: at('helper-daemon/cli/a.ts'),
      code: "const m = import('child_process')",
      errors: 1,
    },
    { filename: at('helper-daemon/workspaces/a.ts'), code: "import '../server/b.ts'", errors: 1 },
    {
      filename: at('helper-daemon/workspaces/a.ts'),
      code: "import '../engine/qemu/b.ts'",
      errors: 1,
    },
    {
      filename: at('helper-daemon/workspaces/a.ts'),
      code: "import 'vscode-jsonrpc/node'",
      errors: 1,
    },
    { filename: at('helper-daemon/store/a.ts'), code: "import '../workspaces/b.ts'", errors: 1 },
    {
      filename: at('extension/a.ts'),
      code: "export { a } from '../helper-daemon/store/b.ts'",
      errors: 1,
    },
    { filename: at('helper-daemon/newThing/a.ts'), code: "import './b.ts'", errors: 1 },
  ],
});
