/** Did every line of the fragment survive olddefconfig? Kconfig drops what it cannot satisfy in silence. */

export interface ConfigLine {
  readonly name: string;
  readonly value: string;
}

function parseConfig(text: string): readonly ConfigLine[] {
  const lines: ConfigLine[] = [];
  for (const line of text.split('\n')) {
    const set = /^(CONFIG_\w+)=(.*)$/.exec(line);
    if (set?.[1] !== undefined) lines.push({ name: set[1], value: set[2] ?? '' });
    const unset = /^# (CONFIG_\w+) is not set$/.exec(line);
    if (unset?.[1] !== undefined) lines.push({ name: unset[1], value: 'n' });
  }
  return lines;
}

/** One sentence per fragment line without effect; an option that is absent counts as off. */
export function unmetLines(
  fragment: string,
  config: string,
  optional: Readonly<Record<string, string>>,
): readonly string[] {
  const actual = new Map(parseConfig(config).map((line) => [line.name, line.value]));
  return parseConfig(fragment)
    .filter((line) => !(line.name in optional) && (actual.get(line.name) ?? 'n') !== line.value)
    .map(
      (line) =>
        `${line.name} should be ${line.value} but is ${actual.get(line.name) ?? 'unknown here'}`,
    );
}
