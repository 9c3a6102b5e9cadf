/** A real pty on our side, a real terminal in the machine. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn, type IPty } from 'node-pty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;
beforeAll(async () => {
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
  await cli.ok('create', 'demo');
});
afterAll(async () => {
  await daemon.dispose();
});

interface Terminal {
  readonly pty: IPty;
  type(text: string): void;
  /** Waits until what has been printed since the last call matches. */
  sees(pattern: RegExp): Promise<RegExpExecArray>;
  readonly exited: Promise<number>;
}

function open(file: string, args: readonly string[]): Terminal {
  const pty = spawn(file, [...args], {
    cols: 100,
    rows: 30,
    env: { ...cli.env, TERM: 'xterm-256color', PS1: 'host> ' },
    name: 'xterm-256color',
  });
  let printed = '';
  pty.onData((data) => (printed += data));
  const exited = new Promise<number>((resolve) => {
    pty.onExit(({ exitCode }) => resolve(exitCode));
  });
  return {
    pty,
    type(text) {
      pty.write(text);
    },
    async sees(pattern) {
      let match: RegExpExecArray | null = null;
      const end = Date.now() + 30_000;
      while (match === null) {
        match = pattern.exec(printed);
        if (match === null && Date.now() > end) {
          throw new Error(`no ${String(pattern)} in ${JSON.stringify(printed.slice(-2000))}`);
        }
        await delay(20);
      }
      const found: RegExpExecArray = match;
      printed = printed.slice(found.index + found[0].length);
      return found;
    },
    exited,
  };
}

describe('coppice shell', () => {
  it('is a terminal of our size that follows a resize, also under top, and passes Ctrl-C on', async () => {
    const terminal = open(cli.launcher, ['shell', 'demo']);
    await terminal.sees(/root@demo:\/workspace# /);
    terminal.type('stty size; echo "$TERM"\r');
    await terminal.sees(/30 100\r\nxterm-256color/);
    // Exactly what the machine's terminal sends: nothing is translated a second time.
    terminal.type(`stty -opost; printf 'a\\nb\\n'; stty opost\r`);
    await terminal.sees(/a\nb\n/);
    await terminal.sees(/root@demo:\/workspace# /);
    terminal.type('top\r');
    await terminal.sees(/PID USER/);
    terminal.pty.resize(70, 20);
    await terminal.sees(/PID USER/);
    terminal.type('\x03');
    await terminal.sees(/root@demo:\/workspace# /);
    terminal.type('stty size\r');
    await terminal.sees(/20 70/);
    terminal.type('sleep 1000\r');
    await terminal.sees(/sleep 1000/);
    terminal.type('\x03');
    await terminal.sees(/root@demo:\/workspace# /);
    terminal.type('exit 9\r');
    expect(await terminal.exited).toBe(9);
    // A shell that has ended is no job any more.
    expect(await cli.json('jobs', 'list', 'demo')).toEqual([]);
  });

  it('goes on when it is left with Ctrl-P Ctrl-Q and can be come back to', async () => {
    const first = open(cli.launcher, ['shell', 'demo']);
    await first.sees(/# /);
    first.type('marker=kept; echo "value $((40 + 2))"\r');
    await first.sees(/value 42/);
    first.type('\x10\x11');
    const [, job = ''] = await first.sees(/coppice shell demo --job (\d+)/);
    expect(await first.exited).toBe(0);
    const second = open(cli.launcher, ['shell', 'demo', '--job', job]);
    await second.sees(/value 42/);
    second.type('echo "marker is $marker"\r');
    await second.sees(/marker is kept/);
    second.type('exit\r');
    expect(await second.exited).toBe(0);
  });

  it('gives the terminal back when it is ended by a signal', async () => {
    const host = open('/bin/sh', []);
    host.type(`${cli.launcher} shell demo\r`);
    await host.sees(/root@demo:\/workspace# /);
    host.type(`stty -a | head -1; echo "sh is $$"\r`);
    await host.sees(/sh is \d+/);
    const jobs = await cli.json<{ running: boolean }[]>('jobs', 'list', 'demo');
    expect(jobs.filter(({ running }) => running)).toHaveLength(1);
    const pid = childOf(host.pty.pid);
    process.kill(pid, 'SIGTERM');
    await host.sees(/host> /);
    host.type('stty -a\r');
    await host.sees(/[^-]icanon[\s\S]*[^-]echo /);
    host.type('exit\r');
    await host.exited;
    // The shell in the machine has been told, too.
    await expect
      .poll(
        async () =>
          (await cli.json<{ running: boolean }[]>('jobs', 'list', 'demo')).filter(
            ({ running }) => running,
          ),
        { timeout: 20_000 },
      )
      .toEqual([]);
  });

  it('runs another program with exec -it', async () => {
    const terminal = open(cli.launcher, ['exec', '-it', 'demo', '--', 'python3', '-q']);
    await terminal.sees(/>>> /);
    terminal.type('import os; print(tuple(os.get_terminal_size())); raise SystemExit(4)\r');
    await terminal.sees(/\(100, 30\)/);
    expect(await terminal.exited).toBe(4);
  });

  it('needs a terminal', async () => {
    const { code, stderr } = await cli.run(['shell', 'demo']);
    expect(code).toBe(2);
    expect(stderr).toContain('needs a terminal');
  });
});

/** The CLI replaces its launcher's shell, so it is the only child. */
function childOf(pid: number): number {
  const children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
}
