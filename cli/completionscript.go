package cli

func shells() []string { return []string{"bash", "fish", "powershell", "zsh"} }

// scripts are the completion scripts by shell. Where nothing is proposed, the shell completes
// files, as it does without a script.
func scripts() map[string]string {
	return map[string]string{
		"bash": `# bash completion for mezu
_mezu() {
  local words cur line i
  # COMP_WORDS splits at "=" and ":"; the words of the line itself are wanted.
  read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
  [[ "${COMP_LINE:0:COMP_POINT}" == *" " ]] && words+=("")
  cur="${words[${#words[@]}-1]}"
  COMPREPLY=()
  while IFS= read -r line; do
    # Readline replaces only what follows the last "=".
    [[ "$cur" == *=* ]] && line="${line#*=}"
    COMPREPLY+=("$line")
  done < <("${words[0]}" ` + completeCommand + ` "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _mezu mezu
`,
		"zsh": `#compdef mezu
_mezu() {
  local -a candidates
  candidates=("${(@f)$(${words[1]} ` + completeCommand + ` "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
  if [[ -n "${candidates[1]}" ]]; then
    compadd -- "${candidates[@]}"
  else
    _files
  fi
}
# As a file of fpath it is the function itself, called for the first time.
if [[ "${funcstack[1]}" == _mezu ]]; then
  _mezu "$@"
else
  compdef _mezu mezu
fi
`,
		"fish": `# fish completion for mezu
function __mezu_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l candidates ($words[1] ` + completeCommand + ` $words[2..-1] 2>/dev/null)
  if set -q candidates[1]
    printf '%s\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c mezu -f -a '(__mezu_complete)'
`,
		"powershell": `# PowerShell completion for mezu
Register-ArgumentCompleter -Native -CommandName mezu -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  # Windows PowerShell passes no empty argument on.
  if ($wordToComplete -eq '') { $words += '` + emptyWord + `' } else { $words += $wordToComplete }
  & mezu ` + completeCommand + ` @words 2>$null | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`,
	}
}
