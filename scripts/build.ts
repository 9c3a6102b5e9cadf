/**
 * Bundles the three programs: the extension, the daemon and the CLI.
 *
 *   node scripts/build.ts                     all
 *   node scripts/build.ts extension coppiced  only these
 */
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions } from 'esbuild';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');

interface Program {
  readonly entry: string;
  readonly out: string;
  readonly executable: boolean;
  readonly options: BuildOptions;
}

/** The extension host of the oldest supported VS Code runs the extension and may run the daemon. */
const nodeTarget = 'node22.15';

/** Packages that load a binary beside their own files; they travel whole, next to the bundles. */
const nativePackages = ['koffi', '@koromix/koffi-linux-x64'] as const;

/** What such a package needs at run time: no C++ sources, no documentation, no other libc. */
const runtimeFile = /(^|\/)(package\.json|LICENSE[^/]*|[^/]+\.c?js|linux_x64\/[^/]+\.node)$/;

/** CommonJS packages inside an ES module bundle still call require. */
const requireShim = [
  "import { createRequire as coppiceCreateRequire } from 'node:module';",
  'const require = coppiceCreateRequire(import.meta.url);',
].join('\n');

const moduleOptions: BuildOptions = {
  format: 'esm',
  target: nodeTarget,
  banner: { js: `#!/usr/bin/env node\n${requireShim}` },
  // ssh2 does without its two native parts where they are not built, and here they never are.
  external: [...nativePackages, 'cpu-features', '*/sshcrypto.node'],
  define: { __dirname: 'import.meta.dirname' },
};

const programs: readonly Program[] = [
  {
    entry: 'extension/main.ts',
    out: 'extension.cjs',
    executable: false,
    options: {
      format: 'cjs',
      target: nodeTarget,
      external: ['vscode'],
      define: { 'import.meta.url': 'coppiceModuleUrl', 'import.meta.dirname': '__dirname' },
      banner: {
        js: "const coppiceModuleUrl = require('node:url').pathToFileURL(__filename).href;",
      },
    },
  },
  { entry: 'helper-daemon/main.ts', out: 'coppiced.mjs', executable: true, options: moduleOptions },
  {
    entry: 'helper-daemon/cli/main.ts',
    out: 'coppice.mjs',
    executable: true,
    options: moduleOptions,
  },
  // Apart from the CLI, whose other commands would have to parse it each time.
  {
    entry: 'helper-daemon/mcp/program.ts',
    out: 'coppice-mcp.mjs',
    executable: false,
    options: moduleOptions,
  },
];

async function buildProgram(program: Program): Promise<string> {
  const entry = path.join(root, program.entry);
  if (!existsSync(entry)) return `skipped ${program.out}: ${program.entry} does not exist`;
  const outfile = path.join(dist, program.out);
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'warning',
    absWorkingDir: root,
    ...program.options,
  });
  if (program.executable) await chmod(outfile, 0o755);
  const { size } = await stat(outfile);
  return `${program.out} ${String(Math.round(size / 1024))} KiB`;
}

async function copyNativePackages(): Promise<void> {
  for (const name of nativePackages) {
    const from = path.join(root, 'node_modules', name);
    for (const entry of await readdir(from, { recursive: true })) {
      if (!runtimeFile.test(entry) || entry.startsWith('vendor/')) continue;
      const to = path.join(dist, 'node_modules', name, entry);
      await mkdir(path.dirname(to), { recursive: true });
      // Never written in place: a daemon that runs has it mapped and would crash.
      const fresh = `${to}.${String(process.pid)}`;
      await copyFile(path.join(from, entry), fresh);
      await rename(fresh, to);
    }
  }
}

/**
 * Builds every program whose output name starts with one of `wanted`, or all of them.
 * @throws AggregateError after all had their turn, when some could not be built
 */
export async function buildAll(wanted: readonly string[] = []): Promise<readonly string[]> {
  await mkdir(dist, { recursive: true });
  await copyNativePackages();
  const chosen = programs.filter(
    ({ out }) => wanted.length === 0 || wanted.some((name) => out.startsWith(`${name}.`)),
  );
  const results = await Promise.allSettled(chosen.map(buildProgram));
  const failures = results.filter((result) => result.status === 'rejected');
  if (failures.length > 0) {
    throw new AggregateError(
      failures.map(({ reason }) => reason as unknown),
      `${failures.length} of ${chosen.length} programs could not be built`,
    );
  }
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const start = performance.now();
  try {
    for (const line of await buildAll(process.argv.slice(2))) console.log(line);
    console.log(`built in ${Math.round(performance.now() - start)} ms`);
  } catch (error) {
    // esbuild has already said what is wrong and where.
    console.error(error instanceof AggregateError ? error.message : error);
    process.exitCode = 1;
  }
}
