/** The shells' side of completion: each hands the typed words to `coppice __complete`. */

const bash = `# bash completion for coppice
_coppice() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(coppice __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  case "\${COMPREPLY[0]}" in
    *:/) compopt -o nospace ;;
  esac
  # A colon splits words for readline: offer only what comes after it.
  if type __ltrim_colon_completions >/dev/null 2>&1; then
    __ltrim_colon_completions "\${COMP_WORDS[COMP_CWORD]}"
  fi
}
complete -o default -F _coppice coppice`;

const zsh = `#compdef coppice
_coppice() {
  local -a candidates
  candidates=("\${(@f)$(coppice __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=("\${(@)candidates:#}")
  if (( \${#candidates} )); then
    compadd -Q -- "\${candidates[@]}"
  else
    _files
  fi
}
if [ "\${funcstack[1]}" = _coppice ]; then
  _coppice "$@"
else
  compdef _coppice coppice
fi`;

const fish = `# fish completion for coppice
function __coppice_complete
  set -l words (commandline -opc) (commandline -ct)
  coppice __complete -- $words[2..-1] 2>/dev/null
end
complete -c coppice -a '(__coppice_complete)'`;

export function completionScript(shell: string): string | undefined {
  const scripts: Readonly<Record<string, string>> = { bash, zsh, fish };
  return Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
}
