import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'smol-toml';
import { defaultConfig } from '../../../../helper-daemon/system/config.ts';
import { configPath, loadConfig } from '../../../../helper-daemon/system/configFile.ts';
import {
  configSections,
  defaultConfigText,
} from '../../../../helper-daemon/system/configReference.ts';
import { parseConfig } from '../../../../helper-daemon/system/configText.ts';

let home: string;
let file: string;

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'coppice-config-'));
  file = path.join(home, 'config.toml');
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function problemOf(text: string): string {
  try {
    parseConfig(text, '/c.toml');
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}

describe('where it is', () => {
  test('COPPICE_CONFIG comes first, then COPPICE_HOME, then the place of the mode', () => {
    const all = { COPPICE_CONFIG: '/a/b.toml', COPPICE_HOME: '/h', XDG_CONFIG_HOME: '/x' };
    expect(configPath('user', all)).toEqual({ file: '/a/b.toml', named: true });
    expect(configPath('user', { ...all, COPPICE_CONFIG: '' }).file).toBe('/h/config.toml');
    expect(configPath('user', { XDG_CONFIG_HOME: '/x' }).file).toBe('/x/coppice/config.toml');
    expect(configPath('user', {}).file).toBe(
      path.join(os.homedir(), '.config/coppice/config.toml'),
    );
    expect(configPath('system', {}).file).toBe('/etc/coppice/config.toml');
  });

  test('without a file the defaults hold', async () => {
    expect(await loadConfig('user', { COPPICE_HOME: home })).toEqual({
      config: defaultConfig,
      environment: {},
      file: null,
      warnings: [],
    });
  });

  test('a file that was named must be there', async () => {
    await expect(loadConfig('user', { COPPICE_CONFIG: file })).rejects.toMatchObject({
      code: 'file_not_found',
      message: expect.stringContaining(file),
    });
  });

  test.each([0o666, 0o620])('in system mode a file with mode %o is refused', async (mode) => {
    writeFileSync(file, '');
    chmodSync(file, mode);
    await expect(loadConfig('system', { COPPICE_CONFIG: file })).rejects.toMatchObject({
      code: 'permission_denied',
    });
    expect((await loadConfig('user', { COPPICE_CONFIG: file })).file).toBe(file);
  });

  test.runIf(process.getuid?.() === 0)(
    'in system mode a file of another account is refused',
    async () => {
      writeFileSync(file, '');
      chmodSync(file, 0o600);
      chownSync(file, 65_534, 65_534);
      await expect(loadConfig('system', { COPPICE_CONFIG: file })).rejects.toMatchObject({
        code: 'permission_denied',
      });
    },
  );

  test('what is too large to be a configuration is not read', async () => {
    writeFileSync(file, `#${'x'.repeat(2 * 1024 * 1024)}`);
    await expect(loadConfig('user', { COPPICE_CONFIG: file })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });
});

describe('what it says', () => {
  test('every key reaches the settings it stands for', () => {
    const { config, environment, warnings } = parseConfig(
      `
      [resources]
      max_workspaces = 5
      memory_overcommit = 1.5
      [quota.agent]
      workspaces = 2
      vcpus = "unlimited"
      memory_mb = 0
      disk_gb = 7
      [quota.person]
      workspaces = 9
      [rate_limit]
      enabled = false
      create_per_minute = 1
      exec_per_minute = 2
      team_message_per_minute = 3
      default_per_minute = 4
      people = true
      [vault]
      enabled = false
      path = "~/notes"
      extensions = ["md", "txt"]
      exclude_dirs = [".git"]
      [server]
      transfer_dir = "/srv/transfers"
      [metrics]
      port = 9464
      [network]
      mode = "user"
      subnet = "10.9.0.0/16"
      bridge = "br-x"
      dns_servers = ["192.0.2.1", "192.0.2.2"]
      [vm]
      accelerator = "tcg"
      boot_timeout_secs = 30
      [log]
      level = "debug"
      `,
      file,
    );
    expect(warnings).toEqual([]);
    expect(config).toEqual({
      resources: { maxWorkspaces: 5, memoryOvercommit: 1.5 },
      quota: {
        agent: { workspaces: 2, vcpus: null, memoryMb: 0, diskGb: 7 },
        person: { workspaces: 9, vcpus: null, memoryMb: null, diskGb: null },
      },
      rateLimit: {
        enabled: false,
        createPerMinute: 1,
        execPerMinute: 2,
        teamMessagePerMinute: 3,
        defaultPerMinute: 4,
        people: true,
      },
      vault: {
        enabled: false,
        path: path.join(os.homedir(), 'notes'),
        extensions: ['md', 'txt'],
        excludeDirs: ['.git'],
      },
      transferDir: '/srv/transfers',
      metricsPort: 9464,
    });
    expect(environment).toEqual({
      COPPICE_NETWORK: 'user',
      COPPICE_SUBNET: '10.9.0.0/16',
      COPPICE_BRIDGE: 'br-x',
      COPPICE_DNS: '192.0.2.1,192.0.2.2',
      COPPICE_ACCEL: 'tcg',
      COPPICE_BOOT_TIMEOUT_SECS: '30',
      COPPICE_LOG_LEVEL: 'debug',
    });
  });

  test('one key leaves all others at their defaults', () => {
    const { config } = parseConfig('[quota.agent]\nworkspaces = 3\n', file);
    expect(config).toEqual({
      ...defaultConfig,
      quota: { ...defaultConfig.quota, agent: { ...defaultConfig.quota.agent, workspaces: 3 } },
    });
  });

  test('the environment comes before the file', async () => {
    writeFileSync(file, '[metrics]\nport = 9464\n');
    const env = { COPPICE_CONFIG: file, COPPICE_METRICS_PORT: '9999' };
    expect((await loadConfig('user', env)).config.metricsPort).toBe(9999);
  });

  test.each(['x', '0', '65536', '1e3', '-1'])('%s is no metrics port', async (port) => {
    const env = { COPPICE_HOME: home, COPPICE_METRICS_PORT: port };
    await expect(loadConfig('user', env)).rejects.toMatchObject({ code: 'invalid_input' });
  });
});

describe('what is wrong with it', () => {
  test.each([
    [
      '[rate_limit]\n\nexec_per_minute = 0',
      '/c.toml:3: rate_limit.exec_per_minute: must be a whole number, 1 to 1000000',
    ],
    ['[quota.agent]\n# x\nmemory_mb = "a lot"', '/c.toml:3: quota.agent.memory_mb: must be'],
    ['quota.agent.vcpus = -1', '/c.toml:1: quota.agent.vcpus: '],
    ['[vault]\npath = "notes"', '/c.toml:2: vault.path: must be an absolute path'],
    ['[metrics]\nport = 70000', '/c.toml:2: metrics.port: must be a whole number, 1 to 65535'],
    ['[network]\nmode = "none"', '/c.toml:2: network.mode: must be "user" or "bridge"'],
    ['[vault]\nenabled = 1', '/c.toml:2: vault.enabled: must be true or false'],
    ['vault = 3', '/c.toml:1: vault: '],
    ['[vault]\nextensions = [\n  "md",\n  "a/b",\n]', '/c.toml:2: vault.extensions.1: '],
    ['a = 1\nb = = 2', '/c.toml:2: not TOML'],
  ])('%j is told with its line', (text, expected) => {
    expect(problemOf(text)).toContain(expected);
  });

  test('all that is wrong is told at once', () => {
    const message = problemOf('[metrics]\nport = 0\n[vault]\nenabled = 1\n');
    expect(message).toContain('/c.toml:2: metrics.port');
    expect(message).toContain('/c.toml:4: vault.enabled');
  });

  test('a key that is not known is a warning with its line and what there is', () => {
    const { config, warnings } = parseConfig(
      '[rate_limit]\nexec_per_min = 5\n\n[dashboard]\nport = 1\n',
      '/c.toml',
    );
    expect(config).toEqual(defaultConfig);
    expect(warnings).toEqual([
      expect.stringMatching(/^\/c\.toml:2: rate_limit\.exec_per_min: .*exec_per_minute/),
      expect.stringMatching(/^\/c\.toml:4: dashboard: .*rate_limit/),
    ]);
  });

  test.each(['__proto__ = 1', 'constructor = 1', '[vault]\ntoString = 1'])(
    '%j is no key that is known',
    (text) => {
      const problem = problemOf(text);
      if (problem === 'none') expect(parseConfig(text, file).warnings).toHaveLength(1);
      else expect(problem).toContain('not TOML');
    },
  );
});

describe('the first file', () => {
  test('says nothing but the defaults', () => {
    expect(parseConfig(defaultConfigText(), file)).toEqual({
      config: defaultConfig,
      environment: {},
      warnings: [],
    });
  });

  test('every line of it can be taken into use and is then valid', () => {
    const text = defaultConfigText().replace(/^# (\w+ = )/gm, '$1');
    const { warnings, config } = parseConfig(text, file);
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({
      quota: defaultConfig.quota,
      rateLimit: defaultConfig.rateLimit,
      resources: defaultConfig.resources,
    });
    const keys = configSections().reduce((sum, section) => sum + section.keys.length, 0);
    expect(text.match(/^\w+ = /gm)).toHaveLength(keys);
    expect(Object.keys(parse(text))).toContain('metrics');
  });
});
