/** Words as one shell command, for operations that take a command line. */

const safe = /^[A-Za-z0-9_@%+=:,./-]+$/;

function shellQuote(word: string): string {
  return safe.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** One word is a shell command as it stands; several are a program and its arguments. */
export function asShellCommand(words: readonly string[]): string {
  const [only] = words;
  return words.length === 1 && only !== undefined ? only : words.map(shellQuote).join(' ');
}

/** The same rule for process_open, which can do without a shell. */
export function asCommandInput(
  words: readonly string[],
): { readonly command: string } | { readonly argv: string[] } {
  const [only] = words;
  return words.length === 1 && only !== undefined ? { command: only } : { argv: [...words] };
}
