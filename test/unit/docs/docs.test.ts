import { beforeAll, describe, expect, test } from 'vitest';
import { allCommands } from '../../../helper-daemon/cli/catalogue.ts';
import { configSections } from '../../../helper-daemon/system/configReference.ts';
import { tools } from '../../../protocol/tools.ts';
import { toolInput } from '../../../protocol/tool.ts';
import { generatedDocs } from '../../../scripts/docs.ts';

let docs: ReadonlyMap<string, string>;
beforeAll(() => {
  docs = generatedDocs();
});

const page = (name: string): string => docs.get(`docs/${name}`) ?? '';

/** The text between a heading and the next of its kind. */
function section(text: string, heading: string): string {
  const [, rest = ''] = `${text}\n`.split(`\n${heading}\n`);
  const level = heading.split(' ')[0] ?? '';
  return rest.split(`\n${level} `)[0] ?? '';
}

describe('the page of tools', () => {
  test.each(tools.map((tool) => [tool.name, tool] as const))(
    'tells every parameter of %s',
    (name, tool) => {
      const text = section(page('tools.md'), `## ${name}`);
      expect(text).toContain(tool.description);
      const fields = Object.keys(toolInput(tool).shape).filter(
        (field) => field !== 'idempotency_key',
      );
      for (const field of fields) expect(text).toContain(`| \`${field}\``);
    },
  );
});

describe('the page of commands', () => {
  test('has every command that is not hidden, with its flags', () => {
    const text = page('cli.md');
    for (const { words, hidden } of allCommands([])) {
      if (hidden !== true) expect(text).toContain(`\n### coppice ${words}\n`);
    }
    const audit = section(text, '### coppice audit');
    expect(audit).toContain('`-f, --follow`');
    expect(audit).toContain('`-w, --workspace <workspace>`');
    expect(audit).toContain('coppice audit [options]');
  });
});

describe('the page of the configuration', () => {
  test('has every key with its default', () => {
    const text = page('configuration.md');
    for (const { name, keys } of configSections()) {
      const part = section(text, `## [${name}]`);
      for (const key of keys) expect(part).toContain(`| \`${key.name}\` |`);
    }
    expect(section(text, '## [rate_limit]')).toContain(
      '| `exec_per_minute` | whole number, 1 to 1000000 | `60` | Commands |',
    );
  });
});

describe('every page', () => {
  test('has tables whose rows have as many cells as their head', () => {
    for (const [name, text] of docs) {
      if (!name.endsWith('.md')) continue;
      for (const table of text.match(/(^\|.*\n)+/gm) ?? []) {
        const widths = table
          .trimEnd()
          .split('\n')
          .map((line) => line.replaceAll('\\|', '').split('|').length);
        expect(new Set(widths).size, table).toBe(1);
      }
    }
  });
});

describe('the manual page', () => {
  test('has only requests it means, and every command', () => {
    const text = page('coppice.1');
    for (const line of text.split('\n').filter((one) => /^[.']/.test(one))) {
      expect(line).toMatch(/^\.(\\"|TH|SH|SS|TP|B|I)( |$)/);
    }
    for (const { words, hidden } of allCommands([])) {
      if (hidden !== true) expect(text).toContain(`.SS coppice ${words.replaceAll('-', '\\-')} `);
    }
  });
});
