/** docs/configuration.md: where the file is, and every key of its schema. */
import { configSections } from '../../helper-daemon/system/configReference.ts';
import { cell, table } from './schemaText.ts';

export function configPage(): string {
  return [
    '# Configuration',
    'One TOML file, read when the daemon starts. Everything in it is optional, and without it the defaults hold. `coppice init` writes one with every default in it as a comment; an existing file is never written over. Generated from the schema by `npm run generate`.',
    table(
      ['Where', 'When'],
      [
        ['`$COPPICE_CONFIG`', 'it is set; `coppice serve --config FILE` sets it'],
        ['`$COPPICE_HOME/config.toml`', '`COPPICE_HOME` is set'],
        ['`/etc/coppice/config.toml`', 'system mode; only when nobody but root can write to it'],
        [
          '`$XDG_CONFIG_HOME/coppice/config.toml`',
          'user mode; `~/.config` where the variable is not set',
        ],
      ],
    ),
    'A value that is not allowed keeps the daemon from starting and is named with its line. A key that Coppice does not know is a warning in the log and in `coppice check`. Variables of the environment come before the file. After a change: `coppice daemon stop`; the next command starts the daemon again, and machines keep running.',
    ...configSections().flatMap(({ name, description, keys }) => [
      `## [${name}]`,
      ...(description === '' ? [] : [description]),
      table(
        ['Key', 'Value', 'Default', 'Meaning'],
        keys.map((key) => [
          `\`${key.name}\``,
          cell(key.kind),
          key.byDefault === null ? '' : `\`${key.byDefault}\``,
          cell(key.description),
        ]),
      ),
    ]),
  ].join('\n\n');
}
